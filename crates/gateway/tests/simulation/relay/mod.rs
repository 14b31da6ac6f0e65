//! Relays on a simulated driver: their owner, and both sides of each (`pair`).
//!
//! The owner does what a shard would do: it starts a relay for every client, and ends a relay whose
//! upstream does not connect in time.

mod pair;

pub use pair::Pair;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    time::Duration,
};

use ringway::upstream::relay::{NextStep, Relay};
use ringway_acceptor::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Connector, Operation, Operations,
    Settings as DriverSettings,
};

use crate::{
    checkers::check,
    core::connection_of,
    tally::{Count, Tally},
};

const PROPERTY: &str = "the memory of a relay is bounded";

/// An attempt to connect to an upstream is given up after this time.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(120);

const BUFFERS: usize = 8;
const BUFFER_BYTES: usize = 512;

/// The most bytes that a relay may keep. One turn can fill all buffers. For each direction the
/// relay keeps the bytes of the turn in which a reader falls behind, of the turn that reports it,
/// and of the turn after the pause; and for the client also the bytes that came before the upstream
/// was connected.
const KEPT_BYTES_MAX: usize = (3 + 3 + 3) * BUFFERS * BUFFER_BYTES;

/// The faults of relayed connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// Either side, or the network, may reset a connection; an upstream may refuse or hang.
    Any,
    /// The sides may only be slow.
    None,
}

/// The clients and bounds of a world with relays.
#[derive(Debug, Clone, Copy)]
pub struct RelayPlan {
    /// The possible faults.
    pub losses: Losses,
    /// The most bytes that a relay may keep, if less than by default.
    pub kept_bytes_max: Option<usize>,
}

/// The bounds of a driver with few buffers.
pub fn driver_settings() -> DriverSettings {
    DriverSettings {
        connections_max: 64,
        receive_buffers: BUFFERS as u16,
        receive_buffer_bytes: BUFFER_BYTES as u32,
        ..DriverSettings::default()
    }
}

/// All relays of a driver.
#[derive(Default)]
pub struct Relays {
    kept_bytes_max: Option<usize>,
    /// The upstream of each client, by the client's address.
    routes: HashMap<SocketAddr, SocketAddr>,
    /// Ordered, so that a seed always runs the same way.
    relays: BTreeMap<u64, Relayed>,
    tokens: HashMap<ConnectionId, u64>,
    touched: BTreeSet<u64>,
    settling: BTreeSet<u64>,
    failures: HashMap<SocketAddr, ConnectFailure>,
    begun: u64,
}

struct Relayed {
    /// `None` if it has failed and its client is being reset.
    relay: Option<Relay>,
    client: SocketAddr,
    /// When the attempt to connect is given up.
    gives_up_at: Option<Duration>,
}

impl Relays {
    /// An owner without relays.
    pub fn new(plan: RelayPlan) -> Self {
        Self { kept_bytes_max: plan.kept_bytes_max, ..Self::default() }
    }

    /// Clients from `client` are relayed to `upstream`.
    pub fn route(&mut self, client: SocketAddr, upstream: SocketAddr) {
        self.routes.insert(client, upstream);
    }

    /// Why the attempt to connect for a client has failed.
    pub fn failure(&self, client: SocketAddr) -> Option<ConnectFailure> {
        self.failures.get(&client).copied()
    }

    /// Checks the most bytes that the driver has ever kept, for all of them.
    pub fn check_peak(&self, bytes: usize, tally: &mut Tally) {
        check!(bytes <= KEPT_BYTES_MAX * self.routes.len(), "{bytes} bytes were kept");
        tally.add_all(Count::RelaysHeldBack, u64::from(bytes > 0));
    }

    /// The number of relays.
    pub fn len(&self) -> usize {
        self.relays.len()
    }

    /// How long the owner may sleep.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        if !self.settling.is_empty() {
            return Some(Duration::ZERO);
        }
        let deadlines = self.relays.values().filter_map(|relayed| relayed.gives_up_at);
        deadlines.min().map(|at| at.saturating_sub(now))
    }

    /// Handles one completion.
    pub fn complete(
        &mut self,
        completion: Completion<'_>,
        now: Duration,
        operations: &mut Operations,
    ) {
        if let Completion::Accepted { connection, peer, .. } = completion {
            return self.begin(connection, peer, now, operations);
        }
        let Some(token) = self.token(&completion) else { return };
        let Some(relayed) = self.relays.get_mut(&token) else { return };
        if let Completion::Connected { .. } | Completion::ConnectFailed { .. } = completion {
            relayed.gives_up_at = None;
        }
        if let Some(relay) = &mut relayed.relay {
            relay.complete(completion, operations);
            self.touched.insert(token);
        } else if let Completion::Closed { .. } = completion {
            self.relays.remove(&token);
        }
    }

    fn begin(
        &mut self,
        client: ConnectionId,
        address: SocketAddr,
        now: Duration,
        operations: &mut Operations,
    ) {
        let token = self.begun;
        self.begun += 1;
        let request = Connector::new(self.routes[&address]).request(ConnectToken(token));
        let mut relay = Relay::begin(client, request, operations);
        if let Some(bytes) = self.kept_bytes_max {
            relay = relay.with_kept_bytes_max(bytes);
        }
        let gives_up_at = Some(now + CONNECT_TIME_MAX);
        let relayed = Relayed { relay: Some(relay), client: address, gives_up_at };
        self.relays.insert(token, relayed);
        self.tokens.insert(client, token);
    }

    /// The relay that a completion is about.
    fn token(&mut self, completion: &Completion<'_>) -> Option<u64> {
        match *completion {
            Completion::Connected { connection, token } => {
                self.tokens.insert(connection, token.0);
                Some(token.0)
            }
            Completion::ConnectFailed { token, .. } => Some(token.0),
            _ => self.tokens.get(&connection_of(completion)?).copied(),
        }
    }

    /// Ends a turn.
    pub fn end_turn(&mut self, now: Duration, operations: &mut Operations) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.append(&mut self.settling);
        for token in touched {
            let Some(relayed) = self.relays.get_mut(&token) else { continue };
            let Some(relay) = &mut relayed.relay else { continue };
            match relay.end_turn(operations) {
                NextStep::Wait => {}
                NextStep::Settle => {
                    self.settling.insert(token);
                }
                NextStep::Unconnected(client, failure) => {
                    self.failures.insert(relayed.client, failure);
                    (relayed.relay, relayed.gives_up_at) = (None, None);
                    operations.push(Operation::Reset(client));
                }
                NextStep::Over => {
                    self.relays.remove(&token);
                }
            }
        }
        for relayed in self.relays.values_mut() {
            let Some(relay) = &mut relayed.relay else { continue };
            let kept_bytes = relay.kept_bytes();
            check!(kept_bytes <= KEPT_BYTES_MAX, "a relay keeps {kept_bytes} bytes");
            if relayed.gives_up_at.take_if(|at| *at <= now).is_some() {
                relay.abort(operations);
            }
        }
    }
}
