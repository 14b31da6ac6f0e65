//! One WebSocket of a tester after its handshake: what it is owed and what came back.
//!
//! It never touches a socket: sends go into the turn's operations.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use ringway_acceptor::{Connection, Operations, SendMark};
use ringway_frame::{Compression, FrameReader, MaskKeys, Piece, ReadLimits, Role, emit_pong};

use crate::traffic::{COPIED_BYTES_MAX, Traffic};

/// No server here echoes more.
const LIMITS: ReadLimits = ReadLimits { frame_bytes_max: 256 << 20, message_bytes_max: 256 << 20 };

/// What a call of [`Client::receive`] brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Whole messages.
    pub echoes: u32,
    /// Those of them that are not what was sent.
    pub faults: u32,
}

/// An open connection.
pub struct Client {
    connection: Connection,
    mark: SendMark,
    reader: FrameReader,
    /// When each outstanding message was, or should have been, sent.
    sent_at: VecDeque<Duration>,
    sent: u32,
    echoed: u32,
    /// Payload bytes of the echo under way.
    received_bytes: usize,
    is_faulty: bool,
}

impl Client {
    /// A connection whose handshake is done.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            mark: SendMark::default(),
            reader: FrameReader::new(Role::Client, Compression::Off),
            sent_at: VecDeque::new(),
            sent: 0,
            echoed: 0,
            received_bytes: 0,
            is_faulty: false,
        }
    }

    /// Sends the next message; `at` is when it is counted as sent.
    #[inline]
    pub fn send(&mut self, traffic: &Traffic, at: Duration, operations: &mut Operations) {
        let frame = traffic.frame(self.sent);
        self.sent = self.sent.wrapping_add(1);
        self.sent_at.push_back(at);
        if frame.len() <= COPIED_BYTES_MAX {
            let write = |out: &mut Vec<u8>| out.extend_from_slice(frame);
            operations.send(self.connection, &mut self.mark, write);
        } else {
            operations.send_shared(self.connection, &mut self.mark, frame);
        }
    }

    /// Reads what came, holds it against what was sent, and records the time of each echo.
    ///
    /// # Errors
    /// The server breaks the protocol or closes.
    pub fn receive(
        &mut self,
        mut bytes: &mut [u8],
        now: Duration,
        traffic: &Traffic,
        latencies: &mut Histogram<u64>,
        operations: &mut Operations,
    ) -> Result<Arrived> {
        let mut arrived = Arrived::default();
        while let Some(piece) = self.reader.read(&mut bytes, &LIMITS)? {
            match piece {
                Piece::Data { kind, payload, end_of_message, .. } => {
                    let tag = traffic.tag(self.echoed);
                    let expected = tag.get(self.received_bytes..).unwrap_or_default();
                    let compared = expected.len().min(payload.len());
                    self.is_faulty |= payload[..compared] != expected[..compared];
                    self.received_bytes += payload.len();
                    if end_of_message {
                        self.is_faulty |= self.received_bytes != traffic.payload_bytes();
                        self.is_faulty |= kind != traffic.kind();
                        arrived.echoes += 1;
                        arrived.faults += u32::from(self.is_faulty);
                        self.finish_echo(now, latencies)?;
                    }
                }
                Piece::Ping(payload) => {
                    let key = Some(MaskKeys::new().draw());
                    let write = |out: &mut Vec<u8>| emit_pong(out, key, payload);
                    operations.send(self.connection, &mut self.mark, write);
                }
                Piece::Pong(_) => {}
                Piece::Close(code, reason) => bail!("the server closes: {code:?} {reason}"),
            }
        }
        Ok(arrived)
    }

    fn finish_echo(&mut self, now: Duration, latencies: &mut Histogram<u64>) -> Result<()> {
        let Some(sent_at) = self.sent_at.pop_front() else {
            bail!("an echo of nothing that was sent");
        };
        latencies.saturating_record(now.saturating_sub(sent_at).as_nanos() as u64);
        self.echoed = self.echoed.wrapping_add(1);
        self.received_bytes = 0;
        self.is_faulty = false;
        Ok(())
    }
}
