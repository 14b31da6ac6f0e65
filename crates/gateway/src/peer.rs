//! One client: which protocol its connection speaks, and until when.
//!
//! It owns the state and delegates every decision: HTTP to `http`, frames to `transport`, what is
//! sent to `outbox`. It never sees a socket.

use std::time::Duration;

use ringway_acceptor::{Connection, Operation, Operations, Wheel};
use ringway_frame::CloseCode;

use crate::{
    census::Seat,
    http::{
        connection::{HttpConnection, Progress},
        refusal::{After, Refusal},
        response::{self, Part},
    },
    outbox::{Outbox, Sending},
    settings::Settings,
    transport::websocket::{Outcome, WebSocket},
    workbench::Workbench,
};

/// Until a driver has told whether a socket took what it was given: one turn.
const SETTLING: Duration = Duration::from_millis(1);

/// What a core lends to the peer that it serves.
pub struct Turn<'a> {
    /// Time since the core started.
    pub now: Duration,
    /// What the driver is asked to do.
    pub operations: &'a mut Operations,
    /// The core's deadlines, by slot.
    pub wheel: &'a mut Wheel,
    /// What all peers go by.
    pub settings: &'a Settings,
    /// Memory lent for the call.
    pub bench: &'a mut Workbench,
}

/// One client's connection.
pub struct Peer {
    connection: Connection,
    sending: Sending,
    life: Life,
    stage: Stage,
    seat: Option<Seat>,
}

/// The protocol of the moment.
enum Stage {
    /// Requests and responses.
    Http(HttpConnection),
    /// Frames.
    WebSocket(WebSocket),
    /// All is said. What still comes is discarded until the peer's FIN, so that a reset does not
    /// destroy our last words on their way.
    Lingering,
    /// The peer has sent its FIN but may still be reading what is backlogged.
    Leaving,
    /// The driver was asked to close the connection.
    Closing,
}

/// What the time-out of the connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// A request head is due.
    HeadDue,
    /// The next request may come.
    BetweenRequests,
    /// The peer was heard.
    Heard,
    /// The peer was asked for a sign of life.
    Asked,
    /// The end is due.
    EndDue,
}

impl Peer {
    /// A client that has just connected; its first request is due.
    pub fn new(connection: Connection, seat: Seat, turn: &mut Turn<'_>) -> Self {
        let peer = Self {
            connection,
            sending: Sending::default(),
            life: Life::HeadDue,
            stage: Stage::Http(HttpConnection::default()),
            seat: Some(seat),
        };
        turn.wheel.touch(connection.slot(), turn.now + turn.settings.handshake_timeout);
        peer
    }

    /// A client that there is no room for: told so, then let go; at once, and perhaps before it has
    /// read the answer, where not even a seat outside is free.
    pub fn turned_away(
        connection: Connection,
        refusal: Refusal,
        seat: Option<Seat>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let may_linger = seat.is_some();
        let mut peer = Self {
            connection,
            sending: Sending::default(),
            life: Life::EndDue,
            stage: Stage::Lingering,
            seat,
        };
        let mut outbox = Outbox::new(connection, &mut peer.sending, turn.operations, turn.now);
        outbox.write(|out| response::refuse(out, refusal, Part::Whole, After::Close));
        outbox.finish();
        if may_linger {
            peer.linger(turn);
        } else {
            peer.end(turn);
        }
        peer
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

    /// Serves bytes from the socket.
    #[inline]
    pub fn receive(&mut self, received: &mut [u8], turn: &mut Turn<'_>) {
        let mut input = self.sending.channel_mut().open(received);
        if let Stage::WebSocket(socket) = &mut self.stage {
            let mut outbox =
                Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
            let outcome = socket.receive(input, turn.settings, turn.bench, &mut outbox);
            return self.heard(outcome, turn);
        }
        while !input.is_empty() {
            let mut outbox =
                Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
            let progress = match &mut self.stage {
                Stage::Http(http) => http.advance(&mut input, turn.settings, &mut outbox),
                Stage::WebSocket(socket) => {
                    let outcome = socket.receive(input, turn.settings, turn.bench, &mut outbox);
                    return self.heard(outcome, turn);
                }
                Stage::Lingering | Stage::Leaving | Stage::Closing => return,
            };
            self.proceed(progress, turn);
        }
    }

    /// What HTTP's progress means for the connection.
    fn proceed(&mut self, progress: Progress, turn: &mut Turn<'_>) {
        let Turn { now, settings, .. } = turn;
        match progress {
            Progress::More => {
                let Stage::Http(http) = &self.stage else { return };
                // A request that has begun has this long, however slowly it comes.
                if self.life == Life::BetweenRequests && !http.is_between_requests() {
                    self.life = Life::HeadDue;
                    turn.wheel.touch(self.connection.slot(), *now + settings.handshake_timeout);
                }
            }
            Progress::Answered => {
                self.life = Life::BetweenRequests;
                turn.wheel.touch(self.connection.slot(), *now + settings.keep_alive_timeout);
            }
            Progress::Upgraded(upgrade) => {
                self.stage = Stage::WebSocket(WebSocket::new(&upgrade, settings));
                self.heard(Outcome::Open, turn);
            }
            Progress::Finished => self.linger(turn),
        }
    }

    /// The peer of a WebSocket was heard.
    #[inline]
    fn heard(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        match outcome {
            Outcome::Open if self.life != Life::EndDue => {
                self.life = Life::Heard;
                turn.wheel.touch(self.connection.slot(), turn.now + turn.settings.ping_interval);
            }
            Outcome::Open => {}
            Outcome::Ended => {
                turn.operations.push(Operation::Shutdown(self.connection));
                self.linger(turn);
            }
        }
    }

    /// The peer sends no more.
    pub fn end_of_stream(&mut self, turn: &mut Turn<'_>) {
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

    /// Ends the connection once it is known that all has left: a driver tells of a backlog in the
    /// turn after the send, so what went out in this turn or in the last one may yet be backlogged.
    fn leave(&mut self, turn: &mut Turn<'_>) {
        // After the completions of the next turn, or of this one. A backlog grants more time.
        let due =
            if self.sending.is_unsettled(turn.now) { turn.now + SETTLING } else { Duration::ZERO };
        turn.wheel.touch(self.connection.slot(), due);
    }

    /// The connection broke, or must end now.
    pub fn end(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.stage, Stage::Closing) {
            self.stage = Stage::Closing;
            turn.wheel.cancel(self.connection.slot());
            turn.operations.push(Operation::Close(self.connection));
        }
    }

    /// The socket took less than it was given, or some of what it owed.
    pub fn backlogged(&mut self, unsent_bytes: usize, turn: &mut Turn<'_>) {
        let queue_bytes_max = turn.settings.queue_bytes_max;
        self.sending.backlogged(self.connection, unsent_bytes, queue_bytes_max, turn.operations);
        self.progressed(turn);
    }

    /// The socket took all.
    pub fn drained(&mut self, turn: &mut Turn<'_>) {
        self.sending.drained(self.connection, turn.operations);
        match self.stage {
            Stage::Leaving => self.leave(turn),
            _ => self.progressed(turn),
        }
    }

    /// A peer that reads is alive, however slowly it does.
    fn progressed(&mut self, turn: &mut Turn<'_>) {
        match self.stage {
            Stage::WebSocket(_) => self.heard(Outcome::Open, turn),
            Stage::Lingering | Stage::Leaving => {
                turn.wheel.touch(self.connection.slot(), turn.now + turn.settings.close_timeout);
            }
            Stage::Http(_) | Stage::Closing => {}
        }
    }

    /// The deadline has come.
    pub fn expire(&mut self, turn: &mut Turn<'_>) {
        let is_backlogged = self.sending.is_backlogged();
        let mut outbox = Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
        match (&mut self.stage, self.life) {
            (Stage::Http(http), Life::HeadDue) => {
                http.time_out(&mut outbox);
                self.linger(turn);
            }
            (Stage::WebSocket(socket), Life::Heard) => {
                // Nobody reads a ping behind a backlog.
                if !is_backlogged {
                    socket.ping(&mut outbox);
                }
                self.life = Life::Asked;
                turn.wheel.touch(self.connection.slot(), turn.now + turn.settings.pong_timeout);
            }
            (Stage::WebSocket(_), Life::Asked) if !is_backlogged => {
                self.close(CloseCode::GOING_AWAY, "no sign of life", turn);
            }
            _ => self.end(turn),
        }
    }

    /// Tells the peer to leave, by the means of its protocol.
    pub fn close(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        let mut outbox = Outbox::new(self.connection, &mut self.sending, turn.operations, turn.now);
        match &mut self.stage {
            // Whoever was told already is not given more time.
            Stage::WebSocket(socket) if socket.is_closing() => {}
            Stage::WebSocket(socket) => {
                socket.close(code, reason, &mut outbox);
                self.life = Life::EndDue;
                turn.wheel.touch(self.connection.slot(), turn.now + turn.settings.close_timeout);
            }
            Stage::Http(_) => {
                outbox.finish();
                self.linger(turn);
            }
            Stage::Lingering | Stage::Leaving | Stage::Closing => {}
        }
    }

    /// Waits for the peer's FIN, but not for long.
    fn linger(&mut self, turn: &mut Turn<'_>) {
        self.stage = Stage::Lingering;
        self.life = Life::EndDue;
        turn.wheel.touch(self.connection.slot(), turn.now + turn.settings.close_timeout);
    }
}

#[cfg(test)]
mod tests {
    use ringway_acceptor::{epoll::EpollDriver, uring::UringDriver, wheel};
    use ringway_frame::MessageReader;

    use super::*;

    /// The budget of an idle WebSocket is 256 bytes of user space, of which the allocator may
    /// take some for itself.
    #[test]
    fn an_idle_connection_stays_within_its_budget() {
        let account = [
            ("name", size_of::<Connection>(), 8),
            ("sending", size_of::<Sending>(), 24),
            ("life", size_of::<Life>(), 1),
            ("seat", size_of::<Option<Seat>>(), 8),
            ("reader", size_of::<MessageReader>(), 56),
            ("websocket", size_of::<WebSocket>(), 72),
            ("http", size_of::<HttpConnection>(), 40),
            ("stage", size_of::<Stage>(), 72),
            ("peer", size_of::<Option<Peer>>(), 128),
            ("deadline", wheel::SLOT_BYTES, 16),
            ("io_uring driver", UringDriver::CONNECTION_BYTES, 32),
            ("epoll driver", EpollDriver::CONNECTION_BYTES, 32),
        ];
        for (field, bytes, bytes_max) in account {
            assert!(bytes <= bytes_max, "{field} takes {bytes} bytes, its share is {bytes_max}");
        }
        let driver = UringDriver::CONNECTION_BYTES.max(EpollDriver::CONNECTION_BYTES);
        assert!(size_of::<Option<Peer>>() + wheel::SLOT_BYTES + driver <= 192);
    }
}
