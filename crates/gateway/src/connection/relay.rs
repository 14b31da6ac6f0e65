//! A client whose WebSocket another server serves: bytes flow between the two connections as they
//! come, until both have ended.
//!
//! A side that does not read pauses the other one, so that the driver keeps little for it. The end
//! of one stream is passed on, and the other direction continues; a connection that breaks is
//! answered by a reset of the other one. `opening` is what comes before.

mod opening;

use std::{sync::Arc, time::Duration};

use ringway_acceptor::{ConnectionId, Operation};

use crate::{
    config::Route,
    connection::{
        ClientConnection, Protocol, Turn, deadlines::Deadline, log::EndReason, outbox,
        timers::SETTLING,
    },
    outbox::channel::{Opened, Passage},
    upstream::{end::UpstreamEnd, pool::Lease},
};

use self::opening::Opening;

/// A client and the connection to its server.
pub(super) struct Relay {
    route: Arc<Route>,
    /// The server that was picked last, until its connection has ended.
    server: Option<Lease>,
    /// The connection to it, once it is established.
    end: Option<UpstreamEnd>,
    /// What is kept until the WebSocket is open.
    opening: Option<Box<Opening>>,
    /// From the client to the server.
    out: Direction,
    /// From the server to the client.
    back: Direction,
    /// When bytes last came from either side.
    active: Duration,
}

/// How far one direction has ended.
#[derive(Debug, Default)]
struct Direction {
    /// Whether its sender has ended its stream.
    heard: Stream,
    /// Whether its receiver was sent the end.
    told: Stream,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stream {
    #[default]
    Open,
    Ended,
}

/// How the connection to a server is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    Close,
    Reset,
}

impl Relay {
    /// Whether the server has not opened the WebSocket yet.
    pub(super) fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// Bytes that are kept for the server, and of an unfinished opening.
    #[inline]
    pub(super) fn held_bytes(&self, kernel_queue_bytes: usize) -> usize {
        let end = self.end.as_ref().map_or(0, |end| end.held_bytes(kernel_queue_bytes));
        end + self.opening.as_ref().map_or(0, |opening| opening.held_bytes())
    }

    /// Whether a client that sends too fast may be paused: not while the relay opens or ends.
    pub(super) fn may_rest(&self) -> bool {
        !self.is_opening() && self.out.told == Stream::Open && !self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.out.heard == Stream::Ended && self.back.heard == Stream::Ended
    }

    fn is_backlogged(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.sending.is_backlogged())
    }

    /// Leaves the server, or gives up connecting to one.
    fn leave_server(&mut self, leaving: Leaving, turn: &mut Turn<'_>) {
        let now = turn.context.now;
        if let Some(token) = self.opening.as_mut().and_then(|opening| opening.attempt.take()) {
            turn.operations.push(Operation::CancelConnect(token));
        }
        match (self.end.take(), leaving) {
            (Some(mut end), Leaving::Close) => end.close(turn.operations, now),
            (Some(mut end), Leaving::Reset) => end.reset(turn.operations),
            (None, _) => {}
        }
        if let Some(server) = self.server.take() {
            turn.upstreams.pool(&self.route).release(server);
        }
    }
}

impl ClientConnection {
    /// Passes on what the client has sent.
    #[inline]
    pub(super) fn pass_on(&mut self, input: &[u8], turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        if relay.is_opening() {
            return self.put_off(input, turn);
        }
        let (true, Some(end)) = (relay.out.told == Stream::Open, &mut relay.end) else { return };
        relay.active = turn.context.now;
        let mut outbox = end.outbox(turn.operations, turn.context.now);
        if outbox.try_write(input.len(), |out| out.extend_from_slice(input)).is_err() {
            self.close_for_memory(turn);
        }
    }

    /// Serves bytes from the server.
    #[inline]
    pub fn server_received(
        &mut self,
        server: ConnectionId,
        received: &mut [u8],
        turn: &mut Turn<'_>,
    ) {
        let Some(end) = self.server_end(server) else { return };
        match end.channel.inward() {
            Passage::Plain => self.take_from_server(received, turn),
            Passage::Records(_) => self.open_from_server(server, received, turn),
            Passage::Shut => {}
        }
    }

    /// Serves records from the server.
    fn open_from_server(
        &mut self,
        server: ConnectionId,
        mut received: &mut [u8],
        turn: &mut Turn<'_>,
    ) {
        while !received.is_empty() {
            let Some(end) = self.server_end(server) else { return };
            let Passage::Records(layer) = end.channel.inward() else { return };
            let was_established = layer.is_established();
            let mut out = turn.context.scratch.take_records();
            let opened = layer.open(&mut received, &mut out);
            let is_established = layer.is_established();
            end.outbox(turn.operations, turn.context.now).write_past(&out);
            turn.context.scratch.put_records(out);
            if is_established && !was_established {
                self.send_handshake(turn);
            }
            match opened {
                Ok(Opened::Nothing) => {}
                Ok(Opened::InPlace(input)) => self.take_from_server(input, turn),
                Ok(Opened::Assembled(input)) => self.take_from_server(&input, turn),
                Ok(Opened::Ended) => return self.server_ended(server, turn),
                Err(_) => return self.server_failed(server, turn),
            }
        }
    }

    #[inline]
    fn take_from_server(&mut self, input: &[u8], turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else {
            return self.read_response(input, turn);
        };
        if relay.is_opening() {
            return self.read_answer(input, turn);
        }
        if relay.back.told == Stream::Ended {
            return;
        }
        relay.active = turn.context.now;
        let mut outbox = outbox!(self, turn);
        if outbox.try_write(input.len(), |out| out.extend_from_slice(input)).is_err() {
            self.close_for_memory(turn);
        }
    }

    /// The connection to the server, if this is its name.
    #[inline]
    fn server_end(&mut self, server: ConnectionId) -> Option<&mut UpstreamEnd> {
        let end = self.any_server()?;
        end.as_mut().filter(|end| end.connection() == server)
    }

    /// The connection to the server, of a relay or of a request.
    fn any_server(&mut self) -> Option<&mut Option<UpstreamEnd>> {
        match &mut self.stage {
            Protocol::Relay(relay) => Some(&mut relay.end),
            Protocol::Proxy(proxy) => Some(proxy.end_mut()),
            _ => None,
        }
    }

    /// The client has ended its stream; its server may still send.
    pub(super) fn pass_on_end(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::ClientEnded);
        let Protocol::Relay(relay) = &mut self.stage else { return };
        relay.out.heard = Stream::Ended;
        self.tell_server(turn);
        self.end_relay_if_over(turn);
    }

    /// The server has ended its stream; the client may still send.
    pub fn server_ended(&mut self, server: ConnectionId, turn: &mut Turn<'_>) {
        if self.server_end(server).is_none() {
            return;
        }
        let Protocol::Relay(relay) = &mut self.stage else { return self.end_response(turn) };
        if relay.is_opening() {
            return self.end_answer(turn);
        }
        relay.back.heard = Stream::Ended;
        self.note_end(EndReason::UpstreamEnded);
        self.tell_client(turn);
        self.end_relay_if_over(turn);
    }

    fn tell_server(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        if std::mem::replace(&mut relay.out.told, Stream::Ended) == Stream::Open
            && let Some(end) = &mut relay.end
        {
            // After its last record a layer reads no more.
            let has_layer = end.channel.has_layer();
            end.outbox(turn.operations, turn.context.now).finish();
            if has_layer {
                relay.back.heard = Stream::Ended;
                self.tell_client(turn);
            }
        }
    }

    fn tell_client(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        if std::mem::replace(&mut relay.back.told, Stream::Ended) == Stream::Open {
            let has_layer = self.channel.has_layer();
            if has_layer {
                relay.out.heard = Stream::Ended;
            }
            outbox!(self, turn).finish();
            if has_layer {
                self.tell_server(turn);
            }
        }
    }

    /// Once both streams have ended, both connections are closed when it is known that the kernel has
    /// taken everything: a close drops what it has not.
    fn end_relay_if_over(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &self.stage else { return };
        let Some(end) = &relay.end else { return };
        if !relay.has_ended() || relay.is_backlogged() || self.sending.is_backlogged() {
            return;
        }
        let now = turn.context.now;
        let is_unsettled = self.sending.is_unsettled(now) || end.sending.is_unsettled(now);
        let time = if is_unsettled { SETTLING } else { Duration::ZERO };
        self.set(Deadline::Close, time, turn);
    }

    /// Both streams of the relay had time to end.
    pub(super) fn end_relay_in_time(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &self.stage else { return };
        if relay.has_ended() && (relay.is_backlogged() || self.sending.is_backlogged()) {
            return self.await_relayed_bytes(turn);
        }
        self.end(turn);
    }

    /// Nothing was relayed for as long as the route allows, unless something was meanwhile.
    pub(super) fn end_idle_relay(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &self.stage else { return };
        let since = turn.context.now.saturating_sub(relay.active);
        if since < relay.route.idle_timeout {
            let left = relay.route.idle_timeout - since;
            return self.set(Deadline::RelayIdle, left, turn);
        }
        self.note_end(EndReason::RelayIdle);
        self.end(turn);
    }

    /// Bytes of the relay must pass in time.
    pub(super) fn await_relayed_bytes(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        relay.active = turn.context.now;
        let time = relay.route.idle_timeout;
        self.set(Deadline::RelayIdle, time, turn);
    }

    /// The connection to the server broke.
    pub fn server_failed(&mut self, server: ConnectionId, turn: &mut Turn<'_>) {
        if self.server_end(server).is_none() {
            return;
        }
        let Protocol::Relay(relay) = &mut self.stage else { return self.break_response(turn) };
        if relay.is_opening() {
            return self.lose_server(turn);
        }
        self.note_end(EndReason::UpstreamLost);
        self.reset_relay(turn);
    }

    /// Resets both connections.
    fn reset_relay(&mut self, turn: &mut Turn<'_>) {
        self.leave_relay(Leaving::Reset, turn);
        self.reset(turn);
    }

    /// The server's socket has not taken everything: nothing is read from the client until it has.
    pub fn server_backlogged(
        &mut self,
        server: ConnectionId,
        unsent_bytes: usize,
        turn: &mut Turn<'_>,
    ) {
        let Some(end) = self.server_end(server) else { return };
        end.backlogged(unsent_bytes, turn.operations);
        self.sending.hold(self.connection, turn.operations);
        self.relay_progressed(turn);
    }

    /// The server's socket has taken everything.
    pub fn server_drained(&mut self, server: ConnectionId, turn: &mut Turn<'_>) {
        let Some(end) = self.server_end(server) else { return };
        end.drained(turn.operations);
        self.sending.release(self.connection, turn.operations);
        self.end_relay_if_over(turn);
    }

    /// The client's socket has not taken everything: nothing is read from the server until it has.
    pub(super) fn hold_server(&mut self, turn: &mut Turn<'_>) {
        if let Some(Some(end)) = self.any_server() {
            end.hold(turn.operations);
        }
        self.relay_progressed(turn);
    }

    /// The client's socket has taken everything.
    pub(super) fn release_server(&mut self, turn: &mut Turn<'_>) {
        if let Some(Some(end)) = self.any_server() {
            end.release(turn.operations);
        }
        self.end_relay_if_over(turn);
    }

    fn relay_progressed(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        relay.active = turn.context.now;
    }

    /// Ends both streams: the gateway, or the application, wants the client to leave. No Close frame
    /// is sent, because it might be in the middle of another frame.
    pub(super) fn close_relay(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &self.stage else { return };
        if relay.is_opening() {
            return self.end(turn);
        }
        self.tell_client(turn);
        self.tell_server(turn);
        self.set(Deadline::Close, turn.context.settings.websocket.close_timeout, turn);
    }

    /// Leaves the server, if there is one: the client is not relayed any more.
    pub(super) fn leave_relay(&mut self, leaving: Leaving, turn: &mut Turn<'_>) {
        if !matches!(self.stage, Protocol::Relay(_)) {
            return;
        }
        if let Protocol::Relay(mut relay) = std::mem::replace(&mut self.stage, Protocol::Lingering)
        {
            if !relay.is_opening() {
                turn.context.metrics.relays.subtract(1);
            }
            relay.leave_server(leaving, turn);
        }
    }
}
