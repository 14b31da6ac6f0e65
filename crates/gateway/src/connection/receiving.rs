//! From a socket's bytes to a protocol's input, and the end of a connection whose records are
//! broken.
//!
//! It never reads a protocol's bytes: they are served, or put off, elsewhere.

use crate::{
    connection::{ClientConnection, Turn, log::EndReason, outbox},
    outbox::channel::{ChannelError, End, Opened, Passage},
};

impl ClientConnection {
    /// Serves bytes from the socket.
    #[inline]
    pub fn receive(&mut self, received: &mut [u8], turn: &mut Turn<'_>) {
        match self.channel.inward() {
            Passage::Plain => self.take_in(received, turn),
            Passage::Records(_) => self.receive_records(received, turn),
            Passage::Shut => {}
        }
    }

    /// Opens record by record, so that input before a broken one is served. Nothing is read after
    /// the end of a stream, or once the connection was closed.
    fn receive_records(&mut self, mut received: &mut [u8], turn: &mut Turn<'_>) {
        while !received.is_empty()
            && self.channel.deferred().is_none_or(|deferred| deferred.end == End::Open)
            && let Passage::Records(layer) = self.channel.inward()
        {
            let mut out = turn.context.scratch.take_records();
            let opened = layer.open(&mut received, &mut out);
            outbox!(self, turn).write_past(&out);
            turn.context.scratch.put_records(out);
            self.end_handshake(turn);
            match opened {
                Ok(Opened::Nothing) => {}
                Ok(Opened::InPlace(input)) => self.take_in(input, turn),
                Ok(Opened::Assembled(mut input)) => self.take_in(&mut input, turn),
                Ok(Opened::Ended) => self.end_of_stream(turn),
                Err(error) => return self.fail_channel(error, turn),
            }
        }
    }

    /// Ends reading. Input that waits for its turn came earlier, so it is served first.
    fn fail_channel(&mut self, error: ChannelError, turn: &mut Turn<'_>) {
        match error {
            ChannelError::Handshake => self.note_channel_error(EndReason::HandshakeFailed, turn),
            ChannelError::PlainHttp => self.note_channel_error(EndReason::PlainHttp, turn),
            ChannelError::Record => self.note_channel_error(EndReason::RecordFault, turn),
            ChannelError::OutOfMemory => {
                turn.context.metrics.closed_for_memory.add(1);
                self.note_end(EndReason::Memory);
            }
        }
        if !self.puts_off_end(End::Broken, turn) {
            self.end_broken(turn);
        }
    }

    /// Whether the end must wait for deferred input or for a request; these are served first. Only
    /// the first end counts.
    pub(super) fn puts_off_end(&mut self, end: End, turn: &mut Turn<'_>) -> bool {
        if self.is_identifying() && self.channel.deferred().is_none() {
            self.put_off(&[], turn);
        }
        let Some(deferred) = self.channel.deferred_mut() else { return false };
        if deferred.end == End::Open {
            deferred.end = end;
        }
        true
    }

    /// Ends a connection whose channel is broken; the layer's last record is sent last.
    pub(super) fn end_broken(&mut self, turn: &mut Turn<'_>) {
        // Nothing would arrive after a backlog that the socket does not take.
        if self.sending.is_backlogged() {
            return self.end(turn);
        }
        self.retire(self.settled(turn), turn);
        outbox!(self, turn).finish();
        self.linger(turn);
    }

    /// Counts that a connection ends because of an error of its channel.
    pub(super) fn note_channel_error(&mut self, reason: EndReason, turn: &mut Turn<'_>) {
        turn.context.metrics.channel_errors.add(1);
        self.note_end(reason);
    }
}
