//! The gateway: sockets and timers from `acceptor`, frames from `frame`, joined to a program.
//!
//! The binary is `main`; this library exists so that tests and benches reach the same code.

#![forbid(unsafe_code)]

pub mod args;
pub mod census;
pub mod channel;
pub mod config;
pub mod config_reference;
pub mod connection_log;
pub mod control;
pub mod departures;
pub mod desk;
pub mod dispatch;
pub mod doctor;
pub mod drain;
pub mod epoch;
pub mod event_loop;
pub mod exchange;
pub mod feed;
pub mod http;
pub mod large_events;
pub mod limits;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod orders;
pub mod outbox;
pub mod peer;
pub mod peers;
pub mod permission;
pub mod ready;
pub mod server;
pub mod session;
pub mod settings;
pub mod shard;
pub mod sockets;
pub mod spelling;
pub mod subprotocol;
pub mod transport;
pub mod workbench;
