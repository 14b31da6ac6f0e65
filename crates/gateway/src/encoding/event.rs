//! The forms in which an event goes out, and how each is made from the text frame in the log.
//!
//! Forms that are the same for many clients are shared; what only one connection can read (its
//! own compression context, its own callback) is not here.

use crate::memory::{self, OutOfMemory, make_room};

use crate::encoding::iframe;

use ringway_frame::{
    HEADER_BYTES_MAX, Header, Opcode, Rsv,
    deflate::{Level, MemoryLevel, Policy, WindowBits, deflated_bytes_max},
};
use ringway_hub::{Cursor, Epoch, Event};

use crate::encoding::{ndjson, scratch::Scratch, sse};

use ringway_http::chunk;

/// A form that many clients share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A WebSocket text frame.
    Text,
    /// The same, compressed without context takeover in a window of 15 bits (RFC 7692 §7.1).
    Deflated,
    /// A block of an event stream, with the event's name.
    Sse,
    /// A block of an event stream that does not name its event.
    SseUnnamed,
    /// A line.
    Line,
    /// A script block.
    Script,
}

/// How many there are.
pub const SHARED_ENCODINGS: usize = 6;

/// More than a chunk's size, the fields of a block, or the call of a script have around an event.
const AROUND_EVENT_BYTES: usize = 160;

/// What an event stream has before each further line.
const SSE_LINE_BYTES: usize = "data: ".len();

/// A character in a script takes this many bytes for one; compressing adds less.
const ESCAPED_BYTES_MAX: usize = 6;

/// Compresses an event once for all who agreed on it.
#[derive(Debug, Clone, Copy)]
pub struct SharedDeflate {
    level: Level,
    memory_level: MemoryLevel,
}

impl SharedDeflate {
    /// With the effort of `policy`.
    pub fn new(policy: &Policy) -> Self {
        Self { level: policy.level, memory_level: policy.memory_level }
    }

    /// `None`: there is no memory for it. It is sent uncompressed then.
    pub fn frame(self, text: &[u8], scratch: &mut Scratch) -> Option<Box<[u8]>> {
        let mut compressed = scratch.take_buffer();
        make_room(&mut compressed, deflated_bytes_max(text.len())).ok()?;
        let mut deflater =
            scratch.pool.take_deflater(self.level, WindowBits::MAX, self.memory_level);
        deflater.deflate(text, &mut compressed);
        scratch.pool.put_deflater(deflater);
        let mut head = [0; HEADER_BYTES_MAX];
        let header =
            Header { rsv: Rsv::RSV1, ..Header::new(Opcode::Text, compressed.len() as u64) };
        let head_bytes = header.emit(&mut head);
        // As a box its buffer has nothing to spare, so that making one of it allocates nothing.
        let mut frame = Vec::new();
        frame.try_reserve_exact(head_bytes + compressed.len()).ok()?;
        frame.extend_from_slice(&head[..head_bytes]);
        frame.extend_from_slice(&compressed);
        scratch.put_buffer(compressed);
        Some(frame.into())
    }
}

/// An event that is on its way to the clients of a core.
pub struct Encoded {
    cursor: Cursor,
    name: Option<Box<str>>,
    frame: Vec<u8>,
    deflated: Option<Vec<u8>>,
}

impl Encoded {
    /// A copy of what goes out; compressed too, if anybody here wants that.
    ///
    /// # Errors
    /// [`OutOfMemory`]. Without memory for the compressed form alone there is none.
    pub fn new(
        event: &Event,
        epoch: Epoch,
        deflate: Option<SharedDeflate>,
        scratch: &mut Scratch,
    ) -> Result<Self, OutOfMemory> {
        let cursor = Cursor { epoch, sequence: event.sequence() };
        let frame = memory::copy(event.bytes())?;
        let deflated = deflate.and_then(|deflate| {
            event.second_encoding(|frame| deflate.frame(text_of(frame), scratch))
        });
        let deflated = deflated.and_then(|deflated| memory::copy(deflated).ok());
        let name = event.name().map(Into::into);
        Ok(Self { cursor, name, frame, deflated })
    }

    /// Bytes of the text frame.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The event as its text frame.
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            cursor: self.cursor,
            name: self.name.as_deref(),
            bytes: &self.frame,
            deflated: self.deflated.as_deref(),
        }
    }

    /// Appends the event in a shared form.
    pub fn write(&self, encoding: Encoding, out: &mut Vec<u8>) {
        match (encoding, &self.deflated) {
            (Encoding::Deflated, Some(deflated)) => out.extend_from_slice(deflated),
            _ => self.frame().write(encoding, out),
        }
    }
}

/// An event of the log, as its text frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'e> {
    /// Its place.
    pub cursor: Cursor,
    /// Its name.
    pub name: Option<&'e str>,
    /// The text frame.
    pub bytes: &'e [u8],
    /// The same compressed for many, if that was done.
    pub deflated: Option<&'e [u8]>,
}

impl<'e> Frame<'e> {
    /// The frame of an event.
    pub fn of(event: &'e Event, epoch: Epoch) -> Self {
        let cursor = Cursor { epoch, sequence: event.sequence() };
        Self { cursor, name: event.name(), bytes: event.bytes(), deflated: event.second() }
    }

    /// The event as a JSON object.
    pub fn text(&self) -> &'e str {
        std::str::from_utf8(text_of(self.bytes)).expect("it was made from strings")
    }

    /// Bytes before the JSON object in the text frame.
    pub fn header_bytes(&self) -> usize {
        self.bytes.len() - text_of(self.bytes).len()
    }

    /// No fewer bytes than the event has in a shared form, or in a form of one client alone where
    /// that is `None`.
    pub fn bytes_max(&self, encoding: impl Into<Option<Encoding>>) -> usize {
        let bytes = self.bytes.len();
        match encoding.into() {
            Some(Encoding::Text) => bytes,
            Some(Encoding::Deflated) => bytes.max(self.deflated.map_or(0, <[u8]>::len)),
            Some(Encoding::Line) => bytes + AROUND_EVENT_BYTES,
            Some(Encoding::Sse | Encoding::SseUnnamed) => {
                let is_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
                let breaks = self.bytes.iter().filter(is_break).count();
                let name = self.name.map_or(0, str::len);
                bytes + breaks * SSE_LINE_BYTES + name + AROUND_EVENT_BYTES
            }
            Some(Encoding::Script) | None => bytes * ESCAPED_BYTES_MAX + AROUND_EVENT_BYTES,
        }
    }

    /// Appends the event in a shared form; uncompressed where [`Encoding::Deflated`] is asked for,
    /// as every client reads that too (RFC 7692 §6).
    pub fn write(&self, encoding: Encoding, out: &mut Vec<u8>) {
        match encoding {
            Encoding::Text | Encoding::Deflated => out.extend_from_slice(self.bytes),
            Encoding::Sse | Encoding::SseUnnamed => {
                let name = self.name.filter(|_| encoding == Encoding::Sse);
                let cursor = self.cursor.text();
                let cursor = std::str::from_utf8(&cursor).expect("a cursor is ASCII");
                chunk::write(out, |out| sse::event(out, cursor, name, self.text()));
            }
            Encoding::Line => chunk::write(out, |out| ndjson::line(out, self.text())),
            Encoding::Script => chunk::write(out, |out| iframe::script(out, self.text())),
        }
    }
}

/// The payload of an unmasked frame (RFC 6455 §5.2).
fn text_of(frame: &[u8]) -> &[u8] {
    let header = match frame[1] & 0x7F {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header..]
}

#[cfg(test)]
mod tests {
    use ringway_frame::emit_frame;

    use super::*;

    #[test]
    fn no_form_of_an_event_is_longer_than_it_is_said_to_be() {
        let hostile = ["{\"data\":\"x\"}".to_owned(), "\n".repeat(5_000), "<".repeat(70_000)];
        let name = "n".repeat(255);
        for text in hostile {
            let mut bytes = Vec::new();
            emit_frame(&mut bytes, None, Opcode::Text, text.as_bytes());
            let cursor = Cursor { epoch: Epoch::new(1), sequence: 1 };
            let frame = Frame { cursor, name: Some(&name), bytes: &bytes, deflated: None };
            for encoding in [
                Encoding::Text,
                Encoding::Deflated,
                Encoding::Sse,
                Encoding::SseUnnamed,
                Encoding::Line,
            ] {
                let mut out = Vec::new();
                frame.write(encoding, &mut out);
                let most = frame.bytes_max(encoding);
                assert!((out.len()..=out.len() + 512).contains(&most), "{encoding:?}: {most}");
            }
            let mut out = Vec::new();
            frame.write(Encoding::Script, &mut out);
            assert!(out.len() <= frame.bytes_max(Encoding::Script));
            assert!(out.len() <= frame.bytes_max(None));
        }
    }
}
