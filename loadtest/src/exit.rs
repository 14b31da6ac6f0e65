//! What the exit status says. Part of the interface: scripts go by it.

use std::process::ExitCode;

use crate::report::Report;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Valid, each message came once and in order, and no connection failed.
    Clean = 0,
    /// Valid, and the server lost, doubled, reordered or corrupted messages, or failed connections.
    Faulty = 1,
    /// A wrong command line.
    Usage = 2,
    /// The figures say nothing of the server: the tester was the bottleneck, or was interrupted.
    Invalid = 3,
    /// Nothing could be measured.
    Failed = 4,
}

impl Status {
    /// Of a run that came to its end.
    pub fn of(report: &Report) -> Self {
        if !report.valid {
            Self::Invalid
        } else if report.ledger.is_clean() && report.errors.is_empty() {
            Self::Clean
        } else {
            Self::Faulty
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
