//! The `permessage-deflate` extension of RFC 7692: its negotiation for both
//! roles, and the contexts that compress and decompress messages.
//!
//! Never reads or writes a frame, and never sets RSV1: the caller passes the joined payload pieces
//! of a message and gets bytes back. No output exceeds the caller's bound.
#![forbid(unsafe_code)]

mod agreement;
mod deflater;
mod inflater;
mod offer;
mod policy;
mod pool;
mod ranges;
mod reading;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

pub use agreement::{Agreement, Unacceptable};
pub use deflater::{Deflater, deflated_bytes_max};
pub use inflater::{InflateError, Inflater};
pub use offer::{ClientWindow, Offer};
pub use policy::{ContextTakeover, Policy};
pub use pool::Pool;
pub use ranges::{Level, MemoryLevel, WindowBits};

/// The extension's token (RFC 7692 §7).
pub const EXTENSION: &str = "permessage-deflate";

// RFC 7692 §7.2.1: each compressed message ends in these four octets, which are not sent; §7.2.2:
// the receiver appends them again.
const FLUSH_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
