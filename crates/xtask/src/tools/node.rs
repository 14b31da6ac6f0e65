//! A folder under `target/xtask/` with the client script and its Node modules.
//! Never writes a lock file or `node_modules` into the source tree.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::INSTALL_LIMIT;
use crate::checkout::Checkout;
use crate::process;

/// Installs what `clients/package.json` pins; returns the script to run, beside its modules.
pub fn client(checkout: &Checkout) -> Result<PathBuf> {
    let folder = checkout.scratch("node")?;
    let manifest = checkout.path("crates/xtask/clients/package.json");
    let wanted = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let mark = folder.join("package.installed.json");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        println!("present: {}", folder.display());
    } else {
        println!("installing: {}", folder.display());
        fs::write(folder.join("package.json"), &wanted)?;
        let mut install = Command::new("npm");
        install
            .args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
            .args(["--loglevel", "error"])
            .current_dir(&folder);
        process::check(install, INSTALL_LIMIT)
            .context("cannot install the Node client; check the network and npm's registry")?;
        fs::write(&mark, wanted)?;
    }
    // Node resolves modules from where the script lies, so the script is put beside them.
    let script = folder.join("echo.mjs");
    fs::copy(checkout.path("crates/xtask/clients/echo.mjs"), &script)
        .context("cannot copy clients/echo.mjs")?;
    Ok(script)
}
