//! The exit status, which scripts depend on.

use std::{fmt, process::ExitCode};

use crate::report::{
    Report,
    comparison::{Comparison, TargetResult},
};

/// An error in the command line that its parser does not find.
#[derive(Debug)]
pub struct Usage(anyhow::Error);

/// Marks an error as one of the command line.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Usage(error.into()).into()
}

/// Checks a condition on the command line.
///
/// # Errors
/// A [`Usage`] that says `why`, if the condition does not hold.
pub fn require(holds: bool, why: impl FnOnce() -> String) -> anyhow::Result<()> {
    if holds { Ok(()) } else { Err(usage(anyhow::Error::msg(why()))) }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With its causes, because they are not available as sources.
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Usage {}

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Valid, each message came once and in order, and no connection failed.
    Clean = 0,
    /// The figures are valid and each message came once and in order, but connections failed, or a
    /// sweep found no rate.
    Failures = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The figures are not the server's: the tester was the bottleneck, or was interrupted.
    Invalid = 3,
    /// Nothing could be measured.
    Failed = 4,
    /// The server lost, doubled, reordered or corrupted messages. This takes precedence over all
    /// others.
    LedgerFaults = 5,
}

impl Status {
    /// The status of a run that was completed.
    pub fn of(report: &Report) -> Self {
        // A late tester changes times, but not the fate of messages.
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
            // A late tester changes times, but not the fate of messages.
            Self::LedgerFaults
        } else if !comparison.valid {
            Self::Invalid
        } else if targets().any(has_failures) {
            Self::Failures
        } else {
            Self::Clean
        }
    }

    /// The status of a command that failed.
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
    fn faults_of_the_ledger_are_never_hidden_and_have_their_own_status() {
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
