//! What a connection sends in this turn, and when a slow reader's input is paused.
//!
//! The driver keeps the bytes that the socket does not take, in order. This file bounds them: if
//! they exceed `queue_bytes_max`, nothing more is read from the client until all of them are sent.

pub mod channel;

use bytes::Bytes;
use std::time::Duration;

use ringway_acceptor::{ConnectionId, Operation, Operations, SendMark, Staged};

use crate::{
    memory::OutOfMemory,
    outbox::channel::{Channel, Passage},
};

/// The sending side of a connection, stored with its client.
#[derive(Debug, Default)]
pub struct Sending {
    mark: SendMark,
    state: State,
    input: Input,
    written: Written,
    /// Bytes that the driver keeps only for this connection.
    unsent: u32,
    /// The driver's share of shared buffers, in units of [`SHARED_UNIT_BYTES`].
    shared: u16,
}

/// So that the size of shared buffers fits in two bytes per connection.
const SHARED_UNIT_BYTES: usize = 4 << 10;

/// Whether the protocol has paused its input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// The protocol accepts more input.
    #[default]
    Taken,
    /// The protocol accepts no input until it is released.
    Held,
}

/// What was written in one turn; the next turn tells whether the socket takes it.
#[derive(Debug, Default, Clone, Copy)]
struct Written {
    /// The turn's time in microseconds, cut to 32 bits.
    turn: u32,
    bytes: u32,
}

impl Written {
    fn in_turn(self, turn: u32) -> usize {
        if self.turn == turn { self.bytes as usize } else { 0 }
    }
}

fn turn_of(now: Duration) -> u32 {
    now.as_micros() as u32
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The socket takes everything.
    #[default]
    Clear,
    /// The driver keeps bytes, within the bound.
    Backlogged,
    /// The driver keeps more than the bound: reading is paused.
    Paused,
}

impl Sending {
    /// Whether the driver still keeps bytes for the socket.
    pub fn is_backlogged(&self) -> bool {
        self.state != State::Clear
    }

    /// Bytes that are kept only for this client until it reads: those that the socket has not
    /// taken, and if there are any, as many as the kernel keeps for a full socket.
    #[inline]
    pub fn owed_bytes(&self, kernel_queue_bytes: usize) -> usize {
        match self.state {
            State::Clear => 0,
            State::Backlogged | State::Paused => self.unsent as usize + kernel_queue_bytes,
        }
    }

    /// Approximate bytes that are kept for it together with other clients.
    pub fn shared_bytes(&self) -> usize {
        usize::from(self.shared) * SHARED_UNIT_BYTES
    }

    /// Whether reading is paused until all kept bytes are sent.
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

    /// Reads again, unless the driver keeps too much for it.
    pub fn release(&mut self, connection: ConnectionId, operations: &mut Operations) {
        if self.input == Input::Held && self.state != State::Paused {
            operations.push(Operation::ResumeReceive(connection));
        }
        self.input = Input::Taken;
    }

    /// Whether the driver may still report a backlog of bytes that were written in this turn.
    pub fn is_unsettled(&self, now: Duration) -> bool {
        self.written.in_turn(turn_of(now)) > 0
    }

    /// The driver keeps `unsent_bytes`, some of them shared: pauses reading if that is too much.
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

    /// Everything is sent: resumes reading.
    pub fn drained(&mut self, connection: ConnectionId, operations: &mut Operations) {
        if self.state == State::Paused && self.input == Input::Taken {
            operations.push(Operation::ResumeReceive(connection));
        }
        self.state = State::Clear;
        (self.unsent, self.shared) = (0, 0);
    }
}

/// The output of a connection, for the time of one call. Protocols' bytes go through the
/// connection's channel at once, so all counts are of bytes for the socket.
pub struct Outbox<'a> {
    connection: ConnectionId,
    sending: &'a mut Sending,
    channel: &'a mut Channel,
    operations: &'a mut Operations,
    /// As in [`Written`].
    turn: u32,
}

impl<'a> Outbox<'a> {
    /// The outbox of `connection` in this turn.
    pub fn new(
        connection: ConnectionId,
        sending: &'a mut Sending,
        channel: &'a mut Channel,
        operations: &'a mut Operations,
        now: Duration,
    ) -> Self {
        Self { connection, sending, channel, operations, turn: turn_of(now) }
    }

    /// Whether the driver still keeps bytes for the socket.
    pub fn is_backlogged(&self) -> bool {
        self.sending.is_backlogged()
    }

    /// Whether reading is paused until all kept bytes are sent.
    pub fn is_paused(&self) -> bool {
        self.sending.is_paused()
    }

    /// Whether the socket is known to have taken everything that was written.
    pub fn is_settled(&self) -> bool {
        !self.sending.is_backlogged() && self.bytes_of_turn() == 0
    }

    /// Bytes written in this turn.
    pub fn bytes_of_turn(&self) -> usize {
        self.sending.written.in_turn(self.turn)
    }

    /// The most bytes that the socket is given for this many bytes of the protocol.
    #[inline]
    pub fn sealed_bytes_max(&mut self, bytes: usize) -> usize {
        match self.channel.outward() {
            Passage::Plain => bytes,
            Passage::Records(layer) => layer.sealed_bytes_max(bytes),
            Passage::Shut => 0,
        }
    }

    /// Makes room for `bytes` in this turn's buffer, to be written at once.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    #[inline]
    pub fn make_room(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let bytes = match self.channel.outward() {
            Passage::Plain => bytes,
            Passage::Records(layer) => layer.sealed_bytes_max(bytes),
            Passage::Shut => return Ok(()),
        };
        let mark = self.sending.mark;
        self.operations.try_reserve_send(self.connection, mark, bytes).map_err(|_| OutOfMemory)
    }

    /// As [`Self::make_room`], for bytes that include `shared` bytes sent by
    /// [`Self::write_shared`].
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn make_room_beside(&mut self, own: usize, shared: usize) -> Result<(), OutOfMemory> {
        match self.channel.outward() {
            Passage::Plain => self.make_room(own),
            Passage::Records(_) | Passage::Shut => self.make_room(own.saturating_add(shared)),
        }
    }

    /// Sends the bytes that `write` appends.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let layer = match self.channel.outward() {
            Passage::Plain => None,
            Passage::Records(layer) => Some(layer),
            Passage::Shut => return,
        };
        let mut written = 0;
        self.operations.send(self.connection, &mut self.sending.mark, |out| {
            let start = out.len();
            write(out);
            if let Some(layer) = layer {
                layer.seal(out, start);
            }
            written = out.len() - start;
        });
        self.count(written);
    }

    /// As [`Self::write`], for at most `bytes_max` bytes: makes room for them first.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is sent.
    #[inline]
    pub fn try_write(
        &mut self,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), OutOfMemory> {
        if !matches!(self.channel.outward(), Passage::Plain) {
            self.make_room(bytes_max)?;
            self.write(write);
            return Ok(());
        }
        let (mut written, mark) = (0, &mut self.sending.mark);
        let sent = self.operations.try_send(self.connection, mark, bytes_max, |out| {
            let start = out.len();
            write(out);
            written = out.len() - start;
        });
        sent.map_err(|_| OutOfMemory)?;
        self.count(written);
        Ok(())
    }

    /// Sends an owned buffer from `start` on, without a copy if the channel allows it.
    ///
    /// # Errors
    /// [`OutOfMemory`] for the copy; nothing is sent.
    pub fn write_owned(&mut self, bytes: Vec<u8>, start: usize) -> Result<(), OutOfMemory> {
        match self.channel.outward() {
            Passage::Plain => {
                if self.bytes_of_turn() > 0 {
                    self.make_room(bytes.len() - start)?;
                }
                self.count(bytes.len() - start);
                self.operations.send_owned(self.connection, &mut self.sending.mark, bytes, start);
                Ok(())
            }
            Passage::Records(_) | Passage::Shut => self.write_copy(&bytes[start..]),
        }
    }

    /// Writes bytes to the turn's buffer that are sent later in the turn.
    ///
    /// # Errors
    /// Those of `stage`.
    pub fn stage(
        &mut self,
        stage: impl FnOnce(&mut Operations) -> Result<Staged, OutOfMemory>,
    ) -> Result<Staged, OutOfMemory> {
        stage(self.operations)
    }

    /// Sends bytes that `stage` writes to the turn's buffer once for all clients that share them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is sent.
    #[inline]
    pub fn write_staged(
        &mut self,
        stage: impl FnOnce(&mut Operations) -> Result<Staged, OutOfMemory>,
    ) -> Result<(), OutOfMemory> {
        let staged = stage(self.operations)?;
        match self.channel.outward() {
            Passage::Plain => {
                if self.bytes_of_turn() > 0 {
                    self.make_room(staged.len())?;
                }
                self.count(staged.len());
                self.operations.send_staged(self.connection, &mut self.sending.mark, staged);
                Ok(())
            }
            Passage::Records(_) => self.seal_staged(staged),
            Passage::Shut => Ok(()),
        }
    }

    /// Seals staged bytes only for this connection; the staged bytes stay unchanged for others.
    fn seal_staged(&mut self, staged: Staged) -> Result<(), OutOfMemory> {
        self.make_room(staged.len())?;
        let Passage::Records(layer) = self.channel.outward() else { return Ok(()) };
        let mut written = 0;
        self.operations.send_copy(self.connection, &mut self.sending.mark, staged, |out| {
            let start = out.len() - staged.len();
            layer.seal(out, start);
            written = out.len() - start;
        });
        self.count(written);
        Ok(())
    }

    /// Sends shared bytes, without a copy if the channel allows it.
    ///
    /// # Errors
    /// [`OutOfMemory`] for the copy; nothing is sent.
    pub fn write_shared(&mut self, bytes: &Bytes) -> Result<(), OutOfMemory> {
        match self.channel.outward() {
            Passage::Plain => {
                self.count(bytes.len());
                self.operations.send_shared(self.connection, &mut self.sending.mark, bytes);
                Ok(())
            }
            Passage::Records(_) | Passage::Shut => self.write_copy(bytes),
        }
    }

    fn write_copy(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.try_write(bytes.len(), |out| out.extend_from_slice(bytes))
    }

    /// Sends the layer's own bytes, which are not sealed.
    pub fn write_past(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mark = &mut self.sending.mark;
            self.operations.send(self.connection, mark, |out| out.extend_from_slice(bytes));
            self.count(bytes.len());
        }
    }

    #[inline]
    fn count(&mut self, written: usize) {
        let bytes = self.bytes_of_turn().saturating_add(written);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sending.written = Written { turn: self.turn, bytes };
    }

    /// Sends FIN after all output, and after the channel's last record.
    pub fn finish(&mut self) {
        self.end_channel();
        self.operations.push(Operation::Shutdown(self.connection));
    }

    /// Writes the channel's last record, if it has one; nothing passes after it.
    pub fn end_channel(&mut self) {
        if let Some(mut layer) = self.channel.end() {
            let mut last = Vec::new();
            layer.close(&mut last);
            self.write_past(&last);
        }
    }
}

#[cfg(test)]
mod tests;
