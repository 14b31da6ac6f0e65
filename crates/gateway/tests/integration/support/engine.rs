//! The two engines, and running a test on each of them.
//!
//! A kernel that refuses io_uring has the test skipped, and says so past the test harness.

use std::io::{self, Write};

use ringway_acceptor::engine::{self, Io};
pub use ringway_testbed::Engine;

/// Runs `test`, or says why this kernel cannot.
pub fn run_on(engine: Engine, name: &str, test: fn(Engine)) {
    if engine == Engine::Uring
        && let Err(reason) = engine::choose(Io::Uring, 1)
    {
        // Not `eprintln`, which the harness keeps to itself while a test passes.
        let _ = writeln!(io::stderr(), "SKIPPED {name} on io_uring: {reason}");
        return;
    }
    test(engine);
}

/// Makes two tests of each named function: `name::uring` and `name::epoll`.
macro_rules! on_each_engine {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::support::{Engine, run_on};

            #[test]
            fn uring() {
                run_on(Engine::Uring, module_path!(), super::$test);
            }

            #[test]
            fn epoll() {
                run_on(Engine::Epoll, module_path!(), super::$test);
            }
        }
    )+};
}

pub(crate) use on_each_engine;
