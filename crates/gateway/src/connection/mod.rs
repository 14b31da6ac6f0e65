//! One client: which protocol its connection speaks, and until when.
//!
//! It owns the state and delegates every decision: HTTP to `edge`, frames to `transport`, events
//! to `session::delivery`, what is sent to `outbox`. It never sees a socket.

mod deferring;
mod feeding;
mod holding;
mod life;
pub mod log;
mod opening;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::life::ToLeave;
use ringway_acceptor::{Connection, Operation, Operations, Wheel};
use ringway_frame::CloseCode;
use ringway_hub::Name;

use crate::{
    config::settings::Settings,
    connection::{
        deferring::{Deferred, End},
        log::{ConnectionLog, EndReason, Transport},
    },
    edge::{
        cors::Cors,
        limiter::Seat,
        requests::HttpConnection,
        response::{Part, Refused},
    },
    encoding::scratch::Workbench,
    memory::MemoryBudget,
    metrics::CoreMetrics,
    outbox::{Outbox, Sending},
    refusal::Refusal,
    session::{
        Session, Settled, core_hub::Desk, delivery::Serving, departures::Departure, ready::Effort,
    },
    transport::{
        long_poll::LongPoll,
        stream::{self, Stream},
        websocket::{Outcome, WebSocket},
    },
};

pub use self::life::Progress;
use ringway_http::{Framing, KeepAlive};

/// What a core lends to the peer that it serves.
pub struct Turn<'a> {
    /// Time since the process started.
    pub now: Duration,
    /// The time of the core's turn before this one.
    pub before: Duration,
    /// What the driver is asked to do.
    pub operations: &'a mut Operations,
    /// The core's deadlines, by slot.
    pub wheel: &'a mut Wheel,
    /// What all peers go by.
    pub settings: &'a Settings,
    /// Memory lent for the call.
    pub bench: &'a mut Workbench,
    /// The core's side of the hub.
    pub desk: &'a mut Desk,
    /// What the process may buffer.
    pub memory: &'a MemoryBudget,
    /// What is counted.
    pub metrics: &'a CoreMetrics,
    /// What is logged of connections.
    pub log: &'a mut ConnectionLog,
}

/// One client's connection.
pub struct Peer {
    connection: Connection,
    sending: Sending,
    life: Life,
    readiness: Readiness,
    effort: Effort,
    transport: Transport,
    end_reason: EndReason,
    stage: Stage,
    seat: Option<Seat>,
    /// What it had acknowledged when it was last measured, cut to 32 bits.
    acknowledged: u32,
    /// The bytes that it is counted with in the core's account of memory.
    counted: u32,
    /// Input that waits for its turn.
    deferred: Option<Box<Deferred>>,
}

/// The protocol of the moment.
enum Stage {
    /// Requests and responses.
    Http(HttpConnection),
    /// Frames.
    WebSocket(WebSocket),
    /// A response without an end.
    Stream(Stream),
    /// A request whose answer is held back.
    Poll(LongPoll, PollRequest),
    /// Everything was sent. Input is discarded until the peer's FIN: a close with unread input
    /// sends a reset, which could overtake the last bytes.
    Lingering,
    /// The peer has sent its FIN but may still be reading what is backlogged.
    Leaving,
    /// The driver was asked to close the connection.
    Closing,
}

/// The request that a poll is the answer to.
struct PollRequest {
    /// Who may read the answer, where that is to be said.
    cors: Option<Box<Cors>>,
    /// What becomes of the connection after it.
    after: KeepAlive,
    /// The connection, which goes on after the answer.
    http: HttpConnection,
}

/// What the time-out of the connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// A request is due.
    RequestDue,
    /// The next request may come.
    BetweenRequests,
    /// The peer was heard, or has read.
    Heard,
    /// The peer was asked for a sign of life, or is to read what it was sent.
    Asked,
    /// The answer to a poll is due.
    AnswerDue,
    /// The end is due.
    EndDue,
}

/// Whether the peer waits for the core's next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Waiting,
    None,
}

/// Splits a turn into what serving a session takes and the rest.
macro_rules! serving {
    ($turn:expr) => {
        Serving {
            now: $turn.now,
            settings: $turn.settings,
            bench: &mut *$turn.bench,
            memory: $turn.memory,
            metrics: $turn.metrics,
        }
    };
}
use serving;

impl Peer {
    /// A client that has just connected; its first request is due.
    pub fn new(connection: Connection, seat: Seat, turn: &mut Turn<'_>) -> Self {
        let stage = Stage::Http(HttpConnection::default());
        let peer = Self::at(connection, Life::RequestDue, stage, Some(seat));
        turn.wheel.touch(connection.slot(), turn.now + turn.settings.limits.handshake_timeout);
        peer
    }

    /// A client over a limit: sends it the refusal and ends the connection. If no seat outside is
    /// free either, the connection is closed at once, perhaps before the client has read why.
    pub fn turned_away(
        connection: Connection,
        refusal: Refusal,
        seat: Option<Seat>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let may_linger = seat.is_some();
        let mut peer = Self::at(connection, Life::EndDue, Stage::Lingering, seat);
        peer.note_end(EndReason::TurnedAway);
        let mut outbox = Outbox::new(connection, &mut peer.sending, turn.operations, turn.now);
        let cors = Cors::unread(&turn.settings.cors.allowed_origins);
        let refused = Refused::by(refusal, turn.settings);
        outbox.write(|out| refused.write(out, &cors, Part::Whole, KeepAlive::Close));
        outbox.finish();
        if may_linger {
            peer.linger(turn);
        } else {
            peer.end(turn);
        }
        peer
    }

    fn at(connection: Connection, life: Life, stage: Stage, seat: Option<Seat>) -> Self {
        Self {
            connection,
            sending: Sending::default(),
            life,
            readiness: Readiness::None,
            effort: Effort::Light,
            transport: Transport::Http,
            end_reason: EndReason::Other,
            stage,
            seat,
            acknowledged: 0,
            counted: 0,
            deferred: None,
        }
    }

    /// The name of the connection.
    #[inline]
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// The seat that the peer gives up by leaving.
    pub fn take_seat(&mut self) -> Option<Seat> {
        self.seat.take()
    }

    /// Its place in the hub, if it has one.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::WebSocket(socket) => socket.session_mut(),
            Stage::Stream(stream) => Some(&mut stream.session),
            Stage::Poll(poll, _) => Some(&mut poll.session),
            _ => None,
        }
    }

    #[inline]
    fn serve_input(&mut self, mut input: &mut [u8], turn: &mut Turn<'_>) {
        while !input.is_empty() || self.is_in_large_message() {
            // A request may cost as much as a new client. It is also much shorter than its answer,
            // so a client that does not read an answer does not get the next one.
            let must_wait = turn.desk.is_spent() || self.sending.is_backlogged();
            if must_wait && matches!(self.stage, Stage::Http(_) | Stage::Poll(..)) {
                return self.put_off(input, turn);
            }
            let earlier = self.settled(turn);
            let mut outbox =
                Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
            match &mut self.stage {
                Stage::WebSocket(socket) => {
                    let connection = self.connection;
                    let serving = &mut serving!(turn);
                    let outcome =
                        socket.receive(&mut input, connection, turn.desk, serving, &mut outbox);
                    return self.heard(outcome, earlier, input, turn);
                }
                Stage::Http(http) => {
                    let progress = http.advance(&mut input, turn.settings, &mut outbox);
                    self.proceed(progress, turn);
                }
                // A client that asks again wants the first answer now.
                Stage::Poll(..) => self.answer_poll(turn),
                Stage::Stream(_) | Stage::Lingering | Stage::Leaving | Stage::Closing => return,
            }
        }
    }

    /// The peer sends no more.
    pub fn end_of_stream(&mut self, turn: &mut Turn<'_>) {
        if let Some(deferred) = &mut self.deferred {
            deferred.end = End::Stream;
            return;
        }
        self.note_end(EndReason::ClientEnded);
        // RFC 9112 §9.6: it may still read what it has asked for.
        self.answer_poll(turn);
        let is_backlogged = self.sending.is_backlogged();
        if is_backlogged || self.sending.is_unsettled(turn.now) {
            turn.operations.push(Operation::Shutdown(self.connection));
        }
        self.linger(turn);
        self.stage = Stage::Leaving;
        if !is_backlogged {
            self.leave(turn);
        }
    }

    /// The connection broke. If a send of the last turn failed, nothing of that send was taken.
    pub fn fail(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::ConnectionLost);
        if self.settled(turn) != Settled::Yes {
            self.retire(Settled::No, turn);
        }
        self.end(turn);
    }

    /// The connection must end now.
    pub fn end(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.stage, Stage::Closing) {
            let settled = self.settled(turn);
            self.retire(settled, turn);
            if settled != Settled::Yes {
                turn.desk.departures.cut(self.connection);
            }
            self.stage = Stage::Closing;
            self.deferred = None;
            turn.wheel.cancel(self.connection.slot());
            // A backlog is cut off, so what the kernel still has is no whole message either. It is
            // not to take memory for as long as the client does not read.
            turn.operations.push(match self.sending.is_backlogged() {
                true => Operation::Reset(self.connection),
                false => Operation::Close(self.connection),
            });
        }
    }

    /// Gives up its place in the hub, if it has one: nothing more is sent.
    fn retire(&mut self, settled: Settled, turn: &mut Turn<'_>) {
        let Turn { desk, metrics, .. } = turn;
        let count = match &self.stage {
            Stage::WebSocket(_) => &metrics.sessions.websocket,
            Stage::Stream(stream) => stream.form.format.counter(&metrics.sessions),
            _ => &metrics.sessions.long_poll,
        };
        let session = match &mut self.stage {
            Stage::WebSocket(socket) => {
                if socket.shares_deflate() {
                    desk.deflated -= 1;
                }
                socket.retire().map(|session| *session)
            }
            Stage::Stream(_) | Stage::Poll(..) => {
                match std::mem::replace(&mut self.stage, Stage::Lingering) {
                    Stage::Stream(stream) => Some(*stream.session),
                    Stage::Poll(poll, _) => Some(*poll.session),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(session) = session else { return };
        count.subtract(1);
        self.depart(session, settled, turn);
    }

    /// Gives up a place in the hub. What was sent last may not have been taken: if that is not
    /// known yet, it is found out in the turn after the send.
    fn depart(&self, session: Session, settled: Settled, turn: &mut Turn<'_>) {
        let client = Name::clone(session.client());
        let at = session.leave(self.connection.slot(), settled, turn.desk);
        if let Settled::Unknown { sent_in } = settled {
            let departure = Departure { connection: self.connection, client, at, sent_in };
            turn.desk.departures.note(departure);
        }
    }

    /// Whether the socket is known to have taken everything. A driver reports what it did not take
    /// in the turn after the send, in any order among that turn's completions.
    fn settled(&self, turn: &Turn<'_>) -> Settled {
        let is_unanswered = matches!(&self.stage, Stage::Poll(poll, _) if poll.collected.is_some());
        if is_unanswered || self.sending.is_backlogged() {
            Settled::No
        } else {
            let sent_in = [turn.now, turn.before];
            let sent_in = sent_in.into_iter().find(|turn| self.sending.is_unsettled(*turn));
            sent_in.map_or(Settled::Yes, |sent_in| Settled::Unknown { sent_in })
        }
    }

    /// Whether the driver still keeps bytes for its socket.
    pub fn is_backlogged(&self) -> bool {
        self.sending.is_backlogged()
    }

    /// Tells the peer to leave, by the means of its protocol.
    pub fn close(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        match &self.stage {
            // A client that was told already gets no more time.
            Stage::WebSocket(socket) if socket.is_closing() => return,
            Stage::Poll(..) => self.answer_poll(turn),
            _ => {}
        }
        // Read before `retire`, which ends the stream's stage.
        let framing = match &self.stage {
            Stage::Stream(stream) => stream.form.framing,
            _ => Framing::Chunked,
        };
        self.retire(self.settled(turn), turn);
        let mut outbox = Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
        match &mut self.stage {
            Stage::WebSocket(socket) => {
                socket.close(code, reason, &mut outbox);
                self.life = Life::EndDue;
                turn.wheel.touch(
                    self.connection.slot(),
                    turn.now + turn.settings.websocket.close_timeout,
                );
            }
            Stage::Http(_) => {
                outbox.finish();
                self.linger(turn);
            }
            Stage::Stream(_) | Stage::Poll(..) | Stage::Lingering => {
                if self.life != Life::EndDue {
                    stream::end(framing, &mut outbox);
                    self.linger(turn);
                }
            }
            Stage::Leaving | Stage::Closing => {}
        }
    }

    /// The peer of a WebSocket was heard.
    #[inline]
    fn heard(&mut self, outcome: Outcome, earlier: Settled, rest: &[u8], turn: &mut Turn<'_>) {
        match outcome {
            Outcome::Ended => {
                // The answer to its Close is no event.
                self.retire(earlier, turn);
                self.note_end(match &self.stage {
                    Stage::WebSocket(socket) if socket.is_closing() => EndReason::ProtocolFault,
                    _ => EndReason::ClientClosed,
                });
                turn.operations.push(Operation::Shutdown(self.connection));
                return self.linger(turn);
            }
            Outcome::Deferred => self.put_off(rest, turn),
            Outcome::AwaitsInflating => {
                self.put_off(rest, turn);
                self.await_inflating(turn);
            }
            Outcome::Open => {}
        }
        if self.life != Life::EndDue {
            self.is_alive(turn);
        }
        self.after_commands(turn);
    }
}
