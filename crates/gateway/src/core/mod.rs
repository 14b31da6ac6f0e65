//! One core: its connections, their turns, and their way out when the gateway drains.

pub mod connections;
pub mod drain;
pub mod shard;
