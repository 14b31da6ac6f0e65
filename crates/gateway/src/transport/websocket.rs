//! An open WebSocket: passes messages to its service, answers control frames, and closes.
//!
//! It never parses a frame itself, never decides what a control frame means (`ProtocolState` does),
//! and never touches a timer.

use std::sync::Arc;

use ringway_acceptor::ConnectionId;
use ringway_frame::{
    Allowance, CloseCode, Control, Message, MessageReader, ProtocolError, ProtocolState,
    ReadLimits, Reading, ReadyState, Received, Role, Unfinished, deflate::Agreement,
};

use crate::{
    auth::Secret,
    broker::Awaited,
    config::{reference::ConfigReference, settings::Settings},
    limits::{FIRST_MESSAGE_BYTES_MAX, MESSAGE_COST, PLAIN_BYTES_PER_COST},
    memory::OutOfMemory,
    outbox::Outbox,
    refusal::EndReason,
    session::{Session, core_hub::CoreHub, delivery::DeliveryContext, perform::Caller},
    subprotocol::{Codec, Subprotocol},
    transport::{
        commands::{carry_out, token_in},
        compression::{Compression, Sharing},
        echo,
        frames::Frames,
    },
};

/// A WebSocket in the server's role.
pub struct WebSocket {
    reader: MessageReader,
    compression: Option<Box<Compression>>,
    protocol: ProtocolState,
    partial: PartialMessage,
    subprotocol: Subprotocol,
    service: Service,
    /// The session, if the service has one.
    session: Option<Box<Session>>,
}

/// Whether a message has begun that is not complete yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialMessage {
    /// No message has begun.
    None,
    /// A message has begun since this was last read.
    Begun,
    /// A message had already begun when this was last read.
    Known,
}

/// The service that gets the messages. Stored next to the session, which saves eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// Messages are sent back.
    Echo,
    /// The first message shows the client's token. Nothing follows it until the client is known.
    FirstMessage,
    /// Messages are commands of a client of the hub; ignored once its session has ended.
    Session,
}

/// What follows the input of a WebSocket.
#[derive(Debug)]
pub enum InputOutcome {
    /// All input was served.
    Open,
    /// The rest of the input waits for the next turn, so that others are served.
    Deferred,
    /// The message inflates to so much that it waits until another connection's large message is
    /// complete.
    AwaitsInflating,
    /// The rest of the input waits for the answer to a command.
    AwaitsAnswer(Arc<Awaited>),
    /// The first message has come; `None`: without a token, which is an error.
    Presented(Option<Secret>),
    /// The last frame was sent and nothing more will be read: the stream must end now.
    Ended(EndReason),
}

impl WebSocket {
    /// A WebSocket that was just opened, on `/echo`.
    pub fn echoing(
        agreement: Option<&Agreement>,
        subprotocol: Subprotocol,
        settings: &Settings,
    ) -> Self {
        Self::new(agreement, subprotocol, settings, Service::Echo)
    }

    /// A WebSocket that was just opened, on `/ws`. It has no client until [`Self::identify`].
    pub fn unidentified(
        agreement: Option<&Agreement>,
        subprotocol: Subprotocol,
        settings: &Settings,
    ) -> Self {
        Self::new(agreement, subprotocol, settings, Service::FirstMessage)
    }

    /// The client is known; messages are its commands from here on.
    pub fn identify(&mut self, session: Box<Session>) {
        (self.service, self.session) = (Service::Session, Some(session));
    }

    fn new(
        agreement: Option<&Agreement>,
        subprotocol: Subprotocol,
        settings: &Settings,
        service: Service,
    ) -> Self {
        let (reader, compression) = match (agreement, settings.deflate_policy()) {
            (Some(agreement), Some(policy)) => (
                MessageReader::with_deflate(Role::Server, agreement),
                Some(Box::new(Compression::new(*agreement, policy))),
            ),
            _ => (MessageReader::new(Role::Server), None),
        };
        let session = None;
        let (protocol, partial) = (ProtocolState::new(Role::Server), PartialMessage::None);
        Self { reader, compression, protocol, partial, subprotocol, service, session }
    }

    /// Where the rest of a large message may be received.
    pub fn place(&mut self) -> Option<&mut Vec<u8>> {
        if self.is_in_large_message() { None } else { self.reader.place() }
    }

    /// Serves the messages in `input`, or the one that ends with the last `placed` bytes of
    /// [`Self::place`]: all of them, or as many as one client may cost now.
    pub fn receive(
        &mut self,
        input: &mut &mut [u8],
        mut placed: usize,
        connection: ConnectionId,
        hub: &mut CoreHub,
        context: &mut DeliveryContext<'_>,
        outbox: &mut Outbox<'_>,
    ) -> InputOutcome {
        let limits = self.limits(context.settings);
        let start = hub.spent.get();
        loop {
            let cost = hub.spent.get() - start;
            if hub.is_ahead(connection) && !input.is_empty() {
                return InputOutcome::Deferred;
            }
            if cost > 0
                && (cost >= hub.slice.get() || hub.is_spent() || outbox.is_paused())
                && (!input.is_empty() || self.is_in_large_message())
            {
                return InputOutcome::Deferred;
            }
            // Without compression nothing is inflated, and nothing is sent in parts.
            let mut allowance = Allowance::UNBOUNDED;
            if let Some(compression) = self.compression.as_deref_mut() {
                if compression.is_parted() {
                    let sent = compression.send_part(context.scratch, outbox);
                    hub.spend(context.scratch.take_cost());
                    if !compression.is_parted() {
                        hub.ready.end_inflating(connection);
                    }
                    if let Err(OutOfMemory) = sent {
                        return self.fail_by(ProtocolError::OutOfMemory, context, outbox);
                    }
                    continue;
                }
                let may_inflate = hub.ready.may_inflate(connection);
                if self.reader.is_inflating() && !may_inflate {
                    return InputOutcome::AwaitsInflating;
                }
                let unfinished = match may_inflate {
                    true => Unfinished::Kept,
                    false => Unfinished::Dropped,
                };
                let bytes = hub.slice.get().saturating_sub(cost).max(1);
                allowance = Allowance::of(bytes, unfinished);
            }
            let allowed = allowance.bytes;
            let waiting = input.len() + placed;
            let reading = match std::mem::take(&mut placed) {
                0 => self.reader.read_within(input, &limits, &mut allowance),
                length => self.reader.read_placed(length, &limits, &mut allowance),
            };
            let inflated = allowed - allowance.bytes;
            hub.served.messages += allowance.fragments;
            hub.spend(MESSAGE_COST + inflated + (waiting - input.len()) / PLAIN_BYTES_PER_COST);
            let message = match reading {
                Ok(Reading::Message(message)) => {
                    hub.served.messages += 1;
                    message
                }
                Ok(Reading::InputUsed) => {
                    self.note_message();
                    return InputOutcome::Open;
                }
                // The message is complete on our side, so its deadline ends here.
                Ok(Reading::AllowanceUsed) if allowance.unfinished == Unfinished::Dropped => {
                    self.partial = PartialMessage::None;
                    return InputOutcome::AwaitsInflating;
                }
                Ok(Reading::AllowanceUsed) => {
                    self.partial = PartialMessage::None;
                    hub.ready.begin_inflating(connection);
                    return InputOutcome::Deferred;
                }
                Err(fault) => return self.fail_by(fault, context, outbox),
            };
            // A message to serve bypasses `Received`: moving it through that costs 8 ns.
            let payload = match message {
                Message::Text(payload) | Message::Binary(payload) if self.protocol.is_open() => {
                    payload
                }
                message => match self.protocol.receive(message) {
                    Received::Ping(pong) => {
                        outbox.write(|out| pong.emit(out, None));
                        continue;
                    }
                    Received::Close { answer, .. } => {
                        send(answer, outbox);
                        return self.outcome(EndReason::ClientClosed);
                    }
                    Received::Data(..)
                    | Received::Late(..)
                    | Received::Pong(_)
                    | Received::Discarded => continue,
                },
            };
            self.partial = PartialMessage::None;
            let compression = self.compression.as_deref_mut();
            let mut presented = None;
            let served = match (self.service, &mut self.session) {
                (Service::Echo, _) => {
                    echo::echo(payload, compression, context.scratch, outbox).map(|()| None)
                }
                (Service::Session, Some(session)) => {
                    let Some(text) = payload.as_str() else {
                        // The subprotocol is text (RFC 6455 §7.4.1: a kind that is not accepted).
                        let code = CloseCode::UNSUPPORTED;
                        self.fail(code, "this subprotocol accepts only text messages", outbox);
                        return self.outcome(EndReason::ProtocolFault);
                    };
                    let mut caller = Caller::Session { session, connection };
                    let codec = self.subprotocol.codec();
                    let frames = Frames(compression);
                    carry_out(codec, text, &mut caller, frames, hub, context, outbox)
                }
                (Service::FirstMessage, _) => {
                    let codec = self.subprotocol.codec();
                    presented = Some(payload.as_str().and_then(|text| token_in(codec, text)));
                    Ok(None)
                }
                (Service::Session, None) => Ok(None),
            };
            hub.spend(context.scratch.take_cost());
            if inflated > 0 && !self.is_in_large_message() {
                hub.ready.end_inflating(connection);
            }
            if let Some(token) = presented {
                return InputOutcome::Presented(token);
            }
            match served {
                // It is closed before it makes more of them.
                Ok(None) if hub.served.errors > context.settings.limits.errors_max => {
                    return InputOutcome::Deferred;
                }
                Ok(None) => {}
                Ok(Some(awaited)) => return InputOutcome::AwaitsAnswer(awaited),
                Err(OutOfMemory) => {
                    return self.fail_by(ProtocolError::OutOfMemory, context, outbox);
                }
            }
        }
    }

    /// The codec of its subprotocol.
    pub fn codec(&self) -> &'static dyn Codec {
        self.subprotocol.codec()
    }

    /// Answers a command that had to wait for its outcome.
    ///
    /// # Errors
    /// [`OutOfMemory`] for the answer.
    pub fn answer(
        &mut self,
        answer: &[u8],
        context: &mut DeliveryContext<'_>,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        let Some((_, mut frames)) = self.delivery() else { return Ok(()) };
        frames.answer(answer, context.scratch, outbox)
    }

    /// Whether a large message is being inflated or echoed, which needs turns without input.
    #[inline]
    pub fn is_in_large_message(&self) -> bool {
        let is_parted = self.compression.as_ref().is_some_and(|own| own.is_parted());
        is_parted || self.reader.is_inflating()
    }

    /// Bytes that are kept for an unfinished message, or for a large one that is being echoed.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.reader.held_bytes() + self.compression.as_ref().map_or(0, |own| own.held_bytes())
    }

    /// Whether a message has begun that is not complete yet.
    pub fn is_in_message(&self) -> bool {
        self.partial != PartialMessage::None
    }

    /// As [`Self::is_in_message`]; `Begun` is returned once for each message, then `Known`.
    #[inline]
    pub fn note_partial(&mut self) -> PartialMessage {
        let partial = self.partial;
        if partial == PartialMessage::Begun {
            self.partial = PartialMessage::Known;
        }
        partial
    }

    /// All input was read: notes whether it ends inside a message.
    #[inline]
    fn note_message(&mut self) {
        if self.reader.is_idle() {
            self.partial = PartialMessage::None;
        } else if self.partial == PartialMessage::None {
            self.partial = PartialMessage::Begun;
        }
    }

    /// Its session, if it has one.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    /// Its session, and the writer for its events.
    pub fn delivery(&mut self) -> Option<(&mut Session, Frames<'_>)> {
        let session = self.session.as_deref_mut().filter(|_| self.protocol.is_open())?;
        Some((session, Frames(self.compression.as_deref_mut())))
    }

    /// Whether it is sent events that were compressed once for many clients.
    pub fn shares_deflate(&self) -> bool {
        let compression = self.compression.as_ref();
        self.session.is_some() && compression.is_some_and(|own| own.sharing() == Sharing::Possible)
    }

    /// Takes its session away: no more commands or events are served.
    pub fn retire(&mut self) -> Option<Box<Session>> {
        self.session.take()
    }

    /// Pings the peer.
    pub fn ping(&mut self, outbox: &mut Outbox<'_>) {
        send(self.protocol.ping(b""), outbox);
    }

    /// Begins the closing handshake, unless it has begun.
    pub fn close(&mut self, code: CloseCode, reason: &str, outbox: &mut Outbox<'_>) {
        let close = self.protocol.close(code, reason);
        self.send_last(close, outbox);
    }

    /// RFC 6455 §7.1.7: tells the peer why, then nothing more is sent or read.
    pub fn fail(&mut self, code: CloseCode, reason: &str, outbox: &mut Outbox<'_>) {
        let close = self.protocol.fail(code, reason);
        self.send_last(close, outbox);
    }

    /// How far the closing handshake has come.
    pub fn ready_state(&self) -> ReadyState {
        self.protocol.ready_state()
    }

    fn send_last(&mut self, close: Option<Control<'_>>, outbox: &mut Outbox<'_>) {
        if let Some(compression) = &mut self.compression {
            compression.abandon();
        }
        send(close, outbox);
    }

    /// The outcome after a Close or a fault.
    fn outcome(&self, reason: EndReason) -> InputOutcome {
        match self.protocol.ends_stream() {
            true => InputOutcome::Ended(reason),
            false => InputOutcome::Open,
        }
    }

    fn limits(&self, settings: &Settings) -> ReadLimits {
        match self.service {
            Service::Echo => settings.echo(),
            Service::Session => settings.message(),
            Service::FirstMessage => {
                let limits = settings.message();
                let message_bytes_max = limits.message_bytes_max.min(FIRST_MESSAGE_BYTES_MAX);
                ReadLimits { message_bytes_max, ..limits }
            }
        }
    }

    /// Fails because of a fault.
    fn fail_by(
        &mut self,
        fault: ProtocolError,
        context: &DeliveryContext<'_>,
        outbox: &mut Outbox<'_>,
    ) -> InputOutcome {
        if fault == ProtocolError::OutOfMemory {
            context.metrics.closed_for_memory.add(1);
        }
        let reason = match self.limit(fault, context.settings) {
            Some(limit) => format!("{fault}: {limit}"),
            None => fault.to_string(),
        };
        self.fail(fault.close_code(), &reason, outbox);
        self.outcome(match fault {
            ProtocolError::OutOfMemory => EndReason::Memory,
            ProtocolError::TooBig | ProtocolError::FrameTooBig => EndReason::TooBig,
            _ => EndReason::ProtocolFault,
        })
    }

    /// The limit that the fault exceeded.
    fn limit(&self, fault: ProtocolError, settings: &Settings) -> Option<ConfigReference> {
        let limits = self.limits(settings);
        let message_key = match self.service {
            Service::Echo => "websocket.echo_message_bytes_max",
            Service::Session | Service::FirstMessage => "websocket.message_bytes_max",
        };
        let bytes = |key, bytes: u64| Some(ConfigReference::bytes(key, bytes as usize));
        match fault {
            ProtocolError::FrameTooBig => {
                bytes("websocket.frame_bytes_max", limits.frame_bytes_max)
            }
            ProtocolError::TooBig => bytes(message_key, limits.message_bytes_max),
            ProtocolError::OutOfMemory => Some(ConfigReference::memory(settings.memory_bytes)),
            _ => None,
        }
    }
}

/// Sends a control frame, if there is one.
fn send(frame: Option<Control<'_>>, outbox: &mut Outbox<'_>) {
    if let Some(frame) = frame {
        outbox.write(|out| frame.emit(out, None));
    }
}
