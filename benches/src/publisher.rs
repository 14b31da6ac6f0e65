//! A client that publishes to one topic and reads the answers.
//!
//! It waits for an answer only when asked to.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use ringway_frame::{
    Compression, DataKind, FrameReader, MaskKeys, Opcode, Piece, ReadLimits, Role, emit_frame,
};

use crate::{
    client,
    handshake::{Link, Target},
};

/// The topic.
pub const TOPIC: &str = "fan";

/// The longest wait for all answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

const LIMITS: ReadLimits = ReadLimits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };

/// The client.
pub struct Publisher {
    socket: TcpStream,
    /// The text between a command's number and its end.
    body: Vec<u8>,
    keys: MaskKeys,
    reader: FrameReader,
    out: Vec<u8>,
    buffer: Vec<u8>,
    sent: u64,
    answered: u64,
}

impl Publisher {
    /// Connects. `bytes` is the size of each event's `data`.
    ///
    /// # Errors
    /// The gateway refuses.
    pub fn open(target: &Target, bytes: usize) -> Result<Self> {
        ensure!(bytes >= 2, "`data` is a JSON string, of two bytes at least");
        let data = "x".repeat(bytes - 2);
        Ok(Self {
            socket: client::connect(target, Link::Loopback, "publisher", "nobody")?,
            body: format!(r#"","topic":"{TOPIC}","data":"{data}"}}"#).into_bytes(),
            keys: MaskKeys::new(),
            reader: FrameReader::new(Role::Client, Compression::Off),
            out: Vec::new(),
            buffer: vec![0; 16 * 1024],
            sent: 0,
            answered: 0,
        })
    }

    /// Sends `count` events in one batch.
    ///
    /// # Errors
    /// The socket does not take them: the server does not read.
    pub fn publish(&mut self, count: u32) -> Result<()> {
        self.out.clear();
        let mut text = Vec::new();
        for _ in 0..count {
            text.clear();
            // The gateway publishes no number twice.
            write!(text, r#"{{"type":"publish","id":"{:010}"#, self.sent)?;
            text.extend_from_slice(&self.body);
            emit_frame(&mut self.out, Some(self.keys.draw()), Opcode::Text, &text);
            self.sent += 1;
        }
        Ok(self.socket.write_all(&self.out)?)
    }

    /// Reads the answers that have arrived.
    ///
    /// # Errors
    /// The server refuses an event, or closes.
    pub fn read_answers(&mut self) -> Result<()> {
        loop {
            let count = match self.socket.read(&mut self.buffer) {
                Ok(0) => bail!("the server has closed the publisher's connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut bytes = &mut self.buffer[..count];
            while let Some(piece) = self.reader.read(&mut bytes, &LIMITS)? {
                match piece {
                    Piece::Data { kind: DataKind::Text, payload, end_of_message, .. } => {
                        let text = String::from_utf8_lossy(payload);
                        ensure!(!text.contains(r#""type":"error""#), "the server answered {text}");
                        self.answered += u64::from(end_of_message);
                    }
                    Piece::Close(code, reason) => bail!("the server closes: {code:?} {reason}"),
                    _ => {}
                }
            }
        }
    }

    /// Waits until all published events have been acknowledged.
    ///
    /// # Errors
    /// As [`Self::read_answers`], or an answer is missing.
    pub fn await_answers(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.answered < self.sent {
            self.read_answers()?;
            ensure!(start.elapsed() < ANSWER_TIME_MAX, "an event was not acknowledged");
        }
        Ok(())
    }
}
