//! The two sides of a fan-out: subscribers and publishers are opened, probed and measured together.
//!
//! It knows what either side saw, and says nothing of it to the user.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    plans::Plans,
    publish::{Publish, Told},
    subscribe::{Heard, Subscribe},
    traffic::{Phase, Traffic},
};
use crate::{
    engine::{
        conductor::{Conductor, Observer, START_DELAY},
        signal,
    },
    measure::{ledger::Ledger, run::Run, timeline::Seen},
    mode::ready,
    output::progress::Progress,
};

/// A probe is published at once.
const PROBE_DURATION: Duration = Duration::from_millis(1);

/// Subscribers and publishers.
pub struct Participants {
    traffic: Arc<Traffic>,
    subscribers: Conductor<Heard>,
    publishers: Conductor<Told>,
}

impl Participants {
    /// Starts the threads of both, which begin to open connections.
    ///
    /// # Errors
    /// A thread or its driver cannot be had.
    pub fn start(plans: Plans) -> Result<Self> {
        let Plans { subscribers: plan, publishers: publish_plan, subscribe, publish } = plans;
        let traffic = Arc::new(Traffic::new(publish_plan.connections));
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

    /// Waits until it is time to begin, if the plan says when that is.
    ///
    /// # Errors
    /// It is past that.
    pub fn await_start(&self) -> Result<()> {
        self.subscribers.await_start()
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

    /// Participants measure at the same time.
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
