//! `test`: everything that must hold before a change lands, as named steps.
//! Installs what is missing first; runs every step even after a failure.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::checkout::Checkout;
use crate::step::{Outcome, Steps};
use crate::tools::{INSTALL_LIMIT, debian, runs};
use crate::{browser, clients, conformance, process, readme, server};

const CARGO_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Install the test tools, then run every check.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask test")]
pub struct Options {}

pub fn run(checkout: &Checkout) -> ExitCode {
    let mut steps = Steps::default();
    steps.run("tools", || {
        let installed = debian::install_missing()?;
        Ok(Outcome::Passed(if installed.is_empty() {
            "all present".to_owned()
        } else {
            format!("installed {}", installed.join(", "))
        }))
    });
    steps.run("format", || cargo(checkout, &["fmt", "--all", "--check"], &[]));
    steps.run("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        cargo(checkout, &arguments, &[])
    });
    steps.run("unit and integration tests", || {
        // One failure must not hide those of the test programs that come after it.
        cargo(checkout, &["test", "--workspace", "--no-fail-fast"], &[])
    });
    steps.run("model checking", || {
        // All of it is built with the flag, so apart from what the other steps use again.
        let variables = [("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "target/loom")];
        cargo(checkout, &["test", "-p", "ringway-hub", "--test", "loom"], &variables)
    });
    steps.run("documentation", || {
        let arguments = ["doc", "--workspace", "--no-deps"];
        cargo(checkout, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    });
    steps.run("dependencies", || dependencies(checkout));
    steps.run("advisories", || advisories(checkout));
    steps.run("release build", || {
        server::build(checkout)?;
        Ok(Outcome::Passed(String::new()))
    });
    steps.run("conformance", || conformance::run(checkout, &conformance::Options::default()));
    steps.run("clients", || clients::run(checkout, &clients::Options::default()));
    steps.run("browser", || browser::run(checkout, &browser::Options::default()));
    steps.run("readme", || readme::run(checkout, &readme::Options::default()));
    steps.finish()
}

fn cargo(checkout: &Checkout, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Outcome> {
    let mut command = checkout.cargo(arguments);
    command.envs(variables.iter().copied());
    process::check(command, CARGO_LIMIT)?;
    Ok(Outcome::Passed(String::new()))
}

const DENY_BY_HAND: &str = "cargo install cargo-deny --locked";

/// Licences, sources and bans by cargo-deny. Continuous integration installs it;
/// a contributor is told how.
fn dependencies(checkout: &Checkout) -> Result<Outcome> {
    if !runs("cargo", &["deny", "--version"]) {
        if env::var_os("CI").is_none() {
            let reason = format!("cargo-deny is not installed: `{DENY_BY_HAND}`");
            return Ok(Outcome::Skipped(reason));
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

/// Known vulnerabilities. The database is fetched, so an unreachable one is a
/// skip that says so, and anything else is a failure.
fn advisories(checkout: &Checkout) -> Result<Outcome> {
    if !runs("cargo", &["deny", "--version"]) {
        let reason = format!("cargo-deny is not installed: `{DENY_BY_HAND}`");
        return Ok(Outcome::Skipped(reason));
    }
    let command = checkout.cargo(&["deny", "check", "advisories"]);
    let captured = process::capture(command, INSTALL_LIMIT)?;
    if captured.status.success() {
        return Ok(Outcome::Passed(String::new()));
    }
    if captured.output.contains("failed to fetch advisory database") {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be fetched from this machine".to_owned(),
        ));
    }
    print!("{}", captured.output);
    bail!("cargo-deny found advisories, shown above; update the crates that it names")
}
