//! The encodings of events and of the gateway's own messages.
//!
//! Pure code: it appends to buffers, and never sends anything.

pub mod event;
pub mod iframe;
pub mod large_events;
pub mod native;
pub mod ndjson;
pub mod pieces;
pub mod poll;
pub mod scratch;
pub mod sse;

pub use event::{Encoding, SHARED_ENCODINGS, SharedDeflate, bytes_max, frame_bytes};
