//! Clients that left the hub before it was known whether their sockets took the last send.
//!
//! A driver reports a backlog or a failure in the turn after the send. A departure is kept until
//! then, or until the backlog has drained. It never decides what is sent.

use std::{collections::HashMap, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_hub::{Name, Sequence};

/// A client that has left, and whose socket may not have taken the last send.
#[derive(Debug)]
pub struct Departure {
    /// Its connection.
    pub connection: ConnectionId,
    /// The client.
    pub client: Name,
    /// The position at which it left if the socket has taken everything.
    pub at: Sequence,
    /// Whether it began while the client had other connections, so that earlier events may not have
    /// been served.
    pub is_beside: bool,
    /// The turn of the last send to it.
    pub sent_in: Duration,
}

/// What the socket of a departure has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Everything that was sent to it.
    All,
    /// Perhaps not the last send.
    Part,
}

/// The departures of one core.
#[derive(Debug, Default)]
pub struct Departures {
    /// Departures of this turn and of the last one.
    recent: Vec<Departure>,
    /// Departures of clients whose connections have a backlog.
    backlogged: HashMap<ConnectionId, Vec<Departure>>,
}

impl Departures {
    /// Adds a departure.
    pub fn note(&mut self, departure: Departure) {
        self.recent.push(departure);
    }

    /// Whether the next turn can conclude any departures.
    pub fn are_due(&self) -> bool {
        !self.recent.is_empty()
    }

    /// The last event that a client was sent on the same connection, or 0 if the socket is known to
    /// have taken everything. A connection that began while the client had others says nothing
    /// about earlier events.
    pub fn sent_to(&self, connection: ConnectionId, client: &str) -> Sequence {
        let recent = self.recent.iter().filter(|departure| departure.connection == connection);
        let same = recent.filter(|departure| !departure.is_beside && &*departure.client == client);
        same.map(|departure| departure.at).max().unwrap_or(0)
    }

    /// All completions of the turn were taken, so sends of earlier turns have succeeded unless a
    /// backlog or a failure was reported. Returns the departures that have been served everything.
    pub fn judge(
        &mut self,
        now: Duration,
        mut is_backlogged: impl FnMut(ConnectionId) -> bool,
    ) -> Vec<Departure> {
        let mut served = Vec::new();
        for departure in self.recent.extract_if(.., |departure| departure.sent_in != now) {
            if is_backlogged(departure.connection) {
                self.backlogged.entry(departure.connection).or_default().push(departure);
            } else {
                served.push(departure);
            }
        }
        served
    }

    /// The socket has taken everything that was sent before this turn. Returns the departures of
    /// this connection.
    pub fn drained(&mut self, connection: ConnectionId) -> Vec<Departure> {
        self.backlogged.remove(&connection).unwrap_or_default()
    }

    /// The socket will not take the last send, so its events are kept for the client's return.
    /// Returns the departures of this connection.
    pub fn cut(&mut self, connection: ConnectionId) -> Vec<Departure> {
        let is_cut = |departure: &mut Departure| departure.connection == connection;
        let mut cut: Vec<Departure> = self.recent.extract_if(.., is_cut).collect();
        cut.extend(self.backlogged.remove(&connection).into_iter().flatten());
        cut
    }
}
