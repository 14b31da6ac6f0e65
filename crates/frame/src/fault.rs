//! The faults of a peer, and the close code that answers each.
//!
//! Only faults of the peer, each a plain value: nothing is allocated or logged, and an operator's
//! or programmer's mistake is never reported here.

use std::{error, fmt};

use crate::CloseCode;

/// A fault of the peer. The connection fails with [`ProtocolError::close_code`].
///
/// ```
/// use ringway_frame::{CloseCode, ProtocolError};
/// assert_eq!(ProtocolError::TooBig.close_code(), CloseCode::TOO_BIG);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// RFC 6455 §5.1: a server must refuse a frame that is not masked.
    UnmaskedFrame,
    /// RFC 6455 §5.1: a client must refuse a frame that is masked.
    MaskedFrame,
    /// RFC 6455 §5.2: the shortest form of the payload length must be used.
    NonMinimalLength,
    /// RFC 6455 §5.2: the top bit of a 64-bit length must be 0.
    LengthTopBit,
    /// RFC 6455 §5.2: reserved bits are 0 unless an extension defines them.
    ReservedBits,
    /// RFC 6455 §5.2: opcodes 3-7 and 11-15 are reserved.
    ReservedOpcode,
    /// RFC 6455 §5.5: control frames must not be fragmented.
    FragmentedControl,
    /// RFC 6455 §5.5: control frames carry at most 125 bytes.
    LongControl,
    /// RFC 6455 §5.4: a continuation without a message to continue.
    LoneContinuation,
    /// RFC 6455 §5.4: a new message inside an unfinished one.
    NestedMessage,
    /// RFC 6455 §5.5.1: a close payload is empty or starts with a two-byte code.
    HalfCloseCode,
    /// RFC 6455 §7.4: a close code that is not allowed in a frame.
    ForbiddenCloseCode,
    /// RFC 6455 §8.1: text, or a close reason, that is not UTF-8.
    InvalidUtf8,
    /// RFC 7692 §7.2.2: a compressed message that does not inflate.
    CorruptDeflate,
    /// RFC 6455 §10.4: a message over the reader's limit.
    TooBig,
    /// RFC 6455 §10.4: a frame over the reader's limit, in a message that is within its own.
    FrameTooBig,
    /// Not the peer's fault: memory for its message is exhausted.
    OutOfMemory,
}

impl ProtocolError {
    /// The close code to send before the connection is dropped.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::CorruptDeflate => CloseCode::INVALID_PAYLOAD,
            Self::TooBig | Self::FrameTooBig => CloseCode::TOO_BIG,
            Self::OutOfMemory => CloseCode::TRY_AGAIN_LATER,
            _ => CloseCode::PROTOCOL,
        }
    }

    /// A short reason, suitable for a close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnmaskedFrame => "frame is not masked",
            Self::MaskedFrame => "frame is masked",
            Self::NonMinimalLength => "length is not in its shortest form",
            Self::LengthTopBit => "length has its top bit set",
            Self::ReservedBits => "reserved bits are set",
            Self::ReservedOpcode => "opcode is reserved",
            Self::FragmentedControl => "control frame is fragmented",
            Self::LongControl => "control frame is over 125 bytes",
            Self::LoneContinuation => "continuation of no message",
            Self::NestedMessage => "message inside a message",
            Self::HalfCloseCode => "close payload of one byte",
            Self::ForbiddenCloseCode => "close code may not be sent",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::CorruptDeflate => "compressed message does not inflate",
            Self::TooBig => "message is too big",
            Self::FrameTooBig => "frame is too big",
            Self::OutOfMemory => "no memory for the message",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl error::Error for ProtocolError {}
