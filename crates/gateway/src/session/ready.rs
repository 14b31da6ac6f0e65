//! Connections that have work to do although no completion arrives for them (input that was put
//! off, events to read from the log), and the order in which a core serves them.
//!
//! Those that cost little come first, so that a few that cost much hold up only each other. One
//! large message inflates at a time, so that what a core holds for such messages is bounded; the
//! others wait as they came. It never serves anybody itself.

use std::collections::VecDeque;

use ringway_acceptor::ConnectionId;

/// What a connection has cost when it was served last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    /// Little: it is served as its input comes.
    #[default]
    Light,
    /// As much as one may cost in a turn: it is served after all that cost little.
    Heavy,
}

/// The queue of a core.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    light: VecDeque<ConnectionId>,
    heavy: VecDeque<ConnectionId>,
    /// Those whose large message is to be inflated next, in the order in which they came.
    waiting: VecDeque<ConnectionId>,
    /// The one whose large message is being inflated.
    inflating: Option<ConnectionId>,
}

impl ReadyQueue {
    /// Whether no connection can be served now. One that waits for another connection's large
    /// message does not count.
    pub fn is_empty(&self) -> bool {
        let may_inflate = self.inflating.is_none() && !self.waiting.is_empty();
        self.light.is_empty() && self.heavy.is_empty() && !may_inflate
    }

    /// Adds a connection, which is not in the queue.
    pub fn push(&mut self, connection: ConnectionId, effort: Effort) {
        match effort {
            Effort::Light => self.light.push_back(connection),
            Effort::Heavy => self.heavy.push_back(connection),
        }
    }

    /// Adds a connection to those whose message waits for the one that is being inflated.
    pub fn await_inflating(&mut self, connection: ConnectionId) {
        self.waiting.push_back(connection);
    }

    /// Whether this connection may keep what a part of its message has inflated to.
    #[inline]
    pub fn may_inflate(&self, connection: ConnectionId) -> bool {
        match self.inflating {
            Some(inflating) => inflating == connection,
            // Those who wait come before one that has just been.
            None => self.waiting.is_empty(),
        }
    }

    /// Until further notice no other connection keeps a part of a message.
    pub fn begin_inflating(&mut self, connection: ConnectionId) {
        debug_assert!(self.may_inflate(connection));
        self.inflating = Some(connection);
    }

    /// The connection whose large message is being inflated, as far as is known.
    pub fn inflating(&self) -> Option<ConnectionId> {
        self.inflating
    }

    /// A large message of this connection, if there was one, is served, or the connection is gone:
    /// the next one may be inflated.
    pub fn end_inflating(&mut self, connection: ConnectionId) {
        if self.inflating == Some(connection) {
            self.inflating = None;
        }
    }

    /// Lets the next one inflate its message, if none is being inflated.
    pub fn admit(&mut self) {
        if self.inflating.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.inflating = Some(next);
            self.heavy.push_back(next);
        }
    }

    /// How many there are of one kind.
    pub fn len(&self, effort: Effort) -> usize {
        match effort {
            Effort::Light => self.light.len(),
            Effort::Heavy => self.heavy.len(),
        }
    }

    /// The next one of a kind.
    pub fn pop(&mut self, effort: Effort) -> Option<ConnectionId> {
        match effort {
            Effort::Light => self.light.pop_front(),
            Effort::Heavy => self.heavy.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(slot: u32) -> ConnectionId {
        ConnectionId::new(slot, 0)
    }

    #[test]
    fn large_messages_are_inflated_one_after_the_other() {
        let mut queue = ReadyQueue::default();
        assert!(queue.may_inflate(named(1)));
        queue.begin_inflating(named(1));
        assert!(queue.may_inflate(named(1)) && !queue.may_inflate(named(2)));
        queue.await_inflating(named(2));
        queue.await_inflating(named(3));
        queue.admit();
        assert!(queue.is_empty(), "there is nothing to do for those who wait");
        queue.end_inflating(named(2));
        assert!(queue.is_empty());
        queue.end_inflating(named(1));
        assert!(!queue.is_empty() && !queue.may_inflate(named(1)), "others come first");
        queue.admit();
        queue.admit();
        assert_eq!((queue.pop(Effort::Heavy), queue.pop(Effort::Heavy)), (Some(named(2)), None));
        assert!(!queue.may_inflate(named(3)));
    }
}
