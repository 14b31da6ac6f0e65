//! The properties that every run must satisfy. A checker is a file with one `PROPERTY`, which its
//! violations print together with the seed.
//!
//! The checkers of cores are here; those of clients are in `decoder`, `script`, `hub` and `relay`.
//! A checker never changes what it checks.

mod audit;
pub mod backlogs;
mod merging;
mod permits;
mod silence;
mod trace;

pub use audit::Audit;
pub use merging::Merging;
pub use trace::Trace;

/// How late, in virtual time, the effect of a deadline may be: a tick of the wheel, and the turns
/// for which completions are delayed.
pub const LATENESS: std::time::Duration = std::time::Duration::from_millis(100);

/// A connection of the gateway: its core, and its id there.
pub type Key = (usize, ringway_acceptor::ConnectionId);

/// The first words of a violation's message.
pub fn violation(property: &str) -> String {
    format!("seed {} violates \"{property}\"", crate::seeds::current())
}

/// Panics with the `PROPERTY` of the checker and the seed unless the condition holds.
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        assert!($condition, "{}: {}", $crate::checkers::violation(PROPERTY), format_args!($($message)+))
    };
}

/// As `check`, unless the two values are equal.
macro_rules! check_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        assert_eq!($left, $right, "{}: {}", $crate::checkers::violation(PROPERTY), format_args!($($message)+))
    };
}

/// Panics with the `PROPERTY` of the checker and the seed.
macro_rules! fail {
    ($($message:tt)+) => {
        panic!("{}: {}", $crate::checkers::violation(PROPERTY), format_args!($($message)+))
    };
}

pub(crate) use {check, check_eq, fail};
