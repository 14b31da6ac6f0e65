//! What a driver is asked to do in one turn, and the bytes that go with it.
//!
//! Invariant: one turn holds at most one `Send` per connection. An inline send that comes short
//! would otherwise be overtaken by the next one.

use std::{collections::TryReserveError, ops::Range};

use bytes::Bytes;

use crate::{Connection, Waker};

/// One thing to do.
#[derive(Debug)]
pub enum Operation {
    /// Send bytes, after all that was sent before.
    Send {
        /// To whom.
        connection: Connection,
        /// What.
        outgoing: Outgoing,
    },
    /// Stop reading from a connection; what has arrived already may still be reported.
    PauseReceive(Connection),
    /// Read from a connection again.
    ResumeReceive(Connection),
    /// Ask how far the peer has read. For a connection that has not failed,
    /// [`Completion::Progress`](crate::Completion::Progress) answers by the end of the next turn.
    /// It costs a system call or two: it is meant for when a deadline has come.
    MeasureProgress(Connection),
    /// Send FIN once all that was sent before has left; receiving goes on.
    Shutdown(Connection),
    /// Drop the connection now, with what it still had to send.
    Close(Connection),
    /// The same by a reset (SO_LINGER of zero in socket(7)): the kernel does not go on sending what
    /// it has taken, so its memory is free at once, too.
    Reset(Connection),
    /// Close the listeners. Connections stay.
    StopAccepting,
    /// Wake another core, after what it shall see was written.
    Wake(Waker),
}

impl Operation {
    /// The connection that it is about; `None` for what is asked of the core itself.
    pub(crate) fn connection(&self) -> Option<Connection> {
        match self {
            Self::Send { connection, .. }
            | Self::PauseReceive(connection)
            | Self::ResumeReceive(connection)
            | Self::MeasureProgress(connection)
            | Self::Shutdown(connection)
            | Self::Close(connection)
            | Self::Reset(connection) => Some(*connection),
            Self::StopAccepting | Self::Wake(_) => None,
        }
    }
}

/// Where a send's bytes are.
#[derive(Debug)]
pub enum Outgoing {
    /// In the turn's own buffer, see [`Operations::bytes`].
    Turn(Range<usize>),
    /// A buffer of its own, from `start` to its end.
    Owned {
        /// The buffer.
        bytes: Vec<u8>,
        /// Where its content starts.
        start: usize,
    },
    /// Shared with other connections: encoded once, sent many times.
    Shared(Bytes),
}

/// Where a connection's send of the current turn is, kept by the caller beside the connection.
///
/// It may be stale; [`Operations`] checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendMark(u32);

impl Default for SendMark {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// Bytes in the buffer of this turn, to be sent to any number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    start: usize,
    end: usize,
}

impl Staged {
    /// How many bytes there are.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The operations of one turn.
///
/// ```
/// use ringway_acceptor::{Connection, Operations, SendMark};
/// let (mut operations, mut mark) = (Operations::default(), SendMark::default());
/// let connection = Connection::new(0, 0);
/// operations.send(connection, &mut mark, |out| out.extend_from_slice(b"one "));
/// operations.send(connection, &mut mark, |out| out.extend_from_slice(b"send"));
/// assert_eq!(operations.len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Operations {
    list: Vec<Operation>,
    bytes: Vec<u8>,
}

/// The turn's buffer is given back to the allocator above this, so that one burst of large
/// messages does not stay resident.
const TURN_BYTES_KEPT: usize = 4 << 20;

/// More than a small send has: a control frame, the head of a response.
const LITTLE_BYTES: usize = 1024;

impl Operations {
    /// Appends what `write` writes to the connection's send of this turn.
    pub fn send(
        &mut self,
        connection: Connection,
        mark: &mut SendMark,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let end = self.bytes.len();
        if !self.has_room_for_little() {
            return write(self.own_buffer(connection, mark));
        }
        match self.marked(connection, *mark) {
            None => {
                write(&mut self.bytes);
                self.push_send(connection, mark, Outgoing::Turn(end..self.bytes.len()));
            }
            Some(Outgoing::Turn(range)) if range.end == end => {
                write(&mut self.bytes);
                self.extend_last(*mark);
            }
            Some(Outgoing::Owned { .. }) => {
                if let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                {
                    write(bytes);
                }
            }
            Some(_) => {
                self.move_to_end(*mark);
                write(&mut self.bytes);
                self.extend_last(*mark);
            }
        }
    }

    /// Makes room in the turn's buffer for `additional` bytes, so that writing them cannot fail.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        self.bytes.try_reserve(additional)
    }

    /// Makes room for `additional` bytes more of the connection's send of this turn, so that writing
    /// or staging them cannot fail. What it is sent already may have to be moved to stand before
    /// them.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn try_reserve_send(
        &mut self,
        connection: Connection,
        mark: SendMark,
        additional: usize,
    ) -> Result<(), TryReserveError> {
        let moved = match self.marked(connection, mark) {
            None => 0,
            Some(Outgoing::Turn(range)) if range.end == self.bytes.len() => 0,
            Some(Outgoing::Turn(range)) => range.len(),
            Some(Outgoing::Shared(bytes)) => bytes.len(),
            Some(Outgoing::Owned { .. }) => {
                let Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } =
                    &mut self.list[mark.0 as usize]
                else {
                    return Ok(());
                };
                return bytes.try_reserve(additional);
            }
        };
        self.bytes.try_reserve(moved.saturating_add(additional))
    }

    /// Sends a buffer of its own, without copying it unless the connection already sends in this
    /// turn.
    pub fn send_owned(
        &mut self,
        connection: Connection,
        mark: &mut SendMark,
        bytes: Vec<u8>,
        start: usize,
    ) {
        if self.marked(connection, *mark).is_none() {
            self.push_send(connection, mark, Outgoing::Owned { bytes, start });
        } else {
            self.send(connection, mark, |out| out.extend_from_slice(&bytes[start..]));
        }
    }

    /// Sends shared bytes, without copying them unless the connection already sends in this turn.
    pub fn send_shared(&mut self, connection: Connection, mark: &mut SendMark, bytes: &Bytes) {
        if self.marked(connection, *mark).is_none() {
            self.push_send(connection, mark, Outgoing::Shared(bytes.clone()));
        } else {
            self.send(connection, mark, |out| out.extend_from_slice(bytes));
        }
    }

    /// Writes bytes to the turn's buffer that any number of connections may then be sent.
    ///
    /// ```
    /// use ringway_acceptor::{Connection, Operations, SendMark};
    /// let mut operations = Operations::default();
    /// let staged = operations.stage(|out| out.extend_from_slice(b"for all"));
    /// for slot in 0..3 {
    ///     operations.send_staged(Connection::new(slot, 0), &mut SendMark::default(), staged);
    /// }
    /// assert_eq!((operations.len(), operations.bytes().len()), (3, 7));
    /// ```
    pub fn stage(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Staged {
        let start = self.bytes.len();
        write(&mut self.bytes);
        Staged { start, end: self.bytes.len() }
    }

    /// Sends staged bytes of this turn. They are not copied when the connection's send of this
    /// turn is empty so far, or ends where they start.
    pub fn send_staged(&mut self, connection: Connection, mark: &mut SendMark, staged: Staged) {
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
            Some(_) => {
                self.move_to_end(*mark);
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

    /// Adds an operation that is not a send.
    pub fn push(&mut self, operation: Operation) {
        debug_assert!(!matches!(operation, Operation::Send { .. }), "sends go through `send`");
        self.list.push(operation);
    }

    /// How many operations the turn holds.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The operations in order, taken out, beside the buffer that [`Outgoing::Turn`] points into.
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
            _ => 0,
        });
        bytes.sum::<usize>() as u64
    }

    /// The turn's buffer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the turn, keeping its memory within bounds.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
        if self.bytes.capacity() > TURN_BYTES_KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Whether a small send fits into the turn's buffer. Where that is as large as what all peers are
    /// sent and cannot grow, it does not.
    #[inline]
    fn has_room_for_little(&mut self) -> bool {
        self.bytes.capacity() - self.bytes.len() >= LITTLE_BYTES
            || self.bytes.try_reserve(LITTLE_BYTES).is_ok()
    }

    /// A buffer for the connection's send alone, which begins with what it is sent already.
    #[cold]
    fn own_buffer(&mut self, connection: Connection, mark: &mut SendMark) -> &mut Vec<u8> {
        match self.marked(connection, *mark) {
            None => {
                self.push_send(connection, mark, Outgoing::Owned { bytes: Vec::new(), start: 0 })
            }
            Some(Outgoing::Owned { .. }) => {}
            Some(Outgoing::Turn(range)) => {
                let bytes = self.bytes[range.clone()].to_vec();
                self.replace(*mark, bytes);
            }
            Some(Outgoing::Shared(shared)) => {
                let bytes = shared.to_vec();
                self.replace(*mark, bytes);
            }
        }
        match &mut self.list[mark.0 as usize] {
            Operation::Send { outgoing: Outgoing::Owned { bytes, .. }, .. } => bytes,
            other => unreachable!("it was just made an owned send: {other:?}"),
        }
    }

    fn replace(&mut self, mark: SendMark, bytes: Vec<u8>) {
        if let Operation::Send { outgoing, .. } = &mut self.list[mark.0 as usize] {
            *outgoing = Outgoing::Owned { bytes, start: 0 };
        }
    }

    fn push_send(&mut self, connection: Connection, mark: &mut SendMark, outgoing: Outgoing) {
        *mark = SendMark(u32::try_from(self.list.len()).expect("a turn has under 2^32 operations"));
        self.list.push(Operation::Send { connection, outgoing });
    }

    fn marked(&self, connection: Connection, mark: SendMark) -> Option<&Outgoing> {
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
        let Operation::Send { outgoing, .. } = &mut self.list[mark.0 as usize] else { return };
        let start = self.bytes.len();
        match outgoing {
            Outgoing::Turn(range) => self.bytes.extend_from_within(range.clone()),
            Outgoing::Shared(bytes) => self.bytes.extend_from_slice(bytes),
            Outgoing::Owned { bytes, start } => self.bytes.extend_from_slice(&bytes[*start..]),
        }
        *outgoing = Outgoing::Turn(start..self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(operations: &mut Operations) -> Vec<(u32, Vec<u8>)> {
        let (list, turn) = operations.drain();
        list.filter_map(|operation| match operation {
            Operation::Send { connection, outgoing } => {
                let bytes = match outgoing {
                    Outgoing::Turn(range) => turn[range].to_vec(),
                    Outgoing::Owned { bytes, start } => bytes[start..].to_vec(),
                    Outgoing::Shared(bytes) => bytes.to_vec(),
                };
                Some((connection.slot(), bytes))
            }
            _ => None,
        })
        .collect()
    }

    #[test]
    fn interleaved_sends_stay_one_per_connection_and_in_order() {
        let mut operations = Operations::default();
        let names = [Connection::new(0, 0), Connection::new(1, 0)];
        let mut marks = [SendMark::default(); 2];
        for round in 0..4u8 {
            for (name, mark) in names.iter().zip(&mut marks) {
                operations.send(*name, mark, |out| out.push(round));
            }
        }
        assert_eq!(sends(&mut operations), [(0, vec![0, 1, 2, 3]), (1, vec![0, 1, 2, 3])]);
    }

    #[test]
    fn every_kind_of_send_can_be_continued() {
        let mut operations = Operations::default();
        for first in 0..3 {
            let (name, mut mark) = (Connection::new(first, 0), SendMark::default());
            match first {
                0 => operations.send(name, &mut mark, |out| out.extend_from_slice(b"ab")),
                1 => operations.send_owned(name, &mut mark, b"_ab".to_vec(), 1),
                _ => operations.send_shared(name, &mut mark, &Bytes::from_static(b"ab")),
            }
            operations.send(name, &mut mark, |out| out.push(b'c'));
            operations.send_owned(name, &mut mark, b"_d".to_vec(), 1);
            operations.send_shared(name, &mut mark, &Bytes::from_static(b"e"));
        }
        assert_eq!(operations.bytes_to_send(), 3 * 5);
        let expected = |slot| (slot, b"abcde".to_vec());
        assert_eq!(sends(&mut operations), [expected(0), expected(1), expected(2)]);
    }

    #[test]
    fn staged_bytes_are_shared_until_a_connection_goes_its_own_way() {
        let mut operations = Operations::default();
        let names = [0, 1, 2].map(|slot| Connection::new(slot, 0));
        let mut marks = [SendMark::default(); 3];
        operations.send_owned(names[2], &mut marks[2], b"_o".to_vec(), 1);
        for text in [b"ab", b"cd"] {
            let staged = operations.stage(|out| out.extend_from_slice(text));
            for (name, mark) in names.iter().zip(&mut marks) {
                operations.send_staged(*name, mark, staged);
            }
        }
        assert_eq!(operations.bytes(), b"abcd", "both share what follows what they have");
        operations.send(names[0], &mut marks[0], |out| out.push(b'!'));
        let staged = operations.stage(|out| out.push(b'e'));
        for (name, mark) in names.iter().zip(&mut marks) {
            operations.send_staged(*name, mark, staged);
        }
        let expected = [(2, b"oabcde".to_vec()), (0, b"abcd!e".to_vec()), (1, b"abcde".to_vec())];
        assert_eq!(sends(&mut operations), expected);
    }

    #[test]
    fn a_stale_mark_starts_a_new_send() {
        let mut operations = Operations::default();
        let (one, two) = (Connection::new(1, 0), Connection::new(2, 0));
        let (mut mark_one, mut mark_two) = (SendMark::default(), SendMark::default());
        operations.send(one, &mut mark_one, |out| out.push(1));
        operations.clear();
        operations.send(two, &mut mark_two, |out| out.push(2));
        operations.send(one, &mut mark_one, |out| out.push(3));
        assert_eq!(sends(&mut operations), [(2, vec![2]), (1, vec![3])]);
    }

    #[test]
    fn a_burst_does_not_stay_resident() {
        let mut operations = Operations::default();
        let mut mark = SendMark::default();
        operations.send(Connection::new(0, 0), &mut mark, |out| out.resize(TURN_BYTES_KEPT + 1, 0));
        operations.clear();
        assert_eq!(operations.bytes.capacity(), 0);
    }
}
