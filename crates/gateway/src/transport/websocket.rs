//! An open WebSocket: messages to its service, control frames answered, the closing handshake.
//!
//! It never parses a frame itself and never touches a timer.

use std::{sync::Arc, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_frame::{
    Allowance, CloseCode, Message, MessageReader, Opcode, ProtocolError, ReadLimits, Reading, Role,
    Unfinished, deflate::Agreement, emit_close, emit_ping, emit_pong,
};

use crate::{
    broker::Awaited,
    config::{reference::ConfigReference, settings::Settings},
    limits::{MESSAGE_COST, PLAIN_BYTES_PER_COST},
    memory::OutOfMemory,
    outbox::Outbox,
    session::{
        Session,
        core_hub::CoreHub,
        delivery::{DeliveryContext, EventWriter, ServerMessage},
        perform::Caller,
    },
    subprotocol::{self, Codec, Subprotocol, Verdict},
    transport::{
        compression::{Compression, Sharing},
        echo,
        frames::Frames,
    },
};

/// A WebSocket in the server's role.
pub struct WebSocket {
    reader: MessageReader,
    compression: Option<Box<Compression>>,
    closing: Closing,
    /// When the message began that is not whole yet; it fits beside `closing`.
    message_since: Moment,
    subprotocol: Subprotocol,
    service: Service,
}

/// A time in milliseconds, cut to 32 bits; zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moment(u32);

impl Moment {
    const NONE: Self = Self(0);

    fn at(now: Duration) -> Self {
        Self((now.as_millis() as u32).max(1))
    }
}

/// Who gets the messages.
enum Service {
    /// They go back.
    Echo,
    /// A client of the hub.
    Session(Box<Session>),
    /// Nobody any more.
    None,
}

/// RFC 6455 §7: where the closing handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Not begun.
    Open,
    /// Our Close is sent; messages that cross it are discarded.
    Sent,
}

/// Whether the WebSocket goes on.
#[derive(Debug)]
pub enum InputOutcome {
    /// It does.
    Open,
    /// It does, but the rest of the input waits for the next turn: others are to be served.
    Deferred,
    /// It does, but its message inflates to so much that it waits for the one that another
    /// connection has in work.
    AwaitsInflating,
    /// It does, but the rest of the input waits for the answer to a command.
    AwaitsAnswer(Arc<Awaited>),
    /// The last frame was sent; nothing more will be read.
    Ended,
}

impl WebSocket {
    /// A WebSocket that has just been agreed on; one of `/ws` is given its session.
    pub fn new(
        agreement: Option<&Agreement>,
        subprotocol: Subprotocol,
        settings: &Settings,
        session: Option<Box<Session>>,
    ) -> Self {
        let (reader, compression) = match (agreement, settings.deflate_policy()) {
            (Some(agreement), Some(policy)) => (
                MessageReader::with_deflate(Role::Server, agreement),
                Some(Box::new(Compression::new(*agreement, policy))),
            ),
            _ => (MessageReader::new(Role::Server), None),
        };
        let service = match session {
            Some(session) => Service::Session(session),
            None => Service::Echo,
        };
        let (closing, message_since) = (Closing::Open, Moment::NONE);
        Self { reader, compression, closing, message_since, subprotocol, service }
    }

    /// Reads `input` and serves what it holds: all of it, or as much as one client may cost now.
    pub fn receive(
        &mut self,
        input: &mut &mut [u8],
        connection: ConnectionId,
        hub: &mut CoreHub,
        context: &mut DeliveryContext<'_>,
        outbox: &mut Outbox<'_>,
    ) -> InputOutcome {
        let limits = self.limits(context.settings);
        let start = hub.spent.get();
        loop {
            let cost = hub.spent.get() - start;
            if cost > 0
                && (cost >= hub.slice.get() || hub.is_spent() || outbox.is_paused())
                && (!input.is_empty() || self.is_in_large_message())
            {
                return InputOutcome::Deferred;
            }
            if let Some(compression) = self.compression.as_deref_mut().filter(|own| own.is_parted())
            {
                let sent = compression.send_part(context.scratch, outbox);
                hub.spend(context.scratch.take_cost());
                if !compression.is_parted() {
                    hub.ready.end_inflating(connection);
                }
                if let Err(OutOfMemory) = sent {
                    return self.fail(ProtocolError::OutOfMemory, context, outbox);
                }
                continue;
            }
            if self.reader.is_inflating() && !hub.ready.may_inflate(connection) {
                return InputOutcome::AwaitsInflating;
            }
            let mut allowance = Allowance {
                bytes: hub.slice.get().saturating_sub(cost).max(1),
                unfinished: match hub.ready.may_inflate(connection) {
                    true => Unfinished::Kept,
                    false => Unfinished::Dropped,
                },
            };
            let allowed = allowance.bytes;
            let reading = self.reader.read_within(input, &limits, &mut allowance);
            let inflated = allowed - allowance.bytes;
            hub.spend(MESSAGE_COST + inflated);
            let message = match reading {
                Ok(Reading::Message(message)) => message,
                Ok(Reading::InputUsed) => {
                    self.note_message(context.now);
                    return InputOutcome::Open;
                }
                // The message is whole: it takes its time here.
                Ok(Reading::AllowanceUsed) if allowance.unfinished == Unfinished::Dropped => {
                    self.message_since = Moment::NONE;
                    return InputOutcome::AwaitsInflating;
                }
                Ok(Reading::AllowanceUsed) => {
                    self.message_since = Moment::NONE;
                    hub.ready.begin_inflating(connection);
                    return InputOutcome::Deferred;
                }
                Err(fault) => return self.fail(fault, context, outbox),
            };
            let (opcode, payload) = match message {
                // RFC 6455 §5.5.1: our Close was the last frame.
                Message::Text(_) | Message::Binary(_) | Message::Ping(_)
                    if self.closing == Closing::Sent =>
                {
                    continue;
                }
                Message::Text(payload) => (Opcode::Text, payload),
                Message::Binary(payload) => (Opcode::Binary, payload),
                Message::Ping(payload) => {
                    outbox.write(|out| emit_pong(out, None, payload));
                    continue;
                }
                Message::Pong(_) => continue,
                // RFC 6455 §5.5.1: answered with the same code, once.
                Message::Close(code, _) => {
                    if self.closing == Closing::Open {
                        outbox.write(|out| emit_close(out, None, code, ""));
                    }
                    return InputOutcome::Ended;
                }
            };
            self.message_since = Moment::NONE;
            if inflated == 0 {
                hub.spend(payload.len() / PLAIN_BYTES_PER_COST);
            }
            let compression = self.compression.as_deref_mut();
            let served = match &mut self.service {
                Service::Echo => {
                    echo::echo(opcode, payload, compression, context.scratch, outbox).map(|()| None)
                }
                Service::Session(session) => {
                    let Some(text) = payload.as_str() else {
                        // The subprotocol is text (RFC 6455 §7.4.1: a kind that is not accepted).
                        let code = CloseCode::UNSUPPORTED;
                        self.close(code, "this subprotocol has text messages only", outbox);
                        return InputOutcome::Ended;
                    };
                    let mut caller = Caller::Session { session, connection };
                    let codec = self.subprotocol.codec();
                    let frames = Frames(compression);
                    carry_out(codec, text, &mut caller, frames, hub, context, outbox)
                }
                Service::None => Ok(None),
            };
            hub.spend(context.scratch.take_cost());
            if inflated > 0 && !self.is_in_large_message() {
                hub.ready.end_inflating(connection);
            }
            match served {
                Ok(None) => {}
                Ok(Some(awaited)) => return InputOutcome::AwaitsAnswer(awaited),
                Err(OutOfMemory) => return self.fail(ProtocolError::OutOfMemory, context, outbox),
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

    /// Whether a large message is being inflated, or sent back: there is something to do without
    /// input.
    #[inline]
    pub fn is_in_large_message(&self) -> bool {
        let is_parted = self.compression.as_ref().is_some_and(|own| own.is_parted());
        is_parted || self.reader.is_inflating()
    }

    /// Bytes of memory that are kept for what has come of a message, or for a large one that is
    /// sent back.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.reader.held_bytes() + self.compression.as_ref().map_or(0, |own| own.held_bytes())
    }

    /// When the message that has begun must be whole; `None` while there is none.
    #[inline]
    pub fn message_due(&self, settings: &Settings, now: Duration) -> Option<Duration> {
        let Moment(since @ 1..) = self.message_since else { return None };
        let elapsed = Duration::from_millis(Moment::at(now).0.wrapping_sub(since).into());
        Some((now + settings.websocket.message_timeout).saturating_sub(elapsed))
    }

    /// The message that has begun may take its whole time from now on: until now it was not read.
    pub fn grant_time(&mut self, now: Duration) {
        if self.message_since != Moment::NONE {
            self.message_since = Moment::at(now);
        }
    }

    /// All input was read: notes whether it ends inside a message.
    #[inline]
    fn note_message(&mut self, now: Duration) {
        if self.reader.is_idle() {
            self.message_since = Moment::NONE;
        } else if self.message_since == Moment::NONE {
            self.message_since = Moment::at(now);
        }
    }

    /// Its session, if it has one.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.service {
            Service::Session(session) => Some(session),
            Service::Echo | Service::None => None,
        }
    }

    /// Its session, and the form in which it is sent events.
    pub fn delivery(&mut self) -> Option<(&mut Session, Frames<'_>)> {
        match &mut self.service {
            Service::Session(session) => Some((session, Frames(self.compression.as_deref_mut()))),
            Service::Echo | Service::None => None,
        }
    }

    /// Whether it is sent events that were compressed for many.
    pub fn shares_deflate(&self) -> bool {
        let is_session = matches!(self.service, Service::Session(_));
        let compression = self.compression.as_ref();
        is_session && compression.is_some_and(|own| own.sharing() == Sharing::Possible)
    }

    /// Takes its session away: nothing more is served.
    pub fn retire(&mut self) -> Option<Box<Session>> {
        match std::mem::replace(&mut self.service, Service::None) {
            Service::Session(session) => Some(session),
            Service::Echo | Service::None => None,
        }
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self, outbox: &mut Outbox<'_>) {
        outbox.write(|out| emit_ping(out, None, b""));
    }

    /// Begins the closing handshake, unless it has begun.
    pub fn close(&mut self, code: CloseCode, reason: &str, outbox: &mut Outbox<'_>) {
        if self.closing == Closing::Open {
            self.closing = Closing::Sent;
            if let Some(compression) = &mut self.compression {
                compression.abandon();
            }
            outbox.write(|out| emit_close(out, None, code, reason));
        }
    }

    /// Whether our Close is sent.
    pub fn is_closing(&self) -> bool {
        self.closing == Closing::Sent
    }

    fn limits(&self, settings: &Settings) -> ReadLimits {
        match self.service {
            Service::Echo => settings.echo(),
            Service::Session(_) | Service::None => settings.message(),
        }
    }

    /// RFC 6455 §7.1.7: says why, then nothing more.
    fn fail(
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
        self.close(fault.close_code(), &reason, outbox);
        InputOutcome::Ended
    }

    /// The limit that a fault has met.
    fn limit(&self, fault: ProtocolError, settings: &Settings) -> Option<ConfigReference> {
        let limits = self.limits(settings);
        let message_key = match self.service {
            Service::Echo => "websocket.echo_message_bytes_max",
            Service::Session(_) | Service::None => "websocket.message_bytes_max",
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

/// Carries out a command, and answers it, unless it is to be answered later.
///
/// # Errors
/// [`OutOfMemory`] for the answer.
fn carry_out(
    codec: &dyn Codec,
    text: &str,
    caller: &mut Caller<'_>,
    mut frames: Frames<'_>,
    hub: &mut CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<Option<Arc<Awaited>>, OutOfMemory> {
    let mut answer = context.scratch.take_buffer();
    let (settings, now) = (context.settings, context.now);
    let verdict = subprotocol::serve(codec, text, caller, hub, settings, now, &mut answer);
    let answered = match &verdict {
        Verdict::Awaited(_) => Ok(()),
        _ => frames.answer(&answer, context.scratch, outbox),
    };
    if let Verdict::DoneWithGap((from, to)) = verdict {
        context.metrics.gaps.add(1);
        frames.server_message(ServerMessage::Gap { from, to }, context.scratch, outbox);
    }
    context.scratch.put_buffer(answer);
    answered.map(|()| match verdict {
        Verdict::Awaited(awaited) => Some(awaited),
        _ => None,
    })
}
