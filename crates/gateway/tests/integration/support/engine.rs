//! The two engines, and running a test on each of them.
//!
//! A kernel that refuses io_uring has the test skipped, and says so past the test harness.

use std::io::{self, Write};

use ringway_acceptor::engine::{self, Io};

/// What moves the gateway's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Uring,
    Epoll,
}

impl Engine {
    /// As `--io` takes it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }

    /// As the log and the metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// Runs `test`, or says why this kernel cannot.
    pub fn run(self, name: &str, test: fn(Self)) {
        if self == Self::Uring
            && let Err(reason) = engine::choose(Io::Uring, 1)
        {
            // Not `eprintln`, which the harness keeps to itself while a test passes.
            let _ = writeln!(io::stderr(), "SKIPPED {name} on io_uring: {reason}");
            return;
        }
        test(self);
    }
}

/// Makes two tests of each named function: `name::uring` and `name::epoll`.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::support::Engine;

            #[test]
            fn uring() {
                Engine::Uring.run(module_path!(), super::$test);
            }

            #[test]
            fn epoll() {
                Engine::Epoll.run(module_path!(), super::$test);
            }
        }
    )+};
}

pub(crate) use on_each_engine;
