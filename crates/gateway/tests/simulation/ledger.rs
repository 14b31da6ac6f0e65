//! What the gateway is told, held against the model: permits, signs of life, backlogs; and a hash.
//!
//! It sees completions before the shard does, and never changes one.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ringway::config::settings::Settings;
use ringway::edge::limiter::ConnectionLimits;
use ringway_acceptor::{Completion, ConnectionId, Settings as DriverSettings, sim::Faults};
use ringway_frame::HEADER_BYTES_MAX;

use super::script::{LATENESS, ScriptedClient};

/// Receives of one connection that a turn of the simulated driver launches at most.
const RECEIVES_PER_TURN: usize = 4;

/// More than any response of the gateway has, and more requests than a client sends at once.
const RESPONSES_BYTES_MAX: usize = 8 * 2_048;

/// The account of one course of events.
pub struct Ledger {
    hasher: DefaultHasher,
    /// Visitors on their way, by address.
    expected: HashMap<SocketAddr, usize>,
    connections: HashMap<ConnectionId, Entry>,
    addresses: HashMap<IpAddr, u32>,
    permits: u32,
    permits_max: u32,
    permits_per_address_max: u32,
    queue_bytes_max: usize,
    unsent_bytes_max: usize,
    silence_max: Duration,
    overruns: usize,
}

struct Entry {
    client: Option<usize>,
    permit: Option<IpAddr>,
    sign_of_life_at: Duration,
    acknowledged_bytes: u64,
}

impl Ledger {
    /// An empty account of a world with these bounds.
    pub fn new(
        limiter: &ConnectionLimits,
        settings: &Settings,
        driver: &DriverSettings,
        faults: &Faults,
    ) -> Self {
        let idle = settings.websocket.ping_interval + settings.websocket.pong_timeout;
        let timeouts =
            [idle, settings.limits.handshake_timeout, settings.limits.keep_alive_timeout];
        let longest = timeouts.into_iter().max().unwrap_or_default();
        Self {
            hasher: DefaultHasher::new(),
            expected: HashMap::new(),
            connections: HashMap::new(),
            addresses: HashMap::new(),
            permits: 0,
            permits_max: limiter.connections_max,
            permits_per_address_max: limiter.connections_per_address_max,
            queue_bytes_max: settings.clients.queue_bytes_max,
            unsent_bytes_max: unsent_bytes_max(settings, driver, faults),
            silence_max: longest + settings.websocket.close_timeout + LATENESS,
            overruns: 0,
        }
    }

    /// A client connects from `address`.
    pub fn expect(&mut self, address: SocketAddr, client: usize) {
        assert!(self.expected.insert(address, client).is_none(), "{address} comes twice");
    }

    /// Connections that the gateway knows.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Permits that are taken.
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// How often a backlog was over the bound of the queue.
    pub fn overruns(&self) -> usize {
        self.overruns
    }

    /// The hash of all that was noted.
    pub fn trace(&self) -> u64 {
        self.hasher.finish()
    }

    /// Takes note of one completion.
    pub fn note(
        &mut self,
        completion: &Completion<'_>,
        now: Duration,
        clients: &mut [ScriptedClient],
    ) {
        now.hash(&mut self.hasher);
        let connection = match completion {
            Completion::Refused { count } => return (0u8, count).hash(&mut self.hasher),
            Completion::Woken => return 1u8.hash(&mut self.hasher),
            Completion::Accepted { connection, peer, .. } => {
                (2u8, peer).hash(&mut self.hasher);
                self.admit(*connection, *peer, now, clients);
                *connection
            }
            Completion::Connected { .. } | Completion::ConnectFailed { .. } => {
                panic!("a gateway never begins a connection")
            }
            Completion::Received { connection, bytes } => {
                (3u8, &**bytes).hash(&mut self.hasher);
                self.sees_life(*connection, now);
                *connection
            }
            Completion::EndOfStream { connection } => {
                4u8.hash(&mut self.hasher);
                *connection
            }
            Completion::Failed { connection, failure } => {
                (5u8, failure.0).hash(&mut self.hasher);
                *connection
            }
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                (6u8, unsent_bytes).hash(&mut self.hasher);
                self.bound(*connection, *unsent_bytes);
                self.sees_life(*connection, now);
                *connection
            }
            Completion::Drained { connection } => {
                7u8.hash(&mut self.hasher);
                self.sees_life(*connection, now);
                *connection
            }
            Completion::Progress { connection, acknowledged_bytes, unacknowledged_bytes } => {
                (9u8, acknowledged_bytes, unacknowledged_bytes).hash(&mut self.hasher);
                self.sees_progress(*connection, *acknowledged_bytes, now);
                *connection
            }
            Completion::Closed { connection } => {
                8u8.hash(&mut self.hasher);
                self.dismiss(*connection, now, clients);
                *connection
            }
        };
        connection.hash(&mut self.hasher);
    }

    fn admit(
        &mut self,
        connection: ConnectionId,
        peer: SocketAddr,
        now: Duration,
        clients: &mut [ScriptedClient],
    ) {
        let address = peer.ip();
        let sharers = self.addresses.entry(address).or_default();
        let rejected = if self.permits >= self.permits_max {
            Some(503)
        } else if *sharers >= self.permits_per_address_max {
            Some(429)
        } else {
            (self.permits, *sharers) = (self.permits + 1, *sharers + 1);
            None
        };
        let client = self.expected.remove(&peer);
        if let Some(client) = client {
            clients[client].is_accepted(rejected);
        }
        let permit = rejected.is_none().then_some(address);
        let entry = Entry { client, permit, sign_of_life_at: now, acknowledged_bytes: 0 };
        let earlier = self.connections.insert(connection, entry);
        assert!(earlier.is_none(), "{connection:?} was accepted twice");
    }

    fn dismiss(&mut self, connection: ConnectionId, now: Duration, clients: &mut [ScriptedClient]) {
        let entry = self.connections.remove(&connection).expect("a connection closes once");
        let silence = now - entry.sign_of_life_at;
        assert!(silence <= self.silence_max, "{connection:?} was kept silent for {silence:?}");
        if let Some(address) = entry.permit {
            self.permits -= 1;
            *self.addresses.get_mut(&address).expect("it was counted") -= 1;
        }
        if let Some(client) = entry.client {
            clients[client].playback.let_go();
        }
    }

    fn sees_life(&mut self, connection: ConnectionId, now: Duration) {
        let entry = self.connections.get_mut(&connection).expect("news of an open connection");
        entry.sign_of_life_at = now;
    }

    /// A client that has read since it was last measured is alive.
    fn sees_progress(&mut self, connection: ConnectionId, acknowledged_bytes: u64, now: Duration) {
        let entry = self.connections.get_mut(&connection).expect("news of an open connection");
        if std::mem::replace(&mut entry.acknowledged_bytes, acknowledged_bytes)
            != acknowledged_bytes
        {
            entry.sign_of_life_at = now;
        }
    }

    fn bound(&mut self, connection: ConnectionId, unsent_bytes: usize) {
        self.overruns += usize::from(unsent_bytes > self.queue_bytes_max);
        assert!(
            unsent_bytes <= self.unsent_bytes_max,
            "{connection:?} has a backlog of {unsent_bytes} bytes, over {}",
            self.unsent_bytes_max
        );
    }
}

/// What the driver may keep for one connection.
///
/// A turn begins with `queue_bytes_max` at most, or reading is paused. Then come the bytes in
/// flight: those of one turn, and of the turns that a fault holds completions back; as many again
/// until the pause takes hold, and one receive that it comes too late for. Each byte in is less
/// than a byte out, but for the last byte of a message that was assembled before, and for
/// responses.
fn unsent_bytes_max(settings: &Settings, driver: &DriverSettings, faults: &Faults) -> usize {
    let receives = (faults.delay_turns_max as usize + 1) * RECEIVES_PER_TURN;
    let in_flight = receives * driver.receive_buffer_bytes as usize;
    let assembled = settings.websocket.echo_message_bytes_max + HEADER_BYTES_MAX;
    let late = driver.receive_buffer_bytes as usize;
    settings.clients.queue_bytes_max + 2 * in_flight + late + assembled + RESPONSES_BYTES_MAX
}
