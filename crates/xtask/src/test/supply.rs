//! What the workspace depends on, checked with cargo-deny.

use std::env;

use anyhow::{Context, Result, bail};

use super::cargo;
use crate::checkout::Checkout;
use crate::process;
use crate::step::StepOutcome;
use crate::tools::{INSTALL_LIMIT, runs};

const DENY_BY_HAND: &str = "cargo install cargo-deny --locked";

/// Checks licences, sources and bans with cargo-deny. Continuous integration installs it; a
/// contributor is told how to.
pub fn dependencies(checkout: &Checkout) -> Result<StepOutcome> {
    if !runs("cargo", &["deny", "--version"]) {
        if env::var_os("CI").is_none() {
            let reason = format!("cargo-deny is not installed: `{DENY_BY_HAND}`");
            return Ok(StepOutcome::Skipped(reason));
        }
        println!("installing: cargo-deny");
        let install = checkout.cargo(&["install", "cargo-deny", "--locked", "--debug", "--quiet"]);
        process::check(install, INSTALL_LIMIT)
            .with_context(|| format!("cannot install cargo-deny; try `{DENY_BY_HAND}`"))?;
    }
    let arguments = "deny check --hide-inclusion-graph licenses bans sources";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    cargo(checkout, &arguments, &[])
}

/// Checks for known vulnerabilities. The database is downloaded: if it is unreachable, the step is
/// skipped and says so; anything else is a failure.
pub fn advisories(checkout: &Checkout) -> Result<StepOutcome> {
    if !runs("cargo", &["deny", "--version"]) {
        let reason = format!("cargo-deny is not installed: `{DENY_BY_HAND}`");
        return Ok(StepOutcome::Skipped(reason));
    }
    let command = checkout.cargo(&["deny", "check", "advisories"]);
    let captured = process::capture(command, INSTALL_LIMIT)?;
    if captured.status.success() {
        return Ok(StepOutcome::Passed(String::new()));
    }
    if captured.output.contains("failed to fetch advisory database") {
        return Ok(StepOutcome::Skipped(
            "the advisory database cannot be fetched from this machine".to_owned(),
        ));
    }
    print!("{}", captured.output);
    bail!("cargo-deny found advisories, shown above; update the crates that it names")
}
