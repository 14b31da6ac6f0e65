//! What every run is held to. A checker is a file with one `PROPERTY`, which its violations print
//! together with the seed.
//!
//! Here are those of the cores; those of clients are in `decoder`, `script`, `hub` and `relay`. A
//! checker never changes what it looks at.

mod audit;
pub mod backlogs;
mod permits;
mod silence;
mod trace;

pub use audit::Audit;
pub use trace::Trace;

/// How late, in virtual time, something may be that a deadline causes: a tick of the wheel, and
/// turns in which completions are held back.
pub const LATENESS: std::time::Duration = std::time::Duration::from_millis(100);

/// A connection of the gateway: its core, and its name there.
pub type Key = (usize, ringway_acceptor::ConnectionId);

/// What a violation of a property begins with.
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
