//! HTTP/1.1 (RFC 9110, RFC 9112) as pure code: heads, bodies, chunks and queries, from bytes that
//! arrive in any pieces.
//!
//! It never touches a socket or a clock, and it knows no route, no session and no setting: each
//! bound is the caller's.

#![forbid(unsafe_code)]

pub mod body;
pub mod chunk;
mod error;
mod grow;
pub mod head;
pub mod head_reader;
mod keep_alive;
pub mod query;
pub mod scan;

pub use error::HttpError;
pub use keep_alive::{Framing, KeepAlive};
