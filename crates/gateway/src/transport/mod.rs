//! How a client's bytes become messages: one file a transport.

pub mod compression;
pub mod echo;
pub mod websocket;
