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

use crate::{relay::Relays, sealing, world::Shared};

/// The most time that passes in a turn while anything moves.
const STEP: Duration = Duration::from_millis(1);

/// One core.
pub struct Core {
    /// Its driver.
    pub driver: SimDriver,
    /// The owner of the driver's connections.
    pub owner: Owner,
    /// The shard's counters.
    pub metrics: Arc<CoreMetrics>,
    /// The next operations of the driver.
    pub operations: Operations,
    sleep: Sleep,
    /// For how many rounds it still stands still.
    stalled: u32,
}

/// The owner of a driver's connections.
pub enum Owner {
    /// A shard, for clients of the gateway.
    Shard(Box<Shard>),
    /// Relays, for relayed clients.
    Relays(Box<Relays>),
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

impl Owner {
    /// How many connections it has.
    pub fn connections(&self) -> usize {
        match self {
            Self::Shard(shard) => shard.clients(),
            Self::Relays(relays) => relays.len(),
        }
    }

    /// The next completion of the turn; a shard names places for large messages.
    pub fn next_completion<'d>(&mut self, driver: &'d mut SimDriver) -> Option<Completion<'d>> {
        match self {
            Self::Shard(shard) => driver.next_in(&mut **shard),
            Self::Relays(_) => driver.next(),
        }
    }

    /// How long the core may sleep; `None` means until an event.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        match self {
            Self::Shard(shard) => shard.next_deadline(now),
            Self::Relays(relays) => relays.next_deadline(now),
        }
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
        Self { metrics, ..Self::owned(driver, Owner::Shard(Box::new(shard))) }
    }

    /// A core with relays.
    pub fn relaying(network: &Network, driver: DriverSettings, relays: Relays) -> Self {
        Self::owned(network.driver(driver), Owner::Relays(Box::new(relays)))
    }

    fn owned(driver: SimDriver, owner: Owner) -> Self {
        Self {
            driver,
            owner,
            metrics: Arc::default(),
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
            Sleep::Awake => self.owner.next_deadline(now).map(|timeout| now + timeout),
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
