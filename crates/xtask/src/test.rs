//! `test`: every check that must pass before a change lands, as named steps.
//! Installs missing tools first; runs every step even after a failure.

mod programs;
mod supply;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::checkout::Checkout;
use crate::step::{Step, StepOutcome, Steps};
use crate::tools::{debian, python};
use crate::{browser, clients, conformance, instructions, process, proxies, readme, server};

const CARGO_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Steps that run at the same time, for each core: most of them wait for most of their time.
const STEPS_PER_CORE: usize = 3;

/// What checks of the release build wait for: beside the tests, which use what processor time there
/// is, they would take as long and delay those that measure how long something takes.
const BEHIND_TESTS: &[&str] = &["libraries", "gateway", "tests"];

/// Install the test tools, then run every check; those that do not hinder each other together.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --step clippy")]
pub struct Options {
    /// Only this step, and before it those that it waits for.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
    /// Only this step, as a run of all of them starts it.
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "step")]
    part: Option<String>,
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<ExitCode> {
    let steps = Steps(steps());
    if let Some(name) = &options.part {
        return steps.run_one(name, checkout);
    }
    let steps = match &options.step {
        Some(name) => steps.up_to(name)?,
        None => steps,
    };
    steps.run_all(&["test", "--part"], STEPS_PER_CORE * cores())
}

/// The steps, those that others wait for first.
fn steps() -> Vec<Step> {
    [of_the_sources(), of_the_release_build()].into_iter().flatten().collect()
}

fn of_the_sources() -> Vec<Step> {
    vec![
        Step::new("tools", |_| {
            let installed = debian::install_missing()?;
            passed(if installed.is_empty() {
                "all present".to_owned()
            } else {
                format!("installed {}", installed.join(", "))
            })
        }),
        Step::new("test programs", programs::build).in_folder("debug"),
        Step::new("format", |checkout| cargo(checkout, &["fmt", "--all", "--check"], &[])),
        Step::new("tests", programs::run).after(&["tools", "test programs"]),
        Step::new("documentation tests", |checkout| {
            cargo(checkout, &["test", "--workspace", "--no-fail-fast", "--doc"], &[])
        })
        .after(&["test programs"])
        .in_folder("debug"),
        Step::new("clippy", |checkout| {
            let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            cargo(checkout, &arguments, &[])
        })
        .after(&["test programs"])
        .in_folder("debug")
        .giving_way(),
        Step::new("model checking", |checkout| {
            // The flag applies to all crates, so they are built apart from those of the other steps.
            let variables = [("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "target/loom")];
            let arguments = ["test", "-p", "ringway-hub", "--no-fail-fast", "--test", "loom"];
            cargo(checkout, &arguments, &variables)
        })
        .after(&["test programs"])
        .giving_way(),
        Step::new("documentation", |checkout| {
            let arguments = ["doc", "--workspace", "--no-deps"];
            cargo(checkout, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
        })
        .after(&["clippy"])
        .in_folder("debug")
        .giving_way(),
        Step::new("dependencies", supply::dependencies).after(&["test programs"]).giving_way(),
        Step::new("advisories", supply::advisories).after(&["dependencies"]).giving_way(),
    ]
}

fn of_the_release_build() -> Vec<Step> {
    vec![
        Step::new("libraries", |checkout| {
            clients::install(checkout)?;
            browser::install(checkout)?;
            python::autobahn(checkout)?;
            proxies::unpack(checkout)?;
            passed(String::new())
        })
        .after(&["tools"]),
        Step::new("gateway", |checkout| {
            server::build_package(checkout, "ringway")?;
            passed(String::new())
        })
        .in_folder("release")
        .giving_way(),
        Step::new("browser", |checkout| {
            let binary = Some(checkout.release_binary());
            browser::run(checkout, &browser::Options { binary, ..Default::default() })
        })
        .after(BEHIND_TESTS),
        Step::new("clients", |checkout| {
            let binary = Some(checkout.release_binary());
            clients::run(checkout, &clients::Options { binary, ..Default::default() })
        })
        .after(BEHIND_TESTS),
        Step::new("conformance", |checkout| {
            let binary = Some(checkout.release_binary());
            conformance::run(checkout, &conformance::Options { binary, ..Default::default() })
        })
        .after(BEHIND_TESTS),
        Step::new("proxies", |checkout| {
            let binary = Some(checkout.release_binary());
            proxies::run(checkout, &proxies::Options { binary, ..Default::default() })
        })
        .after(BEHIND_TESTS),
        Step::new("load generator", |checkout| {
            server::build_package(checkout, "ringway-loadtest")?;
            passed(String::new())
        })
        .after(&["gateway"])
        .in_folder("release")
        .giving_way(),
        Step::new("readme", |checkout| readme::run(checkout, &readme::Options::default()))
            .after(&["tools", "load generator", "tests"])
            .in_folder("release"),
        Step::new("instructions", |checkout| {
            instructions::run(checkout, &instructions::Options::default())
        })
        .after(&["tools", "load generator"])
        .in_folder("release")
        .giving_way(),
    ]
}

fn passed(note: String) -> Result<StepOutcome> {
    Ok(StepOutcome::Passed(note))
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
    passed(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_waits_only_for_steps_before_it() {
        let steps = steps();
        for (at, step) in steps.iter().enumerate() {
            for name in step.after {
                let before = steps[..at].iter().any(|other| other.name == *name);
                assert!(before, "{} waits for {name}", step.name);
            }
        }
    }

    #[test]
    fn a_step_alone_brings_those_that_it_needs() {
        let names = |name| {
            let chosen = Steps(steps()).up_to(name).unwrap();
            Vec::from_iter(chosen.0.iter().map(|step| step.name))
        };
        assert_eq!(names("format"), ["format"]);
        assert_eq!(names("instructions"), ["tools", "gateway", "load generator", "instructions"]);
        assert!(Steps(steps()).up_to("dance").is_err());
    }
}
