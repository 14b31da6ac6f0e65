//! One core of the gateway: a simulated driver, and the owner that turns its completions into
//! operations.
//!
//! The world runs its loop in virtual time. A sleeping core is woken only by events that would wake
//! a thread.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use ringway::{
    core::shard::{Shard, ShardParts},
    metrics::CoreMetrics,
};
use ringway_acceptor::{
    Completion, ConnectionId, Driver, Operations, Settings as DriverSettings,
    sim::{Network, SimDriver},
};

use crate::{sealing, world::Shared};

/// The most time that passes in a turn while anything moves.
const STEP: Duration = Duration::from_millis(1);

/// One core.
pub struct Core {
    /// Its driver.
    pub driver: SimDriver,
    /// The owner of the driver's connections.
    pub shard: Box<Shard>,
    /// Whether its clients are relayed.
    pub relays: bool,
    /// The shard's counters.
    pub metrics: Arc<CoreMetrics>,
    /// The next operations of the driver.
    pub operations: Operations,
    sleep: Sleep,
    /// For how many rounds it still stands still.
    stalled: u32,
}

/// Whether a core sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    Until(Option<Duration>),
}

/// The connection that a completion is about.
pub fn connection_of(completion: &Completion<'_>) -> Option<ConnectionId> {
    match *completion {
        Completion::Accepted { connection, .. }
        | Completion::Connected { connection, .. }
        | Completion::Received { connection, .. }
        | Completion::Placed { connection, .. }
        | Completion::EndOfStream { connection }
        | Completion::Failed { connection, .. }
        | Completion::Backlogged { connection, .. }
        | Completion::Drained { connection }
        | Completion::Closed { connection }
        | Completion::Progress { connection, .. } => Some(connection),
        Completion::ConnectFailed { .. } | Completion::Refused { .. } | Completion::Woken => None,
    }
}

impl Core {
    /// A core of the gateway without clients.
    pub fn new(number: usize, network: &Network, driver: DriverSettings, shared: &Shared) -> Self {
        let driver = network.driver(driver);
        shared.mailbox.register(driver.waker());
        let metrics = Arc::new(CoreMetrics::default());
        let shard = Shard::new(ShardParts {
            settings: Arc::clone(&shared.settings),
            identities: Arc::clone(&shared.identities),
            limiter: Arc::clone(&shared.limiter),
            broker: Arc::clone(&shared.broker),
            mailbox: shared.mailbox.clone(),
            memory: Arc::clone(&shared.memory),
            metrics: Arc::clone(&metrics),
            channels: sealing::channels(),
            core: number,
        });
        Self::of(driver, shard, metrics)
    }

    /// A core of this shard, which is built with the metrics.
    pub fn of(driver: SimDriver, shard: Shard, metrics: Arc<CoreMetrics>) -> Self {
        Self {
            driver,
            shard: Box::new(shard),
            relays: false,
            metrics,
            operations: Operations::default(),
            sleep: Sleep::Awake,
            stalled: 0,
        }
    }

    /// Whether it sleeps and only an event can wake it.
    pub fn is_at_rest(&self, now: Duration) -> bool {
        let is_asleep = match self.sleep {
            Sleep::Awake => false,
            Sleep::Until(until) => until.is_none_or(|until| until > now),
        };
        is_asleep && self.operations.is_empty() && self.stalled == 0
    }

    /// Whether it stands still in this round; it starts to with this probability.
    pub fn is_stalled(&mut self, network: &Network, probability: f64, rng: &mut Rng) -> bool {
        if rng.f64() < probability {
            self.stalled = rng.u32(1..200);
        }
        if self.stalled == 0 {
            return false;
        }
        self.stalled -= 1;
        network.advance(Duration::from_micros(rng.u64(0..300)));
        true
    }

    /// Submits, and waits until `next` at most, or for one step if anything moves. Returns when the
    /// core would wake by itself.
    pub fn wait(
        &mut self,
        network: &Network,
        next: Option<Duration>,
        is_quiet: bool,
    ) -> Option<Duration> {
        let now = network.now();
        let until = match self.sleep {
            Sleep::Awake => self.shard.next_deadline(now).map(|timeout| now + timeout),
            Sleep::Until(until) => until,
        };
        self.driver.submit(&mut self.operations);
        let step = (!is_quiet).then_some(now + STEP);
        let timeout = until.into_iter().chain(next).chain(step).min();
        let timeout = timeout.map(|until| until.saturating_sub(now));
        self.driver.wait(timeout).expect("the simulation has no kernel");
        until
    }

    /// Whether nothing has woken it, so that it keeps sleeping.
    pub fn sleeps_on(
        &mut self,
        completions: usize,
        until: Option<Duration>,
        now: Duration,
    ) -> bool {
        let sleeps = completions == 0 && until.is_none_or(|until| until > now);
        self.sleep = if sleeps { Sleep::Until(until) } else { Sleep::Awake };
        sleeps
    }
}
