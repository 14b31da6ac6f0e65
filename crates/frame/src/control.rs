//! Control frames: RFC 6455 §5.5, including frames that span several reads.
//!
//! A control frame that is whole in the input is lent; a partial one is kept in a box until the
//! rest has arrived. Never sees a payload over 125 bytes: the header is refused first.

use crate::header::Opcode;
use crate::{CloseCode, ProtocolError, emit_close, emit_ping, emit_pong, mask};

/// A control frame, received or to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Asks whether the peer is alive.
    Ping(&'a [u8]),
    /// The answer to a ping, with its payload.
    Pong(&'a [u8]),
    /// The last frame from an end: the code and the reason text.
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
    /// Parses an unmasked payload; `opcode` is one of the three control opcodes.
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
        // RFC 6455 §7.4.1, §7.4.2: only some codes are allowed in a frame.
        let code =
            CloseCode::new(u16::from_be_bytes(code)).ok_or(ProtocolError::ForbiddenCloseCode)?;
        // RFC 6455 §5.5.1, §8.1: the reason must be UTF-8.
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Self::Close(Some(code), reason))
    }
}

/// A control frame that arrives in parts.
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

    /// Takes the missing bytes from `input`, unmasks them, and returns how many it took.
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
