//! Control frames: RFC 6455 §5.5, and the one that straddles a read.
//!
//! A control frame that is whole in the input is lent; one that is not is kept in a box
//! until the rest has come. Never sees a payload over 125 bytes: the header refused it.

use crate::header::Opcode;
use crate::{CloseCode, ProtocolError, emit_close, emit_ping, emit_pong, mask};

/// A control frame: one that was read, or one that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// A question whether the peer is there.
    Ping(&'a [u8]),
    /// The answer to a ping, with its payload.
    Pong(&'a [u8]),
    /// The last frame of an end: why, and the same in words.
    Close(Option<CloseCode>, &'a str),
}

impl Control<'_> {
    /// Appends the frame, masked if there is a key.
    ///
    /// ```
    /// let mut out = Vec::new();
    /// ringway_frame::Control::Pong(b"hi").emit(&mut out, None);
    /// assert_eq!(out, [0x8A, 2, b'h', b'i']);
    /// ```
    ///
    /// # Panics
    /// As [`emit_ping`] and [`emit_pong`] do, if the payload is over
    /// [`CONTROL_BYTES_MAX`](crate::CONTROL_BYTES_MAX).
    pub fn emit(self, out: &mut Vec<u8>, mask: Option<[u8; 4]>) {
        match self {
            Self::Ping(payload) => emit_ping(out, mask, payload),
            Self::Pong(payload) => emit_pong(out, mask, payload),
            Self::Close(code, reason) => emit_close(out, mask, code, reason),
        }
    }
}

impl<'a> Control<'a> {
    /// Judges an unmasked payload; `opcode` is one of the three.
    pub(crate) fn parse(opcode: Opcode, payload: &'a [u8]) -> Result<Self, ProtocolError> {
        match opcode {
            Opcode::Ping => Ok(Self::Ping(payload)),
            Opcode::Pong => Ok(Self::Pong(payload)),
            _ => Self::parse_close(payload),
        }
    }

    fn parse_close(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let Some((&code, reason)) = payload.split_first_chunk() else {
            return match payload {
                [] => Ok(Self::Close(None, "")),
                _ => Err(ProtocolError::HalfCloseCode),
            };
        };
        // RFC 6455 §7.4.1, §7.4.2: which codes may stand in a frame.
        let code =
            CloseCode::new(u16::from_be_bytes(code)).ok_or(ProtocolError::ForbiddenCloseCode)?;
        // RFC 6455 §5.5.1, §8.1: the reason is UTF-8.
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Self::Close(Some(code), reason))
    }
}

/// A control frame that came in parts.
///
/// Invariant: held <= length <= 125.
pub(crate) struct KeptControl {
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    length: u8,
    held: u8,
    bytes: [u8; 125],
}

impl KeptControl {
    pub(crate) fn new(opcode: Opcode, mask: Option<[u8; 4]>, length: u8) -> Box<Self> {
        Box::new(Self { opcode, mask, length, held: 0, bytes: [0; 125] })
    }

    /// Takes what it lacks from `input`, unmasked; returns how many bytes that was.
    pub(crate) fn fill(&mut self, input: &[u8]) -> usize {
        let held = usize::from(self.held);
        let taken = input.len().min(usize::from(self.length) - held);
        let bytes = &mut self.bytes[held..held + taken];
        bytes.copy_from_slice(&input[..taken]);
        if let Some(key) = self.mask {
            mask::unmask(bytes, key, held % 4);
        }
        self.held += taken as u8;
        debug_assert!(self.held <= self.length);
        taken
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.held == self.length
    }

    pub(crate) fn is_close(&self) -> bool {
        self.opcode == Opcode::Close
    }

    /// The frame, once it is whole.
    pub(crate) fn control(&self) -> Result<Control<'_>, ProtocolError> {
        Control::parse(self.opcode, &self.bytes[..usize::from(self.length)])
    }
}
