//! What a connection sends in this turn, and when a slow reader's input is paused.
//!
//! The driver keeps what the socket does not take, in order; this file bounds how much that may
//! become: past `queue_bytes_max` nothing more is read from the peer until all has left.

pub mod channel;

use bytes::Bytes;
use std::time::Duration;

use ringway_acceptor::{ConnectionId, Operation, Operations, SendMark, Staged};

use crate::{memory::OutOfMemory, outbox::channel::Channel};

/// The sending side of a connection, kept beside its peer.
#[derive(Debug, Default)]
pub struct Sending {
    mark: SendMark,
    channel: Channel,
    state: State,
    input: Input,
    written: Written,
    /// Bytes that the driver keeps for this connection alone.
    unsent: u32,
    /// What it keeps of shared buffers, in units of [`SHARED_UNIT_BYTES`].
    shared: u16,
}

/// So that what is kept of shared buffers takes two bytes of each connection.
const SHARED_UNIT_BYTES: usize = 4 << 10;

/// Whether the protocol has put off what was received.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// It takes what comes.
    #[default]
    Taken,
    /// It has enough for now.
    Held,
}

/// What was written in one turn; whether the socket takes it is known in the next one.
#[derive(Debug, Default, Clone, Copy)]
struct Written {
    /// The turn's time in microseconds, cut to 32 bits.
    turn: u32,
    bytes: u32,
}

impl Written {
    fn in_turn(self, now: Duration) -> usize {
        if self.turn == turn_of(now) { self.bytes as usize } else { 0 }
    }
}

fn turn_of(now: Duration) -> u32 {
    now.as_micros() as u32
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The socket takes all.
    #[default]
    Clear,
    /// The driver keeps something, within the bound.
    Backlogged,
    /// The driver keeps more than the bound: reading is paused.
    Paused,
}

impl Sending {
    /// The channel that the received bytes pass, too.
    pub fn channel_mut(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Whether the driver still keeps bytes for the socket.
    pub fn is_backlogged(&self) -> bool {
        self.state != State::Clear
    }

    /// Bytes that are kept for this client alone until it reads: those that the socket has not taken,
    /// and while there are some, as many as the kernel keeps for a full socket.
    #[inline]
    pub fn owed_bytes(&self, kernel_queue_bytes: usize) -> usize {
        match self.state {
            State::Clear => 0,
            State::Backlogged | State::Paused => self.unsent as usize + kernel_queue_bytes,
        }
    }

    /// Bytes that are kept for it and for others, about.
    pub fn shared_bytes(&self) -> usize {
        usize::from(self.shared) * SHARED_UNIT_BYTES
    }

    /// Whether nothing is read until all that is owed has left.
    pub fn is_paused(&self) -> bool {
        self.state == State::Paused
    }

    /// Reads nothing more until [`Self::release`].
    pub fn hold(&mut self, connection: ConnectionId, operations: &mut Operations) {
        if self.input == Input::Taken && self.state != State::Paused {
            operations.push(Operation::PauseReceive(connection));
        }
        self.input = Input::Held;
    }

    /// Reads again, unless it owes too much.
    pub fn release(&mut self, connection: ConnectionId, operations: &mut Operations) {
        if self.input == Input::Held && self.state != State::Paused {
            operations.push(Operation::ResumeReceive(connection));
        }
        self.input = Input::Taken;
    }

    /// Whether the driver may come to keep bytes that were written in this turn.
    pub fn is_unsettled(&self, now: Duration) -> bool {
        self.written.in_turn(now) > 0
    }

    /// The driver keeps `unsent_bytes`, some of them shared: pauses reading when that is too much.
    pub fn backlogged(
        &mut self,
        connection: ConnectionId,
        (unsent_bytes, shared_bytes): (usize, usize),
        queue_bytes_max: usize,
        operations: &mut Operations,
    ) {
        self.unsent = u32::try_from(unsent_bytes - shared_bytes).unwrap_or(u32::MAX);
        self.shared = u16::try_from(shared_bytes / SHARED_UNIT_BYTES).unwrap_or(u16::MAX);
        if self.state != State::Paused {
            self.state = State::Backlogged;
            if unsent_bytes > queue_bytes_max {
                self.state = State::Paused;
                if self.input == Input::Taken {
                    operations.push(Operation::PauseReceive(connection));
                }
            }
        }
    }

    /// All has left: reading goes on.
    pub fn drained(&mut self, connection: ConnectionId, operations: &mut Operations) {
        if self.state == State::Paused && self.input == Input::Taken {
            operations.push(Operation::ResumeReceive(connection));
        }
        self.state = State::Clear;
        (self.unsent, self.shared) = (0, 0);
    }
}

/// Where the protocols write to, for the time of one call.
pub struct Outbox<'a> {
    connection: ConnectionId,
    sending: &'a mut Sending,
    operations: &'a mut Operations,
    now: Duration,
}

impl<'a> Outbox<'a> {
    /// The outbox of `connection` in this turn.
    pub fn new(
        connection: ConnectionId,
        sending: &'a mut Sending,
        operations: &'a mut Operations,
        now: Duration,
    ) -> Self {
        Self { connection, sending, operations, now }
    }

    /// Whether the driver still keeps bytes for the socket.
    pub fn is_backlogged(&self) -> bool {
        self.sending.is_backlogged()
    }

    /// Whether nothing is to be read until all that is owed has left.
    pub fn is_paused(&self) -> bool {
        self.sending.is_paused()
    }

    /// Whether the socket is known to have taken all that was written.
    pub fn is_settled(&self) -> bool {
        !self.sending.is_backlogged() && !self.sending.is_unsettled(self.now)
    }

    /// Bytes written in this turn.
    pub fn bytes_of_turn(&self) -> usize {
        self.sending.written.in_turn(self.now)
    }

    /// Makes room for `bytes` in what is written in this turn.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    #[inline]
    pub fn make_room(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let mark = self.sending.mark;
        self.operations.try_reserve_send(self.connection, mark, bytes).map_err(|_| OutOfMemory)
    }

    /// Sends what `write` appends.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let Sending { mark, channel, .. } = &mut *self.sending;
        let mut written = 0;
        self.operations.send(self.connection, mark, |out| {
            let start = out.len();
            channel.seal(out, write);
            written = out.len() - start;
        });
        self.count(written);
    }

    /// Sends a buffer of its own from `start` on, without a copy where the channel allows it.
    ///
    /// # Errors
    /// [`OutOfMemory`] for the copy; nothing is sent.
    pub fn write_owned(&mut self, bytes: Vec<u8>, start: usize) -> Result<(), OutOfMemory> {
        if self.bytes_of_turn() > 0 {
            self.make_room(bytes.len() - start)?;
        }
        self.count(bytes.len() - start);
        match self.sending.channel {
            Channel::Plain => {
                self.operations.send_owned(self.connection, &mut self.sending.mark, bytes, start);
            }
        }
        Ok(())
    }

    /// Sends bytes that `stage` puts into the turn's buffer once for all who share them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is sent.
    #[inline]
    pub fn write_staged(
        &mut self,
        stage: impl FnOnce(&mut Operations) -> Result<Staged, OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let staged = stage(self.operations)?;
        if self.bytes_of_turn() > 0 {
            self.make_room(staged.len())?;
        }
        self.count(staged.len());
        match self.sending.channel {
            Channel::Plain => {
                self.operations.send_staged(self.connection, &mut self.sending.mark, staged);
            }
        }
        Ok(())
    }

    /// Sends shared bytes without a copy, where the channel allows it.
    pub fn write_shared(&mut self, bytes: &Bytes) {
        self.count(bytes.len());
        match self.sending.channel {
            Channel::Plain => {
                self.operations.send_shared(self.connection, &mut self.sending.mark, bytes);
            }
        }
    }

    #[inline]
    fn count(&mut self, written: usize) {
        let bytes = self.bytes_of_turn().saturating_add(written);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sending.written = Written { turn: turn_of(self.now), bytes };
    }

    /// FIN after all that was written.
    pub fn finish(&mut self) {
        self.operations.push(Operation::Shutdown(self.connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(operations: &mut Operations) -> Vec<&'static str> {
        let (list, _) = operations.drain();
        list.map(|operation| match operation {
            Operation::PauseReceive(_) => "pause",
            Operation::ResumeReceive(_) => "resume",
            _ => "other",
        })
        .collect()
    }

    #[test]
    fn there_is_no_room_for_more_than_an_address_space_holds() {
        let (mut sending, mut operations) = (Sending::default(), Operations::default());
        let connection = ConnectionId::new(0, 0);
        let mut outbox = Outbox::new(connection, &mut sending, &mut operations, Duration::ZERO);
        outbox.write(|out| out.push(1));
        assert_eq!(outbox.make_room(isize::MAX as usize - 16), Err(OutOfMemory));
        assert_eq!(outbox.make_room(1 << 10), Ok(()));
        outbox.write(|out| out.push(2));
        assert_eq!(operations.bytes(), [1, 2]);
    }

    #[test]
    fn bytes_are_counted_by_the_turn() {
        let (mut sending, mut operations) = (Sending::default(), Operations::default());
        let connection = ConnectionId::new(0, 0);
        let [first, second] = [1, 2].map(Duration::from_micros);
        let mut outbox = Outbox::new(connection, &mut sending, &mut operations, first);
        outbox.write(|out| out.extend([1, 2, 3]));
        outbox.write_owned(vec![4; 10], 5).unwrap();
        assert_eq!(outbox.bytes_of_turn(), 8);
        assert!(sending.is_unsettled(first) && !sending.is_unsettled(second));
    }

    #[test]
    fn what_the_kernel_keeps_counts_while_the_socket_is_full() {
        let (mut sending, mut operations) = (Sending::default(), Operations::default());
        let connection = ConnectionId::new(0, 0);
        assert_eq!(sending.owed_bytes(1000), 0);
        sending.backlogged(connection, (10, 0), 100, &mut operations);
        assert_eq!(sending.owed_bytes(1000), 1010);
        sending.backlogged(connection, (8202, 8192), 100, &mut operations);
        assert_eq!((sending.owed_bytes(1000), sending.shared_bytes()), (1010, 8192));
        sending.drained(connection, &mut operations);
        assert_eq!((sending.owed_bytes(1000), sending.shared_bytes()), (0, 0));
    }

    #[test]
    fn reading_pauses_one_byte_past_the_bound_and_resumes_when_all_has_left() {
        let (mut sending, mut operations) = (Sending::default(), Operations::default());
        let connection = ConnectionId::new(0, 0);
        sending.backlogged(connection, (100, 0), 100, &mut operations);
        assert!(pauses(&mut operations).is_empty());
        sending.backlogged(connection, (101, 0), 100, &mut operations);
        sending.backlogged(connection, (102, 0), 100, &mut operations);
        assert_eq!(pauses(&mut operations), ["pause"]);
        sending.drained(connection, &mut operations);
        sending.drained(connection, &mut operations);
        assert_eq!(pauses(&mut operations), ["resume"]);
    }
}
