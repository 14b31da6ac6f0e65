//! The participants in a fan-out: subscribers, publishers and connections for echoes are opened,
//! probed and measured together.
//!
//! It prints nothing.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    plans::Plans,
    publish::Publish,
    sides::{Published, Received},
    subscribe::Subscribe,
    traffic::{Phase, Traffic},
};
use crate::{
    engine::{
        coordinator::{Coordinator, Observer, START_DELAY},
        signal,
    },
    measure::{ledger::Ledger, run::Run, timeline::Seen},
    mode::{echo, pace::Dial, ready},
    output::progress::RunProgress,
};

/// The length of a probe: its events are published together.
const PROBE_DURATION: Duration = Duration::from_millis(1);

/// Subscribers and publishers, and optional echo connections.
pub struct Participants {
    traffic: Arc<Traffic>,
    subscribers: Coordinator<Received>,
    publishers: Coordinator<Published>,
    echo: Option<Coordinator<Ledger>>,
    dial: Dial,
}

/// The results of all participants in one measurement.
pub struct FanoutRun {
    /// The subscribers' results.
    pub received: Run<Received>,
    /// The publishers' results.
    pub published: Run<Published>,
    /// The results of the echoes.
    pub echo: Option<Run<Ledger>>,
}

impl FanoutRun {
    /// Adds the other results to the subscribers': a report counts deliveries, and the tester's own
    /// figures cover all threads. Returns the ledger of all deliveries and echoes.
    pub fn settle(&mut self) -> Ledger {
        let Self { received, published, echo } = self;
        let mut ledger = Ledger::sum(received.outcomes.iter().map(|one| &one.ledger));
        received.seen.add_published(&published.seen, ledger.sent);
        received.add_threads(published);
        if let Some(echo) = echo {
            received.add_threads(echo);
            add_errors(&mut received.seen, &echo.seen);
            ledger += Ledger::sum(&echo.outcomes);
        }
        ledger
    }
}

impl Participants {
    /// Starts the threads, which start opening connections.
    ///
    /// # Errors
    /// A thread or its driver cannot be started.
    pub fn start(plans: Plans) -> Result<Self> {
        let Plans { subscribers: plan, publishers: publish_plan, subscribe, publish, echo } = plans;
        let (traffic, dial) =
            (Arc::new(Traffic::new(publish_plan.connections)), publish.dial.clone());
        let shared = traffic.clone();
        let subscribers = Coordinator::start(plan, move |share, plan| {
            let (subscribe, approach) = (subscribe.clone(), plan.approach.clone());
            Subscribe::new(subscribe, approach, shared.clone(), plan.share(share.index).1)
        })?;
        let shared = traffic.clone();
        let clock = subscribers.clock();
        let publishers = Coordinator::start_by(clock, publish_plan, move |_, plan| {
            Publish::new(publish.clone(), shared.clone(), plan.connections, plan.seed)
        })?;
        for waker in publishers.wakers() {
            traffic.set_waker(waker);
        }
        let echo =
            echo.map(|(echo, plan)| echo::command::start_by(clock, echo, plan)).transpose()?;
        Ok(Self { traffic, subscribers, publishers, echo, dial })
    }

    /// Waits for all connections. Returns what subscribers counted meanwhile, and all failures.
    ///
    /// # Errors
    /// No subscriber, no publisher, or no connection of an echo could be opened.
    pub fn open(&mut self, progress: &mut RunProgress) -> Result<Seen> {
        let mut opening = ready::await_open(&mut self.subscribers, progress)?;
        let publishers =
            ready::await_open(&mut self.publishers, &mut Unwatched).context("the publishers")?;
        add_errors(&mut opening, &publishers);
        if let Some(echo) = &mut self.echo {
            let echo = ready::await_open(echo, &mut Unwatched).context("the echo")?;
            add_errors(&mut opening, &echo);
        }
        Ok(opening)
    }

    /// Waits for the start time, if the plan has one.
    ///
    /// # Errors
    /// The start time has passed.
    pub fn await_start(&self) -> Result<()> {
        self.subscribers.await_start()
    }

    /// Publishes events until one has reached every subscriber: after a hello, a server may take
    /// some time to subscribe the client. Gives up after `time_max` and returns a warning. Adds
    /// failures to those of `opening`.
    ///
    /// # Errors
    /// No event reached any subscriber.
    pub fn probe(&mut self, time_max: Duration, opening: &mut Seen) -> Result<Option<String>> {
        let until = Instant::now() + time_max;
        let mut samples = Samples::default();
        loop {
            self.traffic.begin(Phase::Probing);
            let FanoutRun { received, published, .. } =
                self.measure_all(PROBE_DURATION, &mut Unwatched)?;
            add_errors(opening, &received.seen);
            add_errors(opening, &published.seen);
            samples.add(&received, &published);
            let outstanding = self.traffic.outstanding();
            let received: u64 = received.outcomes.iter().map(|one| one.ledger.received).sum();
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
                 deliveries did not arrive"
            )));
        }
    }

    /// Sets the number of events per second of the next measurement; `None` makes it a closed loop.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.dial.set(rate);
    }

    /// Publishes for `duration`, and receives the deliveries.
    ///
    /// # Errors
    /// A thread fails.
    pub fn measure(
        &mut self,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<FanoutRun> {
        self.traffic.begin(Phase::Measuring);
        self.measure_all(duration, observer)
    }

    /// Runs all participants at the same time; a probe has no echoes.
    fn measure_all(
        &mut self,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<FanoutRun> {
        let start = self.subscribers.clock().now() + START_DELAY;
        let is_probe = self.traffic.phase() == Phase::Probing;
        let Self { subscribers, publishers, echo, .. } = self;
        let echo = echo.as_mut().filter(|_| !is_probe);
        thread::scope(|scope| {
            let publishing =
                scope.spawn(move || publishers.measure_from(start, duration, &mut Unwatched));
            let echoing = echo.map(|echo| {
                scope.spawn(move || echo.measure_from(start, duration, &mut Unwatched))
            });
            let received = subscribers.measure_from(start, duration, observer);
            let published =
                publishing.join().map_err(|_| anyhow!("the publishers' thread panicked"))?;
            let echo = echoing.map(|thread| {
                thread.join().map_err(|_| anyhow!("the echo's thread panicked")).flatten()
            });
            Ok(FanoutRun { received: received?, published: published?, echo: echo.transpose()? })
        })
    }

    /// Closes all connections with Close frames.
    pub fn end(self) {
        self.publishers.end();
        self.echo.into_iter().for_each(Coordinator::end);
        self.subscribers.end();
    }
}

/// An observer that shows nothing.
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

/// Samples of other messages that arrived instead of events.
#[derive(Debug, Default)]
struct Samples {
    subscribers: Option<String>,
    publishers: Option<String>,
}

impl Samples {
    fn add(&mut self, received: &Run<Received>, published: &Run<Published>) {
        let Self { subscribers, publishers } = self;
        let mut here = received.outcomes.iter().filter_map(|one| one.sample.clone());
        *subscribers = subscribers.take().or_else(|| here.next());
        let mut there = published.outcomes.iter().filter_map(|one| one.sample.clone());
        *publishers = publishers.take().or_else(|| there.next());
    }

    /// Why there is nothing to measure, if that is known.
    fn unheard(&self, opening: &Seen) -> String {
        let mut text = String::from(
            "no event reached any subscriber; check --publish-url, --message and --hello, and that \
             the server delivers {stamp}{body} unchanged",
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
