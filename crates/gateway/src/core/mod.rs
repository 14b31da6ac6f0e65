//! One core: its connections, their turns, and how they end when the gateway drains.

pub mod connections;
pub mod drain;
pub mod leaving;
pub mod shard;
