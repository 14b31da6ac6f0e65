//! What goes over one connection: where it leads, how it opens, what its messages are.
//!
//! Nothing here waits, and nothing here counts.

pub mod advice;
pub mod cursor;
pub mod delivery;
pub mod failure;
pub mod handshake;
pub mod message;
pub mod request;
pub mod sources;
pub mod stamp;
pub mod target;
pub mod template;
pub mod tls;
