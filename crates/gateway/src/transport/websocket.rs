//! An open WebSocket: messages to its service, control frames answered, the closing handshake.
//!
//! It never parses a frame itself and never touches a timer.

use ringway_frame::{
    CloseCode, Message, MessageReader, Opcode, ProtocolError, Role, emit_close, emit_ping,
    emit_pong,
};

use super::{compression::Compression, echo};
use crate::{http::progress::Upgrade, outbox::Outbox, settings::Settings, workbench::Workbench};

/// A WebSocket in the server's role.
pub struct WebSocket {
    reader: MessageReader,
    compression: Option<Box<Compression>>,
    closing: Closing,
}

/// RFC 6455 §7: where the closing handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Not begun.
    Open,
    /// Our Close is sent; messages that cross it are discarded.
    Sent,
}

/// Whether the WebSocket goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Open,
    /// The last frame was sent; nothing more will be read.
    Ended,
}

impl WebSocket {
    /// A WebSocket that has just been agreed on.
    pub fn new(upgrade: &Upgrade, settings: &Settings) -> Self {
        let (reader, compression) = match (&upgrade.agreement, &settings.deflate) {
            (Some(agreement), Some(policy)) => (
                MessageReader::with_deflate(Role::Server, agreement),
                Some(Box::new(Compression::new(*agreement, *policy))),
            ),
            _ => (MessageReader::new(Role::Server), None),
        };
        Self { reader, compression, closing: Closing::Open }
    }

    /// Reads all of `input` and serves what it holds.
    pub fn receive(
        &mut self,
        mut input: &mut [u8],
        settings: &Settings,
        bench: &mut Workbench,
        outbox: &mut Outbox<'_>,
    ) -> Outcome {
        loop {
            let message = match self.reader.read(&mut input, &settings.echo) {
                Ok(Some(message)) => message,
                Ok(None) => return Outcome::Open,
                Err(fault) => return self.fail(fault, outbox),
            };
            match message {
                // RFC 6455 §5.5.1: our Close was the last frame.
                Message::Text(_) | Message::Binary(_) | Message::Ping(_)
                    if self.closing == Closing::Sent => {}
                Message::Text(payload) => {
                    let compression = self.compression.as_deref_mut();
                    echo::echo(Opcode::Text, payload, compression, bench, outbox);
                }
                Message::Binary(payload) => {
                    let compression = self.compression.as_deref_mut();
                    echo::echo(Opcode::Binary, payload, compression, bench, outbox);
                }
                Message::Ping(payload) => outbox.write(|out| emit_pong(out, None, payload)),
                Message::Pong(_) => {}
                // RFC 6455 §5.5.1: answered with the same code, once.
                Message::Close(code, _) => {
                    if self.closing == Closing::Open {
                        outbox.write(|out| emit_close(out, None, code, ""));
                    }
                    return Outcome::Ended;
                }
            }
        }
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self, outbox: &mut Outbox<'_>) {
        outbox.write(|out| emit_ping(out, None, b""));
    }

    /// Begins the closing handshake, unless it has begun.
    pub fn close(&mut self, code: CloseCode, reason: &str, outbox: &mut Outbox<'_>) {
        if self.closing == Closing::Open {
            self.closing = Closing::Sent;
            outbox.write(|out| emit_close(out, None, code, reason));
        }
    }

    /// Whether our Close is sent.
    pub fn is_closing(&self) -> bool {
        self.closing == Closing::Sent
    }

    /// RFC 6455 §7.1.7: says why, then nothing more.
    fn fail(&mut self, fault: ProtocolError, outbox: &mut Outbox<'_>) -> Outcome {
        self.close(fault.close_code(), &fault.to_string(), outbox);
        Outcome::Ended
    }
}
