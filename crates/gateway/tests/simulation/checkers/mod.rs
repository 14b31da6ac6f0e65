//! What every run is held to: one property, one name, and the seed that violates it.
//!
//! `audit` checks what concerns the cores, after every turn and at the end. The checkers of single
//! clients are in `script`, `hub` and `relay`. A checker never changes what it looks at.

mod audit;
pub mod backlogs;
mod permits;
mod silence;
mod trace;

pub use audit::Audit;
pub use trace::Trace;

use std::fmt;

/// How late, in virtual time, something may be that a deadline causes: a tick of the wheel, and
/// turns in which completions are held back.
pub const LATENESS: std::time::Duration = std::time::Duration::from_millis(100);

/// A connection of the gateway: its core, and its name there.
pub type Key = (usize, ringway_acceptor::ConnectionId);

/// A property that a checker checks.
#[derive(Debug, Clone, Copy)]
pub enum Property {
    /// Checked by `decoder`.
    Protocol,
    /// Checked by `script`.
    Answers,
    /// Checked by `hub`: the oracle.
    Delivery,
    /// Checked by `hub`: the reference log.
    Log,
    /// Checked by `hub`.
    Commands,
    /// Checked by `hub`.
    Presence,
    /// Checked by `relay`.
    Relaying,
    /// Checked by `permits`.
    Permits,
    /// Checked by `silence`.
    Silence,
    /// Checked by `backlogs`.
    Backlogs,
    /// Checked by `audit`.
    Leftovers,
    /// Checked by `audit`.
    Drain,
    /// Checked by `world`.
    Progress,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol => "the gateway keeps to HTTP, RFC 6455 and each transport's form",
            Self::Answers => "a client gets the answers it is owed, in order, and nothing else",
            Self::Delivery => "no event is lost, doubled, reordered or sent to the wrong client",
            Self::Log => "an event in the log is what its command asked for, once",
            Self::Commands => "a command is answered with what became of it",
            Self::Presence => "the directory knows who is connected",
            Self::Relaying => "a relay passes on all bytes in order, and every end",
            Self::Permits => "permits are granted up to the limits and given back",
            Self::Silence => "a silent connection is closed in time",
            Self::Backlogs => "what the driver keeps for a connection is bounded",
            Self::Leftovers => "nothing is left after the last connection",
            Self::Drain => "a drain ends in time",
            Self::Progress => "a run comes to an end",
        })
    }
}

/// Panics with the name of the property and the seed unless the condition holds.
macro_rules! check {
    ($property:ident, $condition:expr, $($message:tt)+) => {
        assert!(
            $condition,
            "{}: {}",
            $crate::checkers::violation($crate::checkers::Property::$property),
            format_args!($($message)+)
        )
    };
}

/// As `check`, unless the two values are equal.
macro_rules! check_eq {
    ($property:ident, $left:expr, $right:expr, $($message:tt)+) => {
        assert_eq!(
            $left,
            $right,
            "{}: {}",
            $crate::checkers::violation($crate::checkers::Property::$property),
            format_args!($($message)+)
        )
    };
}

/// Panics with the name of the property and the seed.
macro_rules! fail {
    ($property:ident, $($message:tt)+) => {
        panic!(
            "{}: {}",
            $crate::checkers::violation($crate::checkers::Property::$property),
            format_args!($($message)+)
        )
    };
}

pub(crate) use {check, check_eq, fail};

/// What a violation begins with.
pub fn violation(property: Property) -> String {
    format!("seed {} violates \"{property}\"", crate::seeds::current())
}
