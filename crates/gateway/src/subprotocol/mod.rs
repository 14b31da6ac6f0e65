//! What clients and the gateway say to each other, whatever carries it: commands one way, events
//! and answers the other.
//!
//! Text in, values out, and back. Nothing here decides who may do what, knows a transport or
//! touches the hub; a cursor is a text that is passed on.

pub mod command;
pub mod error;
pub mod json;
pub mod service;

pub use command::{Command, CommandLimits, Echo, Ttl};
pub use error::{CommandError, ErrorCode};
