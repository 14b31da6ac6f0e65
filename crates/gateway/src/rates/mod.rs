//! How fast clients may send: what each connection and each client has used of its rates, in a few
//! bytes each.
//!
//! Pure: times in, decisions out. It never pauses or closes a connection.

mod bucket;
mod clients;
mod connections;
mod errors;

use std::time::Duration;

pub use self::{
    bucket::Bucket,
    clients::ClientRates,
    connections::{ConnectionRates, Excess},
    errors::ErrorCounts,
};
use crate::config::{Limits, reference::ConfigReference};

/// What a connection may send only so much of in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Messages, or requests.
    Messages,
    /// Bytes.
    Bytes,
}

/// Why nothing is read from a client for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// It sends too many messages.
    Messages,
    /// It sends too many bytes.
    Bytes,
    /// It does not read what it was sent.
    Unread,
}

impl PauseReason {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Messages, Self::Bytes, Self::Unread];

    /// Its word, in the log and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Unread => "unread",
        }
    }
}

impl From<Measure> for PauseReason {
    fn from(measure: Measure) -> Self {
        match measure {
            Measure::Messages => Self::Messages,
            Measure::Bytes => Self::Bytes,
        }
    }
}

impl Measure {
    /// What a client that exceeds the rate is told.
    pub fn excess(self) -> &'static str {
        match self {
            Self::Messages => "This connection sends too many messages.",
            Self::Bytes => "This connection sends too many bytes.",
        }
    }

    /// The rate.
    pub fn reference(self, limits: &Limits) -> ConfigReference {
        match self {
            Self::Messages => ConfigReference::count(
                "limits.messages_per_second_max",
                limits.messages_per_second_max as usize,
                "messages per second",
            ),
            Self::Bytes => ConfigReference::count(
                "limits.bytes_per_second_max",
                limits.bytes_per_second_max as usize,
                "bytes per second",
            ),
        }
    }
}

/// A core's share of the limits on rates.
#[derive(Debug, Default)]
pub struct CoreRates {
    /// What its connections have used.
    pub connections: ConnectionRates,
    /// The errors of its connections.
    pub errors: ErrorCounts,
}

impl CoreRates {
    /// A connection begins in this slot.
    pub fn begin(&mut self, slot: u32, now: Duration) {
        self.connections.begin(slot, now);
        self.errors.forget(slot);
    }
}
