//! The frame header: parsed from a prefix of bytes, emitted into a caller's buffer.
//!
//! RFC 6455 §5.2. Each byte is judged as soon as it is there, in wire order, so a fault in the
//! first byte does not wait for the second. Never knows the connection: `frames` judges faults that
//! depend on the role or the state.

use std::ops::BitOr;

use crate::ProtocolError;

/// Two bytes, eight of length, four of masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// What a frame carries: RFC 6455 §5.2 and §11.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the current message.
    Continuation = 0,
    /// A text message, or the first fragment of one.
    Text = 1,
    /// A binary message, or the first fragment of one.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// Asks whether the peer is alive.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    /// The opcode of a header's first byte; `None` if it is reserved.
    #[inline]
    #[must_use]
    pub const fn of(first: u8) -> Option<Self> {
        Some(match first & 0x0F {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is close, ping or pong: RFC 6455 §5.5.
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x08 != 0
    }
}

/// The three reserved bits, at their place in the first header byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// The message is compressed: RFC 7692 §6.
    pub const RSV1: Self = Self(0x40);
    /// Not used by any extension known here.
    pub const RSV2: Self = Self(0x20);
    /// Not used by any extension known here.
    pub const RSV3: Self = Self(0x10);

    /// The reserved bits of a header's first byte.
    #[inline]
    #[must_use]
    pub const fn of(first: u8) -> Self {
        Self(first & 0x70)
    }

    /// Whether all bits of `other` are set here.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Rsv {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: Rsv,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// The number of payload bytes.
    pub length: u64,
}

/// The result of parsing a prefix of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// No fault so far; more bytes are needed.
    Incomplete,
    /// A whole header.
    Whole {
        /// The header.
        header: Header,
        /// How many bytes of the prefix it takes.
        bytes: usize,
    },
}

impl Header {
    /// The header of an unmasked frame that is a whole message.
    #[inline]
    #[must_use]
    pub const fn new(opcode: Opcode, length: u64) -> Self {
        Self { fin: true, rsv: Rsv::NONE, opcode, mask: None, length }
    }

    /// Parses the header at the front of `bytes`.
    ///
    /// ```
    /// use ringway_frame::{Header, Opcode, Parsed};
    /// let header = Header::new(Opcode::Ping, 3);
    /// assert_eq!(Header::parse(&[0x89, 3]), Ok(Parsed::Whole { header, bytes: 2 }));
    /// ```
    ///
    /// # Errors
    /// A reserved opcode, a control frame that is fragmented or too long, a close frame
    /// of one byte, a length with its top bit set or not in its shortest form.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some((&[first, second], after)) = bytes.split_first_chunk() else {
            if let [first] = bytes {
                judge_first(*first)?;
            }
            return Ok(Parsed::Incomplete);
        };
        let opcode = judge_first(first)?;
        let short = second & 0x7F;
        if opcode.is_control() {
            // RFC 6455 §5.5: control frames carry at most 125 bytes.
            if short > 125 {
                return Err(ProtocolError::LongControl);
            }
            // RFC 6455 §5.5.1: a non-empty body starts with a two-byte code.
            if short == 1 && opcode == Opcode::Close {
                return Err(ProtocolError::HalfCloseCode);
            }
        }
        let Some((length, size_bytes)) = parse_length(short, after)? else {
            return Ok(Parsed::Incomplete);
        };
        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Some(&key) = after[size_bytes..].first_chunk() else {
                return Ok(Parsed::Incomplete);
            };
            Some(key)
        };
        let header = Self { fin: first & 0x80 != 0, rsv: Rsv::of(first), opcode, mask, length };
        let bytes = 2 + size_bytes + if mask.is_some() { 4 } else { 0 };
        Ok(Parsed::Whole { header, bytes })
    }

    /// How many bytes [`Header::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> usize {
        let size_bytes = match self.length {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        2 + size_bytes + if self.mask.is_some() { 4 } else { 0 }
    }

    /// Writes the header to the front of `out`, the length in its shortest form, and
    /// returns how many bytes it took.
    ///
    /// # Panics
    /// If `out` is shorter than [`Header::bytes`]; [`HEADER_BYTES_MAX`] is always enough.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        debug_assert!(self.length >> 63 == 0, "RFC 6455 §5.2: 63 bits of length");
        out[0] = u8::from(self.fin) << 7 | self.rsv.0 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut at = match self.length {
            0..=125 => {
                out[1] = masked | self.length as u8;
                2
            }
            126..=0xFFFF => {
                out[1] = masked | 126;
                out[2..4].copy_from_slice(&(self.length as u16).to_be_bytes());
                4
            }
            _ => {
                out[1] = masked | 127;
                out[2..10].copy_from_slice(&self.length.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            out[at..at + 4].copy_from_slice(&key);
            at += 4;
        }
        at
    }
}

/// Checks only the first byte.
#[inline]
pub(crate) fn judge_first(first: u8) -> Result<Opcode, ProtocolError> {
    let opcode = Opcode::of(first).ok_or(ProtocolError::ReservedOpcode)?;
    // RFC 6455 §5.5: control frames must not be fragmented.
    if opcode.is_control() && first & 0x80 == 0 {
        return Err(ProtocolError::FragmentedControl);
    }
    Ok(opcode)
}

/// The payload length, and how many bytes after the second it takes; `None` if more are needed.
#[inline]
fn parse_length(short: u8, after: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short {
        126 => {
            let Some(&size) = after.first_chunk() else {
                return Ok(None);
            };
            let length = u16::from_be_bytes(size);
            // RFC 6455 §5.2: the minimal number of bytes must be used.
            if length < 126 {
                return Err(ProtocolError::NonMinimalLength);
            }
            Ok(Some((length.into(), 2)))
        }
        127 => parse_long_length(after),
        _ => Ok(Some((short.into(), 0))),
    }
}

fn parse_long_length(after: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    // RFC 6455 §5.2: the most significant bit must be 0.
    if after.first().is_some_and(|top| top & 0x80 != 0) {
        return Err(ProtocolError::LengthTopBit);
    }
    // RFC 6455 §5.2: a length with six leading zero bytes fits in the 16-bit form.
    if after.starts_with(&[0; 6]) {
        return Err(ProtocolError::NonMinimalLength);
    }
    Ok(after.first_chunk().map(|&size| (u64::from_be_bytes(size), 8)))
}
