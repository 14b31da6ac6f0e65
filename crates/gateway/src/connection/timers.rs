//! When a connection is pinged, when it times out, and how it ends.
//!
//! It never reads a clock: a deadline is set in the core's wheel and comes back as `expire`.

use std::time::Duration;

use ringway_acceptor::Operation;
use ringway_frame::CloseCode;

use crate::{
    connection::{
        ClientConnection, Protocol, Turn,
        deadlines::{Deadline, Deadlines},
        log::{ConnectionLog, EndReason},
        outbox,
    },
    metrics::CoreMetrics,
    outbox::channel::End,
    rates::PauseReason,
    refusal::Refusal,
    session::{
        core_hub::CoreHub,
        delivery::{EventWriter, ServerMessage},
        departures::Taken,
        perform,
    },
    transport::websocket::PartialMessage,
};

/// How far a client has read: see [`Completion::ReadProgress`].
///
/// [`Completion::ReadProgress`]: ringway_acceptor::Completion::Progress
#[derive(Debug, Clone, Copy)]
pub struct ReadProgress {
    /// Bytes that it has acknowledged.
    pub acknowledged_bytes: u64,
    /// Bytes that it has not acknowledged.
    pub unacknowledged_bytes: usize,
}

/// How far a client has read since it was last measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It has acknowledged everything that it was sent.
    Done,
    /// It has acknowledged some of it.
    Slow,
    /// It has acknowledged nothing of what it was sent.
    Stopped,
}

/// A driver reports within one turn whether a socket took what it was given.
pub(super) const SETTLING: Duration = Duration::from_millis(1);

/// Whether a client may be told to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToLeave {
    /// It may be told now.
    Ready,
    /// It must first get the answer to a request that has begun.
    InRequest,
    /// It has not yet been sent all its events.
    Behind,
}

impl ClientConnection {
    /// Notes why the connection ends; only the first reason counts.
    pub fn note_end(&mut self, reason: EndReason) {
        if self.end_reason == EndReason::Other {
            self.end_reason = reason;
        }
    }

    /// Counts, logs and reports that the connection has ended.
    pub fn log_end(
        &self,
        log: &mut ConnectionLog,
        metrics: &CoreMetrics,
        hub: &mut CoreHub,
        now: Duration,
    ) {
        let (reason, transport) = (self.end_reason.as_str(), self.transport.as_str());
        hub.report_disconnect(self.connection, transport, reason);
        metrics.ended.0[self.end_reason as usize].add(1);
        let permit = self.permit.as_ref();
        log.ended(self.end_reason, self.transport, self.connection, permit, now);
    }

    /// Counts and logs that a request was refused.
    pub(super) fn note_refusal(&self, refusal: Refusal, turn: &mut Turn<'_>) {
        turn.context.metrics.refuse(refusal);
        turn.log.refused(refusal, self.connection, self.permit.as_ref(), turn.context.now);
    }

    /// Sets a deadline, `time` from now.
    #[inline]
    pub(super) fn set(&mut self, deadline: Deadline, time: Duration, turn: &mut Turn<'_>) {
        let now = turn.context.now;
        self.deadlines.set(deadline, now + time, now);
        self.arm(turn);
    }

    /// Sets the core's wheel to the earliest deadline.
    #[inline]
    fn arm(&self, turn: &mut Turn<'_>) {
        match self.deadlines.earliest(turn.context.now) {
            Some(due) => turn.wheel.touch(self.connection.slot(), due),
            None => turn.wheel.cancel(self.connection.slot()),
        }
    }

    /// Cancels all deadlines.
    pub(super) fn clear_deadlines(&mut self, turn: &mut Turn<'_>) {
        if self.is_handshaking() {
            turn.handshakes.end();
        }
        self.deadlines = Deadlines::default();
        turn.wheel.cancel(self.connection.slot());
    }

    /// The client has sent or read something: its time to be silent starts again.
    #[inline]
    pub(super) fn is_alive(&mut self, turn: &mut Turn<'_>) {
        if self.is_awaiting() || self.is_resting() {
            return;
        }
        self.set(Deadline::Ping, turn.context.settings.websocket.ping_interval, turn);
    }

    /// Only the end of the connection still has a deadline.
    pub(super) fn await_close(&mut self, turn: &mut Turn<'_>) {
        self.clear_deadlines(turn);
        self.set(Deadline::Close, turn.context.settings.websocket.close_timeout, turn);
    }

    /// A message that has begun must be complete in time. While its input is not read, it has no
    /// deadline.
    #[inline]
    pub(super) fn time_message(&mut self, turn: &mut Turn<'_>) {
        let Protocol::WebSocket(socket) = &mut self.stage else { return };
        match socket.note_partial() {
            PartialMessage::None => self.deadlines.cancel(Deadline::Message),
            PartialMessage::Begun if !self.sending.is_paused() => self.begin_message_time(turn),
            PartialMessage::Begun | PartialMessage::Known => {}
        }
    }

    pub(super) fn begin_message_time(&mut self, turn: &mut Turn<'_>) {
        self.set(Deadline::Message, turn.context.settings.websocket.message_timeout, turn);
    }

    /// The socket took less than it was given, or a part of its backlog.
    pub fn backlogged(&mut self, unsent_bytes: usize, shared_bytes: usize, turn: &mut Turn<'_>) {
        let queue_bytes_max = match self.stage {
            // Its server is paused, and not the client itself.
            Protocol::Relay(_) | Protocol::Proxy(_) => usize::MAX,
            _ => turn.context.settings.clients.queue_bytes_max,
        };
        let (unsent, was_paused) = ((unsent_bytes, shared_bytes), self.sending.is_paused());
        self.sending.backlogged(self.connection, unsent, queue_bytes_max, turn.operations);
        if self.sending.is_paused() {
            self.deadlines.cancel(Deadline::Message);
            if !was_paused {
                self.note_pause(PauseReason::Unread, turn);
            }
        }
        if let Some(session) = self.session_mut() {
            session.stall(turn.hub);
        }
        self.hold_server(turn);
        self.progressed(turn);
    }

    /// The socket has taken everything.
    pub fn drained(&mut self, turn: &mut Turn<'_>) {
        // Until now its message was not read.
        if self.sending.is_paused()
            && !self.deadlines.is_set(Deadline::Close)
            && !self.is_resting()
            && matches!(&self.stage, Protocol::WebSocket(socket) if socket.is_in_message())
        {
            self.begin_message_time(turn);
        }
        self.sending.drained(self.connection, turn.operations);
        if let Some(session) = self.session_mut() {
            session.end_stall(turn.hub);
        }
        let served = turn.hub.departures.drained(self.connection);
        turn.hub.end_departures(served, Taken::All);
        match self.stage {
            Protocol::Leaving => self.leave(turn),
            Protocol::Relay(_) | Protocol::Proxy(_) => self.release_server(turn),
            _ => self.progressed(turn),
        }
        if self.is_behind() {
            self.be_ready_to_send(turn.hub);
        } else if self.channel.deferred().is_some() {
            self.be_ready(turn);
        }
    }

    /// A client that reads is alive, however slowly it reads.
    fn progressed(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Protocol::WebSocket(_) | Protocol::Stream(_)
                if !self.deadlines.is_set(Deadline::Close) =>
            {
                self.is_alive(turn);
            }
            Protocol::Lingering | Protocol::Leaving => self.await_close(turn),
            _ => {}
        }
    }

    /// A deadline has come. If the client may still be reading, its progress is measured first.
    pub fn expire(&mut self, turn: &mut Turn<'_>) {
        let Some(deadline) = self.deadlines.take_due(turn.context.now) else {
            return self.arm(turn);
        };
        match (&mut self.stage, deadline) {
            (Protocol::WebSocket(_), Deadline::Message) => self.end_overdue_message(turn),
            (_, Deadline::Expiry) => self.expire_token(turn),
            // A paused client may send again when it has read enough of the earlier answers.
            (Protocol::Http(_), Deadline::Request) if !self.sending.is_paused() => {
                self.refuse_request(Refusal::Timeout, turn);
            }
            (_, Deadline::Handshake) => self.end_overdue_handshake(turn),
            (Protocol::Identifying(_), Deadline::Identity) => {
                self.end_identifying(Err(Refusal::IdentityUnavailable), turn);
            }
            (Protocol::Authenticating(_), Deadline::Identity) => {
                self.end_overdue_first_message(turn);
            }
            (Protocol::Poll(..), Deadline::PollAnswer) => self.answer_poll(turn),
            (Protocol::Proxy(_), Deadline::Upstream) => self.give_up_proxied(turn),
            (Protocol::Proxy(_), Deadline::RelayIdle) => self.end_idle_proxy(turn),
            (Protocol::Relay(_), Deadline::Upstream) => self.give_up_server(turn),
            (Protocol::Relay(_), Deadline::RelayIdle) => self.end_idle_relay(turn),
            (Protocol::Relay(_), Deadline::Close) => self.end_relay_in_time(turn),
            (_, Deadline::Rest) => self.end_rest(turn),
            (_, Deadline::Outcome) => self.give_up_awaiting(perform::unavailable(), turn),
            // The kernel has all the bytes, and sends them even after the close.
            (Protocol::Leaving, _) if !self.sending.is_backlogged() => self.end(turn),
            _ => {
                self.deadlines.suspend(deadline);
                turn.operations.push(Operation::MeasureProgress(self.connection));
            }
        }
        self.arm(turn);
    }

    /// The client's progress, measured when its deadline came. A client that has read something
    /// gets as much time again, however slowly it reads: the memory that it can make the gateway
    /// hold meanwhile is bounded elsewhere.
    pub fn due_after(&mut self, progress: ReadProgress, turn: &mut Turn<'_>) {
        // Otherwise something has happened since that gave it more time.
        let Some(deadline) = self.deadlines.suspended() else { return };
        let acknowledged = progress.acknowledged_bytes as u32;
        let is_other = std::mem::replace(&mut self.acknowledged, acknowledged) != acknowledged;
        let reading = match (progress.unacknowledged_bytes, is_other) {
            (0, _) => Reading::Done,
            (_, true) => Reading::Slow,
            (_, false) => Reading::Stopped,
        };
        let (limits, websocket) = (&turn.context.settings.limits, &turn.context.settings.websocket);
        match (&self.stage, deadline, reading) {
            // A client that reads is alive, although its answer to a Ping may take long.
            (Protocol::WebSocket(_), Deadline::Ping | Deadline::Pong, Reading::Slow) => {
                self.ask(turn);
                self.is_alive(turn);
            }
            (Protocol::WebSocket(_), Deadline::Ping, Reading::Done | Reading::Stopped) => {
                self.ask(turn);
                self.set(Deadline::Pong, websocket.pong_timeout, turn);
            }
            (Protocol::WebSocket(_), Deadline::Pong, Reading::Done | Reading::Stopped)
                if !self.sending.is_backlogged() =>
            {
                self.note_end(EndReason::NoSignOfLife);
                self.close(CloseCode::GOING_AWAY, "no sign of life", turn);
            }
            // A client that only receives shows that it is alive by reading.
            (
                Protocol::Stream(_),
                Deadline::Ping | Deadline::Pong,
                Reading::Done | Reading::Slow,
            ) => {
                self.ask(turn);
                self.is_alive(turn);
            }
            (Protocol::Stream(_), Deadline::Ping, Reading::Stopped) => {
                self.set(Deadline::Pong, websocket.pong_timeout, turn);
            }
            (Protocol::Http(_), Deadline::Request, Reading::Slow) => {
                self.set(Deadline::Request, limits.handshake_timeout, turn);
            }
            (Protocol::Http(_), Deadline::Request, Reading::Done | Reading::Stopped) => {
                self.refuse_request(Refusal::Timeout, turn);
            }
            (Protocol::Http(_), Deadline::KeepAlive, Reading::Slow) => {
                self.set(Deadline::KeepAlive, limits.keep_alive_timeout, turn);
            }
            (_, Deadline::Close, Reading::Slow) => self.await_close(turn),
            (Protocol::Http(_), Deadline::KeepAlive, Reading::Done | Reading::Stopped) => {
                self.note_end(EndReason::Idle);
                self.end(turn);
            }
            (_, Deadline::Pong, _) => {
                self.note_end(EndReason::NoSignOfLife);
                self.end(turn);
            }
            _ => self.end(turn),
        }
    }

    /// Pings the client and sends it its cursor, so that the cursor does not age
    /// while nothing happens. Neither would be read after a backlog, so nothing is sent then. The
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
                        session.settle_at(turn.hub);
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
                    stream.session.settle_at(turn.hub);
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

    /// Ends the connection once everything is known to be sent: a driver reports a backlog in the
    /// turn after the send, so the sends of this turn or the last one may still be backlogged.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>) {
        // After the completions of the next turn, or of this one. A backlog grants more time.
        let is_unsettled = self.sending.is_unsettled(turn.context.now);
        let time = if is_unsettled { SETTLING } else { Duration::ZERO };
        self.set(Deadline::Close, time, turn);
    }

    /// Whether the client may be told to leave. A client in the middle of a request first gets its
    /// answer, in the time that the request has, and may send no other request.
    pub fn readiness_to_leave(&mut self) -> ToLeave {
        if let Protocol::Identifying(waiting) = &mut self.stage {
            waiting.request.end_after();
            return ToLeave::InRequest;
        }
        let is_opening = matches!(&self.stage, Protocol::Relay(relay) if relay.is_opening());
        let is_proxied = matches!(self.stage, Protocol::Proxy(_));
        // What a client has sent too fast is not waited for: it would hold up the drain.
        let has_input = self.channel.deferred().is_some() && !self.is_resting();
        if is_opening || is_proxied || has_input {
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

    /// Waits for the peer's FIN for a short time.
    pub(super) fn linger(&mut self, turn: &mut Turn<'_>) {
        self.retire(self.settled(turn), turn);
        let deferred = self.channel.take_deferred();
        if deferred.is_some() {
            self.sending.release(self.connection, turn.operations);
        }
        self.stage = Protocol::Lingering;
        self.await_close(turn);
        if deferred.is_some_and(|deferred| deferred.end == End::Stream) {
            // The FIN has come already, behind input that is no longer served.
            self.stage = Protocol::Leaving;
            if !self.sending.is_backlogged() {
                self.leave(turn);
            }
        }
    }

    /// Sends FIN after all output, and waits for the peer's FIN.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::Answered);
        outbox!(self, turn).finish();
        self.linger(turn);
    }
}
