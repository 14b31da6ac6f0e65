//! The operations that a driver is given for one turn, and the bytes that go with them.
//!
//! Invariant: one turn holds at most one `Send` per connection. An inline send that comes short
//! would otherwise be overtaken by the next one.

mod outgoing;
mod room;

use bytes::Bytes;

pub use outgoing::{Outgoing, Piece, SendMark, Staged};

use crate::{ConnectRequest, ConnectToken, ConnectionId, Waker};

/// One operation.
#[derive(Debug)]
pub enum Operation {
    /// Connect to a server. Exactly one [`Completion::Connected`] or [`Completion::ConnectFailed`]
    /// with the request's token answers, in a later turn or in this one. An attempt counts as a
    /// connection against [`Settings::connections_max`]. The kernel gives up after a minute or
    /// more; a caller that wants to wait less cancels the attempt.
    ///
    /// [`Completion::Connected`]: crate::Completion::Connected
    /// [`Completion::ConnectFailed`]: crate::Completion::ConnectFailed
    /// [`Settings::connections_max`]: crate::Settings::connections_max
    Connect(Box<ConnectRequest>),
    /// Give up an attempt to connect: [`Completion::ConnectFailed`] follows and never
    /// [`Completion::Connected`]. Ignored when the attempt's outcome was reported already: an
    /// established connection is closed like any other.
    ///
    /// [`Completion::Connected`]: crate::Completion::Connected
    /// [`Completion::ConnectFailed`]: crate::Completion::ConnectFailed
    CancelConnect(ConnectToken),
    /// Send bytes, after all that were sent before.
    Send {
        /// The connection to send to.
        connection: ConnectionId,
        /// The bytes to send.
        outgoing: Outgoing,
    },
    /// Stop reading from a connection; bytes that have arrived already may still be reported.
    PauseReceive(ConnectionId),
    /// Read from a connection again.
    ResumeReceive(ConnectionId),
    /// Ask how far the peer has read. For a connection that has not failed,
    /// [`Completion::Progress`](crate::Completion::Progress) answers by the end of the next turn.
    /// It costs a system call or two, so it is meant for expired deadlines.
    MeasureProgress(ConnectionId),
    /// Send FIN once all earlier sends have left; receiving continues.
    Shutdown(ConnectionId),
    /// Drop the connection now, with all unsent bytes.
    Close(ConnectionId),
    /// Drop the connection now by a reset (SO_LINGER of zero in socket(7)): the kernel also drops
    /// the bytes that it has taken, so their memory is free at once.
    Reset(ConnectionId),
    /// Close the listeners. Connections stay.
    StopAccepting,
    /// Wake another core, after the data that it is to read has been written.
    Wake(Waker),
}

impl Operation {
    /// The connection that it is about; `None` for an operation on the core itself.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Send { connection, .. }
            | Self::PauseReceive(connection)
            | Self::ResumeReceive(connection)
            | Self::MeasureProgress(connection)
            | Self::Shutdown(connection)
            | Self::Close(connection)
            | Self::Reset(connection) => Some(*connection),
            Self::Connect(_) | Self::CancelConnect(_) | Self::StopAccepting | Self::Wake(_) => None,
        }
    }

    /// Whether it is a send, and `next` sends FIN after it. Then the socket is given MSG_MORE, so
    /// that FIN goes in the segment of the last bytes: one packet less for both ends.
    pub(crate) fn precedes_fin(&self, next: Option<&Self>) -> bool {
        matches!((self, next), (Self::Send { connection, .. }, Some(Self::Shutdown(ended)))
            if connection == ended)
    }
}

/// The operations of one turn.
///
/// ```
/// use ringway_acceptor::{ConnectionId, Operations, SendMark};
/// let (mut operations, mut mark) = (Operations::default(), SendMark::default());
/// let connection = ConnectionId::new(0, 0);
/// operations.send(connection, &mut mark, |out| out.extend_from_slice(b"one "));
/// operations.send(connection, &mut mark, |out| out.extend_from_slice(b"send"));
/// assert_eq!(operations.len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Operations {
    list: Vec<Operation>,
    bytes: Vec<u8>,
    /// Bytes of the sends that have buffers of their own.
    owned_bytes: usize,
}

/// A turn's buffer larger than this is freed, so that one burst of large messages does not stay
/// resident.
const TURN_BYTES_KEPT: usize = 4 << 20;

/// Bytes that stay in a second-level cache, of 1 MiB or more, beside those that were received for
/// them; many small messages, so that a system call for each of them costs nothing.
const EARLY_BYTES: usize = 64 << 10;

/// More than the bytes of a small send: a control frame, the head of a response.
const LITTLE_BYTES: usize = 1024;

impl Operations {
    /// Appends what `write` writes to the connection's send of this turn.
    pub fn send(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.compose(connection, mark, None, write);
    }

    /// Appends a copy of staged bytes of this turn to the connection's send, and lets `rewrite`
    /// change the copy, which is at the end of the buffer.
    ///
    /// ```
    /// use ringway_acceptor::{ConnectionId, Operations, SendMark};
    /// let mut operations = Operations::default();
    /// let staged = operations.stage(|out| out.extend_from_slice(b"for all"));
    /// let connection = ConnectionId::new(0, 0);
    /// operations.send_copy(connection, &mut SendMark::default(), staged, |out| {
    ///     let start = out.len() - staged.len();
    ///     out[start..].reverse();
    /// });
    /// assert_eq!(operations.bytes(), b"for alllla rof");
    /// ```
    pub fn send_copy(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        staged: Staged,
        rewrite: impl FnOnce(&mut Vec<u8>),
    ) {
        self.compose(connection, mark, Some(staged), rewrite);
    }

    /// Appends `copied` and then what `write` writes.
    #[inline]
    fn compose(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        copied: Option<Staged>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let end = self.bytes.len();
        if !self.has_room_for_little() {
            return self.compose_apart(connection, mark, copied, write);
        }
        match self.marked(connection, *mark) {
            None => {
                self.write_turn(copied, write);
                self.push_send(connection, mark, Outgoing::Turn(end..self.bytes.len()));
            }
            Some(Outgoing::Turn(range)) if range.end == end => {
                self.write_turn(copied, write);
                self.extend_last(*mark);
            }
            Some(Outgoing::Owned { .. }) => {
                let staged = copied.map_or(0..0, |Staged { start, end }| start..end);
                if let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                {
                    bytes.extend_from_slice(&self.bytes[staged]);
                    write(bytes);
                }
            }
            Some(Outgoing::Shared(_) | Outgoing::Pieces(_)) => {
                self.write_turn(copied, write);
                self.append(*mark, Piece::Turn(end..self.bytes.len()));
            }
            Some(Outgoing::Turn(_)) => {
                self.move_to_end(*mark);
                self.write_turn(copied, write);
                self.extend_last(*mark);
            }
        }
    }

    #[inline]
    fn write_turn(&mut self, copied: Option<Staged>, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Staged { start, end }) = copied {
            self.bytes.extend_from_within(start..end);
        }
        write(&mut self.bytes);
    }

    /// Sends an owned buffer, without copying it unless the connection already sends in this turn.
    pub fn send_owned(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        bytes: Vec<u8>,
        start: usize,
    ) {
        if self.marked(connection, *mark).is_none() {
            self.owned_bytes += bytes.len();
            self.push_send(connection, mark, Outgoing::Owned { bytes, start });
        } else {
            self.send(connection, mark, |out| out.extend_from_slice(&bytes[start..]));
        }
    }

    /// Sends shared bytes, without copying them unless the connection already sends an owned buffer
    /// in this turn.
    pub fn send_shared(&mut self, connection: ConnectionId, mark: &mut SendMark, bytes: &Bytes) {
        match self.marked(connection, *mark) {
            None => self.push_send(connection, mark, Outgoing::Shared(bytes.clone())),
            Some(Outgoing::Owned { .. }) => {
                self.send(connection, mark, |out| out.extend_from_slice(bytes));
            }
            Some(_) => self.append(*mark, Piece::Shared(bytes.clone())),
        }
    }

    /// Writes bytes to the turn's buffer that can then be sent to any number of connections.
    ///
    /// ```
    /// use ringway_acceptor::{ConnectionId, Operations, SendMark};
    /// let mut operations = Operations::default();
    /// let staged = operations.stage(|out| out.extend_from_slice(b"for all"));
    /// for slot in 0..3 {
    ///     operations.send_staged(ConnectionId::new(slot, 0), &mut SendMark::default(), staged);
    /// }
    /// assert_eq!((operations.len(), operations.bytes().len()), (3, 7));
    /// ```
    pub fn stage(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Staged {
        let start = self.bytes.len();
        write(&mut self.bytes);
        Staged { start, end: self.bytes.len() }
    }

    /// Sends staged bytes of this turn. They are not copied if the connection's send of this turn
    /// is empty, or ends where they start.
    ///
    /// Staged bytes that were staged one after the other are sent as one by
    /// [`Staged::through`].
    pub fn send_staged(&mut self, connection: ConnectionId, mark: &mut SendMark, staged: Staged) {
        let Staged { start, end } = staged;
        match self.marked(connection, *mark) {
            None => self.push_send(connection, mark, Outgoing::Turn(start..end)),
            Some(Outgoing::Turn(range)) if range.end == start => self.set_end(*mark, end),
            Some(Outgoing::Owned { .. }) => {
                if let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                {
                    bytes.extend_from_slice(&self.bytes[start..end]);
                }
            }
            Some(Outgoing::Shared(_) | Outgoing::Pieces(_)) => {
                self.append(*mark, Piece::Turn(start..end));
            }
            Some(Outgoing::Turn(range)) => {
                if range.end != self.bytes.len() {
                    self.move_to_end(*mark);
                }
                self.bytes.extend_from_within(start..end);
                self.set_end(*mark, self.bytes.len());
            }
        }
    }

    /// The operations in order.
    pub(crate) fn list(&self) -> &[Operation] {
        &self.list
    }

    /// The operations, for a driver that takes buffers out of them.
    pub(crate) fn list_mut(&mut self) -> &mut [Operation] {
        &mut self.list
    }

    /// Adds an attempt to connect.
    ///
    /// ```
    /// use ringway_acceptor::{ConnectToken, Connector, Operations};
    /// let mut operations = Operations::default();
    /// let connector = Connector::new("127.0.0.1:9001".parse().unwrap());
    /// operations.connect(connector.request(ConnectToken(7)));
    /// assert_eq!(operations.len(), 1);
    /// ```
    pub fn connect(&mut self, request: ConnectRequest) {
        self.list.push(Operation::Connect(Box::new(request)));
    }

    /// Adds an operation that is not a send.
    pub fn push(&mut self, operation: Operation) {
        debug_assert!(!matches!(operation, Operation::Send { .. }), "sends go through `send`");
        self.list.push(operation);
    }

    /// How many operations the turn holds.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the turn holds no operation.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes out the operations in order, with the buffer that [`Outgoing::Turn`] points into.
    pub fn drain(&mut self) -> (std::vec::Drain<'_, Operation>, &[u8]) {
        (self.list.drain(..), &self.bytes)
    }

    /// Bytes of all sends of the turn.
    pub fn bytes_to_send(&self) -> u64 {
        let bytes = self.list.iter().map(|operation| match operation {
            Operation::Send { outgoing: Outgoing::Turn(range), .. } => range.len(),
            Operation::Send { outgoing: Outgoing::Owned { bytes, start }, .. } => {
                bytes.len() - start
            }
            Operation::Send { outgoing: Outgoing::Shared(bytes), .. } => bytes.len(),
            Operation::Send { outgoing: Outgoing::Pieces(pieces), .. } => {
                pieces.iter().map(Piece::len).sum()
            }
            _ => 0,
        });
        bytes.sum::<usize>() as u64
    }

    /// The turn's buffer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the bytes so far are better sent before more are written
    /// ([`Driver::send_early`](crate::Driver::send_early)).
    #[inline]
    pub fn is_due_early(&self) -> bool {
        self.bytes.len() + self.owned_bytes >= EARLY_BYTES
    }

    /// Empties the turn, keeping its memory within bounds.
    pub fn clear(&mut self) {
        self.list.clear();
        self.owned_bytes = 0;
        self.bytes.clear();
        if self.bytes.capacity() > TURN_BYTES_KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Whether a small send fits into the turn's buffer. It does not if the buffer already holds
    /// the sends of all peers and cannot grow.
    #[inline]
    fn has_room_for_little(&mut self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= LITTLE_BYTES
            || self.bytes.try_reserve(LITTLE_BYTES).is_ok()
    }

    /// As [`Self::compose`], in an owned buffer.
    #[cold]
    fn compose_apart(
        &mut self,
        connection: ConnectionId,
        mark: &mut SendMark,
        copied: Option<Staged>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut own = Vec::new();
        if let Some(Staged { start, end }) = copied {
            own.extend_from_slice(&self.bytes[start..end]);
        }
        write(&mut own);
        match self.marked(connection, *mark) {
            None => self.push_send(connection, mark, Outgoing::Owned { bytes: own, start: 0 }),
            Some(Outgoing::Owned { .. }) => {
                if let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                {
                    bytes.append(&mut own);
                }
            }
            Some(_) => self.append(*mark, Piece::Shared(own.into())),
        }
    }

    fn push_send(&mut self, connection: ConnectionId, mark: &mut SendMark, outgoing: Outgoing) {
        *mark = SendMark(u32::try_from(self.list.len()).expect("a turn has under 2^32 operations"));
        self.list.push(Operation::Send { connection, outgoing });
    }

    fn marked(&self, connection: ConnectionId, mark: SendMark) -> Option<&Outgoing> {
        match self.list.get(mark.0 as usize) {
            Some(Operation::Send { connection: marked, outgoing }) if *marked == connection => {
                Some(outgoing)
            }
            _ => None,
        }
    }

    fn extend_last(&mut self, mark: SendMark) {
        self.set_end(mark, self.bytes.len());
    }

    fn set_end(&mut self, mark: SendMark, end: usize) {
        if let Operation::Send { outgoing: Outgoing::Turn(range), .. } =
            &mut self.list[mark.0 as usize]
        {
            range.end = end;
        }
    }

    /// Copies a send's bytes to the end of the turn's buffer, where it can grow.
    fn move_to_end(&mut self, mark: SendMark) {
        if let Operation::Send { outgoing: Outgoing::Turn(range), .. } =
            &mut self.list[mark.0 as usize]
        {
            let start = self.bytes.len();
            self.bytes.extend_from_within(range.clone());
            *range = start..self.bytes.len();
        }
    }

    /// Adds a piece to a send that has no owned buffer.
    fn append(&mut self, mark: SendMark, piece: Piece) {
        let Operation::Send { outgoing, .. } = &mut self.list[mark.0 as usize] else { return };
        if piece.len() == 0 {
            return;
        }
        match outgoing {
            Outgoing::Pieces(pieces) => match (pieces.last_mut(), &piece) {
                (Some(Piece::Turn(last)), Piece::Turn(next)) if last.end == next.start => {
                    last.end = next.end;
                }
                _ => pieces.push(piece),
            },
            Outgoing::Turn(range) => {
                *outgoing = Outgoing::Pieces(vec![Piece::Turn(range.clone()), piece]);
            }
            Outgoing::Shared(bytes) => {
                *outgoing = Outgoing::Pieces(vec![Piece::Shared(std::mem::take(bytes)), piece]);
            }
            Outgoing::Owned { .. } => unreachable!("an owned buffer is appended to"),
        }
    }
}

/// A turn may hold thousands of operations; the rare large one is boxed.
const _: () = assert!(size_of::<Operation>() <= 48);

#[cfg(test)]
mod tests;
