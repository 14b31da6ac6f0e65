//! The inputs and results of a reader: role, limits, pieces.
//!
//! Plain values. Never reads a byte: `frames` does.

use crate::CloseCode;
use crate::control::Control;
use crate::header::Opcode;

/// Which end of the connection this is: RFC 6455 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads masked frames, writes unmasked ones.
    Server,
    /// Reads unmasked frames, writes masked ones.
    Client,
}

/// Whether permessage-deflate was agreed on: RFC 7692.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No reserved bit may be set.
    Off,
    /// RSV1 may be set on the first frame of a data message.
    PerMessage,
}

/// The kind of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Text in UTF-8.
    Text,
    /// Arbitrary bytes.
    Binary,
}

impl From<DataKind> for Opcode {
    fn from(kind: DataKind) -> Self {
        match kind {
            DataKind::Text => Self::Text,
            DataKind::Binary => Self::Binary,
        }
    }
}

/// The most that a peer may send, checked when a header is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Payload bytes of one frame.
    pub frame_bytes_max: u64,
    /// Payload bytes of one message. For a compressed message it bounds the inflated bytes, and the
    /// bytes on the wire with an allowance for incompressible data.
    pub message_bytes_max: u64,
}

impl ReadLimits {
    /// The most bytes that a compressed message may have on the wire. Deflate adds at most 5 bytes
    /// to a stored block, and the smallest encoders store blocks of about 127 bytes.
    pub(crate) const fn compressed_bytes_max(&self) -> u64 {
        let max = self.message_bytes_max;
        max.saturating_add(max / 16).saturating_add(64)
    }
}

impl Default for ReadLimits {
    /// One mebibyte per frame and per message.
    fn default() -> Self {
        Self { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 }
    }
}

/// A piece from the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A piece of a data message, unmasked, and checked as UTF-8 if it is plain text.
    Data {
        /// The kind of the message.
        kind: DataKind,
        /// Whether the message is compressed: the payload is then raw deflate.
        compressed: bool,
        /// The payload of the frame received since the previous piece.
        payload: &'a mut [u8],
        /// Whether this is the first piece of the message.
        first: bool,
        /// Whether the frame ends here.
        end_of_frame: bool,
        /// Whether the message ends here.
        end_of_message: bool,
    },
    /// A ping; answer it with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer's close, with its reason. Nothing after it is read.
    Close(Option<CloseCode>, &'a str),
}

impl<'a> From<Control<'a>> for Piece<'a> {
    fn from(control: Control<'a>) -> Self {
        match control {
            Control::Ping(payload) => Self::Ping(payload),
            Control::Pong(payload) => Self::Pong(payload),
            Control::Close(code, reason) => Self::Close(code, reason),
        }
    }
}

/// A piece that does not borrow from the reader yet.
pub(crate) enum Step<'b> {
    Data(Data<'b>),
    Control(Control<'b>),
    /// A control frame is complete in the reader's box.
    Kept,
}

/// A piece of a data message.
pub(crate) struct Data<'b> {
    pub(crate) kind: DataKind,
    pub(crate) compressed: bool,
    pub(crate) payload: &'b mut [u8],
    pub(crate) first: bool,
    /// Payload bytes of the frame that have not arrived yet.
    pub(crate) remaining: u64,
    pub(crate) end_of_message: bool,
}

impl<'b> Data<'b> {
    /// A piece that is a whole message.
    #[inline]
    pub(crate) fn whole(kind: DataKind, compressed: bool, payload: &'b mut [u8]) -> Self {
        Self { kind, compressed, payload, first: true, remaining: 0, end_of_message: true }
    }
}

impl<'b> From<Data<'b>> for Piece<'b> {
    fn from(data: Data<'b>) -> Self {
        Self::Data {
            kind: data.kind,
            compressed: data.compressed,
            payload: data.payload,
            first: data.first,
            end_of_frame: data.remaining == 0,
            end_of_message: data.end_of_message,
        }
    }
}
