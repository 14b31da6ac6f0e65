//! Work that a connection has put off so that others are served, too: input that waits, and large
//! messages that are served over several turns.
//!
//! It never decides what a turn may cost: `session::core_hub` and `limits` do.

use crate::{
    connection::{ClientConnection, Protocol, Readiness, Turn},
    limits::{DEFERRED_BYTES_MAX, RESUME_COST},
    memory,
    outbox::channel::End,
    session::{core_hub::CoreHub, ready::Effort},
};

impl ClientConnection {
    /// Takes plain-text input: serves it, or puts it off.
    #[inline]
    pub(super) fn take_in(&mut self, input: &mut [u8], turn: &mut Turn<'_>) {
        if let Some(deferred) = self.channel.deferred_mut() {
            if memory::append(&mut deferred.bytes, input).is_err() {
                return self.close_for_memory(turn);
            }
            self.sending.hold(self.connection, turn.operations);
        } else if self.is_undecided() {
            self.put_off(input, turn);
        } else if self.effort == Effort::Heavy || turn.hub.is_spent() {
            self.put_off(input, turn);
            self.be_ready(turn);
        } else {
            self.serve(input, turn);
        }
    }

    /// Serves input, and notes the cost.
    #[inline]
    pub(super) fn serve(&mut self, input: &mut [u8], turn: &mut Turn<'_>) {
        let bytes = input.len();
        self.serve_at_cost(bytes, turn, |peer, turn| peer.serve_input(input, turn));
    }

    /// Calls `serve` for received bytes, and notes the cost.
    #[inline]
    pub(super) fn serve_at_cost(
        &mut self,
        bytes: usize,
        turn: &mut Turn<'_>,
        serve: impl FnOnce(&mut Self, &mut Turn<'_>),
    ) {
        let before = turn.hub.spent.get();
        serve(self, turn);
        self.judge_rates(bytes, turn);
        turn.hub.spend(turn.context.scratch.take_cost());
        let cost = turn.hub.spent.get() - before;
        self.effort = if cost >= turn.hub.slice.get() { Effort::Heavy } else { Effort::Light };
        if self.channel.deferred().is_some() && !self.input_waits() {
            self.be_ready(turn);
        }
    }

    /// Does work that was put off until this turn: serves deferred input, sends missed events.
    pub fn resume(&mut self, turn: &mut Turn<'_>) {
        self.readiness = match self.readiness {
            Readiness::HeldBackAndWaiting => Readiness::HeldBack,
            _ => Readiness::None,
        };
        turn.hub.spend(RESUME_COST);
        if self.is_handshaking() {
            if let Some(mut deferred) = self.channel.take_deferred() {
                self.advance_handshake(&mut deferred.bytes, turn);
                self.end_deferral(deferred.end, turn);
            }
            return;
        }
        // Output first: when the backlog has drained, the connection gets another turn.
        let may_go_on = match self.stage {
            Protocol::Http(_) | Protocol::Poll(..) => !self.sending.is_backlogged(),
            Protocol::Posted(_) => false,
            _ => !self.sending.is_paused() || self.is_in_large_message(),
        };
        if may_go_on
            && !self.input_waits()
            && let Some(mut deferred) = self.channel.take_deferred()
        {
            self.serve(&mut deferred.bytes, turn);
            if self.end_deferral(deferred.end, turn) == End::Open {
                self.read_on(turn);
            }
        } else {
            self.read_on(turn);
        }
        turn.hub.spend(turn.context.scratch.take_cost());
    }

    /// Whether input waits for something other than a turn.
    pub(super) fn input_waits(&self) -> bool {
        self.is_awaiting() || self.is_undecided() || self.is_resting()
    }

    /// Handles what follows deferred input that was served, unless some was deferred again. Returns
    /// what has ended.
    fn end_deferral(&mut self, end: End, turn: &mut Turn<'_>) -> End {
        if let Some(again) = self.channel.deferred_mut() {
            if again.end == End::Open {
                again.end = end;
            }
            return End::Open;
        }
        match end {
            End::Stream => self.end_of_stream(turn),
            End::Broken => self.end_broken(turn),
            End::Open => self.sending.release(self.connection, turn.operations),
        }
        end
    }

    /// Puts the rest of the input off.
    pub(super) fn put_off(&mut self, rest: &[u8], turn: &mut Turn<'_>) {
        let deferred = self.channel.deferred_or_default();
        if memory::append(&mut deferred.bytes, rest).is_err() {
            return self.close_for_memory(turn);
        }
        // A little more input may be kept meanwhile: to pause reading costs more than to keep it.
        if deferred.bytes.len() > DEFERRED_BYTES_MAX {
            self.sending.hold(self.connection, turn.operations);
        }
    }

    /// Input that waits for a turn of its own, in bytes; records count as a whole if the handshake
    /// waits, too. `None` if it will never be served.
    pub fn deferred_bytes(&self) -> Option<usize> {
        match self.stage {
            Protocol::Closing => None,
            _ => Some(self.channel.deferred().map_or(0, |deferred| deferred.bytes.len())),
        }
    }

    /// Asks for a turn of its own; input that is ahead gets it when its events have been sent.
    pub(super) fn be_ready(&mut self, turn: &mut Turn<'_>) {
        if self.readiness != Readiness::None {
            return;
        }
        if turn.hub.is_ahead(self.connection) {
            self.readiness = Readiness::HeldBack;
            return turn.hub.ahead.wait(self.connection);
        }
        self.be_ready_to_send(turn.hub);
    }

    /// Asks for a turn of its own, in which it is sent what it has missed, even if its input is held
    /// back.
    pub(super) fn be_ready_to_send(&mut self, hub: &mut CoreHub) {
        self.readiness = match self.readiness {
            Readiness::None => Readiness::Waiting,
            Readiness::HeldBack => Readiness::HeldBackAndWaiting,
            Readiness::Waiting | Readiness::HeldBackAndWaiting => return,
        };
        let effort = if self.is_handshaking() { Effort::Handshake } else { self.effort };
        hub.ready.push(self.connection, effort);
    }

    /// Waits until no other large message is being inflated; then it gets a turn of its own.
    pub(super) fn await_inflating(&mut self, turn: &mut Turn<'_>) {
        if self.readiness == Readiness::None {
            self.readiness = Readiness::Waiting;
            turn.hub.ready.await_inflating(self.connection);
        }
    }

    /// Whether a large message is being inflated or echoed.
    pub fn is_in_large_message(&self) -> bool {
        match &self.stage {
            Protocol::WebSocket(socket) => socket.is_in_large_message(),
            Protocol::Authenticating(waiting) => waiting.socket.is_in_large_message(),
            _ => false,
        }
    }
}
