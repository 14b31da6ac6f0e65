//! How a client's bytes become messages, and messages become bytes: one file per transport.
//!
//! No transport knows a socket or a timer, or reads a request.

pub mod compression;
pub mod echo;
pub mod frames;
pub mod long_poll;
pub mod stream;
pub mod websocket;
