//! Handshakes of channels: how long one may take, and how many of a core are in progress.
//!
//! It never sees a byte of them.

use std::collections::VecDeque;

use ringway_acceptor::ConnectionId;

use crate::{
    connection::{ClientConnection, Turn, deadlines::Deadline, log::EndReason},
    outbox::channel::Passage,
};

/// Entries of ended handshakes that are kept until they are forgotten at once.
const ENDED_MAX: usize = 64;

/// The handshakes of one core, the one that began first in front.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Also holds some that have ended.
    begun: VecDeque<ConnectionId>,
    in_progress: usize,
}

impl Handshakes {
    fn begin(&mut self, connection: ConnectionId) {
        self.begun.push_back(connection);
        self.in_progress += 1;
    }

    /// One has ended.
    pub(super) fn end(&mut self) {
        self.in_progress -= 1;
    }

    /// Takes out the one that began first, if there are more than `max`; it may have ended.
    pub fn beyond(&mut self, max: usize) -> Option<ConnectionId> {
        if self.in_progress > max { self.begun.pop_front() } else { None }
    }

    /// Forgets those that have ended, if there are many of them.
    pub fn forget_ended(&mut self, is_in_progress: impl Fn(ConnectionId) -> bool) {
        if self.begun.len() > 2 * self.in_progress + ENDED_MAX {
            self.begun.retain(|connection| is_in_progress(*connection));
        }
    }

    /// How many are in progress.
    pub fn in_progress(&self) -> usize {
        self.in_progress
    }
}

impl ClientConnection {
    /// A client has connected: first its handshake must be complete in time, then its request.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        if self.channel.has_layer() {
            turn.handshakes.begin(self.connection);
            self.set(Deadline::Handshake, turn.context.settings.tls.handshake_duration_max, turn);
        } else {
            self.await_head(turn);
        }
    }

    /// Whether the handshake of its channel is in progress.
    #[inline]
    pub fn is_handshaking(&self) -> bool {
        self.deadlines.is_set(Deadline::Handshake)
    }

    /// Notes that the handshake is complete, if it is.
    #[inline]
    pub(super) fn end_handshake(&mut self, turn: &mut Turn<'_>) {
        if self.is_handshaking()
            && matches!(self.channel.inward(), Passage::Records(layer) if layer.is_established())
        {
            turn.handshakes.end();
            turn.context.metrics.handshakes.add(1);
            self.await_head(turn);
        }
    }

    fn await_head(&mut self, turn: &mut Turn<'_>) {
        self.set(Deadline::Request, turn.context.settings.limits.handshake_timeout, turn);
    }

    /// Its deadline has come.
    pub(super) fn end_overdue_handshake(&mut self, turn: &mut Turn<'_>) {
        turn.handshakes.end();
        turn.context.metrics.handshakes_given_up.add(1);
        self.note_end(EndReason::HandshakeTimeout);
        self.finish(turn);
    }

    /// Ends a handshake to make room for another; does nothing if it has ended.
    pub fn displace_handshake(&mut self, turn: &mut Turn<'_>) {
        if self.is_handshaking() {
            turn.context.metrics.handshakes_given_up.add(1);
            self.note_end(EndReason::HandshakeDisplaced);
            self.end(turn);
        }
    }
}
