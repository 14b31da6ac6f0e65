//! The payload of a whole message: lent from the input, or assembled with headroom.
//!
//! An assembled payload owns its bytes, with room for a frame header before them, so that an echo
//! or a relay can send the same buffer. Never copies.

use std::fmt;
use std::ops::Deref;

use crate::emit::emit_header_before;
use crate::header::{HEADER_BYTES_MAX, Header, Opcode};
use crate::piece::DataKind;

/// The payload of a text or a binary message. Dereferences to its bytes.
pub struct Payload<'a> {
    bytes: Bytes<'a>,
    kind: DataKind,
}

enum Bytes<'a> {
    Lent(&'a mut [u8]),
    /// Invariant: the first [`HEADER_BYTES_MAX`] bytes are headroom.
    Assembled(Vec<u8>),
}

impl<'a> Payload<'a> {
    #[inline]
    pub(crate) fn lent(bytes: &'a mut [u8], kind: DataKind) -> Self {
        Self { bytes: Bytes::Lent(bytes), kind }
    }

    /// `bytes` must begin with [`HEADER_BYTES_MAX`] bytes of headroom.
    pub(crate) fn assembled(bytes: Vec<u8>, kind: DataKind) -> Self {
        debug_assert!(bytes.len() >= HEADER_BYTES_MAX);
        Self { bytes: Bytes::Assembled(bytes), kind }
    }

    /// The text of a text message; `None` if the message is binary.
    ///
    /// The reader has already validated the bytes. They are validated again here, which takes a few
    /// nanoseconds for a small message, because an unchecked `str` needs unsafe code.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self.kind {
            DataKind::Text => simdutf8::basic::from_utf8(self).ok(),
            DataKind::Binary => None,
        }
    }

    /// Whether it is the payload of a text or of a binary message.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> DataKind {
        self.kind
    }

    /// Whether its bytes are lent from the input: then they have no buffer of their own.
    #[inline]
    #[must_use]
    pub fn is_lent(&self) -> bool {
        matches!(self.bytes, Bytes::Lent(_))
    }

    /// Turns the message into a final unmasked frame in the buffer that it was assembled in,
    /// without copying.
    ///
    /// # Errors
    /// The payload itself, if it is lent: it has no buffer of its own.
    pub fn into_frame(self, opcode: Opcode) -> Result<OwnedFrame, Self> {
        match self.bytes {
            Bytes::Assembled(mut bytes) => {
                let length = (bytes.len() - HEADER_BYTES_MAX) as u64;
                let header = Header::new(opcode, length);
                let start = emit_header_before(&mut bytes, HEADER_BYTES_MAX, &header);
                Ok(OwnedFrame { bytes, start })
            }
            Bytes::Lent(_) => Err(self),
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Lent(bytes) => bytes,
            Bytes::Assembled(bytes) => &bytes[HEADER_BYTES_MAX..],
        }
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").field(&&**self).finish()
    }
}

/// A frame in its own buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedFrame {
    /// Unused headroom, followed by the frame.
    pub bytes: Vec<u8>,
    /// Where the frame's header begins.
    pub start: usize,
}

impl Deref for OwnedFrame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}
