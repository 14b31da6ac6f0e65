//! The one launcher of gateways and of other servers, only for tests, `xtask` and benches.
//!
//! A [`Launch`] becomes a [`Gateway`] on ports that the kernel chooses. A [`Server`] is any process
//! that prints the address that it listens on. An [`Authority`] issues certificates. Nothing here ever ends a process that it did not start,
//! and no part of this crate is shipped.

#![forbid(unsafe_code)]

mod authority;
mod engine;
mod gateway;
mod launch;
mod output;
mod server;

pub use authority::{Authority, Key};
pub use engine::Engine;
pub use gateway::Gateway;
pub use launch::{Launch, without_settings};
pub use output::Output;
pub use server::{Server, address_after};

/// A signal for a server.
pub use rustix::process::Signal;
