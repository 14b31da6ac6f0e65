//! A connection that sends faster than it may, or makes too many errors: it is paused, or ends.
//!
//! `rates` and the settings decide what is too much; this acts on it. Input is judged after it was
//! served, so one receive may exceed a rate, and the pause is as much longer.

use ringway_frame::CloseCode;

use crate::{
    config::{FastSender, reference::ConfigReference},
    connection::{ClientConnection, Protocol, Turn, deadlines::Deadline, log::EndReason},
    rates::{Excess, PauseReason},
    refusal::Refusal,
};

impl ClientConnection {
    /// Charges the connection for what was served of `bytes` of input.
    #[inline]
    pub(super) fn judge_rates(&mut self, bytes: usize, turn: &mut Turn<'_>) {
        let unserved = self.channel.deferred().map_or(0, |deferred| deferred.bytes.len());
        let messages = std::mem::take(&mut turn.hub.served.messages);
        let sent = (messages, bytes.saturating_sub(unserved));
        let (settings, now) = (turn.context.settings, turn.context.now);
        let rates = &mut turn.hub.rates.connections;
        let excess = rates.charge(self.connection.slot(), sent, &settings.limits, now);
        self.judge_errors(turn);
        if let Some(excess) = excess {
            self.end_excess(excess, turn);
        }
    }

    /// Whether nothing is read from the client, because it has sent too fast.
    #[inline]
    pub(super) fn is_resting(&self) -> bool {
        self.deadlines.is_set(Deadline::Rest)
    }

    #[cold]
    fn end_excess(&mut self, Excess { measure, pause }: Excess, turn: &mut Turn<'_>) {
        // In other states no input is taken, or a deadline must stay.
        let may_rest = match &self.stage {
            Protocol::WebSocket(_) => !self.deadlines.is_set(Deadline::Close),
            Protocol::Http(_) | Protocol::Stream(_) => true,
            Protocol::Relay(relay) => relay.may_rest(),
            _ => false,
        };
        if !may_rest || self.is_awaiting() {
            return;
        }
        let settings = turn.context.settings;
        let limits = &settings.limits;
        if limits.fast_sender == FastSender::Pause {
            self.note_pause(measure.into(), turn);
            self.deadlines.cancel(Deadline::Message);
            self.put_off(&[], turn);
            return self.set(Deadline::Rest, pause, turn);
        }
        self.note_end(EndReason::Rate);
        match &self.stage {
            Protocol::Http(_) => self.refuse_request(Refusal::TooFast(measure), turn),
            _ => {
                let limit = measure.reference(limits);
                self.fail_for(&format!("rate: {} {limit}", measure.excess()), turn);
            }
        }
    }

    /// Counts and logs that nothing is read from the client for a while.
    pub(super) fn note_pause(&self, reason: PauseReason, turn: &mut Turn<'_>) {
        turn.context.metrics.paused[reason as usize].add(1);
        turn.log.paused(reason, self.connection, self.permit.as_ref(), turn.context.now);
    }

    /// The client may send again.
    pub(super) fn end_rest(&mut self, turn: &mut Turn<'_>) {
        let settings = turn.context.settings;
        let limits = &settings.limits;
        match &self.stage {
            Protocol::WebSocket(socket) => {
                if socket.is_in_message() && !self.sending.is_paused() {
                    self.begin_message_time(turn);
                }
                self.is_alive(turn);
            }
            Protocol::Stream(_) => self.is_alive(turn),
            Protocol::Relay(_) => self.await_relayed_bytes(turn),
            Protocol::Http(http) if http.is_between_requests() => {
                self.set(Deadline::KeepAlive, limits.keep_alive_timeout, turn);
            }
            Protocol::Http(_) => self.set(Deadline::Request, limits.handshake_timeout, turn),
            _ => {}
        }
        self.be_ready(turn);
    }

    /// Counts and logs the errors that were answered; ends the connection if there are more than
    /// allowed.
    #[inline]
    pub(super) fn judge_errors(&mut self, turn: &mut Turn<'_>) {
        if !turn.hub.served.is_faultless() {
            self.count_errors(turn);
        }
    }

    #[cold]
    fn count_errors(&mut self, turn: &mut Turn<'_>) {
        let (slot, now) = (self.connection.slot(), turn.context.now);
        let errors = std::mem::take(&mut turn.hub.served.errors);
        for code in turn.hub.served.refused.drain(..) {
            turn.context.metrics.refused_commands.0[code as usize].add(1);
            turn.log.refused_command(code, self.connection, self.permit.as_ref(), now);
        }
        let settings = turn.context.settings;
        let limits = &settings.limits;
        let limit = (limits.errors_max, limits.errors_window);
        if errors == 0 || !turn.hub.rates.errors.add(slot, errors, limit, now) {
            return;
        }
        let limit = ConfigReference::count(
            "limits.errors_max",
            limits.errors_max as usize,
            "errors within limits.errors_window",
        );
        match &self.stage {
            Protocol::WebSocket(_) if !self.deadlines.is_set(Deadline::Close) => {
                self.note_end(EndReason::Errors);
                self.fail_for(&format!("errors: too many: {limit}"), turn);
            }
            Protocol::Http(_) => {
                self.note_end(EndReason::Errors);
                self.finish(turn);
            }
            _ => {}
        }
    }

    fn fail_for(&mut self, reason: &str, turn: &mut Turn<'_>) {
        match &self.stage {
            Protocol::WebSocket(_) => self.fail_socket(CloseCode::POLICY, reason, turn),
            _ => self.close(CloseCode::POLICY, reason, turn),
        }
    }
}
