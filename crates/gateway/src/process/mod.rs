//! The process: command line, start, threads, memory, and how it ends.

pub mod args;
pub mod epoch;
pub mod event_loop;
pub mod inherited;
pub mod memory_limit;
pub mod server;
pub mod sockets;
pub mod tls;
pub mod token_args;
