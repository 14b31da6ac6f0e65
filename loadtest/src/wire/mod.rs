//! The protocol of one connection: its target, its handshake, its messages.
//!
//! Nothing here waits or counts.

pub mod addressed;
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
