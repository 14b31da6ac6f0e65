//! HTTP/1.1 (RFC 9110, RFC 9112) as pure code: heads, bodies, chunks and queries, from bytes that
//! arrive in any pieces. A server reads requests ([`head_reader`], [`head`], [`body`]); a client
//! reads responses ([`ResponseReader`]).
//!
//! It never touches a socket or a clock, and it knows no route, no session and no setting: the
//! caller sets each bound.

#![forbid(unsafe_code)]

pub mod body;
pub mod chunk;
mod error;
mod grow;
pub mod head;
pub mod head_reader;
mod keep_alive;
pub mod query;
mod response_head;
mod response_reader;
pub mod scan;

pub use error::HttpError;
pub use keep_alive::{Framing, KeepAlive};
pub use response_head::{Asked, ResponseHead, ResponseLimits, fields};
pub use response_reader::{Ending, Part, ResponseReader};
