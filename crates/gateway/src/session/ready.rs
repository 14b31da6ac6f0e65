//! Connections that have work to do although no completion arrives for them (input that was put
//! off, events to read from the log), and the order in which a core serves them.
//!
//! Connections that cost little come first, so that the expensive ones, and handshakes, delay only
//! each other. One
//! large message is inflated at a time, which bounds the memory that a core holds for such
//! messages; the others wait with their messages still compressed. It never serves a connection
//! itself.

use std::collections::VecDeque;

use ringway_acceptor::ConnectionId;

/// In which order connections are served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    /// It cost little when it was last served: it is served when its input arrives.
    #[default]
    Light,
    /// It cost as much as a connection may cost in a turn: it is served after all light ones.
    Heavy,
    /// The handshake of its channel is not complete. It is served last, so that clients that
    /// connect, however many they are, do not delay those that are connected.
    Handshake,
}

/// The queue of a core.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    light: VecDeque<ConnectionId>,
    heavy: VecDeque<ConnectionId>,
    handshakes: VecDeque<ConnectionId>,
    /// Connections that wait to inflate a large message, in order of arrival.
    waiting: VecDeque<ConnectionId>,
    /// The connection whose large message is being inflated.
    inflating: Option<ConnectionId>,
}

impl ReadyQueue {
    /// Whether no connection can be served now. A connection that waits for another one's large
    /// message does not count.
    pub fn is_empty(&self) -> bool {
        let may_inflate = self.inflating.is_none() && !self.waiting.is_empty();
        let queues = [&self.light, &self.heavy, &self.handshakes];
        queues.into_iter().all(VecDeque::is_empty) && !may_inflate
    }

    /// Adds a connection that is not in the queue.
    pub fn push(&mut self, connection: ConnectionId, effort: Effort) {
        match effort {
            Effort::Light => self.light.push_back(connection),
            Effort::Heavy => self.heavy.push_back(connection),
            Effort::Handshake => self.handshakes.push_back(connection),
        }
    }

    /// Adds a connection to those that wait to inflate a large message.
    pub fn await_inflating(&mut self, connection: ConnectionId) {
        self.waiting.push_back(connection);
    }

    /// Whether this connection may keep an inflated part of its message.
    #[inline]
    pub fn may_inflate(&self, connection: ConnectionId) -> bool {
        match self.inflating {
            Some(inflating) => inflating == connection,
            // Waiting connections come before one that has just been served.
            None => self.waiting.is_empty(),
        }
    }

    /// Until [`Self::end_inflating`] no other connection keeps an inflated part of a message.
    pub fn begin_inflating(&mut self, connection: ConnectionId) {
        debug_assert!(self.may_inflate(connection));
        self.inflating = Some(connection);
    }

    /// The connection whose large message is being inflated, if known.
    pub fn inflating(&self) -> Option<ConnectionId> {
        self.inflating
    }

    /// This connection's large message, if it had one, is served, or the connection is closed: the
    /// next message may be inflated.
    pub fn end_inflating(&mut self, connection: ConnectionId) {
        if self.inflating == Some(connection) {
            self.inflating = None;
        }
    }

    /// Lets the next connection inflate its message, if none is being inflated.
    pub fn admit(&mut self) {
        if self.inflating.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.inflating = Some(next);
            self.heavy.push_back(next);
        }
    }

    /// The number of connections of this effort.
    pub fn len(&self, effort: Effort) -> usize {
        match effort {
            Effort::Light => self.light.len(),
            Effort::Heavy => self.heavy.len(),
            Effort::Handshake => self.handshakes.len(),
        }
    }

    /// Takes the next connection of this effort.
    pub fn pop(&mut self, effort: Effort) -> Option<ConnectionId> {
        match effort {
            Effort::Light => self.light.pop_front(),
            Effort::Heavy => self.heavy.pop_front(),
            Effort::Handshake => self.handshakes.pop_front(),
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
