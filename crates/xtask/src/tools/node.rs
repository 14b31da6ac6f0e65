//! Folders under `target/xtask/` with scripts and the Node modules that they need.
//! Never writes a lock file or `node_modules` into the source tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::INSTALL_LIMIT;
use crate::checkout::Checkout;
use crate::process;

/// Installs the packages of `SOURCE/package.json` into `target/xtask/node/NAME`, and copies the
/// scripts (`.mjs`) of the source folder next to the modules, because Node resolves modules from
/// the folder of the script. Returns that folder.
pub fn scripts(checkout: &Checkout, source: &Path, name: &str) -> Result<PathBuf> {
    let folder = modules(checkout, source, name)?;
    for entry in fs::read_dir(source)? {
        let script = entry?.path();
        if script.extension().is_some_and(|extension| extension == "mjs") {
            let name = script.file_name().expect("a file in a folder has a name");
            fs::copy(&script, folder.join(name))
                .with_context(|| format!("cannot copy {}", script.display()))?;
        }
    }
    Ok(folder)
}

/// As [`scripts`], but without copying scripts.
pub fn modules(checkout: &Checkout, source: &Path, name: &str) -> Result<PathBuf> {
    let folder = checkout.scratch(&format!("node/{name}"))?;
    let manifest = source.join("package.json");
    let wanted = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let mark = folder.join("package.installed.json");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        println!("present: {}", folder.display());
        return Ok(folder);
    }
    println!("installing: {}", folder.display());
    fs::write(folder.join("package.json"), &wanted)?;
    let mut install = Command::new("npm");
    install
        .args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
        .args(["--loglevel", "error"])
        .current_dir(&folder);
    process::check(install, INSTALL_LIMIT)
        .context("cannot install Node modules; check the network and npm's registry")?;
    fs::write(&mark, wanted)?;
    Ok(folder)
}
