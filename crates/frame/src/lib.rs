//! Skeleton.

pub mod deflate;
pub mod handshake;
