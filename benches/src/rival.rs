//! Other people's servers: installed under `target/` when they are first asked for, and run on
//! the servers' core.
//!
//! It never writes into the source tree, and installs nothing that was not asked for by name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::server::{Place, ServerProcess};

const MANIFEST: &str = include_str!("../peers/package.json");
const SCRIPT: &str = include_str!("../peers/fanout.bun.js");

/// Where the benches install.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/benches/peers");

/// Starts a fan-out by Bun, with all its threads on `core`. `bun` is the program; without it, it is
/// installed.
///
/// # Errors
/// It cannot be installed or started.
pub fn start_bun(bun: Option<&Path>, core: usize) -> Result<ServerProcess> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).with_context(|| format!("making {FOLDER}"))?;
    let bun = match bun {
        Some(bun) => bun.to_owned(),
        None => install_bun(folder)?,
    };
    let script = folder.join("fanout.bun.js");
    fs::write(&script, SCRIPT)?;
    let mut command = Command::new(bun);
    command.arg(script).current_dir(folder);
    ServerProcess::start(command, Place::Core(core))
}

/// By npm, unless that has been done.
fn install_bun(folder: &Path) -> Result<PathBuf> {
    let bun = folder.join("node_modules/.bin/bun");
    let mark = folder.join("package.installed.json");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == MANIFEST) {
        return Ok(bun);
    }
    eprintln!("installing: {FOLDER}");
    fs::write(folder.join("package.json"), MANIFEST)?;
    let status = Command::new("npm")
        .args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
        .args(["--loglevel", "error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .context("npm cannot be started")?;
    ensure!(status.success(), "npm cannot install bun; name one with --bun");
    fs::write(&mark, MANIFEST)?;
    Ok(bun)
}
