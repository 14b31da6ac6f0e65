//! The command `fanout`, from its arguments to its exit status.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use ringway_acceptor::{WaitMode, cores};
use ringway_frame::DataKind;

use super::{
    feed::Transport,
    publish::{Pace, Publish, PublishPlan, Told, Way},
    spread::{Spread, Spreads},
    subscribe::{Heard, Subscribe, SubscribePlan},
    traffic::{PUBLISHERS_MAX, Phase, Traffic},
};
use crate::{
    args::{
        CommonArgs, ConnectArgs,
        fanout::{FanoutArgs, SubscribeArg},
    },
    engine::{
        conductor::{Conductor, Observer, Run, START_DELAY},
        plan::{Plan, Punctuality},
        signal,
    },
    exit::{Status, require, usage},
    measure::{
        ledger::Ledger,
        quantiles::{Quantiles, Times},
        timeline::Seen,
    },
    mode::ready,
    output::{
        self,
        progress::{Loudness, Progress},
    },
    prepare,
    report::Report,
    wire::{
        message::Form,
        opening::{Approach, Exchange},
        template::{MARKED_BYTES, Template},
    },
};

/// A probe is published at once.
const PROBE_DURATION: Duration = Duration::from_millis(1);

/// Runs it.
///
/// # Errors
/// Nothing can be measured: what is wrong and how to mend it.
pub fn run(args: &FanoutArgs) -> Result<Status> {
    let plans = plans(args)?;
    let plan = &plans.subscribers;
    let events_asked = (!args.closed).then_some(args.rate);
    let deliveries_asked = events_asked.map(|rate| rate * f64::from(plan.connections));
    let heading = prepare::heading("fanout", plan, deliveries_asked);
    let mut progress = Progress::new(args.duration, Loudness::of(&args.common.output));
    let mut both = Both::start(args, plans)?;
    let mut opening = both.open(&mut progress)?;
    let warning = both.probe(args.common.drain, &mut opening)?;
    both.subscribers.await_start()?;
    let (mut heard, told) = both.measure(args.duration, &mut progress)?;
    progress.finish();
    let report = report(&heading, &opening, &mut heard, &told, warning);
    output::finish(&report, Some(&opening), &heard.seen, &args.common.output)?;
    both.end();
    Ok(Status::of(&report))
}

/// What can be known before anything is opened.
pub struct Plans {
    /// The plan of the subscribers.
    pub subscribers: Plan,
    publishers: Plan,
    template: Template,
}

/// Prepares a run with these arguments.
///
/// # Errors
/// What is wrong with them, and how to mend it.
pub fn plans(args: &FanoutArgs) -> Result<Plans> {
    let template = template(args)?;
    let message_bytes = template.draft(u32::MAX).bytes();
    let subscribers = subscribe_plan(args, message_bytes)?;
    let publishers = publish_plan(args, message_bytes)?;
    Ok(Plans { subscribers, publishers, template })
}

fn template(args: &FanoutArgs) -> Result<Template> {
    require(args.size >= MARKED_BYTES, || {
        format!(
            "--size {} is too small: an event carries its publisher, number and time, \
             {MARKED_BYTES} bytes",
            args.size
        )
    })?;
    require(args.publishers < PUBLISHERS_MAX, || {
        format!(
            "--publishers {} are too many; there may be {}",
            args.publishers,
            PUBLISHERS_MAX - 1
        )
    })?;
    Template::parse(&args.message, args.size).context("--message").map_err(usage)
}

fn subscribe_plan(args: &FanoutArgs, message_bytes: usize) -> Result<Plan> {
    let mut common = args.common.clone();
    distrust(&mut common, args.publish_url.as_deref().unwrap_or_default());
    if common.threads.is_none() && common.cores.len() > 1 {
        // It is the publishers'.
        common.cores.pop();
    }
    let mut plan = prepare::plan(&common, Form::Plain, message_bytes, args.duration)?;
    if args.closed {
        // Its latencies say little, so wake-ups may be saved.
        plan.wait = WaitMode::Adaptive;
    }
    if transport(args) != Transport::WebSocket {
        require(common.url.starts_with("http") && args.hello.is_empty(), || {
            "--subscribe-by sse and long-poll take an http: URL and no --hello".to_owned()
        })?;
        plan.approach = plan.approach.with_requests();
    }
    Ok(plan)
}

fn transport(args: &FanoutArgs) -> Transport {
    match args.subscribe_by {
        SubscribeArg::WebSocket => Transport::WebSocket,
        SubscribeArg::Sse => Transport::Stream,
        SubscribeArg::LongPoll => Transport::Polls { cursor: args.cursor.clone() },
    }
}

fn publish_plan(args: &FanoutArgs, message_bytes: usize) -> Result<Plan> {
    let mut common = CommonArgs {
        url: args.publish_url.clone().unwrap_or_else(|| args.common.url.clone()),
        connections: args.publishers,
        first_number: 0,
        connect: ConnectArgs {
            ramp: None,
            header: args.publish_header.clone(),
            ..args.common.connect.clone()
        },
        threads: Some(1),
        // Never one that was not given: it may be the server's.
        cores: args.common.cores.last().copied().into_iter().collect(),
        pid: None,
        ..args.common.clone()
    };
    distrust(&mut common, &args.common.url);
    let mut plan = prepare::plan(&common, Form::Plain, message_bytes, args.duration)?;
    let cores = match args.common.cores.len() {
        0 => cores::allowed()?.len(),
        given => given,
    };
    if cores < 2 || args.common.threads.is_some_and(|threads| threads as usize >= cores) {
        // Subscribers are on the same core.
        plan.punctuality = Punctuality::Sleeps;
    }
    if common.url.starts_with("http") {
        require(args.publish_hello.is_empty(), || {
            "--publish-hello is for WebSockets, and --publish-url is for POST requests".to_owned()
        })?;
        plan.approach = plan.approach.with_requests();
    }
    Ok(plan)
}

/// What is trusted may be said for one side's TLS, and is of no interest to the other side.
fn distrust(common: &mut CommonArgs, other_url: &str) {
    let is_encrypted = |url: &str| url.starts_with("wss:") || url.starts_with("https:");
    if !is_encrypted(&common.url) && is_encrypted(other_url) {
        (common.connect.ca, common.connect.insecure) = (None, false);
    }
}

fn way(args: &FanoutArgs, approach: &Approach) -> Way {
    match approach.exchange() {
        Exchange::Requests => Way::Requests {
            approach: Box::new(approach.clone()),
            content_type: args.content_type.clone(),
        },
        Exchange::WebSocket if args.binary => Way::Messages(DataKind::Binary),
        Exchange::WebSocket => Way::Messages(DataKind::Text),
    }
}

/// Subscribers and publishers.
pub struct Both {
    traffic: Arc<Traffic>,
    subscribers: Conductor<Heard>,
    publishers: Conductor<Told>,
}

impl Both {
    /// Starts the threads of both, which begin to open connections.
    ///
    /// # Errors
    /// A thread or its driver cannot be had.
    pub fn start(args: &FanoutArgs, plans: Plans) -> Result<Self> {
        let Plans { subscribers: plan, publishers: publish_plan, template } = plans;
        let traffic = Arc::new(Traffic::new(args.publishers));
        let subscribe = SubscribePlan {
            hello: args.hello.clone(),
            body: template.body().to_owned(),
            transport: transport(args),
        };
        let publish = PublishPlan {
            pace: if args.closed {
                Pace::Closed { outstanding: args.pipeline }
            } else {
                Pace::Open { rate: args.rate, pattern: args.pattern() }
            },
            hello: args.publish_hello.clone(),
            template,
            way: way(args, &publish_plan.approach),
        };
        let shared = traffic.clone();
        let subscribers = Conductor::start(plan, move |share, plan| {
            let (subscribe, approach) = (subscribe.clone(), plan.approach.clone());
            Subscribe::new(subscribe, approach, shared.clone(), plan.share(share.index).1)
        })?;
        let shared = traffic.clone();
        let clock = subscribers.clock();
        let publishers = Conductor::start_by(clock, publish_plan, move |_, plan| {
            Publish::new(publish.clone(), shared.clone(), plan.connections, plan.seed)
        })?;
        for waker in publishers.wakers() {
            traffic.set_waker(waker);
        }
        Ok(Self { traffic, subscribers, publishers })
    }

    /// Waits for all connections. What was seen of the subscribers', and failures of both.
    ///
    /// # Errors
    /// No subscriber, or no publisher, could be opened.
    pub fn open(&mut self, progress: &mut Progress) -> Result<Seen> {
        let mut opening = ready::await_open(&mut self.subscribers, progress)?;
        let publishers =
            ready::await_open(&mut self.publishers, &mut Unwatched).context("the publishers")?;
        add_errors(&mut opening, &publishers);
        Ok(opening)
    }

    /// Publishes events until one has reached every subscriber: a server may take its time to make
    /// one of what has sent a hello. After `time_max` it is as it is. What is to be warned of.
    /// Failures are added to those of `opening`.
    ///
    /// # Errors
    /// No event reached anybody.
    pub fn probe(&mut self, time_max: Duration, opening: &mut Seen) -> Result<Option<String>> {
        let until = Instant::now() + time_max;
        let mut samples = Samples::default();
        loop {
            self.traffic.begin(Phase::Probing);
            let (heard, told) = self.measure_both(PROBE_DURATION, &mut Unwatched)?;
            add_errors(opening, &heard.seen);
            add_errors(opening, &told.seen);
            samples.add(&heard, &told);
            let outstanding = self.traffic.outstanding();
            let received: u64 = heard.outcomes.iter().map(|one| one.ledger.received).sum();
            if outstanding == 0 && received > 0 || signal::seen().is_some() {
                return Ok(None);
            }
            if Instant::now() < until {
                continue;
            }
            if received == 0 {
                bail!(samples.unheard(opening));
            }
            return Ok(Some(format!(
                "not_all_subscribed: of the last event before the measurement, {outstanding} \
                 deliveries did not come"
            )));
        }
    }

    /// Publishes for `duration`, and hears what is delivered.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn measure(
        &mut self,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<(Run<Heard>, Run<Told>)> {
        self.traffic.begin(Phase::Measuring);
        self.measure_both(duration, observer)
    }

    /// Both measure at the same time.
    fn measure_both(
        &mut self,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<(Run<Heard>, Run<Told>)> {
        let start = self.subscribers.clock().now() + START_DELAY;
        let publishers = &mut self.publishers;
        thread::scope(|scope| {
            let telling = scope.spawn(|| publishers.measure_from(start, duration, &mut Unwatched));
            let heard = self.subscribers.measure_from(start, duration, observer);
            let told = telling.join().map_err(|_| anyhow!("the publishers' thread panicked"))?;
            Ok((heard?, told?))
        })
    }

    /// Closes all connections politely.
    pub fn end(self) {
        self.publishers.end();
        self.subscribers.end();
    }
}

/// Nobody looks.
struct Unwatched;

impl Observer for Unwatched {
    fn opening(&mut self, _seen: &Seen, _of: u32) {}

    fn running(&mut self, _seen: &Seen, _elapsed: Duration) {}
}

fn add_errors(sum: &mut Seen, part: &Seen) {
    for (reason, count) in &part.errors {
        *sum.errors.entry(reason.clone()).or_default() += count;
    }
}

/// What came instead of events.
#[derive(Debug, Default)]
struct Samples {
    subscribers: Option<String>,
    publishers: Option<String>,
}

impl Samples {
    fn add(&mut self, heard: &Run<Heard>, told: &Run<Told>) {
        let Self { subscribers, publishers } = self;
        let mut here = heard.outcomes.iter().filter_map(|one| one.sample.clone());
        *subscribers = subscribers.take().or_else(|| here.next());
        let mut there = told.outcomes.iter().filter_map(|one| one.sample.clone());
        *publishers = publishers.take().or_else(|| there.next());
    }

    /// Why there is nothing to measure, as far as that is known.
    fn unheard(&self, opening: &Seen) -> String {
        let mut text = String::from(
            "no event reached any subscriber; check --publish-url, --message and --hello, and \
             that the server delivers {stamp}{body} as it is",
        );
        for (reason, count) in &opening.errors {
            text.push_str(&format!("; {count} {reason}"));
        }
        for (who, sample) in [("subscribers", &self.subscribers), ("publishers", &self.publishers)]
        {
            if let Some(sample) = sample {
                text.push_str(&format!("; {who} received `{sample}`"));
            }
        }
        text
    }
}

/// Adds the publishers' part to what subscribers heard: what is asked of a report is about
/// deliveries, and the tester's own part is of both.
pub fn together(heard: &mut Run<Heard>, told: &Run<Told>) -> Ledger {
    let ledger = Ledger::sum(heard.outcomes.iter().map(|one| &one.ledger));
    heard.seen.add_published(&told.seen, ledger.sent);
    heard.busy = heard.busy.max(told.busy);
    heard.occupied = heard.occupied.max(told.occupied);
    heard.machine.waited = heard.machine.waited.max(told.machine.waited);
    heard.machine.preempted += told.machine.preempted;
    heard.tester_cpu += told.tester_cpu;
    ledger
}

fn report(
    heading: &crate::report::Heading,
    opening: &Seen,
    heard: &mut Run<Heard>,
    told: &Run<Told>,
    warning: Option<String>,
) -> Report {
    let ledger = together(heard, told);
    let mut report = Report::new(heading, opening, heard, ledger);
    let Some(told_all) = told.outcomes.first() else { return report };
    let tables: Vec<&Spread> = heard.outcomes.iter().map(|one| &one.spread).collect();
    let Spreads { times, complete, incomplete } = Spread::together(&tables, &told_all.owed);
    let seconds = report.elapsed_s;
    let sum = |of: fn(&Heard) -> u64| heard.outcomes.iter().map(of).sum::<u64>() as f64;
    let mut note = |name: &str, value: f64| {
        report.details.insert(name.to_owned(), value);
    };
    note("events", told_all.events as f64);
    note("events_per_s", told_all.events as f64 / seconds);
    note("events_complete", complete as f64);
    note("events_incomplete", incomplete as f64);
    note("events_behind", told_all.behind as f64);
    note("deliveries_per_s", report.rate);
    note("deliveries_due_while_away", sum(|one| one.away));
    note("foreign_events", sum(|one| one.foreign));
    note("other_messages", sum(|one| one.others));
    note("publishers_open", f64::from(told.open));
    note("publisher_messages", told_all.others as f64);
    note("stalls", told_all.stalls as f64);
    quantiles(&mut note, "spread_us", &times);
    quantiles(&mut note, "publish_ack_us", &told.seen.latencies);
    report.warnings.extend(warning);
    if told_all.behind > 0 {
        report.warnings.push(format!(
            "events_behind: {} events were due and not published, as each publisher awaits the \
             response before its next event; use more --publishers, or a lower --rate",
            told_all.behind
        ));
    }
    if told_all.stalls > 0 {
        report.warnings.push(format!(
            "stalls: {} times nothing was delivered for a second, and what was outstanding was \
             given up",
            told_all.stalls
        ));
    }
    report
}

fn quantiles(note: &mut impl FnMut(&str, f64), name: &str, times: &Times) {
    if times.is_empty() {
        return;
    }
    let Quantiles { p50, p99, max, .. } = Quantiles::of(times);
    for (quantile, value) in [("p50", p50), ("p99", p99), ("max", max)] {
        note(&format!("{name}_{quantile}"), value);
    }
}
