//! The gateway's end of a connection to a server: its channel, and what the driver keeps for it.

use std::{fmt, time::Duration};

use ringway_acceptor::{ConnectionId, Operation, Operations};

use crate::outbox::{Outbox, Sending, channel::Channel};

/// A connection to a server.
pub struct UpstreamEnd {
    connection: ConnectionId,
    /// What the driver keeps for the server, and whether it is read from.
    pub sending: Sending,
    /// The channel between socket and protocol.
    pub channel: Channel,
}

impl fmt::Debug for UpstreamEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("UpstreamEnd").field(&self.connection).finish()
    }
}

impl UpstreamEnd {
    /// A connection that was just established.
    pub fn new(connection: ConnectionId, channel: Channel) -> Self {
        Self { connection, sending: Sending::default(), channel }
    }

    /// Its name.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// What it is sent in this turn.
    pub fn outbox<'o>(&'o mut self, operations: &'o mut Operations, now: Duration) -> Outbox<'o> {
        Outbox::new(self.connection, &mut self.sending, &mut self.channel, operations, now)
    }

    /// Reads nothing more from the server until [`Self::release`].
    pub fn hold(&mut self, operations: &mut Operations) {
        self.sending.hold(self.connection, operations);
    }

    /// Reads from the server again.
    pub fn release(&mut self, operations: &mut Operations) {
        self.sending.release(self.connection, operations);
    }

    /// The driver keeps this many bytes for the server.
    pub fn backlogged(&mut self, unsent_bytes: usize, operations: &mut Operations) {
        let unsent = (unsent_bytes, 0);
        self.sending.backlogged(self.connection, unsent, usize::MAX, operations);
    }

    /// The server has taken everything.
    pub fn drained(&mut self, operations: &mut Operations) {
        self.sending.drained(self.connection, operations);
    }

    /// Closes the connection; the channel's last record is sent if it can still arrive.
    pub fn close(&mut self, operations: &mut Operations, now: Duration) {
        if self.sending.is_backlogged() {
            return self.reset(operations);
        }
        self.outbox(operations, now).end_channel();
        operations.push(Operation::Close(self.connection));
    }

    /// Drops the connection with all unsent bytes.
    pub fn reset(&mut self, operations: &mut Operations) {
        operations.push(Operation::Reset(self.connection));
    }

    /// Bytes that are kept for it.
    #[inline]
    pub fn held_bytes(&self, kernel_queue_bytes: usize) -> usize {
        self.channel.held_bytes() + self.sending.owed_bytes(kernel_queue_bytes)
    }
}
