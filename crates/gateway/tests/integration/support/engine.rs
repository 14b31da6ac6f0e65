//! The two engines, and a way to run a test on each of them.
//!
//! If the kernel refuses io_uring, the test is skipped with a message that the test harness does
//! not hide.

use std::io::{self, Write};

use ringway_acceptor::engine::{self, Io};
pub use ringway_testbed::Engine;

/// Runs `test`, or prints why this kernel cannot.
pub fn run_on(engine: Engine, name: &str, test: fn(Engine)) {
    if engine == Engine::Uring
        && let Err(reason) = engine::choose(Io::Uring, 1)
    {
        // Not `eprintln`, whose output the test harness hides while a test passes.
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
