//! What the measuring binaries share: servers, testers, and the arithmetic of paired slots.
//!
//! A server is pinned to one core and a tester to another; a figure is server CPU time per
//! message, read from /proc. Nothing here is shipped, and nothing here judges correctness
//! beyond "the echo is the message" and "each event arrives whole and once".

#![forbid(unsafe_code)]

pub mod audience;
pub mod case;
pub mod churn;
pub mod client;
pub mod crowd;
pub mod fanout;
pub mod gateway;
pub mod memory;
pub mod opening;
pub mod pairing;
pub mod probe;
pub mod process;
pub mod publisher;
pub mod rival;
pub mod rounds;
pub mod server;
pub mod tester;
pub mod traffic;
pub mod visit;
