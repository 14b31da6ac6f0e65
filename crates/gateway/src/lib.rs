//! The gateway: joins `acceptor` (sockets, timers), `frame`, `http` and `hub` into one program.
//!
//! The binary is `main`; this library exists so that tests and benches reach the same code.

#![forbid(unsafe_code)]

pub mod auth;
pub mod broker;
pub mod config;
pub mod connection;
pub mod control;
pub mod core;
pub mod doctor;
pub mod edge;
pub mod encoding;
pub mod hooks;
pub mod limits;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod notifications;
pub mod outbox;
pub mod process;
pub mod rates;
pub mod refusal;
pub mod session;
pub mod subprotocol;
pub mod tokens;
pub mod transport;
pub mod upstream;
