//! How a client's bytes become messages: one file a transport.
//!
//! None of them knows a socket or a timer, or reads a request.

pub mod compression;
pub mod echo;
pub mod websocket;
