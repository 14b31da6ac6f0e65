//! `ringway token`: makes tokens for tests, and explains tokens.
//!
//! It uses the keys and the claims of the gateway itself, so it says what the gateway would do. It
//! never starts the gateway, and never prints a secret.

pub mod create;
pub mod explain;

use std::time::{Duration, SystemTime};

/// The wall-clock time, since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
