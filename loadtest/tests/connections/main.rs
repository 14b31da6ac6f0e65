//! `idle`, `churn` and `storm` against servers with known behaviour: every connection that is lost,
//! refused or does not return must be counted by its reason.

#![forbid(unsafe_code)]

mod churn;
mod idle;
mod server;
mod storm;

use std::process::{Command, Output};

use ringway_loadtest::report::Report;

/// Runs the load generator with these arguments.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"));
    command.args(arguments).args(["--json", "-q"]).output().unwrap()
}

/// Runs the load generator, and returns its report.
#[track_caller]
fn report(arguments: &[&str]) -> Report {
    let output = run(arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", error_of(&output)));
    // Other tests run on the same cores, so the tester may have been the bottleneck.
    let expected = match (report.valid, report.errors.is_empty()) {
        (false, _) => 3,
        (true, true) => 0,
        (true, false) => 1,
    };
    assert_eq!(output.status.code(), Some(expected), "{text}");
    report
}

/// The error message of a run that fails with exit status 4.
#[track_caller]
fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(4), "{}", error_of(&output));
    error_of(&output)
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The only reason of failures in a report, and their number.
#[track_caller]
fn only_error(report: &Report) -> (&str, u64) {
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    let (reason, count) = report.errors.first_key_value().unwrap();
    (reason, *count)
}

/// A figure that only one mode has.
#[track_caller]
fn detail(report: &Report, name: &str) -> f64 {
    *report.details.get(name).unwrap_or_else(|| panic!("{name} of {:?}", report.details))
}
