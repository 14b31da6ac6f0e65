//! What the exit status says. Part of the interface: scripts go by it.

use std::{fmt, process::ExitCode};

use crate::report::{
    Report,
    comparison::{Comparison, TargetResult},
};

/// What is wrong with a command line, beyond what its parser knows.
#[derive(Debug)]
pub struct Usage(anyhow::Error);

/// The same error as one of the command line.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Usage(error.into()).into()
}

/// Holds a command line to something.
///
/// # Errors
/// A [`Usage`] that says `why` when it does not hold.
pub fn require(holds: bool, why: impl FnOnce() -> String) -> anyhow::Result<()> {
    if holds { Ok(()) } else { Err(usage(anyhow::Error::msg(why()))) }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its causes: they are not passed on.
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Usage {}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Valid, each message came once and in order, and no connection failed.
    Clean = 0,
    /// The figures are valid and each message came once and in order, but connections failed, or a
    /// sweep found no rate.
    Failures = 1,
    /// A wrong command line.
    Usage = 2,
    /// The figures say nothing of the server: the tester was the bottleneck, or was interrupted.
    Invalid = 3,
    /// Nothing could be measured.
    Failed = 4,
    /// The server lost, doubled, reordered or corrupted messages, whatever else is to be said.
    LedgerFaults = 5,
}

impl Status {
    /// Of a run that came to its end.
    pub fn of(report: &Report) -> Self {
        // A late tester changes times and not what became of the messages.
        if !report.ledger.is_clean() {
            Self::LedgerFaults
        } else if !report.valid {
            Self::Invalid
        } else if report.errors.is_empty() {
            Self::Clean
        } else {
            Self::Failures
        }
    }

    /// The status of a comparison that was completed.
    pub fn of_comparison(comparison: &Comparison) -> Self {
        let has_failures = |one: &TargetResult| one.failed.is_some() || !one.errors.is_empty();
        let targets = || comparison.targets.iter();
        if targets().all(|one| one.failed.is_some()) {
            Self::Failed
        } else if targets().any(|one| !one.ledger.is_clean()) {
            // A late tester changes times and not what became of the messages.
            Self::LedgerFaults
        } else if !comparison.valid {
            Self::Invalid
        } else if targets().any(has_failures) {
            Self::Failures
        } else {
            Self::Clean
        }
    }

    /// Of a command that came to nothing.
    pub fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() { Self::Usage } else { Self::Failed }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measure::ledger::Ledger, report::tests::report};

    #[test]
    fn faults_of_the_ledger_are_never_hidden_and_have_a_status_of_their_own() {
        let faulty = Ledger { sent: 2, received: 1, lost: 1, ..Ledger::default() };
        for (is_valid, ledger, errors, status) in [
            (true, Ledger::default(), 0, Status::Clean),
            (true, Ledger::default(), 1, Status::Failures),
            (false, Ledger::default(), 1, Status::Invalid),
            (true, faulty, 0, Status::LedgerFaults),
            (true, faulty, 1, Status::LedgerFaults),
            (false, faulty, 1, Status::LedgerFaults),
        ] {
            let mut report = report();
            (report.valid, report.ledger) = (is_valid, ledger);
            if errors > 0 {
                report.errors.insert("reset".to_owned(), errors);
            }
            assert_eq!(Status::of(&report), status, "{is_valid} {ledger:?} {errors}");
        }
    }
}
