//! The messages that a tester sends: a few frames, masked once and sent many times, so that
//! the tester costs less than the tested.
//!
//! It never sends; it says what to send and what must come back.

use bytes::Bytes;
use clap::ValueEnum;
use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

/// What the messages are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// Binary messages of random bytes.
    Binary,
    /// Text messages of one- to four-byte characters.
    Text,
}

/// Different messages, sent in turn; a power of two.
const VARIANTS: usize = 16;

/// Bytes at the start of each message that tell it from the others.
pub const TAG_BYTES: usize = 8;

/// Frames up to this are copied into the turn's buffer; longer ones are shared with it.
pub const COPIED_BYTES_MAX: usize = 4096;

/// Latin, Greek, Chinese and an emoji: every length of UTF-8.
const MIXED: &str = "Wide open ports: λιμάνια, 港口大開 und Häfen 🚢. ";

/// The messages of one tester.
#[derive(Debug)]
pub struct Traffic {
    frames: Vec<Bytes>,
    payload_bytes: usize,
    kind: DataKind,
}

impl Traffic {
    /// Messages of `payload_bytes` each, at least [`TAG_BYTES`].
    pub fn new(content: Content, payload_bytes: usize) -> Self {
        let payload_bytes = payload_bytes.max(TAG_BYTES);
        let kind = match content {
            Content::Binary => DataKind::Binary,
            Content::Text => DataKind::Text,
        };
        let mut keys = MaskKeys::new();
        let frames = (0..VARIANTS).map(|variant| {
            let mut payload = tag(variant).to_vec();
            match content {
                Content::Binary => fill_with_noise(&mut payload, payload_bytes),
                Content::Text => fill_with_text(&mut payload, payload_bytes),
            }
            let mut frame = Vec::new();
            emit_frame(&mut frame, Some(keys.draw()), Opcode::from(kind), &payload);
            Bytes::from(frame)
        });
        Self { frames: frames.collect(), payload_bytes, kind }
    }

    /// The `index`th message of a connection, as a masked frame.
    #[inline]
    pub fn frame(&self, index: u32) -> &Bytes {
        &self.frames[index as usize % VARIANTS]
    }

    /// The first bytes of the payload of the `index`th message.
    #[inline]
    pub fn tag(&self, index: u32) -> [u8; TAG_BYTES] {
        tag(index as usize % VARIANTS)
    }

    /// Bytes of every payload.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// What every message is.
    pub fn kind(&self) -> DataKind {
        self.kind
    }
}

#[inline]
fn tag(variant: usize) -> [u8; TAG_BYTES] {
    let mut tag = *b"message_";
    tag[TAG_BYTES - 1] = b'a' + variant as u8;
    tag
}

fn fill_with_noise(payload: &mut Vec<u8>, bytes: usize) {
    payload.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(bytes - payload.len()));
}

/// Cut where a character ends, the rest filled with spaces.
fn fill_with_text(payload: &mut Vec<u8>, bytes: usize) {
    for character in MIXED.chars().cycle() {
        if payload.len() + character.len_utf8() > bytes {
            break;
        }
        payload.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    payload.resize(bytes, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_valid_and_as_long_as_asked_for() {
        for bytes in [8, 9, 10, 11, 1024] {
            let mut payload = tag(3).to_vec();
            fill_with_text(&mut payload, bytes);
            assert_eq!(payload.len(), bytes);
            assert!(std::str::from_utf8(&payload).is_ok());
        }
    }
}
