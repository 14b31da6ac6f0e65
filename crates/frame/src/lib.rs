//! RFC 6455 as pure code: takes bytes and returns frames and messages, in both roles.
//!
//! The caller owns every buffer. Reading borrows `&mut [u8]`, unmasks in place and
//! lends payload slices; writing appends to the caller's buffer. This crate never
//! touches a socket, a clock or a thread, and never allocates for a frame that is
//! whole in its input.
//!
//! Call order: pass each received slice to [`MessageReader::read`] until it returns `None`, then
//! discard the slice, and give each message to the connection's [`ProtocolState`]. [`FrameReader`]
//! does the same one layer down, to relay pieces of messages without assembling them.
//!
//! ```
//! use ringway_frame::{Message, MessageReader, Opcode, ReadLimits, Role, emit_frame};
//! let mut bytes = Vec::new();
//! emit_frame(&mut bytes, Some([1, 2, 3, 4]), Opcode::Text, b"hello");
//! let (mut reader, mut input) = (MessageReader::new(Role::Server), &mut bytes[..]);
//! while let Some(message) = reader.read(&mut input, &ReadLimits::default())? {
//!     assert!(matches!(message, Message::Text(text) if text.as_str() == Some("hello")));
//! }
//! # Ok::<(), ringway_frame::ProtocolError>(())
//! ```

#![deny(unsafe_code)]

mod assembly;
mod close_code;
mod control;
pub mod deflate;
mod emit;
pub mod extension;
mod fault;
mod frames;
pub mod handshake;
mod header;
mod inflating;
mod mask_keys;
mod message;
mod partial_header;
mod payload;
mod piece;
mod protocol;
mod rules;
mod text;
mod token;
mod utf8;

#[allow(unsafe_code, reason = "vector instructions, on slices alone")]
pub mod mask;

pub use close_code::CloseCode;
pub use control::Control;
pub use emit::{
    CONTROL_BYTES_MAX, Fragment, emit_close, emit_compressed_frame, emit_fragment, emit_frame,
    emit_header_before, emit_ping, emit_pong,
};
pub use fault::ProtocolError;
pub use frames::FrameReader;
pub use header::{HEADER_BYTES_MAX, Header, Opcode, Parsed, Rsv};
pub use inflating::{Allowance, Inflate, Pooled, Unfinished};
pub use mask_keys::MaskKeys;
pub use message::{Message, MessageReader, Reading};
pub use payload::{OwnedFrame, Payload};
pub use piece::{Compression, DataKind, Piece, ReadLimits, Role};
pub use protocol::{ProtocolState, ReadyState, Received};
pub use utf8::Utf8;
