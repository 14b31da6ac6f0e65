//! What a connection sends in this turn, and when a slow reader's input is paused.
//!
//! The driver keeps what the socket does not take, in order; this file bounds how much that may
//! become: past `queue_bytes_max` nothing more is read from the peer until all has left.

use ringway_acceptor::{Connection, Operation, Operations, SendMark};

use crate::channel::Channel;

/// The sending side of a connection, kept beside its peer.
#[derive(Debug, Default)]
pub struct Sending {
    mark: SendMark,
    channel: Channel,
    state: State,
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

    /// Whether bytes go out in this turn, of which the driver may have to keep some.
    pub fn is_under_way(&self, connection: Connection, operations: &Operations) -> bool {
        operations.holds_send(connection, self.mark)
    }

    /// The driver keeps `unsent_bytes`: pauses reading when that is too much.
    pub fn backlogged(
        &mut self,
        connection: Connection,
        unsent_bytes: usize,
        queue_bytes_max: usize,
        operations: &mut Operations,
    ) {
        if self.state != State::Paused {
            self.state = State::Backlogged;
            if unsent_bytes > queue_bytes_max {
                self.state = State::Paused;
                operations.push(Operation::PauseReceive(connection));
            }
        }
    }

    /// All has left: reading goes on.
    pub fn drained(&mut self, connection: Connection, operations: &mut Operations) {
        if self.state == State::Paused {
            operations.push(Operation::ResumeReceive(connection));
        }
        self.state = State::Clear;
    }
}

/// Where the protocols write to, for the time of one call.
pub struct Outbox<'a> {
    connection: Connection,
    sending: &'a mut Sending,
    operations: &'a mut Operations,
}

impl<'a> Outbox<'a> {
    /// The outbox of `connection` in this turn.
    pub fn new(
        connection: Connection,
        sending: &'a mut Sending,
        operations: &'a mut Operations,
    ) -> Self {
        Self { connection, sending, operations }
    }

    /// Sends what `write` appends.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let Sending { mark, channel, .. } = &mut *self.sending;
        self.operations.send(self.connection, mark, |out| channel.seal(out, write));
    }

    /// Sends a buffer of its own from `start` on, without a copy where the channel allows it.
    pub fn write_owned(&mut self, bytes: Vec<u8>, start: usize) {
        match self.sending.channel {
            Channel::Plain => {
                self.operations.send_owned(self.connection, &mut self.sending.mark, bytes, start);
            }
        }
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
    fn reading_pauses_one_byte_past_the_bound_and_resumes_when_all_has_left() {
        let (mut sending, mut operations) = (Sending::default(), Operations::default());
        let connection = Connection::new(0, 0);
        sending.backlogged(connection, 100, 100, &mut operations);
        assert!(pauses(&mut operations).is_empty());
        sending.backlogged(connection, 101, 100, &mut operations);
        sending.backlogged(connection, 102, 100, &mut operations);
        assert_eq!(pauses(&mut operations), ["pause"]);
        sending.drained(connection, &mut operations);
        sending.drained(connection, &mut operations);
        assert_eq!(pauses(&mut operations), ["resume"]);
    }
}
