//! The vocabulary of the tests: a running gateway, and clients that send and receive messages.
//!
//! Everything here panics if an expectation is not met, and waits for nothing longer than
//! [`PATIENCE`].

pub mod application;
mod attack;
mod client;
mod engine;
pub mod frames;
mod gateway;
mod hook_server;
mod key_server;
mod launch;
mod member;
mod polling;
mod request;
mod secure;
mod stream;
mod token;
mod upstream;

use std::time::{Duration, Instant};

pub use application::Application;
pub use attack::{attack, attacker};
pub use client::{Client, Response};
pub(crate) use engine::on_each_engine;
pub use engine::{Engine, run_on};
pub use gateway::{Gateway, kill};
pub use hook_server::{HookServer, Treatment};
pub use key_server::{Answering, IssuerKey, KeyServer};
pub use launch::{Launch, ringway};
pub use member::{Member, has};
pub use polling::{Answer, poll, send};
pub use request::{Request, target};
pub use secure::{Certificates, Secure};
pub use stream::{Block, Stream};
pub use token::{Issuer, seconds_from_now};
pub use upstream::{Upstream, closed_http_url, closed_url, gateway_of, opening, route};

/// How long a step may take before the test fails; machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// By how much one client may make a core's memory grow: all receive buffers of the core (4 MiB by
/// default) can be filled in one turn, answered in the turn's buffer, and kept as a backlog.
pub const BURST_BYTES_MAX: u64 = 40 << 20;

/// Waits until `is_so` holds, and panics with `what` if it never does.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
