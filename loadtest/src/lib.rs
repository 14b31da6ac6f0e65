//! The load generator: opens connections to a WebSocket server and measures what it does.
//!
//! Nothing is here yet but its place in the house: it is built on `ringway-frame` in the client's
//! role and on `ringway-acceptor`, and knows no more of Ringway than a URL. Until then
//! `ringway-benches` compares engines.

#![forbid(unsafe_code)]
