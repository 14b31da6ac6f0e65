//! `test`: every check that must pass before a change lands, as named steps.
//! Installs missing tools first; runs every step even after a failure.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::checkout::Checkout;
use crate::step::{StepOutcome, Steps};
use crate::tools::{INSTALL_LIMIT, debian, runs};
use crate::{browser, clients, conformance, instructions, process, proxies, readme, server};

const CARGO_LIMIT: Duration = Duration::from_secs(40 * 60);

/// The tests of the real binaries, the gateway's and the load generator's, which mostly wait for
/// timeouts and processes.
const INTEGRATION: [&str; 2] = ["integration", "faults"];
const INTEGRATION_THREADS_PER_CORE: usize = 3;

/// Install the test tools, then run every check.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask test")]
pub struct Options {}

pub fn run(checkout: &Checkout) -> ExitCode {
    let mut steps = Steps::default();
    steps.run("tools", || {
        let installed = debian::install_missing()?;
        Ok(StepOutcome::Passed(if installed.is_empty() {
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
    // One failure must not hide those of later test programs. All packages each time: with fewer,
    // their dependencies would be built again with fewer features.
    steps.run("unit tests", || {
        let names = test_programs(checkout)?;
        let chosen = names.iter().filter(|name| !INTEGRATION.contains(&name.as_str()));
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
        arguments.extend(chosen.flat_map(|name| ["--test", name]));
        cargo(checkout, &arguments, &[])
    });
    steps.run("integration tests", || {
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
        arguments.extend(INTEGRATION.into_iter().flat_map(|name| ["--test", name]));
        let threads = (INTEGRATION_THREADS_PER_CORE * cores()).to_string();
        cargo(checkout, &arguments, &[("RUST_TEST_THREADS", &threads)])
    });
    steps.run("documentation tests", || {
        cargo(checkout, &["test", "--workspace", "--no-fail-fast", "--doc"], &[])
    });
    steps.run("model checking", || {
        // The flag applies to all crates, so they are built apart from those of the other steps.
        let variables = [("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "target/loom")];
        cargo(
            checkout,
            &["test", "-p", "ringway-hub", "--no-fail-fast", "--test", "loom"],
            &variables,
        )
    });
    steps.run("documentation", || {
        let arguments = ["doc", "--workspace", "--no-deps"];
        cargo(checkout, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    });
    steps.run("dependencies", || dependencies(checkout));
    steps.run("advisories", || advisories(checkout));
    steps.run("release build", || {
        server::build(checkout)?;
        Ok(StepOutcome::Passed(String::new()))
    });
    steps.run("instructions", || instructions::run(checkout, &instructions::Options::default()));
    steps.run("conformance", || conformance::run(checkout, &conformance::Options::default()));
    steps.run("clients", || clients::run(checkout, &clients::Options::default()));
    steps.run("proxies", || proxies::run(checkout, &proxies::Options::default()));
    steps.run("browser", || browser::run(checkout, &browser::Options::default()));
    steps.run("readme", || readme::run(checkout, &readme::Options::default()));
    steps.finish()
}

/// The names of the programs in the packages' `tests` folders, without duplicates.
fn test_programs(checkout: &Checkout) -> Result<BTreeSet<String>> {
    let command = checkout.cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let captured = process::capture(command, INSTALL_LIMIT)?;
    let line = captured.output.lines().find(|line| line.starts_with('{'));
    names_of_tests(line.context("`cargo metadata` printed no JSON")?)
}

fn names_of_tests(metadata: &str) -> Result<BTreeSet<String>> {
    let metadata: Metadata =
        serde_json::from_str(metadata).context("`cargo metadata` printed something else")?;
    let targets = metadata.packages.into_iter().flat_map(|package| package.targets);
    let tests = targets.filter(|target| target.kind == ["test"] && target.test);
    Ok(tests.map(|target| target.name).collect())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    test: bool,
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn cargo(
    checkout: &Checkout,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<StepOutcome> {
    let mut command = checkout.cargo(arguments);
    command.envs(variables.iter().copied());
    process::check(command, CARGO_LIMIT)?;
    Ok(StepOutcome::Passed(String::new()))
}

const DENY_BY_HAND: &str = "cargo install cargo-deny --locked";

/// Checks licences, sources and bans with cargo-deny. Continuous integration installs it; a
/// contributor is told how to.
fn dependencies(checkout: &Checkout) -> Result<StepOutcome> {
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
fn advisories(checkout: &Checkout) -> Result<StepOutcome> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_is_run_by_one_of_the_steps() {
        let text = r#"{"packages": [
            {"targets": [{"kind": ["lib"], "name": "a", "test": true},
                         {"kind": ["test"], "name": "integration", "test": true}]},
            {"targets": [{"kind": ["test"], "name": "one", "test": true},
                         {"kind": ["test"], "name": "off", "test": false},
                         {"kind": ["bench"], "name": "speed", "test": false}]}]}"#;
        assert_eq!(Vec::from_iter(names_of_tests(text).unwrap()), ["integration", "one"]);
        let names = test_programs(&Checkout::of_this_crate()).unwrap();
        for name in ["integration", "faults", "layering", "simulation"] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
    }
}
