//! What clients and the gateway say to each other, whatever carries it: commands one way, events
//! and answers the other.
//!
//! Text in, values out, and back. Only `service` decides who may do what and touches the hub; to
//! the rest a cursor is a text that is passed on. Nothing here writes to a connection.

pub mod depth;
pub mod native;
