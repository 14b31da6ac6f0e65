//! What the measuring binaries share: servers, testers, and the arithmetic of paired slots.
//!
//! A server is pinned to one core and a tester to another; a figure is server CPU time per
//! message, read from /proc. Nothing here is shipped, and nothing here judges correctness
//! beyond "the echo is the message".

#![forbid(unsafe_code)]

pub mod case;
pub mod churn;
pub mod client;
pub mod crowd;
pub mod gateway;
pub mod opening;
pub mod process;
pub mod rounds;
pub mod tester;
pub mod traffic;
