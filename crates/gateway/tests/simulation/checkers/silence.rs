//! Property: a silent connection is closed in time.

use std::{collections::HashMap, time::Duration};

use ringway::config::settings::Settings;
use ringway_acceptor::{Completion, ConnectionId};

use super::{Key, LATENESS, check};

const PROPERTY: &str = "a silent connection is closed in time";

/// When each connection was last active.
pub struct Silence {
    silence_max: Duration,
    connections: HashMap<Key, SignOfLife>,
}

struct SignOfLife {
    at: Duration,
    acknowledged_bytes: u64,
}

impl Silence {
    /// A checker without connections.
    pub fn new(settings: &Settings) -> Self {
        let Settings { websocket, limits, .. } = settings;
        let idle = websocket.ping_interval + websocket.pong_timeout;
        let longest = idle.max(limits.handshake_timeout).max(limits.keep_alive_timeout);
        let silence_max = longest + websocket.close_timeout + LATENESS;
        Self { silence_max, connections: HashMap::new() }
    }

    /// How many connections a core has.
    pub fn connections(&self, core: usize) -> usize {
        self.connections.keys().filter(|(own, _)| *own == core).count()
    }

    /// Notes one completion.
    pub fn note(&mut self, core: usize, completion: &Completion<'_>, now: Duration) {
        match *completion {
            Completion::Accepted { connection, .. } => {
                let sign = SignOfLife { at: now, acknowledged_bytes: 0 };
                let earlier = self.connections.insert((core, connection), sign);
                check!(earlier.is_none(), "{connection:?} was accepted twice");
            }
            Completion::Received { connection, .. }
            | Completion::Placed { connection, .. }
            | Completion::Backlogged { connection, .. }
            | Completion::Drained { connection } => self.of(core, connection).at = now,
            // A client that has acknowledged bytes since the last measurement is alive.
            Completion::Progress { connection, acknowledged_bytes, .. } => {
                let sign = self.of(core, connection);
                if sign.acknowledged_bytes != acknowledged_bytes {
                    *sign = SignOfLife { at: now, acknowledged_bytes };
                }
            }
            _ => {}
        }
    }

    /// Notes that a connection is closed, which may have been silent for `patience` longer than
    /// others; `None` means forever.
    pub fn close(&mut self, key: Key, patience: Option<Duration>, now: Duration) {
        let closed = self.connections.remove(&key);
        check!(closed.is_some(), "{key:?} was closed twice");
        let silence = closed.map_or(Duration::ZERO, |sign| now - sign.at);
        let is_in_time = patience.is_none_or(|patience| silence <= self.silence_max + patience);
        check!(is_in_time, "{key:?} was kept silent for {silence:?}");
    }

    fn of(&mut self, core: usize, connection: ConnectionId) -> &mut SignOfLife {
        let sign = self.connections.get_mut(&(core, connection));
        sign.expect("a completion is about an open connection")
    }
}
