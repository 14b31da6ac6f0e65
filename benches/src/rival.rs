//! Other people's servers, run on the servers' core.
//!
//! It installs nothing: `cargo xtask bench-peers --install` does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::server::{Place, ServerProcess};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/fanout.bun.js");

/// Where `cargo xtask` has npm put it.
const BUN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../target/xtask/node/peers/node_modules/.bin/bun");

/// Starts a fan-out by Bun, with all its threads on `core`. `bun` is the program, unless it is the
/// installed one.
///
/// # Errors
/// It is not installed, or does not start.
pub fn start_bun(bun: Option<&Path>, core: usize) -> Result<ServerProcess> {
    let bun = bun.map_or_else(|| PathBuf::from(BUN), Path::to_owned);
    ensure!(
        bun.is_file(),
        "{} is not there; run `cargo xtask bench-peers --install`, or name one with --bun",
        bun.display()
    );
    let mut command = Command::new(bun);
    command.arg(SCRIPT);
    ServerProcess::start(command, Place::Core(core))
}
