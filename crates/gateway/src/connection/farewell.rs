//! Sends a client away that is welcome to come back: to this server or to another.
//!
//! When is decided by the core (`core::leaving`).

use std::time::Duration;

use ringway_frame::CloseCode;
use ringway_http::KeepAlive;

use crate::connection::{ClientConnection, Protocol, Turn, log::EndReason, outbox};

impl ClientConnection {
    /// Tells the client to leave and to come back after `absence`, in the way of its protocol: with a
    /// Close, the end of its stream, or the answer to its poll.
    pub fn send_away(&mut self, reason: EndReason, absence: Duration, turn: &mut Turn<'_>) {
        self.note_end(reason);
        match &mut self.stage {
            Protocol::Stream(stream) => {
                let mut outbox = outbox!(self, turn);
                stream.writer.say_retry(absence, &mut outbox);
            }
            Protocol::Poll(_, request) => request.after = KeepAlive::Close,
            _ => {}
        }
        let (code, why) = match reason {
            EndReason::MaxAge => (CloseCode::RESTART, "the connection is old"),
            _ => (CloseCode::GOING_AWAY, "the server is going away"),
        };
        let word = reason.as_str();
        let said = format!("{word}: {why}; come back after {} ms", absence.as_millis());
        self.close(code, &said, turn);
    }
}
