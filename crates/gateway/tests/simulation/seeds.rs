//! Which seeds a test runs, and how to run a failing seed again.
//!
//! `RINGWAY_SIM_SEEDS` sets how many seeds each test runs, and `RINGWAY_SIM_FROM` the first of
//! them, so that several processes can share the work. `RINGWAY_SIM_SEED` runs only that seed.

use std::{cell::Cell, env, ops::Range};

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// The seed that runs on this thread.
pub fn current() -> u64 {
    CURRENT.get()
}

/// Calls `run` with each seed, `count` of them unless the environment says otherwise; returns how
/// many there were.
pub fn each_seed(test: &str, count: u64, mut run: impl FnMut(u64)) -> u64 {
    let seeds = seeds(count);
    for seed in seeds.clone() {
        CURRENT.set(seed);
        let _notice = Notice { test, seed };
        run(seed);
    }
    seeds.end - seeds.start
}

fn seeds(count: u64) -> Range<u64> {
    match number("RINGWAY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("RINGWAY_SIM_FROM").unwrap_or(0);
            first..first + number("RINGWAY_SIM_SEEDS").unwrap_or(count)
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Names the seed when the test panics.
struct Notice<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Notice<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed } = self;
            eprintln!(
                "to run this again: RINGWAY_SIM_SEED={seed} \
                 cargo test -p ringway --test simulation {test}"
            );
        }
    }
}
