//! Connections that publish faster than the events are sent: their input waits until the cores have
//! come closer, so that the events of others are never behind many of theirs.
//!
//! A connection may be two windows ahead of the slowest core, so that the cores have something to
//! send while it is told to go on. It never reads the log.

use std::collections::{HashMap, VecDeque};

use ringway_acceptor::ConnectionId;
use ringway_hub::Sequence;

use crate::limits::{AHEAD_BYTES_MAX, AHEAD_BYTES_OF_ALL};

/// The connections of one core that have published lately.
#[derive(Debug, Default)]
pub struct Ahead {
    published: HashMap<ConnectionId, Published>,
    /// The last event of any of them.
    newest: Sequence,
    /// Connections with input that waits.
    waiting: VecDeque<ConnectionId>,
}

/// What a connection has published.
#[derive(Debug, Default)]
struct Published {
    /// Bytes in this window.
    bytes: usize,
    /// The last event.
    last: Sequence,
    /// The last event of the window before.
    before: Sequence,
}

impl Ahead {
    /// A connection has published an event; all cores have sent everything up to `slowest`.
    pub fn note(
        &mut self,
        connection: ConnectionId,
        sequence: Sequence,
        bytes: usize,
        slowest: Sequence,
    ) {
        if self.newest <= slowest {
            self.published.clear();
        }
        self.newest = self.newest.max(sequence);
        let window = self.window();
        let published = self.published.entry(connection).or_default();
        if published.bytes >= window {
            (published.before, published.bytes) = (published.last, 0);
        }
        published.bytes += bytes;
        published.last = sequence;
    }

    /// Whether a connection has to wait.
    #[inline]
    pub fn is_ahead(&self, connection: ConnectionId, slowest: impl Fn() -> Sequence) -> bool {
        if self.published.is_empty() {
            return false;
        }
        let window = self.window();
        self.published
            .get(&connection)
            .is_some_and(|published| published.bytes >= window && published.before > slowest())
    }

    /// Input of a connection waits.
    pub fn wait(&mut self, connection: ConnectionId) {
        self.waiting.push_back(connection);
    }

    /// How many connections have input that waits.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the connection whose input has waited longest.
    pub fn next_waiting(&mut self) -> Option<ConnectionId> {
        self.waiting.pop_front()
    }

    /// The more connections wait, the smaller is the part of each.
    fn window(&self) -> usize {
        AHEAD_BYTES_MAX.min(AHEAD_BYTES_OF_ALL / (1 + self.waiting.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(slot: u32) -> ConnectionId {
        ConnectionId::new(slot, 0)
    }

    #[test]
    fn a_connection_waits_two_windows_ahead_of_the_slowest_core() {
        let mut ahead = Ahead::default();
        let mut sequence = 0;
        while !ahead.is_ahead(named(1), || 0) {
            sequence += 1;
            ahead.note(named(1), sequence, 1_000, 0);
        }
        let window = AHEAD_BYTES_MAX.div_ceil(1_000) as Sequence;
        assert_eq!(sequence, 2 * window);
        assert!(!ahead.is_ahead(named(2), || 0), "another one does not wait");
        assert!(ahead.is_ahead(named(1), || window - 1));
        assert!(!ahead.is_ahead(named(1), || window), "the first window is sent");
        ahead.note(named(1), sequence + 1, 1_000, window);
        assert!(!ahead.is_ahead(named(1), || window));
        // All is sent, so nothing is remembered.
        ahead.note(named(2), sequence + 2, 1_000, sequence + 1);
        assert_eq!(ahead.published.len(), 1);
    }

    #[test]
    fn many_that_wait_have_less_each() {
        let mut ahead = Ahead::default();
        let first = (1..).find(|sequence| {
            ahead.note(named(1), *sequence, 100, 0);
            ahead.is_ahead(named(1), || 0)
        });
        (10..110).for_each(|slot| ahead.wait(named(slot)));
        let second = (1..).find(|sequence| {
            ahead.note(named(2), *sequence, 100, 0);
            ahead.is_ahead(named(2), || 0)
        });
        assert!(first > Some(300) && second < Some(30), "{first:?} {second:?}");
        assert_eq!((ahead.next_waiting(), ahead.waiting()), (Some(named(10)), 99));
    }
}
