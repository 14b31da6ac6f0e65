//! The shared encodings of an event, and how each is written from the event's text and fields.
//!
//! An encoding that is the same for many clients is shared. Encodings that only one connection can
//! read (its own compression context, its own callback) are not here.

use crate::memory::make_room;

use crate::encoding::iframe;

use ringway_frame::{
    HEADER_BYTES_MAX, Header, Opcode, Rsv,
    deflate::{Level, MemoryLevel, Policy, WindowBits, deflated_bytes_max},
    emit_frame,
};
use ringway_hub::{ENCODING_SLOTS, Event};

use crate::encoding::{ndjson, scratch::Scratch, sse};

use ringway_http::chunk;

/// An encoding that many clients share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A WebSocket text frame.
    Text,
    /// A text frame, compressed without context takeover in a window of 15 bits (RFC 7692 §7.1).
    Deflated,
    /// A block of an event stream, with the event's name.
    Sse,
    /// A block of an event stream, without the event's name.
    SseUnnamed,
    /// A line.
    Line,
    /// A script block.
    Script,
}

/// The number of encodings.
pub const SHARED_ENCODINGS: usize = 6;

/// More than the bytes that a chunk, a block or a script adds to an event.
const AROUND_EVENT_BYTES: usize = 160;

/// The prefix of each further line in an event stream.
const SSE_LINE_BYTES: usize = "data: ".len();

/// A script may need this many bytes for one of the event's; compression adds less.
const ESCAPED_BYTES_MAX: usize = 6;

/// Compresses an event once for all clients that negotiated it.
#[derive(Debug, Clone, Copy)]
pub struct SharedDeflate {
    level: Level,
    memory_level: MemoryLevel,
}

impl SharedDeflate {
    /// Takes the effort from `policy`.
    pub fn new(policy: &Policy) -> Self {
        Self { level: policy.level, memory_level: policy.memory_level }
    }

    /// Makes the compressed encoding of an event, unless it was made before; it is stored with the
    /// event. If there is no memory for it, the event is sent uncompressed.
    pub fn compress(self, event: &Event, scratch: &mut Scratch) {
        event.encode(DEFLATED_SLOT, |text| self.frame(text, scratch));
    }

    /// `None`: there is no memory for it, and the event is sent uncompressed.
    pub fn frame(self, text: &str, scratch: &mut Scratch) -> Option<Box<[u8]>> {
        let mut compressed = scratch.take_buffer();
        make_room(&mut compressed, deflated_bytes_max(text.len())).ok()?;
        let mut deflater =
            scratch.pool.take_deflater(self.level, WindowBits::MAX, self.memory_level);
        deflater.deflate(text.as_bytes(), &mut compressed);
        scratch.pool.put_deflater(deflater);
        let mut head = [0; HEADER_BYTES_MAX];
        let header =
            Header { rsv: Rsv::RSV1, ..Header::new(Opcode::Text, compressed.len() as u64) };
        let head_bytes = header.emit(&mut head);
        // A box has no spare capacity, so converting it to a buffer allocates nothing.
        let mut frame = Vec::new();
        frame.try_reserve_exact(head_bytes + compressed.len()).ok()?;
        frame.extend_from_slice(&head[..head_bytes]);
        frame.extend_from_slice(&compressed);
        scratch.put_buffer(compressed);
        Some(frame.into())
    }
}

/// The slot of [`Encoding::Deflated`]. The other encodings cost little more than a copy, and each
/// core writes them itself.
const DEFLATED_SLOT: usize = 0;

const _: () = assert!(DEFLATED_SLOT < ENCODING_SLOTS);

impl Encoding {
    /// The slot in which an event stores this encoding; `None`: it is written each time.
    const fn slot(self) -> Option<usize> {
        match self {
            Self::Deflated => Some(DEFLATED_SLOT),
            Self::Text | Self::Sse | Self::SseUnnamed | Self::Line | Self::Script => None,
        }
    }

    /// The encoding stored with the event, if it was made.
    pub fn kept(self, event: &Event) -> Option<&[u8]> {
        event.encoding(self.slot()?)
    }

    /// Appends an event. If [`Encoding::Deflated`] was not made, it is uncompressed, which every
    /// client can read (RFC 7692 §6).
    pub fn write(self, event: &Event, out: &mut Vec<u8>) {
        if let Some(kept) = self.kept(event) {
            return out.extend_from_slice(kept);
        }
        match self {
            Self::Text | Self::Deflated => {
                emit_frame(out, None, Opcode::Text, event.text().as_bytes());
            }
            Self::Sse | Self::SseUnnamed => {
                let name = event.name().filter(|_| self == Self::Sse);
                chunk::write(out, |out| sse::event(out, event.cursor(), name, event.text()));
            }
            Self::Line => chunk::write(out, |out| ndjson::line(out, event.text())),
            Self::Script => chunk::write(out, |out| iframe::script(out, event.text())),
        }
    }
}

/// The bytes of an event as a text frame.
pub fn frame_bytes(event: &Event) -> usize {
    let bytes = event.text().len();
    Header::new(Opcode::Text, bytes as u64).bytes() + bytes
}

/// An upper bound on the bytes of an event in a shared encoding, or for `None` in any encoding for
/// one client alone.
pub fn bytes_max(event: &Event, encoding: impl Into<Option<Encoding>>) -> usize {
    // Writing a frame reserves room for the longest header.
    let bytes = event.text().len() + HEADER_BYTES_MAX;
    match encoding.into() {
        Some(Encoding::Text) => bytes,
        Some(Encoding::Deflated) => {
            bytes.max(Encoding::Deflated.kept(event).map_or(0, <[u8]>::len))
        }
        Some(Encoding::Line) => bytes + AROUND_EVENT_BYTES,
        Some(Encoding::Sse | Encoding::SseUnnamed) => {
            let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let breaks = event.text().bytes().filter(is_break).count();
            let name = event.name().map_or(0, str::len);
            bytes + breaks * SSE_LINE_BYTES + name + AROUND_EVENT_BYTES
        }
        Some(Encoding::Script) | None => bytes * ESCAPED_BYTES_MAX + AROUND_EVENT_BYTES,
    }
}

/// An event with this number in a log of its own.
#[cfg(test)]
pub fn sample(number: u64, draft: impl Fn() -> ringway_hub::Draft) -> Event {
    use ringway_hub::{Appender, Epoch, Log, Retention};
    let log = Log::new(Epoch::new(1), Retention::default());
    let (mut appender, mut reader, mut event) = (Appender::default(), log.reader(), None);
    (0..number).for_each(|_| {
        log.append(&mut appender, draft(), std::time::Duration::ZERO);
    });
    let newest = reader.follow(&log, |newest| {
        event = newest.try_copy().ok();
        std::ops::ControlFlow::Continue(())
    });
    newest.ok().and(event).expect("it is there")
}

#[cfg(test)]
mod tests {
    use ringway_hub::{Cursor, Draft};

    use super::*;

    #[test]
    fn no_form_of_an_event_is_longer_than_its_computed_length() {
        let hostile = ["{\"data\":\"x\"}".to_owned(), "\n".repeat(5_000), "<".repeat(70_000)];
        let name = "n".repeat(255);
        for text in hostile {
            let event = sample(1, || {
                let mut draft = Draft::new("0".repeat(Cursor::TEXT_BYTES) + &text, 0);
                draft.fields.name = Some(draft.push(&name));
                draft
            });
            for encoding in [
                Encoding::Text,
                Encoding::Deflated,
                Encoding::Sse,
                Encoding::SseUnnamed,
                Encoding::Line,
            ] {
                let mut out = Vec::new();
                encoding.write(&event, &mut out);
                let most = bytes_max(&event, encoding);
                assert!((out.len()..=out.len() + 512).contains(&most), "{encoding:?}: {most}");
            }
            let mut out = Vec::new();
            Encoding::Script.write(&event, &mut out);
            assert!(out.len() <= bytes_max(&event, Encoding::Script));
            assert!(out.len() <= bytes_max(&event, None));
        }
    }
}
