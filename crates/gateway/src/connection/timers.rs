//! When a connection is asked for a sign of life, when it has had its time, and its way out.
//!
//! It never reads a clock: a deadline is set in the core's wheel and comes back as `expire`.

use std::time::Duration;

use ringway_acceptor::Operation;
use ringway_frame::CloseCode;

use crate::{
    connection::{
        ClientConnection, Deadline, Protocol, Turn,
        log::{ConnectionLog, EndReason},
        outbox,
    },
    refusal::Refusal,
    session::{
        delivery::{EventWriter, ServerMessage},
        perform,
    },
};

/// How far a client has read: see [`Completion::ReadProgress`].
///
/// [`Completion::ReadProgress`]: ringway_acceptor::Completion::Progress
#[derive(Debug, Clone, Copy)]
pub struct ReadProgress {
    /// Bytes that it has acknowledged.
    pub acknowledged_bytes: u64,
    /// Bytes that it has not.
    pub unacknowledged_bytes: usize,
}

/// What a client has done since it was last measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It has acknowledged all that it was sent.
    Done,
    /// It has acknowledged some of it.
    Slow,
    /// It has acknowledged nothing of what it was sent.
    Stopped,
}

/// Until a driver has told whether a socket took what it was given: one turn.
const SETTLING: Duration = Duration::from_millis(1);

/// Whether a peer may be told to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToLeave {
    /// Nothing is in its way.
    Ready,
    /// It is owed the answer to a request that has begun.
    InRequest,
    /// It is owed events that it has been too slow for.
    Behind,
}

impl ClientConnection {
    /// Notes why the connection ends; the first reason counts.
    pub fn note_end(&mut self, reason: EndReason) {
        if self.end_reason == EndReason::Other {
            self.end_reason = reason;
        }
    }

    /// Logs that the connection has ended.
    pub fn log_end(&self, log: &mut ConnectionLog, now: Duration) {
        let permit = self.permit.as_ref();
        log.ended(self.end_reason, self.transport, self.connection, permit, now);
    }

    /// Counts and logs that a request was refused.
    pub(super) fn note_refusal(&self, refusal: Refusal, turn: &mut Turn<'_>) {
        turn.context.metrics.refuse(refusal);
        turn.log.refused(refusal, self.connection, self.permit.as_ref(), turn.context.now);
    }

    /// The peer was heard, or has read: it has this long to be silent.
    #[inline]
    pub(super) fn is_alive(&mut self, turn: &mut Turn<'_>) {
        if self.is_awaiting() {
            return;
        }
        self.deadline = Deadline::Heard;
        let mut due = turn.context.now + turn.context.settings.websocket.ping_interval;
        if let Protocol::WebSocket(socket) = &self.stage
            && let Some(message_due) = socket.message_due(turn.context.settings, turn.context.now)
            && !self.sending.is_paused()
        {
            due = due.min(message_due);
        }
        turn.wheel.touch(self.connection.slot(), due);
    }

    /// The socket took less than it was given, or some of what it owed.
    pub fn backlogged(&mut self, unsent_bytes: usize, shared_bytes: usize, turn: &mut Turn<'_>) {
        let queue_bytes_max = turn.context.settings.clients.queue_bytes_max;
        let unsent = (unsent_bytes, shared_bytes);
        self.sending.backlogged(self.connection, unsent, queue_bytes_max, turn.operations);
        if let Some(session) = self.session_mut() {
            session.stall(turn.hub);
        }
        self.progressed(turn);
    }

    /// The socket took all.
    pub fn drained(&mut self, turn: &mut Turn<'_>) {
        if self.sending.is_paused()
            && let Protocol::WebSocket(socket) = &mut self.stage
        {
            socket.grant_time(turn.context.now);
        }
        self.sending.drained(self.connection, turn.operations);
        if let Some(session) = self.session_mut() {
            session.end_stall(turn.hub);
        }
        turn.hub.departures.drained(self.connection, &turn.hub.broker.directory);
        match self.stage {
            Protocol::Leaving => self.leave(turn),
            _ => self.progressed(turn),
        }
        if self.channel.deferred().is_some() || self.is_behind() {
            self.be_ready(turn);
        }
    }

    /// A peer that reads is alive, however slowly it does.
    fn progressed(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Protocol::WebSocket(_) | Protocol::Stream(_) if self.deadline != Deadline::EndDue => {
                self.is_alive(turn);
            }
            Protocol::Lingering | Protocol::Leaving => {
                turn.wheel.touch(
                    self.connection.slot(),
                    turn.context.now + turn.context.settings.websocket.close_timeout,
                );
            }
            _ => {}
        }
    }

    /// The deadline has come. Where the client may still be reading what it was sent, that is found
    /// out first.
    pub fn expire(&mut self, turn: &mut Turn<'_>) {
        if self.is_message_overdue(turn) {
            return self.end_overdue_message(turn);
        }
        match (&mut self.stage, self.deadline) {
            // What it sends is read again when it has read enough of earlier answers.
            (Protocol::Http(_), Deadline::RequestDue) if !self.sending.is_paused() => {
                self.refuse_request(Refusal::Timeout, turn);
            }
            (Protocol::Poll(..), Deadline::AnswerDue) => self.answer_poll(turn),
            (_, Deadline::OutcomeDue) => self.give_up_awaiting(perform::unavailable(), turn),
            // All is with the kernel, which sends it after the close, too.
            (Protocol::Leaving, _) if !self.sending.is_backlogged() => self.end(turn),
            _ => turn.operations.push(Operation::MeasureProgress(self.connection)),
        }
    }

    /// How far the client has read, asked for when its deadline came. One that has read some of
    /// what it was sent is given as much time again, however slowly it reads: what it can make the
    /// gateway hold meanwhile is bounded elsewhere.
    pub fn due_after(&mut self, progress: ReadProgress, turn: &mut Turn<'_>) {
        let slot = self.connection.slot();
        // Something has happened since that has granted it time.
        if turn.wheel.has_deadline(slot) {
            return;
        }
        let acknowledged = progress.acknowledged_bytes as u32;
        let is_other = std::mem::replace(&mut self.acknowledged, acknowledged) != acknowledged;
        let reading = match (progress.unacknowledged_bytes, is_other) {
            (0, _) => Reading::Done,
            (_, true) => Reading::Slow,
            (_, false) => Reading::Stopped,
        };
        match (&self.stage, self.deadline, reading) {
            // A client that reads is alive, although its answer to a Ping may be long in coming.
            (Protocol::WebSocket(_), Deadline::Heard | Deadline::Asked, Reading::Slow) => {
                self.ask(turn);
                self.is_alive(turn);
            }
            (Protocol::WebSocket(_), Deadline::Heard, Reading::Done | Reading::Stopped) => {
                self.ask(turn);
                self.deadline = Deadline::Asked;
                turn.wheel
                    .touch(slot, turn.context.now + turn.context.settings.websocket.pong_timeout);
            }
            (Protocol::WebSocket(_), Deadline::Asked, Reading::Done | Reading::Stopped)
                if !self.sending.is_backlogged() =>
            {
                self.note_end(EndReason::NoSignOfLife);
                self.close(CloseCode::GOING_AWAY, "no sign of life", turn);
            }
            // A client that only listens shows that it lives by reading.
            (
                Protocol::Stream(_),
                Deadline::Heard | Deadline::Asked,
                Reading::Done | Reading::Slow,
            ) => {
                self.ask(turn);
                self.is_alive(turn);
            }
            (Protocol::Stream(_), Deadline::Heard, Reading::Stopped) => {
                self.deadline = Deadline::Asked;
                turn.wheel
                    .touch(slot, turn.context.now + turn.context.settings.websocket.pong_timeout);
            }
            (Protocol::Http(_), Deadline::RequestDue, Reading::Slow) => {
                turn.wheel
                    .touch(slot, turn.context.now + turn.context.settings.limits.handshake_timeout);
            }
            (Protocol::Http(_), Deadline::RequestDue, Reading::Done | Reading::Stopped) => {
                self.refuse_request(Refusal::Timeout, turn);
            }
            (Protocol::Http(_), Deadline::BetweenRequests, Reading::Slow) => {
                turn.wheel.touch(
                    slot,
                    turn.context.now + turn.context.settings.limits.keep_alive_timeout,
                );
            }
            (_, Deadline::EndDue, Reading::Slow) => {
                turn.wheel
                    .touch(slot, turn.context.now + turn.context.settings.websocket.close_timeout);
            }
            (Protocol::Http(_), Deadline::BetweenRequests, Reading::Done | Reading::Stopped) => {
                self.note_end(EndReason::Idle);
                self.end(turn);
            }
            (_, Deadline::Asked, _) => {
                self.note_end(EndReason::NoSignOfLife);
                self.end(turn);
            }
            _ => self.end(turn),
        }
    }

    /// Asks for a sign of life and sends the client its cursor, so that the cursor does not age
    /// while nothing happens. Behind a backlog neither would be read, so nothing is sent. The
    /// session is settled first if the socket has taken everything so far.
    fn ask(&mut self, turn: &mut Turn<'_>) {
        if self.sending.is_backlogged() {
            return;
        }
        let mut outbox = outbox!(self, turn);
        let is_settled = outbox.is_settled();
        match &mut self.stage {
            Protocol::WebSocket(socket) => {
                if let Some((session, mut frames)) = socket.delivery() {
                    if is_settled {
                        session.settle();
                    }
                    let cursor = session.cursor(turn.hub);
                    frames.server_message(
                        ServerMessage::Heartbeat { cursor },
                        turn.context.scratch,
                        &mut outbox,
                    );
                }
                socket.ping(&mut outbox);
            }
            Protocol::Stream(stream) => {
                if is_settled {
                    stream.session.settle();
                }
                let cursor = stream.session.cursor(turn.hub);
                stream.writer.server_message(
                    ServerMessage::Heartbeat { cursor },
                    turn.context.scratch,
                    &mut outbox,
                );
            }
            _ => {}
        }
    }

    /// Ends the connection once it is known that all has left: a driver tells of a backlog in the
    /// turn after the send, so what went out in this turn or in the last one may yet be backlogged.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>) {
        // After the completions of the next turn, or of this one. A backlog grants more time.
        let due = if self.sending.is_unsettled(turn.context.now) {
            turn.context.now + SETTLING
        } else {
            Duration::ZERO
        };
        turn.wheel.touch(self.connection.slot(), due);
    }

    /// Whether the peer may be told to leave. One that is in the middle of a request gets its answer
    /// first, in the time that the request has, and is to send no other.
    pub fn readiness_to_leave(&mut self) -> ToLeave {
        if self.channel.deferred().is_some() {
            return ToLeave::InRequest;
        }
        if let Protocol::Http(http) = &mut self.stage
            && !http.is_between_requests()
        {
            http.end_after_request();
            return ToLeave::InRequest;
        }
        if self.is_behind() { ToLeave::Behind } else { ToLeave::Ready }
    }

    /// Waits for the peer's FIN, but not for long.
    pub(super) fn linger(&mut self, turn: &mut Turn<'_>) {
        self.retire(self.settled(turn), turn);
        if self.channel.take_deferred().is_some() {
            self.sending.release(self.connection, turn.operations);
        }
        self.stage = Protocol::Lingering;
        self.deadline = Deadline::EndDue;
        turn.wheel.touch(
            self.connection.slot(),
            turn.context.now + turn.context.settings.websocket.close_timeout,
        );
    }

    /// Ends the stream after all that was written, and waits for the peer to end its own.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::Answered);
        outbox!(self, turn).finish();
        self.linger(turn);
    }
}
