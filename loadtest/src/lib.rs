//! The load generator: opens connections to any WebSocket server and measures what it does.
//!
//! `wire` is what goes over a connection, `engine` drives one thread's connections and all
//! threads together, `measure` keeps what was seen, `mode` is what connections are for, `output`
//! shows it. It is built on `ringway-frame` in the client's role and on `ringway-acceptor`, and
//! knows no more of any server than a URL.

#![forbid(unsafe_code)]

pub mod args;
pub mod engine;
pub mod exit;
pub mod machine;
pub mod measure;
pub mod mode;
pub mod output;
pub mod prepare;
pub mod report;
pub mod saved;
pub mod verdict;
pub mod wire;
