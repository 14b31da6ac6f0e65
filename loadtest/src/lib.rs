//! The load generator: opens connections to any WebSocket server and measures what it does.
//!
//! The layers, from lowest to highest; a module uses only modules above it in this list:
//!
//! ```text
//! wire                   what goes over a connection: targets, handshakes, messages, templates
//! measure, machine       what was seen: latencies, ledgers, CPU time and memory, from /proc
//! engine                 one thread's connections, and all threads together
//! args                   the command line
//! report, saved          what a run or a comparison found, as one value; and as a histogram log
//! verdict, exit          whether its figures are the server's; the exit status
//! prepare                from the command line to a plan
//! output                 tables, pages, progress
//! mode                   what connections are for: a folder for each command
//! ```
//!
//! In `engine`: `table` (the connections as a workload sees them), `workload`, `plan`, `dialer`,
//! `connections` (completions in, messages out), `exchange` (the same over HTTP), `channels`, `worker`
//! (a thread), `coordinator` (all threads). No two modules use each other.
//!
//! It is built on `ringway-frame` and `ringway-http` in the client's role and on
//! `ringway-acceptor`, and knows nothing about any server except its URL.

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
