//! The messages of one thread: a stamp, and a body that is the same for all. They are written as
//! masked frames, and compared with the replies.
//!
//! It never sends. Frames are prepared: only the stamp differs, so a frame costs a copy, and a large
//! one not even that. They share a few random keys. A browser must use a fresh key for each frame
//! (RFC 6455 §5.3), so that a page cannot choose the bytes on the wire; a tester chooses them anyway.

use bytes::Bytes;
use ringway_frame::{
    DataKind, MaskKeys, Opcode,
    deflate::{Deflater, Level, MemoryLevel, WindowBits},
    emit_compressed_frame, emit_frame,
};

use super::stamp::{Coding, STAMP_BYTES_MAX, Stamp};

/// The content of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// Binary messages with incompressible bytes.
    #[default]
    Binary,
    /// Text messages of one- to four-byte characters.
    Text,
}

impl Content {
    /// How the stamp is written.
    pub fn coding(self) -> Coding {
        match self {
            Self::Binary => Coding::Binary,
            Self::Text => Coding::Text,
        }
    }

    /// The kind of the messages' frames.
    pub fn kind(self) -> DataKind {
        match self {
            Self::Binary => DataKind::Binary,
            Self::Text => DataKind::Text,
        }
    }

    /// The size of the shortest message.
    pub fn bytes_min(self) -> usize {
        self.coding().bytes()
    }
}

/// Latin, Greek, Chinese and an emoji: characters of every length in UTF-8.
const MIXED: &str = "Wide open ports: λιμάνια, 港口大開 und Häfen 🚢. ";

/// Makes the body's bytes the same in each run, so that several testers can check each other's.
const SEED: u64 = 0x52_69_6e_67;

/// The most keys in use, and so the number of prepared frames ...
const KEYS_MAX: usize = 16;

/// ... which together have no more bytes than this, so that they stay in the cache together with the
/// buffers of a turn.
const PREPARED_BYTES_MAX: usize = 64 << 10;

/// Writes and checks messages.
pub struct Messages {
    content: Content,
    /// A complete message; its stamp is overwritten where it is sent whole.
    plain: Vec<u8>,
    frames: Vec<PreparedFrame>,
    next_frame: usize,
    /// Keys of compressed frames.
    keys: MaskKeys,
    /// The header of each reply (RFC 6455 §5.2).
    reply_header: Vec<u8>,
    /// The compressor and its output, for compressed messages.
    deflater: Option<(Deflater, Vec<u8>)>,
}

/// A masked frame without its stamp.
struct PreparedFrame {
    key: [u8; 4],
    /// The header, and where the stamp will be.
    head: Vec<u8>,
    /// All that follows.
    body: Bytes,
}

/// The start of a message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its stamp.
    pub stamp: Stamp,
    /// Bytes of its header and its stamp.
    pub bytes: usize,
}

/// How a message differs from those that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// It does not start with a stamp.
    Stamp,
    /// It has a stamp, but its body or its kind is different.
    Body(Stamp),
}

/// The form of messages on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Not compressed.
    Plain,
    /// Deflated (RFC 7692).
    Compressed,
}

impl Messages {
    /// Messages of `bytes` each, at least [`Content::bytes_min`].
    pub fn new(content: Content, bytes: usize) -> Self {
        let mut plain = vec![b'0'; content.bytes_min()];
        fill(content, &mut plain, bytes);
        let opcode = Opcode::from(content.kind());
        let mut keys = MaskKeys::new();
        let prepare = |key| {
            let mut head = Vec::new();
            emit_frame(&mut head, Some(key), opcode, &plain);
            let body = head.split_off(head.len() - plain.len() + content.bytes_min());
            PreparedFrame { key, head, body: body.into() }
        };
        let count = (PREPARED_BYTES_MAX / plain.len()).clamp(1, KEYS_MAX);
        let frames = (0..count).map(|_| prepare(keys.draw())).collect();
        let mut reply_header = Vec::new();
        emit_frame(&mut reply_header, None, opcode, &plain);
        reply_header.truncate(reply_header.len() - plain.len());
        Self { content, plain, frames, next_frame: 0, keys, reply_header, deflater: None }
    }

    /// A message of `bytes` without a stamp.
    pub fn body(content: Content, bytes: usize) -> Vec<u8> {
        let mut body = Vec::new();
        fill(content, &mut body, bytes);
        body
    }

    /// Bytes of each message.
    pub fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// Appends a message as one masked frame.
    #[inline]
    pub fn write(&mut self, stamp: Stamp, form: Form, out: &mut Vec<u8>) {
        match form {
            Form::Plain => {
                let body = self.write_head(stamp, out);
                out.extend_from_slice(body);
            }
            Form::Compressed => {
                self.content.coding().write(stamp, &mut self.plain[..self.content.bytes_min()]);
                let (key, opcode) = (Some(self.keys.draw()), Opcode::from(self.content.kind()));
                let (deflater, compressed) = self.deflater.get_or_insert_with(|| {
                    let usual = (Level::FASTEST, WindowBits::MAX, MemoryLevel::USUAL);
                    (Deflater::new(usual.0, usual.1, usual.2), Vec::new())
                });
                // One context serves all connections, so each message resets it; a sender may
                // always do that (RFC 7692 §7.1.1).
                deflater.reset();
                compressed.clear();
                deflater.deflate(&self.plain, compressed);
                emit_compressed_frame(out, key, opcode, compressed);
            }
        }
    }

    /// Appends the start of a message's masked frame, and returns the rest of it.
    #[inline]
    pub fn write_head(&mut self, stamp: Stamp, out: &mut Vec<u8>) -> &Bytes {
        let index = self.next_frame;
        self.next_frame = (index + 1) % self.frames.len();
        let PreparedFrame { key, head, body } = &self.frames[index];
        let stamp_bytes = self.content.bytes_min();
        let mut masked = [0; STAMP_BYTES_MAX];
        self.content.coding().write(stamp, &mut masked[..stamp_bytes]);
        // The stamp is at the start of the payload, so it is masked from the key's first byte on.
        for piece in masked.chunks_exact_mut(key.len()) {
            piece.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        }
        out.extend_from_slice(&head[..head.len() - stamp_bytes]);
        out.extend_from_slice(&masked[..stamp_bytes]);
        body
    }

    /// The start of one of our messages, if these bytes begin with its unmasked header and its
    /// whole stamp.
    #[inline]
    pub fn begin(&self, bytes: &[u8]) -> Option<Begun> {
        let rest = bytes.strip_prefix(&self.reply_header[..])?;
        let stamp = self.content.coding().read(rest)?;
        Some(Begun { stamp, bytes: self.reply_header.len() + self.content.bytes_min() })
    }

    /// What follows the stamp in each message.
    #[inline]
    pub fn after_stamp(&self) -> &[u8] {
        &self.plain[self.content.bytes_min()..]
    }

    /// The stamp of a complete message that is ours.
    ///
    /// # Errors
    /// The message is not ours.
    #[inline]
    pub fn check(&self, kind: DataKind, payload: &[u8]) -> Result<Stamp, Corruption> {
        let stamp = self.content.coding().read(payload).ok_or(Corruption::Stamp)?;
        let body = self.content.bytes_min()..;
        if kind == self.content.kind() && payload[body.clone()] == self.plain[body] {
            Ok(stamp)
        } else {
            Err(Corruption::Body(stamp))
        }
    }
}

/// Extends a message to `bytes`; a longer one is left as it is.
fn fill(content: Content, plain: &mut Vec<u8>, bytes: usize) {
    match content {
        Content::Binary => {
            let mut random = fastrand::Rng::with_seed(SEED);
            plain.resize_with(bytes.max(plain.len()), || random.u8(..));
        }
        Content::Text => fill_with_text(plain, bytes),
    }
}

/// Ends the text after a whole character, and fills the rest with spaces.
fn fill_with_text(plain: &mut Vec<u8>, bytes: usize) {
    for character in MIXED.chars().cycle() {
        if plain.len() + character.len_utf8() > bytes {
            break;
        }
        plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    plain.resize(bytes.max(plain.len()), b' ');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringway_frame::{Message, MessageReader, ReadLimits, Role};

    use super::*;

    const STAMP: Stamp = Stamp { connection: 1, sequence: 2, at: Duration::from_micros(3) };

    fn payload(messages: &mut Messages) -> Vec<u8> {
        let mut frame = Vec::new();
        messages.write(STAMP, Form::Plain, &mut frame);
        let mut reader = MessageReader::new(Role::Server);
        match reader.read(&mut &mut frame[..], &ReadLimits::default()) {
            Ok(Some(Message::Text(payload) | Message::Binary(payload))) => payload.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_have_the_requested_length_and_are_checked_to_the_last_byte() {
        for content in [Content::Binary, Content::Text] {
            for bytes in [32, 33, 34, 35, 36, 125, 126, 4096, 70_000] {
                let mut messages = Messages::new(content, bytes);
                let mut payload = payload(&mut messages);
                assert_eq!(payload.len(), bytes);
                assert_eq!(messages.check(content.kind(), &payload), Ok(STAMP));
                let shorter = messages.check(content.kind(), &payload[..bytes - 1]);
                assert!(shorter.is_err());
                if bytes > 32 {
                    payload[bytes - 1] ^= 1;
                    let changed = messages.check(content.kind(), &payload);
                    assert_eq!(changed, Err(Corruption::Body(STAMP)));
                }
            }
        }
    }

    #[test]
    fn prepared_frames_differ_in_their_keys_and_carry_each_stamp() {
        let mut messages = Messages::new(Content::Binary, 64);
        let mut keys = std::collections::HashSet::new();
        for sequence in 0..40 {
            let stamp = Stamp { sequence, ..STAMP };
            let mut frame = Vec::new();
            messages.write(stamp, Form::Plain, &mut frame);
            keys.insert(frame[2..6].to_vec());
            let mut reader = MessageReader::new(Role::Server);
            match reader.read(&mut &mut frame[..], &ReadLimits::default()) {
                Ok(Some(Message::Binary(payload))) => {
                    assert_eq!(messages.check(DataKind::Binary, &payload), Ok(stamp));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(keys.len() > 8, "{} keys", keys.len());
    }

    #[test]
    fn a_reply_is_recognized_by_its_header_and_its_stamp() {
        for content in [Content::Binary, Content::Text] {
            for bytes in [32, 64, 125, 126, 70_000] {
                let mut messages = Messages::new(content, bytes);
                let payload = payload(&mut messages);
                let mut reply = Vec::new();
                emit_frame(&mut reply, None, Opcode::from(content.kind()), &payload);
                let begun = messages.begin(&reply).unwrap();
                assert_eq!(begun.stamp, STAMP);
                assert_eq!(&reply[begun.bytes..], messages.after_stamp());
                // A piece without its whole stamp, another length, another kind.
                assert_eq!(messages.begin(&reply[..begun.bytes - 1]), None);
                let mut other = Vec::new();
                emit_frame(&mut other, None, Opcode::from(content.kind()), &payload[1..]);
                assert_eq!(messages.begin(&other), None);
                reply[0] ^= 3;
                assert_eq!(messages.begin(&reply), None);
            }
        }
    }

    #[test]
    fn a_message_of_the_wrong_kind_is_noticed() {
        let mut messages = Messages::new(Content::Text, 64);
        let payload = payload(&mut messages);
        assert_eq!(messages.check(DataKind::Binary, &payload), Err(Corruption::Body(STAMP)));
        assert_eq!(messages.check(DataKind::Text, b"hello"), Err(Corruption::Stamp));
    }
}
