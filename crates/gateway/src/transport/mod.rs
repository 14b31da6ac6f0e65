//! How a client's bytes become messages, and messages become bytes: one file a transport.
//!
//! None of them knows a socket or a timer, or reads a request.

pub mod compression;
pub mod echo;
pub mod encoding;
pub mod frames;
pub mod iframe;
pub mod long_poll;
pub mod ndjson;
pub mod pieces;
pub mod poll;
pub mod sse;
pub mod stream;
pub mod websocket;
