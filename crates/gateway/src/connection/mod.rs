//! One client: the protocol that its connection speaks, and when the connection ends.
//!
//! It owns the state and delegates every decision: HTTP to `edge`, frames to `transport`, events to
//! `session::delivery`, output to `outbox`. It never sees a socket.

mod awaiting;
mod deadlines;
mod deferring;
mod delivery;
mod departing;
mod farewell;
mod first_message;
pub mod handshakes;
mod holding;
mod identifying;
pub mod log;
mod pacing;
mod proxy;
mod receiving;
mod relay;
mod routing;
#[cfg(test)]
mod tests;
mod timers;

use std::time::Duration;

pub use self::timers::ToLeave;
use ringway_acceptor::{ConnectionId, Operation, Operations, Wheel};
use ringway_frame::{CloseCode, ReadyState};

use crate::{
    auth::Identification,
    connection::{
        deadlines::{Deadline, Deadlines},
        first_message::Authenticating,
        handshakes::Handshakes,
        identifying::Identifying,
        log::{ConnectionLog, EndReason, Transport},
        proxy::Proxy,
        relay::{Leaving, Relay},
    },
    edge::{
        action::Action,
        cors::Cors,
        limiter::{ConnectionLimiter, Origin, Permit},
        requests::{AfterHead, HttpConnection},
        response::{Part, Refused},
    },
    outbox::{
        Sending,
        channel::{Channel, End},
    },
    refusal::Refusal,
    session::{
        Session, Settled, core_hub::CoreHub, delivery::DeliveryContext, departures::Taken,
        ready::Effort,
    },
    transport::{
        long_poll::LongPoll,
        stream::{self, Stream},
        websocket::{InputOutcome, WebSocket},
    },
    upstream::CoreUpstreams,
};

pub use self::timers::ReadProgress;
use ringway_http::{Framing, KeepAlive};

/// What a core lends to the connection that it serves.
pub struct Turn<'a> {
    /// What serving a session needs.
    pub context: DeliveryContext<'a>,
    /// The core's side of the hub.
    pub hub: &'a mut CoreHub,
    /// The time of the core's turn before this one.
    pub before: Duration,
    /// The operations for the driver.
    pub operations: &'a mut Operations,
    /// The core's deadlines, by slot.
    pub wheel: &'a mut Wheel,
    /// The handshakes in progress on the core.
    pub handshakes: &'a mut Handshakes,
    /// Identifies clients.
    pub identities: &'a mut Identification,
    /// Counts the connections of the process.
    pub limiter: &'a ConnectionLimiter,
    /// Logs connections.
    pub log: &'a mut ConnectionLog,
    /// The core's connections to other servers.
    pub upstreams: &'a mut CoreUpstreams,
}

/// One client's connection.
pub struct ClientConnection {
    connection: ConnectionId,
    sending: Sending,
    /// The channel between socket and protocol, and input that waits for its turn.
    channel: Channel,
    deadlines: Deadlines,
    readiness: Readiness,
    effort: Effort,
    transport: Transport,
    end_reason: EndReason,
    stage: Protocol,
    permit: Option<Permit>,
    /// The bytes acknowledged when the client was last measured, cut to 32 bits.
    acknowledged: u32,
    /// The bytes counted for it in the core's account of memory.
    counted: u32,
}

/// The current protocol.
enum Protocol {
    /// Requests and responses.
    Http(HttpConnection),
    /// A request whose client is being identified; nothing is answered yet.
    Identifying(Box<Identifying>),
    /// Frames of a client that has not shown its token yet.
    Authenticating(Box<Authenticating>),
    /// Frames.
    WebSocket(WebSocket),
    /// An endless response.
    Stream(Stream),
    /// A request whose answer is delayed.
    Poll(LongPoll, HeldRequest),
    /// A request whose command is not answered yet, because its event has no place in the log.
    Posted(HeldRequest),
    /// Frames that another server serves, or a request for them that it has not answered.
    Relay(Box<Relay>),
    /// A request that another server answers.
    Proxy(Box<Proxy>),
    /// Everything was sent. Input is discarded until the peer's FIN: a close with unread input
    /// sends a reset, which could overtake the last bytes.
    Lingering,
    /// The peer has sent its FIN but may still be reading the backlog.
    Leaving,
    /// The driver was asked to close the connection.
    Closing,
}

/// A request whose answer is delayed.
struct HeldRequest {
    /// The CORS header lines of the answer, if there are any.
    cors: Option<Box<Cors>>,
    /// Whether the connection is kept after it.
    after: KeepAlive,
    /// The connection, which continues after the answer.
    http: HttpConnection,
}

/// Whether the connection is queued for the core's next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    None,
    Waiting,
    /// It gets a turn when its events have been sent (`session::ahead`).
    HeldBack,
    /// It gets that turn, and one before it.
    HeldBackAndWaiting,
}

/// The outbox of a connection in this turn; it borrows nothing else of the two.
macro_rules! outbox {
    ($peer:expr, $turn:expr) => {
        crate::outbox::Outbox::new(
            $peer.connection,
            &mut $peer.sending,
            &mut $peer.channel,
            $turn.operations,
            $turn.context.now,
        )
    };
}
use outbox;

impl ClientConnection {
    /// A client that has just connected and must send its first request in time.
    pub fn new(
        connection: ConnectionId,
        channel: Channel,
        permit: Permit,
        turn: &mut Turn<'_>,
    ) -> Self {
        let stage = Protocol::Http(HttpConnection::default());
        let mut peer = Self::at(connection, channel, stage, Some(permit));
        peer.begin(turn);
        peer
    }

    /// A client over a limit: sends it the refusal and ends the connection. A client whose channel
    /// begins with a handshake gets no refusal, as it could not read it yet; the log says so. If no
    /// extra permit is free either, the connection is closed at once, perhaps before the client has
    /// read the refusal.
    pub fn turned_away(
        connection: ConnectionId,
        channel: Channel,
        refusal: Refusal,
        permit: Option<Permit>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let mut peer = Self::at(connection, channel, Protocol::Lingering, permit);
        peer.turn_away(refusal, turn);
        peer
    }

    /// Sends the refusal of a client over a limit, and ends the connection.
    fn turn_away(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        self.note_end(EndReason::TurnedAway);
        self.stage = Protocol::Lingering;
        let mut outbox = outbox!(self, turn);
        let cors = Cors::unread(&turn.context.settings.cors.allowed_origins);
        let refused = Refused::by(refusal, turn.context.settings);
        outbox.write(|out| refused.write(out, &cors, Part::Whole, KeepAlive::Close));
        outbox.finish();
        if self.permit.is_some() {
            self.linger(turn);
        } else {
            self.end(turn);
        }
    }

    fn at(
        connection: ConnectionId,
        channel: Channel,
        stage: Protocol,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            connection,
            sending: Sending::default(),
            channel,
            deadlines: Deadlines::default(),
            readiness: Readiness::None,
            effort: Effort::Light,
            transport: Transport::Http,
            end_reason: EndReason::Other,
            stage,
            permit,
            acknowledged: 0,
            counted: 0,
        }
    }

    /// The name of the connection.
    #[inline]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The permit that is released when the connection ends.
    pub fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// Its session, if it has one.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Protocol::WebSocket(socket) => socket.session_mut(),
            Protocol::Stream(stream) => Some(&mut stream.session),
            Protocol::Poll(poll, _) => Some(&mut poll.session),
            _ => None,
        }
    }

    #[inline]
    fn serve_input(&mut self, mut input: &mut [u8], turn: &mut Turn<'_>) {
        while !input.is_empty() || self.is_in_large_message() {
            if self.is_awaiting() {
                return self.put_off(input, turn);
            }
            if matches!(self.stage, Protocol::WebSocket(_)) {
                return self.serve_frames(input, 0, turn);
            }
            // A request may cost as much as a new client. It is also much shorter than its answer,
            // so a client that does not read an answer does not get the next one.
            let must_wait = turn.hub.is_spent()
                || self.sending.is_backlogged()
                || turn.hub.is_ahead(self.connection);
            if must_wait && matches!(self.stage, Protocol::Http(_) | Protocol::Poll(..)) {
                return self.put_off(input, turn);
            }
            let mut outbox = outbox!(self, turn);
            match &mut self.stage {
                Protocol::Http(http) => {
                    let origin = self.permit.as_ref().map_or(Origin::Client, Permit::origin);
                    let settings = turn.context.settings;
                    let action = http.advance(&mut input, origin, settings, &mut outbox);
                    turn.hub.served.messages += u32::from(!matches!(action, Action::More));
                    self.proceed(action, AfterHead::of(input), turn);
                }
                Protocol::Authenticating(waiting) if !waiting.is_checked() => {
                    let (connection, context) = (self.connection, &mut turn.context);
                    let socket = &mut waiting.socket;
                    let outcome =
                        socket.receive(&mut input, 0, connection, turn.hub, context, &mut outbox);
                    if self.heard_first(outcome, input, turn).is_break() {
                        return;
                    }
                }
                Protocol::Relay(_) => return self.pass_on(input, turn),
                Protocol::Proxy(_) => return self.pass_body(input, turn),
                Protocol::Identifying(_) | Protocol::Authenticating(_) => {
                    return self.put_off(input, turn);
                }
                // A client that sends another request wants the first answer now.
                Protocol::Poll(..) => self.answer_poll(turn),
                Protocol::WebSocket(_)
                | Protocol::Stream(_)
                | Protocol::Posted(_)
                | Protocol::Lingering
                | Protocol::Leaving
                | Protocol::Closing => return,
            }
        }
    }

    /// Handles the end of the client's stream.
    pub fn end_of_stream(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.stage, Protocol::Leaving) {
            return;
        }
        if self.puts_off_end(End::Stream, turn) {
            return;
        }
        if self.channel.is_cut() {
            self.note_channel_error(EndReason::RecordCut, turn);
        }
        if matches!(self.stage, Protocol::Relay(_)) {
            return self.pass_on_end(turn);
        }
        if matches!(self.stage, Protocol::Proxy(_)) {
            return self.end_unfinished_request(turn);
        }
        self.note_end(EndReason::ClientEnded);
        // RFC 9112 §9.6: it may still read the answer to its request.
        self.answer_poll(turn);
        // The last record carries no event, so it does not matter whether it is taken.
        self.retire(self.settled(turn), turn);
        let is_backlogged = self.sending.is_backlogged();
        let is_unsettled = self.sending.is_unsettled(turn.context.now);
        if is_backlogged || is_unsettled || self.channel.has_layer() {
            outbox!(self, turn).finish();
        }
        self.linger(turn);
        self.stage = Protocol::Leaving;
        if !is_backlogged {
            self.leave(turn);
        }
    }

    /// The connection broke. If a send of the last turn failed, nothing of that send was taken.
    pub fn fail(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::ConnectionLost);
        self.leave_relay(Leaving::Reset, turn);
        self.leave_proxy(Leaving::Reset, turn);
        self.channel.end();
        if self.settled(turn) != Settled::Yes {
            self.retire(Settled::No, turn);
        }
        self.end(turn);
    }

    /// Closes the connection now.
    pub fn end(&mut self, turn: &mut Turn<'_>) {
        // A backlog is cut off, so the bytes in the kernel are not a complete message either.
        // They must not take memory for as long as the client does not read.
        match self.sending.is_backlogged() {
            true => self.end_by(Operation::Reset, turn),
            false => self.end_by(Operation::Close, turn),
        }
    }

    /// Drops the connection now, with what the client has not read.
    fn reset(&mut self, turn: &mut Turn<'_>) {
        self.end_by(Operation::Reset, turn);
    }

    fn end_by(&mut self, how: fn(ConnectionId) -> Operation, turn: &mut Turn<'_>) {
        if !matches!(self.stage, Protocol::Closing) {
            let settled = self.settled(turn);
            self.retire(settled, turn);
            if settled != Settled::Yes {
                let cut = turn.hub.departures.cut(self.connection);
                turn.hub.end_departures(cut, Taken::Part);
            }
            self.stage = Protocol::Closing;
            if !self.sending.is_backlogged() {
                outbox!(self, turn).end_channel();
            }
            self.channel.end();
            self.channel.take_deferred();
            self.clear_deadlines(turn);
            turn.operations.push(how(self.connection));
        }
    }

    /// Whether the driver still keeps bytes for the socket.
    pub fn is_backlogged(&self) -> bool {
        self.sending.is_backlogged()
    }

    /// Tells the client to leave, in the way of its protocol.
    pub fn close(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        match &self.stage {
            // A client that was already told gets no more time.
            Protocol::WebSocket(socket) if socket.ready_state() != ReadyState::Open => return,
            Protocol::Poll(..) => self.answer_poll(turn),
            Protocol::Relay(_) => return self.close_relay(turn),
            Protocol::Proxy(_) => return self.end(turn),
            Protocol::Identifying(_) => {
                return self.end_identifying(Err(Refusal::IdentityUnavailable), turn);
            }
            _ => {}
        }
        // Read before `retire`, which ends the stream's stage.
        let framing = match &self.stage {
            Protocol::Stream(stream) => stream.writer.framing,
            _ => Framing::Chunked,
        };
        self.retire(self.settled(turn), turn);
        if self.is_awaiting() || self.is_resting() {
            // The answer to the client's Close may be among its deferred input.
            self.be_ready(turn);
        }
        let mut outbox = outbox!(self, turn);
        match &mut self.stage {
            Protocol::WebSocket(socket) => {
                socket.close(code, reason, &mut outbox);
                self.await_close(turn);
            }
            Protocol::Http(_) | Protocol::Posted(_) => {
                outbox.finish();
                self.linger(turn);
            }
            Protocol::Stream(_) | Protocol::Poll(..) | Protocol::Lingering => {
                if !self.deadlines.is_set(Deadline::Close) {
                    stream::end(framing, &mut outbox);
                    self.linger(turn);
                }
            }
            Protocol::Identifying(_)
            | Protocol::Authenticating(_)
            | Protocol::Relay(_)
            | Protocol::Proxy(_)
            | Protocol::Leaving
            | Protocol::Closing => {}
        }
    }

    /// Handles the outcome of input on a WebSocket.
    #[inline]
    fn heard(&mut self, outcome: InputOutcome, earlier: Settled, rest: &[u8], turn: &mut Turn<'_>) {
        match outcome {
            InputOutcome::Ended(reason) => {
                // The answer to its Close carries no event.
                self.retire(earlier, turn);
                // If the gateway closed first, the reason was noted then.
                self.note_end(reason);
                outbox!(self, turn).finish();
                return self.linger(turn);
            }
            InputOutcome::Deferred => self.put_off(rest, turn),
            InputOutcome::AwaitsAnswer(awaited) => {
                self.await_answer(awaited, rest, turn);
            }
            InputOutcome::AwaitsInflating => {
                self.put_off(rest, turn);
                self.await_inflating(turn);
            }
            InputOutcome::Open | InputOutcome::Presented(_) => {}
        }
        if !self.deadlines.is_set(Deadline::Close) {
            self.time_message(turn);
            self.is_alive(turn);
        }
        self.after_commands(turn);
    }
}
