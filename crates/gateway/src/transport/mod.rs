//! How a client's bytes become messages, and messages become bytes: one file a transport.
//!
//! None of them knows a socket or a timer, or reads a request.

pub mod compression;
pub mod echo;
pub mod frames;
pub mod long_poll;
pub mod stream;
pub mod websocket;
