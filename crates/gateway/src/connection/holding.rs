//! The memory that the process keeps for a client, and what happens to a client that uses too much
//! or takes too long.
//!
//! It counts; the core decides which clients are closed (`shard::relief`).

use ringway_frame::CloseCode;

use crate::{
    config::{reference::ConfigReference, settings::Settings},
    connection::{ClientConnection, Protocol, Turn, log::EndReason, outbox},
    memory::CoreMemory,
    refusal::Refusal,
};

impl ClientConnection {
    /// Bytes that are kept only for this client: its own input, and output that is not yet sent.
    #[inline]
    pub fn held_bytes(&self, settings: &Settings) -> usize {
        let protocol = match &self.stage {
            Protocol::WebSocket(socket) => socket.held_bytes(),
            Protocol::Authenticating(waiting) => waiting.socket.held_bytes(),
            Protocol::Http(http) => http.held_bytes(),
            Protocol::Posted(request) => request.http.held_bytes(),
            Protocol::Relay(relay) => relay.held_bytes(settings.kernel_queue_bytes()),
            Protocol::Proxy(proxy) => proxy.held_bytes(settings.kernel_queue_bytes()),
            Protocol::Poll(poll, request) => poll.held_bytes() + request.http.held_bytes(),
            Protocol::Identifying(_)
            | Protocol::Stream(_)
            | Protocol::Lingering
            | Protocol::Leaving
            | Protocol::Closing => 0,
        };
        self.channel.held_bytes()
            + protocol
            + self.sending.owed_bytes(settings.kernel_queue_bytes())
    }

    /// Updates the core's account by the change since the last call.
    #[inline]
    pub fn account(&mut self, memory: &mut CoreMemory, settings: &Settings) {
        let held = u32::try_from(self.held_bytes(settings)).unwrap_or(u32::MAX);
        if held != self.counted {
            memory.change(self.counted, held);
            self.counted = held;
        }
    }

    /// The bytes counted for it.
    pub fn counted_bytes(&self) -> u32 {
        self.counted
    }

    /// Bytes that closing it may free: its counted bytes, and those that it shares with others.
    pub fn burden_bytes(&self) -> u64 {
        u64::from(self.counted) + self.sending.shared_bytes() as u64
    }

    /// Ends the connection so that its memory is free at once. Tells the client why if that can
    /// still arrive.
    pub fn close_for_memory(&mut self, turn: &mut Turn<'_>) {
        turn.context.metrics.closed_for_memory.add(1);
        self.note_end(EndReason::Memory);
        // A Close behind a backlog that the socket does not take would not arrive.
        if self.sending.is_backlogged() {
            return self.end(turn);
        }
        let limit = ConfigReference::memory(turn.context.settings.memory_bytes);
        let reason = &format!("memory: the server has none for this now: {limit}");
        match &self.stage {
            Protocol::WebSocket(_) | Protocol::Authenticating(_) => {
                self.fail_socket(CloseCode::TRY_AGAIN_LATER, reason, turn);
            }
            Protocol::Http(_) => self.refuse_request(Refusal::Memory, turn),
            Protocol::Identifying(_) => self.end_identifying(Err(Refusal::Memory), turn),
            Protocol::Relay(relay) if relay.is_opening() => {
                self.refuse_relay(Refusal::Memory, turn)
            }
            Protocol::Proxy(proxy) if proxy.is_unanswered() => {
                self.refuse_proxied(Refusal::Memory, turn);
            }
            _ => self.end(turn),
        }
    }

    /// Ends a WebSocket whose message took too long.
    pub(super) fn end_overdue_message(&mut self, turn: &mut Turn<'_>) {
        turn.context.metrics.messages_timed_out.add(1);
        self.note_end(EndReason::MessageTimeout);
        let time = turn.context.settings.websocket.message_timeout;
        let limit = ConfigReference::time("websocket.message_timeout", time);
        let reason = &format!("message_timeout: the message took too long: {limit}");
        self.fail_socket(CloseCode::POLICY, reason, turn);
    }

    /// RFC 6455 §7.1.7: tells the client why, then reads nothing more, so that an unfinished
    /// message is freed.
    pub(super) fn fail_socket(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        self.retire(self.settled(turn), turn);
        let mut outbox = outbox!(self, turn);
        if let Protocol::WebSocket(socket) = &mut self.stage {
            socket.fail(code, reason, &mut outbox);
        }
        outbox.finish();
        self.linger(turn);
    }

    /// Answers a request that is not complete, and accepts no other.
    pub(super) fn refuse_request(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        let Protocol::Http(http) = &mut self.stage else { return };
        let mut outbox = outbox!(self, turn);
        http.give_up(refusal, turn.context.settings, &mut outbox);
        self.note_end(match refusal {
            Refusal::Timeout => EndReason::RequestTimeout,
            Refusal::TooFast(_) => EndReason::Rate,
            _ => EndReason::Refused,
        });
        self.note_refusal(refusal, turn);
        self.linger(turn);
    }
}
