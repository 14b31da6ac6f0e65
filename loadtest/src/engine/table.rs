//! One thread's connections as its workload sees them: numbered, open or not, and ready to send.
//!
//! It never reads from a socket; sends go into the turn's operations.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ringway_acceptor::{ConnectToken, ConnectionId, Operation, Operations, SendMark};
use ringway_frame::{CloseCode, MaskKeys, ProtocolState};
use ringway_tls::Session;

use crate::{
    measure::interval::Interval,
    wire::{failure::Reason, handshake::Exchange, message::Form},
};

/// The clock of a run: all threads count from the same instant.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it started.
    #[inline]
    pub fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// The most that a thread buffers for a server that does not read; beyond it, nothing more is sent.
const UNSENT_BYTES_MAX: usize = 512 << 20;

/// Messages from this size on have buffers of their own: the part that a socket does not take at
/// once then needs no copy, and the turn's buffer stays small.
const OWNED_BYTES_MIN: usize = 64 << 10;

/// Shared frames up to this size are copied, so that one send carries all frames of a turn.
const COPIED_BYTES_MAX: usize = 4096;

/// The longest header of a frame, and what compression may add.
const OVERHEAD_BYTES: usize = 64;

/// One thread's connections.
pub struct ConnectionTable {
    pub(super) operations: Operations,
    pub(super) list: Vec<Connection>,
    pub(super) wishes: VecDeque<Wish>,
    /// Connections that wait for the server's Close, in the order of their deadlines.
    pub(super) farewells: VecDeque<Deadline>,
    /// When each message of this turn was due.
    pub(super) dues: Vec<Duration>,
    pub(super) unsent_bytes: usize,
    /// Bytes of this turn that are in separate buffers.
    pub(super) turn_owned_bytes: usize,
    pub(super) open: u32,
    pub(super) exchange: Exchange,
    /// Connections that have a socket.
    pub(super) held: u32,
    pub(super) under_way_max: usize,
    pub(super) last_begun_at: Duration,
    first_number: u32,
    clock: Clock,
    now: Duration,
    keys: MaskKeys,
    /// The size of a message's own buffer; `None` if messages share one.
    owned_bytes: Option<usize>,
    /// By connection, if the server uses TLS; otherwise empty.
    pub(super) sessions: Vec<Option<Box<Session>>>,
    /// By connection, the cursor that the server sent last; empty unless connections resume by
    /// cursor.
    cursors: Vec<Box<str>>,
    /// The current interval.
    pub seen: Box<Interval>,
}

/// A request of the workload to open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) connection: u32,
    pub(super) at: Duration,
}

/// The time by which a connection must have made progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Duration,
    pub(super) connection: u32,
    /// Ignored if the connection is in a later attempt.
    pub(super) attempt: u32,
}

/// Handshakes in progress at a time in one thread: well below the backlog of a server.
const UNDER_WAY_MAX: usize = 256;

/// A server must answer a Close frame and end the stream within this time.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    /// [`unconnected`] unless its socket is connected.
    pub(super) id: ConnectionId,
    /// How many attempts were started.
    pub(super) attempt: u32,
    pub(super) mark: SendMark,
    pub(super) state: State,
    pub(super) form: Form,
    pub(super) unsent_bytes: u32,
}

/// The id of a connection that has no connected socket; no driver has such a slot.
pub(super) fn unconnected() -> ConnectionId {
    ConnectionId::new(u32::MAX, 0)
}

/// Identifies an attempt of a connection; [`begun_by`] reads it.
pub(super) fn token(connection: u32, attempt: u32) -> ConnectToken {
    ConnectToken(u64::from(attempt) << 32 | u64::from(connection))
}

/// The connection of a token.
pub(super) fn begun_by(token: ConnectToken) -> u32 {
    token.0 as u32
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No socket.
    Closed,
    /// In connect(2) or in the handshake.
    Opening,
    /// The handshake is complete. Messages may be sent until a Close frame; HTTP has none.
    Live(ProtocolState),
    /// The socket is being released.
    Leaving(Ended),
}

impl State {
    #[inline]
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Live(protocol) if protocol.is_open())
    }
}

/// Why a connection is no longer open, or did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It never opened.
    Unopened,
    /// It broke, or the server closed it.
    Lost,
    /// The workload closed it; with HTTP, also if the server closed it between two exchanges.
    Closed,
}

/// Whether a message could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was queued for sending.
    Yes,
    /// The connection is not open, or the server does not read; the failure was counted.
    No,
}

impl ConnectionTable {
    /// `count` connections, for messages of up to `message_bytes`.
    pub(super) fn new(count: u32, first_number: u32, message_bytes: usize, clock: Clock) -> Self {
        let connection = Connection {
            id: unconnected(),
            attempt: 0,
            mark: SendMark::default(),
            state: State::Closed,
            form: Form::Plain,
            unsent_bytes: 0,
        };
        Self {
            operations: Operations::default(),
            list: vec![connection; count as usize],
            wishes: VecDeque::new(),
            farewells: VecDeque::new(),
            dues: Vec::new(),
            unsent_bytes: 0,
            turn_owned_bytes: 0,
            open: 0,
            exchange: Exchange::WebSocket,
            held: 0,
            under_way_max: UNDER_WAY_MAX,
            last_begun_at: Duration::ZERO,
            first_number,
            clock,
            now: clock.now(),
            keys: MaskKeys::new(),
            owned_bytes: (message_bytes >= OWNED_BYTES_MIN)
                .then_some(message_bytes + OVERHEAD_BYTES),
            sessions: Vec::new(),
            cursors: Vec::new(),
            seen: Box::default(),
        }
    }

    /// The number of connections, open or not.
    pub fn len(&self) -> u32 {
        self.list.len() as u32
    }

    /// Whether the table has no connections.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of open connections.
    pub fn open(&self) -> u32 {
        self.open
    }

    pub(super) fn is_all_closed(&self) -> bool {
        self.held == 0
    }

    /// The connection's number over all threads.
    #[inline]
    pub fn number(&self, connection: u32) -> u32 {
        self.first_number + connection
    }

    /// The time at which this turn read its sockets.
    #[inline]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The clock of the run, for the current time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Whether messages may be sent on the connection.
    #[inline]
    pub fn is_open(&self, connection: u32) -> bool {
        self.list[connection as usize].state.is_open()
    }

    /// Sends the message that `write` writes, in the form negotiated for this connection.
    #[inline]
    pub fn send(&mut self, connection: u32, write: impl FnOnce(Form, &mut Vec<u8>)) -> Sent {
        if self.check_sendable(connection) == Sent::No {
            return Sent::No;
        }
        let form = self.list[connection as usize].form;
        if !self.sessions.is_empty() {
            self.send_encrypted(connection, |out| write(form, out));
            return Sent::Yes;
        }
        let Connection { id, mark, .. } = &mut self.list[connection as usize];
        match self.owned_bytes {
            None => self.operations.send(*id, mark, |out| write(form, out)),
            Some(bytes) => {
                let mut message = Vec::with_capacity(bytes);
                write(form, &mut message);
                self.turn_owned_bytes += message.len();
                self.operations.send_owned(*id, mark, message, 0);
            }
        }
        Sent::Yes
    }

    /// Sends a frame this many times, without changing it.
    #[inline]
    pub fn send_shared(&mut self, connection: u32, frame: &Bytes, times: u32) -> Sent {
        if frame.len() <= COPIED_BYTES_MAX || !self.sessions.is_empty() {
            return self.send(connection, |_, out| {
                (0..times).for_each(|_| out.extend_from_slice(frame));
            });
        }
        if self.check_sendable(connection) == Sent::No {
            return Sent::No;
        }
        let Connection { id, mark, .. } = &mut self.list[connection as usize];
        (0..times).for_each(|_| self.operations.send_shared(*id, mark, frame));
        Sent::Yes
    }

    /// Whether a message of this many bytes is sent on this connection in two parts, of which the
    /// second is shared. A shorter one is copied, as a message in two parts costs the server more.
    #[inline]
    pub fn sends_in_parts(&self, connection: u32, bytes: usize) -> bool {
        bytes >= OWNED_BYTES_MIN
            && self.sessions.is_empty()
            && self.list[connection as usize].form == Form::Plain
    }

    /// Sends the start that `write` writes, and then the bytes that it returns, without copying
    /// them.
    pub fn send_in_parts(
        &mut self,
        connection: u32,
        write: impl FnOnce(&mut Vec<u8>) -> Bytes,
    ) -> Sent {
        if self.check_sendable(connection) == Sent::No {
            return Sent::No;
        }
        let Connection { id, mark, .. } = &mut self.list[connection as usize];
        let mut body = Bytes::new();
        self.operations.send(*id, mark, |out| body = write(out));
        self.operations.send_shared(*id, mark, &body);
        Sent::Yes
    }

    /// Whether a message may be sent now; if not, the failure is counted.
    #[inline]
    fn check_sendable(&mut self, connection: u32) -> Sent {
        let Connection { state, unsent_bytes, .. } = &self.list[connection as usize];
        if !state.is_open() {
            self.seen.fail(Reason::NOT_CONNECTED);
            return Sent::No;
        }
        let turn_bytes = self.operations.bytes().len() + self.turn_owned_bytes;
        let is_full = *unsent_bytes > 0 && self.unsent_bytes > UNSENT_BYTES_MAX;
        if is_full || turn_bytes > UNSENT_BYTES_MAX {
            self.seen.fail(Reason::SERVER_DOES_NOT_READ);
            return Sent::No;
        }
        Sent::Yes
    }

    /// Sends the bytes that `write` writes, in any state of the connection.
    pub(super) fn send_raw(&mut self, connection: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if self.sessions.is_empty() {
            let Connection { id, mark, .. } = &mut self.list[connection as usize];
            self.operations.send(*id, mark, write);
        } else {
            self.send_encrypted(connection, write);
        }
    }

    fn send_encrypted(&mut self, connection: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(session) = &mut self.sessions[connection as usize] else { return };
        let Connection { id, mark, .. } = &mut self.list[connection as usize];
        self.operations.send(*id, mark, |out| {
            let start = out.len();
            write(out);
            session.seal(out, start);
        });
    }

    /// Sends records that a TLS session has written, and empties `records`.
    pub(super) fn send_records(&mut self, connection: u32, records: &mut Vec<u8>) {
        if !records.is_empty() {
            let Connection { id, mark, .. } = &mut self.list[connection as usize];
            self.operations.send(*id, mark, |out| out.append(records));
        }
    }

    /// Whether a connection has resumed a TLS session, once it is encrypted.
    pub fn is_resumed(&self, connection: u32) -> Option<bool> {
        self.sessions.get(connection as usize)?.as_ref()?.is_resumed()
    }

    /// Counts a sent message; with `due`, also records its delay.
    #[inline]
    pub fn note_sent(&mut self, due: Option<Duration>) {
        self.seen.sent += 1;
        self.dues.extend(due);
    }

    /// Closes a connection with a Close frame. [`Workload::ended`] follows when the server has
    /// answered, or has not answered for a while.
    ///
    /// [`Workload::ended`]: super::workload::Workload::ended
    pub fn close(&mut self, connection: u32) {
        if self.exchange == Exchange::Requests {
            // HTTP has no closing message.
            return self.leave(connection, Ended::Closed);
        }
        let Connection { attempt, state, .. } = &mut self.list[connection as usize];
        if let State::Live(protocol) = state
            && let Some(close) = protocol.close(CloseCode::NORMAL, "")
        {
            self.open -= 1;
            let at = self.now + FAREWELL_TIME_MAX;
            self.farewells.push_back(Deadline { at, connection, attempt: *attempt });
            let key = Some(self.keys.draw());
            self.send_raw(connection, |out| close.emit(out, key));
        }
    }

    /// Ends a connection at once, without a Close frame, as when a network fails.
    pub fn cut(&mut self, connection: u32) {
        self.leave(connection, Ended::Closed);
    }

    /// Releases a connection's socket.
    pub(super) fn leave(&mut self, connection: u32, why: Ended) {
        let Connection { id, attempt, state, unsent_bytes, .. } =
            &mut self.list[connection as usize];
        match state {
            State::Closed | State::Leaving(_) => return,
            State::Opening | State::Live(_) => self.open -= u32::from(state.is_open()),
        }
        *state = State::Leaving(why);
        self.unsent_bytes -= std::mem::take(unsent_bytes) as usize;
        self.operations.push(match *id {
            id if id == unconnected() => Operation::CancelConnect(token(connection, *attempt)),
            id => Operation::Close(id),
        });
    }

    /// Sets how many of a connection's bytes the driver still holds.
    pub(super) fn set_unsent(&mut self, connection: u32, bytes: usize) {
        let Connection { state, unsent_bytes: unsent, .. } = &mut self.list[connection as usize];
        if matches!(state, State::Closed | State::Leaving(_)) {
            // The bytes were dropped with the socket.
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unsent_bytes = self.unsent_bytes - *unsent as usize + bytes as usize;
        *unsent = bytes;
    }

    /// Sets how far a connection has read, which its next handshake tells the server.
    pub fn set_cursor(&mut self, connection: u32, cursor: &str) {
        self.cursors.resize(self.list.len(), Box::default());
        self.cursors[connection as usize] = cursor.into();
    }

    /// How far a connection has read, if the server has said so.
    pub fn cursor(&self, connection: u32) -> Option<&str> {
        self.cursors
            .get(connection as usize)
            .map(|cursor| &**cursor)
            .filter(|cursor| !cursor.is_empty())
    }

    /// When the last attempt of any connection was started.
    pub fn last_begun_at(&self) -> Duration {
        self.last_begun_at
    }

    /// From now on, all connections may be in their handshakes at the same time.
    pub fn open_without_bound(&mut self) {
        self.under_way_max = usize::MAX;
    }

    /// Opens a connection that is not open, at `at` or later.
    pub fn open_at(&mut self, connection: u32, at: Duration) {
        self.wishes.push_back(Wish { connection, at });
    }
}
