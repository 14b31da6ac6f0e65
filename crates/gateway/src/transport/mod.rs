//! How a client's bytes become messages, and messages become bytes: one file per transport, and for
//! what transports share.
//!
//! No transport knows a socket or a timer, or reads a request.

pub mod commands;
pub mod compression;
pub mod echo;
pub mod frames;
pub mod long_poll;
pub mod stream;
pub mod websocket;
