//! `instructions`: counts the instructions of representative work in `frame`, `hub` and `http` with
//! callgrind, and compares them with `benches/instructions.txt`. Never measures time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::checkout::Checkout;
use crate::process;
use crate::step::StepOutcome;
use crate::tools::{debian, runs};

const EXPECTED: &str = "benches/instructions.txt";

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(2 * 60);

/// The repetitions of the two runs of a case.
const REPETITIONS: [u64; 2] = [500, 1_500];

/// The hashes of names differ from run to run, and with them a few steps in tables.
const TOLERANCE_PERCENT: f64 = 2.0;

/// Count the instructions of work in frame, hub and http, and compare with the expected counts
#[derive(Args, Default)]
#[command(after_help = "Examples:
  cargo xtask instructions
  cargo xtask instructions --update")]
pub struct Options {
    /// Writes the counts to benches/instructions.txt instead.
    #[arg(long)]
    update: bool,
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    if !runs("valgrind", &["--version"]) {
        debian::install_missing()?;
    }
    let build = ["build", "--release", "-p", "ringway-benches", "--bin", "instructions"];
    process::check(checkout.cargo(&build), BUILD_LIMIT)?;
    let counts = count(checkout)?;
    let path = checkout.path(EXPECTED);
    if options.update {
        fs::write(&path, written(&counts))?;
        return Ok(StepOutcome::Passed(format!("{} counts written to {EXPECTED}", counts.len())));
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {EXPECTED}; `cargo xtask instructions --update`"))?;
    let changed = compare(&expected(&text)?, &counts);
    if !changed.is_empty() {
        bail!(
            "{}\nIf that is intended, or the compiler is another one: \
             `cargo xtask instructions --update`",
            changed.join("\n")
        );
    }
    Ok(StepOutcome::Passed(format!("{} counts within {TOLERANCE_PERCENT}%", counts.len())))
}

/// The instructions of each case, in the order of the program.
fn count(checkout: &Checkout) -> Result<Vec<(String, u64)>> {
    let program = checkout.release_folder().join("instructions");
    let listed = process::capture(Command::new(&program), RUN_LIMIT)?;
    ensure!(listed.status.success(), "{} failed: {}", program.display(), listed.output);
    let mut counts = Vec::new();
    for case in listed.output.lines() {
        let [few, many] = REPETITIONS.map(|repetitions| -> Result<u64> {
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
            command.arg(&program).arg(case).arg(repetitions.to_string());
            let captured = process::capture(command, RUN_LIMIT)?;
            ensure!(captured.status.success(), "{case} failed:\n{}", captured.output);
            collected(&captured.output).with_context(|| format!("{case}: no count from valgrind"))
        });
        let work = many?.saturating_sub(few?);
        counts.push((case.to_owned(), work / (REPETITIONS[1] - REPETITIONS[0])));
    }
    Ok(counts)
}

/// callgrind's sum for the run: `==PID== Collected : 123`.
fn collected(output: &str) -> Option<u64> {
    let line = output.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn written(counts: &[(String, u64)]) -> String {
    let mut text =
        String::from("# Instructions of each case, by `cargo xtask instructions --update`\n");
    for (case, count) in counts {
        let _ = writeln!(text, "{count:>8} {case}");
    }
    text
}

fn expected(text: &str) -> Result<BTreeMap<&str, u64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (count, case) = line.trim_start().split_once(' ').context("a count and a case")?;
            Ok((case, count.parse().with_context(|| format!("{EXPECTED}: {line}"))?))
        })
        .collect()
}

/// Prints a table, and returns a line for each case that has changed.
fn compare(expected: &BTreeMap<&str, u64>, counts: &[(String, u64)]) -> Vec<String> {
    let mut changed = Vec::new();
    println!("{:<36} {:>10} {:>10} {:>8}", "case", "expected", "counted", "change");
    for (case, count) in counts {
        let Some(&before) = expected.get(case.as_str()) else {
            println!("{case:<36} {:>10} {count:>10}", "none");
            changed.push(format!("{case}: no expected count"));
            continue;
        };
        let change = 100.0 * (*count as f64 / before.max(1) as f64 - 1.0);
        println!("{case:<36} {before:>10} {count:>10} {change:>+7.1}%");
        // One is rounding.
        if change.abs() > TOLERANCE_PERCENT && count.abs_diff(before) > 1 {
            changed.push(format!("{case}: {before} instructions became {count} ({change:+.1}%)"));
        }
    }
    for case in expected.keys().filter(|case| counts.iter().all(|(name, _)| name != *case)) {
        changed.push(format!("{case}: no longer counted"));
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_change_is_named() {
        let counts =
            |count| vec![("hub append".to_owned(), 1_000), ("http head".to_owned(), count)];
        let text = written(&counts(500));
        let expected = expected(&text).unwrap();
        assert_eq!(compare(&expected, &counts(509)), [""; 0]);
        let small = BTreeMap::from([("frame header", 37)]);
        assert_eq!(compare(&small, &[("frame header".to_owned(), 38)]), [""; 0]);
        for (count, line) in [
            (511, "http head: 500 instructions became 511 (+2.2%)"),
            (480, "http head: 500 instructions became 480 (-4.0%)"),
        ] {
            assert_eq!(compare(&expected, &counts(count)), [line]);
        }
        assert_eq!(compare(&expected, &counts(500)[..1]), ["http head: no longer counted"]);
        let more = [counts(500), vec![("frame read".to_owned(), 1)]].concat();
        assert_eq!(compare(&expected, &more), ["frame read: no expected count"]);
    }

    #[test]
    fn the_sum_of_a_run_is_found() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 4217\n==7==\n"), Some(4217));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
