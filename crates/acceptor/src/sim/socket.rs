//! The driver's end of a simulated connection: its state, and completions in flight.
//!
//! Invariant: completions of one direction stay in order, and after `Failed` there are none.

use std::collections::VecDeque;

use super::{connect::Attempt, leases::Lease};
use crate::{ConnectFailure, ConnectToken, Failure};

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) link: usize,
    /// The attempt to connect, until its outcome is in flight.
    pub(super) attempt: Option<Attempt>,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) backlog: VecDeque<u8>,
    /// Completions that it is accepted or connected, has received, ended or failed.
    incoming: VecDeque<Flight>,
    /// Completions that it is backlogged, drained or closed.
    outgoing: VecDeque<Flight>,
    /// The submission that sent last, for the rule of one send per turn.
    pub(super) sent_in: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    Open,
    Paused,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    Finishing,
    Finished,
    Broken,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Incoming,
    Outgoing,
}

/// A completion in flight, and the turn before which it does not arrive.
#[derive(Debug)]
struct Flight {
    due: u64,
    event: Event,
}

#[derive(Debug)]
pub(super) enum Event {
    Accepted,
    Connected(ConnectToken),
    /// The last completion of an attempt.
    ConnectFailed(ConnectToken, ConnectFailure),
    Received {
        lease: Lease,
        length: usize,
    },
    /// The bytes are in a place of the owner's.
    Placed(usize),
    EndOfStream,
    Failed(Failure),
    Backlogged(usize),
    Drained,
    Progress {
        acknowledged_bytes: u64,
        unacknowledged_bytes: usize,
    },
    Closed,
}

impl Socket {
    pub(super) fn new(link: usize) -> Self {
        Self {
            link,
            attempt: None,
            receiving: Receiving::Open,
            sending: Sending::Open,
            backlog: VecDeque::new(),
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            sent_in: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sending == Sending::Closed
    }

    /// Whether the connection works according to its owner's completions, past and in flight.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.sending, Sending::Broken | Sending::Closed)
    }

    /// Launches a completion; it never overtakes another one of its direction.
    pub(super) fn launch(&mut self, direction: Direction, due: u64, event: Event) {
        let flights = self.flights(direction);
        let due = flights.back().map_or(due, |last| last.due.max(due));
        flights.push_back(Flight { due, event });
    }

    /// Launches a completion that no fault delays, nor any completion before it.
    pub(super) fn hurry(&mut self, direction: Direction, due: u64, event: Event) {
        self.hasten(direction, due);
        self.flights(direction).push_back(Flight { due, event });
    }

    /// Exempts the completions in flight from delays by faults.
    pub(super) fn hasten(&mut self, direction: Direction, due: u64) {
        self.flights(direction).iter_mut().for_each(|flight| flight.due = flight.due.min(due));
    }

    /// How many completions of a direction have arrived by `turn`.
    pub(super) fn arrived(&mut self, direction: Direction, turn: u64) -> usize {
        self.flights(direction).iter().take_while(|flight| flight.due <= turn).count()
    }

    /// The next completion that has arrived by `turn`.
    pub(super) fn land(&mut self, direction: Direction, turn: u64) -> Option<Event> {
        let flights = self.flights(direction);
        if flights.front()?.due > turn {
            return None;
        }
        flights.pop_front().map(|flight| flight.event)
    }

    /// Puts the last completion back, or the rest of it: it arrives before all others.
    pub(super) fn put_back(&mut self, due: u64, event: Event) {
        self.incoming.push_front(Flight { due, event });
    }

    /// Whether a completion arrives after `turn`.
    pub(super) fn has_flights_after(&self, turn: u64) -> bool {
        let mut last = self.incoming.back().into_iter().chain(self.outgoing.back());
        last.any(|flight| flight.due > turn)
    }

    /// How many leases are in flight.
    pub(super) fn leases(&self) -> usize {
        let is_lease = |flight: &&Flight| matches!(flight.event, Event::Received { .. });
        self.incoming.iter().filter(is_lease).count()
    }

    /// The token of an attempt whose success has not been reported to its owner.
    pub(super) fn unreported_token(&self) -> Option<ConnectToken> {
        let coming = self.incoming.front().and_then(|flight| match flight.event {
            Event::Connected(token) => Some(token),
            _ => None,
        });
        self.attempt.map(|attempt| attempt.token).or(coming)
    }

    /// Takes back all completions in flight.
    pub(super) fn recall_all(&mut self) -> Vec<Lease> {
        self.attempt = None;
        self.outgoing.clear();
        let leases = self.incoming.drain(..).filter_map(|flight| match flight.event {
            Event::Received { lease, .. } => Some(lease),
            _ => None,
        });
        leases.collect()
    }

    /// Takes back received bytes in flight, from the last completion backwards to the connection's
    /// beginning.
    pub(super) fn recall_received(&mut self) -> Vec<Lease> {
        let mut leases = Vec::new();
        while let Some(flight) = self.incoming.pop_back() {
            match flight.event {
                Event::Received { lease, .. } => leases.push(lease),
                Event::Accepted | Event::Connected(_) => {
                    self.incoming.push_back(flight);
                    break;
                }
                _ => {}
            }
        }
        leases
    }

    /// Drops completions about sending.
    pub(super) fn recall_sent(&mut self) {
        self.outgoing.clear();
    }

    fn flights(&mut self, direction: Direction) -> &mut VecDeque<Flight> {
        match direction {
            Direction::Incoming => &mut self.incoming,
            Direction::Outgoing => &mut self.outgoing,
        }
    }
}
