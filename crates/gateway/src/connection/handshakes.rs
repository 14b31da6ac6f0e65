//! Handshakes of channels: how long one may take, how many of a core are in progress, how many begin
//! in a second, and what they cost the turn.
//!
//! The records of a handshake wait until the core has served the clients that are connected
//! (`session::ready`). Nothing here reads them.

use std::{collections::VecDeque, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_tls::Reason;

use crate::{
    connection::{ClientConnection, Readiness, Turn, deadlines::Deadline, log::EndReason},
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
    /// The second in which the core has last answered a client's first flight, and how many it has
    /// answered in that second.
    answered: (u64, u32),
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

    /// Puts one that was taken out behind the others.
    pub fn pass_over(&mut self, connection: ConnectionId) {
        self.begun.push_back(connection);
    }

    /// Whether the core has answered this many clients in the current second.
    fn is_at_rate(&self, max: u32, now: Duration) -> bool {
        self.answered.0 == now.as_secs() && self.answered.1 >= max
    }

    fn note_answer(&mut self, now: Duration) {
        let (second, count) = self.answered;
        self.answered = (now.as_secs(), if second == now.as_secs() { count + 1 } else { 1 });
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

    /// Keeps bytes that belong to the handshake, at least at their beginning, until it is its turn.
    pub(super) fn put_off_handshake(&mut self, received: &[u8], turn: &mut Turn<'_>) {
        self.put_off(received, turn);
        self.be_ready(turn);
    }

    /// Continues the handshake with the bytes that have arrived. What follows it is served at once.
    pub(super) fn advance_handshake(&mut self, mut received: &mut [u8], turn: &mut Turn<'_>) {
        while !received.is_empty() && self.is_handshaking() {
            let Passage::Records(layer) = self.channel.inward() else { return };
            let (is_first, cost) = (!layer.has_answered(), layer.flight_cost());
            let (rate_max, now) =
                (turn.context.settings.tls.handshakes_per_second_max, turn.context.now);
            if is_first && turn.handshakes.is_at_rate(rate_max, now) {
                return self.refuse_handshake(turn);
            }
            let Some((opened, answer)) = self.open_record(&mut received, turn) else { return };
            if answer > 0 || opened.is_err() {
                turn.hub.spend(cost);
                if is_first {
                    turn.handshakes.note_answer(now);
                }
            }
            self.end_handshake(turn);
            self.take_record(opened, turn);
        }
        self.receive_records(received, turn);
    }

    /// Ends a handshake before it costs anything: the core has answered too many in this second.
    fn refuse_handshake(&mut self, turn: &mut Turn<'_>) {
        turn.context.metrics.handshakes_over_rate.add(1);
        self.note_end(EndReason::HandshakeRate);
        self.end(turn);
    }

    /// Counts and logs why a handshake has failed.
    pub(super) fn note_failed_handshake(&self, reason: Reason, turn: &mut Turn<'_>) {
        turn.context.metrics.handshakes_failed[reason.number()].add(1);
        let permit = self.permit.as_ref();
        turn.log.handshake_failed(reason, self.connection, permit, turn.context.now);
    }

    /// Notes that the handshake is complete, if it is.
    fn end_handshake(&mut self, turn: &mut Turn<'_>) {
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

    /// Whether its handshake waits for the core, and not for the client.
    pub fn has_handshake_to_advance(&self) -> bool {
        self.is_handshaking() && self.readiness == Readiness::Waiting
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
