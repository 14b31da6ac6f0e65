//! The gateway under test: its binary and its engines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ringway_testbed::{Engine, Gateway, Launch};

use crate::checkout::Checkout;
use crate::process;

const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// The engines that a step runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engines {
    Uring,
    Epoll,
    Both,
}

impl Engines {
    pub fn each(self) -> &'static [Engine] {
        match self {
            Self::Uring => &[Engine::Uring],
            Self::Epoll => &[Engine::Epoll],
            Self::Both => &[Engine::Uring, Engine::Epoll],
        }
    }
}

/// The binary to test: the named one, or else the release build, built now if necessary.
pub fn binary(checkout: &Checkout, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return fs::canonicalize(path)
            .with_context(|| format!("--binary {}: no such program", path.display()));
    }
    build(checkout)?;
    Ok(checkout.release_binary())
}

/// Builds the release gateway and the load generator.
pub fn build(checkout: &Checkout) -> Result<()> {
    // One at a time: together they would share their dependencies' features, and `cargo run` of
    // one of them would build all dependencies again.
    for package in ["ringway", "ringway-loadtest"] {
        let command = checkout.cargo(&["build", "--release", "--package", package]);
        process::check(command, BUILD_LIMIT)?;
    }
    Ok(())
}

/// Starts the gateway on one core, and waits until it is ready.
pub fn start(binary: &Path, engine: Engine) -> Result<Gateway> {
    start_with(binary, engine, &[])
}

/// As [`start`], with settings in the form `section.key=value`.
pub fn start_with(binary: &Path, engine: Engine, settings: &[&str]) -> Result<Gateway> {
    Launch::of(binary).on(engine).flags(&["--cores", "1"]).set(settings).start()
}
