//! From a socket's bytes to a protocol's input, and the end of a connection whose records are
//! broken.
//!
//! It never reads a protocol's bytes: they are served, or put off, elsewhere.

use std::net::SocketAddr;

use crate::{
    connection::{
        ClientConnection, Protocol, Turn,
        log::{EndReason, Told},
        outbox,
    },
    edge::{
        forwarded,
        proxy_header::{self, NoProxyHeader},
    },
    limits::PROXY_HEADER_BYTES_MAX,
    outbox::channel::{ChannelError, End, Opened, Passage},
    session::{Settled, core_hub::CoreHub},
};

impl ClientConnection {
    /// Serves bytes from the socket.
    #[inline]
    pub fn receive(&mut self, received: &mut [u8], turn: &mut Turn<'_>) {
        let is_handshaking = self.is_handshaking();
        match self.channel.inward() {
            Passage::Plain => self.take_in(received, turn),
            Passage::Records(_) if is_handshaking => self.put_off_handshake(received, turn),
            Passage::Records(_) => self.receive_records(received, turn),
            Passage::Shut => self.receive_proxy_header(received, turn),
        }
    }

    /// The buffer in which the rest of a large message may be received. Input that must wait is lent,
    /// and put off.
    pub fn place(&mut self, hub: &CoreHub) -> Option<&mut Vec<u8>> {
        if !self.channel.is_direct() || self.input_waits() || hub.is_ahead(self.connection) {
            return None;
        }
        match &mut self.stage {
            Protocol::WebSocket(socket) => socket.place(),
            _ => None,
        }
    }

    /// Serves bytes that were received in [`Self::place`].
    pub fn take_placed(&mut self, length: usize, turn: &mut Turn<'_>) {
        self.serve_at_cost(length, turn, |peer, turn| peer.serve_frames(&mut [], length, turn));
    }

    /// Serves a WebSocket's input, or `placed` bytes that are where its message is assembled.
    #[inline]
    pub(super) fn serve_frames(
        &mut self,
        mut input: &mut [u8],
        placed: usize,
        turn: &mut Turn<'_>,
    ) {
        let earlier = self.settled(turn);
        let mut outbox = outbox!(self, turn);
        let Protocol::WebSocket(socket) = &mut self.stage else { return };
        // Its answer may not be taken, and then the connection ends.
        if earlier == Settled::Yes
            && let Some(session) = socket.session_mut()
        {
            session.settle_at(turn.hub);
        }
        let (connection, context) = (self.connection, &mut turn.context);
        let outcome =
            socket.receive(&mut input, placed, connection, turn.hub, context, &mut outbox);
        self.heard(outcome, earlier, input, turn);
    }

    /// Reads the header that names the client's address, if it is still to come.
    #[cold]
    fn receive_proxy_header(&mut self, received: &mut [u8], turn: &mut Turn<'_>) {
        let Some(earlier) = self.channel.proxy_header() else { return };
        let arrived = earlier.len();
        // The header's end is looked for in no more bytes than it may have.
        let length = received.len().min(PROXY_HEADER_BYTES_MAX - arrived);
        if earlier.try_reserve(length).is_err() {
            return self.fail_channel(ChannelError::OutOfMemory, turn);
        }
        earlier.extend_from_slice(&received[..length]);
        match proxy_header::read(earlier) {
            Ok(None) => {}
            Ok(Some(header)) => {
                self.channel.end_proxy_header();
                if self.channel.has_layer() {
                    self.begin(turn);
                }
                if let Some(source) = header.source {
                    self.come_from(source, turn);
                }
                if header.bytes - arrived < received.len() {
                    self.receive(&mut received[header.bytes - arrived..], turn);
                }
            }
            Err(NoProxyHeader) => self.refuse_without_header(turn),
        }
    }

    /// Ends a connection that should begin with a PROXY protocol header of a trusted proxy, and
    /// does not.
    pub fn refuse_without_header(&mut self, turn: &mut Turn<'_>) {
        self.note_channel_error(EndReason::ProxyHeader, turn);
        self.end(turn);
    }

    /// A trusted proxy says that the client is at this address; its limit applies.
    fn come_from(&mut self, source: SocketAddr, turn: &mut Turn<'_>) {
        turn.log.opened(self.connection, source);
        if !turn.context.settings.routes.is_empty() {
            turn.upstreams.note_address(self.connection, source.ip());
        }
        if let Some(permit) = self.permit.take() {
            turn.limiter.leave(permit);
        }
        let trusted = &turn.context.settings.server.trusted_proxies;
        match turn.limiter.admit(source.ip(), forwarded::origin(source.ip(), trusted)) {
            Ok(permit) => self.permit = Some(permit),
            Err(refusal) => {
                turn.context.metrics.refused.of(refusal).add(1);
                let told = Told::through(&mut self.channel);
                turn.log.turned_away(refusal, told, self.connection, source.ip(), turn.context.now);
                self.permit = turn.limiter.permit_outside();
                self.turn_away(refusal, turn);
            }
        }
    }

    /// Opens record by record, so that input before a broken one is served. Nothing is read after
    /// the end of a stream, or once the connection was closed.
    pub(super) fn receive_records(&mut self, mut received: &mut [u8], turn: &mut Turn<'_>) {
        while !received.is_empty()
            && self.channel.deferred().is_none_or(|deferred| deferred.end == End::Open)
            && let Some((opened, _)) = self.open_record(&mut received, turn)
        {
            self.take_record(opened, turn);
        }
    }

    /// Opens the next record and sends the layer's answer; also returns the length of the answer.
    /// `None`: the layer is gone.
    pub(super) fn open_record<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        turn: &mut Turn<'_>,
    ) -> Option<(Result<Opened<'b>, ChannelError>, usize)> {
        let Passage::Records(layer) = self.channel.inward() else { return None };
        let mut out = turn.context.scratch.take_records();
        let opened = layer.open(received, &mut out);
        let answer = out.len();
        outbox!(self, turn).write_past(&out);
        turn.context.scratch.put_records(out);
        Some((opened, answer))
    }

    /// Serves what was in a record. Nothing is opened after a broken one.
    pub(super) fn take_record(
        &mut self,
        opened: Result<Opened<'_>, ChannelError>,
        turn: &mut Turn<'_>,
    ) {
        match opened {
            Ok(Opened::Nothing) => {}
            Ok(Opened::InPlace(input)) => self.take_in(input, turn),
            Ok(Opened::Assembled(mut input)) => self.take_in(&mut input, turn),
            Ok(Opened::Ended) => self.end_of_stream(turn),
            Err(error) => self.fail_channel(error, turn),
        }
    }

    /// Ends reading. Input that waits for its turn came earlier, so it is served first.
    fn fail_channel(&mut self, error: ChannelError, turn: &mut Turn<'_>) {
        match error {
            ChannelError::Handshake(reason) => {
                self.note_failed_handshake(reason, turn);
                self.note_channel_error(EndReason::HandshakeFailed, turn);
            }
            ChannelError::PlainHttp => self.note_channel_error(EndReason::PlainHttp, turn),
            ChannelError::Record => self.note_channel_error(EndReason::RecordFault, turn),
            ChannelError::OutOfMemory => {
                turn.context.metrics.closed_for_memory.add(1);
                self.note_end(EndReason::Memory);
            }
        }
        if !self.puts_off_end(End::Broken, turn) {
            self.end_broken(turn);
        }
    }

    /// Whether the end must wait for deferred input or for a request; these are served first. Only
    /// the first end counts.
    pub(super) fn puts_off_end(&mut self, end: End, turn: &mut Turn<'_>) -> bool {
        if self.is_undecided() && self.channel.deferred().is_none() {
            self.put_off(&[], turn);
        }
        let Some(deferred) = self.channel.deferred_mut() else { return false };
        if deferred.end == End::Open {
            deferred.end = end;
        }
        true
    }

    /// Ends a connection whose channel is broken; the layer's last record is sent last.
    pub(super) fn end_broken(&mut self, turn: &mut Turn<'_>) {
        // Nothing would arrive after a backlog that the socket does not take.
        if self.sending.is_backlogged() {
            return self.end(turn);
        }
        self.retire(self.settled(turn), turn);
        outbox!(self, turn).finish();
        self.linger(turn);
    }

    /// Counts that a connection ends because of an error of its channel.
    pub(super) fn note_channel_error(&mut self, reason: EndReason, turn: &mut Turn<'_>) {
        turn.context.metrics.channel_errors.add(1);
        self.note_end(reason);
    }
}
