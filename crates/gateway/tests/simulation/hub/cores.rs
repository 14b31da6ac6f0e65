//! The gateway's side: each core's loop, turned by hand and in virtual time, and what it is held to.
//!
//! A core that sleeps is only woken by what would wake a thread.

use std::{sync::Arc, time::Duration};

use ringway::broker::Broker;
use ringway::broker::mailbox::Mailbox;
use ringway::config::settings::Settings;
use ringway::core::shard::Shard;
use ringway::core::shard::ShardParts;
use ringway::edge::limiter::ConnectionLimiter;
use ringway::memory::MemoryBudget;
use ringway::metrics::CoreMetrics;
use ringway_acceptor::{
    Completion, Driver, Operations, Settings as DriverSettings,
    sim::{Network, SimDriver},
};

use super::{model::Place, world::World};

/// Cores of the gateway.
pub const CORES: usize = 2;

/// How much time passes at most while anything moves.
const STEP: Duration = Duration::from_millis(1);

/// One core.
pub struct Core {
    /// Its driver.
    pub driver: SimDriver,
    /// Its clients.
    pub shard: Shard,
    /// What it counts.
    pub metrics: Arc<CoreMetrics>,
    operations: Operations,
    sleep: Sleep,
    /// Rounds for which it stands still.
    stalled: u32,
}

/// Whether a core waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    Until(Option<Duration>),
}

impl Core {
    /// A core without clients.
    pub fn new(
        number: usize,
        network: &Network,
        driver: DriverSettings,
        settings: &Arc<Settings>,
        broker: &Arc<Broker>,
        limiter: &Arc<ConnectionLimiter>,
        mailbox: &Mailbox,
    ) -> Self {
        let driver = network.driver(driver);
        mailbox.register(driver.waker());
        let metrics = Arc::new(CoreMetrics::default());
        let shard = Shard::new(ShardParts {
            settings: Arc::clone(settings),
            limiter: Arc::clone(limiter),
            broker: Arc::clone(broker),
            mailbox: mailbox.clone(),
            // A run never comes near to it.
            memory: Arc::new(MemoryBudget::new(1 << 40)),
            metrics: Arc::clone(&metrics),
            channels: ringway::outbox::channel::Channels::default(),
            core: number,
        });
        Self {
            driver,
            shard,
            metrics,
            operations: Operations::default(),
            sleep: Sleep::Awake,
            stalled: 0,
        }
    }

    fn is_at_rest(&self, now: Duration) -> bool {
        let is_asleep = match self.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => until.is_none_or(|until| until > now),
        };
        is_asleep && self.operations.is_empty() && self.stalled == 0
    }

    /// After its last client has gone, nothing is left.
    pub fn audit_end(&self, now: Duration) {
        let hub = self.shard.hub();
        assert_eq!(self.shard.clients(), 0, "clients");
        assert_eq!(self.driver.connections(), 0, "connections of the driver");
        assert_eq!(self.driver.leases_taken(), 0, "leases");
        assert_eq!(self.shard.next_deadline(now), None, "deadlines");
        assert_eq!(hub.subscriptions.clients(), 0, "clients that may be sent something");
        assert_eq!(hub.subscriptions.topics(), 0, "topics with subscribers");
        assert_eq!(hub.deflated, 0, "clients that share compression");
        assert!(hub.submissions.is_empty(), "commands that wait");
        assert!(hub.ready.is_empty() && hub.dispatch.is_empty(), "something to do");
        assert_eq!(hub.dispatch.bytes(), 0, "bytes to be sent");
        let sessions = &self.metrics.sessions;
        let counts = [
            &sessions.websocket,
            &sessions.sse,
            &sessions.stream,
            &sessions.iframe,
            &sessions.long_poll,
        ];
        assert!(counts.iter().all(|count| count.value() == 0), "sessions: {sessions:?}");
    }
}

impl Place {
    /// Where a core stands.
    fn of(core: usize, shard: &Shard, now: Duration) -> Self {
        let hub = shard.hub();
        let gone = hub.broker.log.first() - 1;
        Self { core, position: hub.position(), settled: hub.settled(), gone, now }
    }
}

impl World {
    /// Whether nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.network.is_quiet()
            && self.is_log_idle()
            && self.cores.iter().all(|core| core.operations.is_empty())
    }

    /// Whether nothing will happen without a client's doing, or a time-out.
    pub(super) fn is_at_rest(&self) -> bool {
        let now = self.network.now();
        self.network.is_quiet()
            && self.is_log_idle()
            && self.cores.iter().all(|core| core.is_at_rest(now))
    }

    fn is_log_idle(&self) -> bool {
        self.application.is_idle() && self.late_log.as_ref().is_none_or(|log| log.is_idle())
    }

    /// Turns a core's loop once, as `event_loop` does, unless it sleeps or stands still.
    pub(super) fn turn_core(&mut self, number: usize, next: Option<Duration>) {
        if self.is_stalled(number) {
            return;
        }
        let is_quiet = self.is_quiet();
        let core = &mut self.cores[number];
        let now = self.network.now();
        let until = match core.sleep {
            Sleep::Awake => core.shard.next_deadline(now).map(|timeout| now + timeout),
            Sleep::Until(until) => until,
        };
        core.driver.submit(&mut core.operations);
        let step = (!is_quiet).then_some(now + STEP);
        let timeout = until.into_iter().chain(next).chain(step).min();
        let timeout = timeout.map(|until| until.saturating_sub(now));
        core.driver.wait(timeout).expect("the simulation has no kernel");
        let now = self.network.now();
        let completions = self.complete(number, now);
        let core = &mut self.cores[number];
        if completions == 0 && until.is_none_or(|until| until > now) {
            core.sleep = Sleep::Until(until);
            return;
        }
        core.sleep = Sleep::Awake;
        self.model.heard_all(number);
        let core = &mut self.cores[number];
        self.model.expect_a_gap(number, core.shard.hub().position());
        self.model.before_resuming();
        core.shard.follow_log(now, &mut core.operations);
        self.model.has_resumed(&core.shard, Place::of(number, &core.shard, now));
        core.shard.expire(now, &mut core.operations);
        core.shard.count(&core.driver.counters(), &core.operations);
        // A turn takes time.
        self.network.advance(Duration::from_micros(self.rng.u64(1..20)));
        self.model.learn();
        self.model.end_turn();
    }

    fn is_stalled(&mut self, number: usize) -> bool {
        if self.rng.f64() < self.stall {
            self.cores[number].stalled = self.rng.u32(1..200);
        }
        let stalled = &mut self.cores[number].stalled;
        if *stalled == 0 {
            return false;
        }
        *stalled -= 1;
        self.network.advance(Duration::from_micros(self.rng.u64(0..300)));
        true
    }

    /// Serves what has come; says how much that was. The model is told first.
    fn complete(&mut self, number: usize, now: Duration) -> usize {
        let Self { cores, model, .. } = self;
        let Core { driver, shard, operations, .. } = &mut cores[number];
        let mut completions = 0;
        while let Some(completion) = driver.next() {
            completions += 1;
            let accepted = match completion {
                Completion::Accepted { connection, .. } => Some(connection),
                _ => None,
            };
            let received = match completion {
                Completion::Received { connection, .. } => Some(connection),
                _ => None,
            };
            let place = Place::of(number, shard, now);
            model.note(&completion, place);
            shard.complete(completion, now, operations);
            if let Some(connection) = received {
                model.is_taken(connection, shard, place);
            }
            if let Some(connection) = accepted {
                let address = driver.peer(connection).expect("it was accepted");
                model.is_accepted(number, connection, address);
            }
            model.learn();
        }
        completions
    }
}
