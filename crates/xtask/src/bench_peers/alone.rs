//! Runs of `ringway-loadtest` against one server at a time: storms and idle connections. Builds their
//! command lines, and reads their JSON. Never judges a figure.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::cases::{Case, IDLE_FIRST};
use super::compare::{Latency, Publisher, TESTER_CORE, Target};
use super::rounds::Sample;

/// From the drop of all connections to their return.
const AWAY: Duration = Duration::from_millis(1500);

/// Bytes of an event as the base of the text that fills it.
const FILLER: &str = " and some more text to fill it ";

/// The command of a storm in which each connection misses `missed` events.
pub fn storm(
    mut command: Command,
    case: &Case,
    missed: u32,
    target: &Target,
    json: &Path,
) -> Command {
    command.args(["storm", "--url", &target.url, "--pid", &target.pids[0].to_string()]);
    command.args(["--connections", &case.connections.to_string(), "--hold", "100ms"]);
    command.args(["--away", &format!("{}ms", AWAY.as_millis()), "--missed", &missed.to_string()]);
    if let Some(Publisher { url, message }) = &target.publisher {
        let text = format!("{{event}} of {missed}");
        let filler = FILLER.chars().cycle().take(case.size_bytes as usize - text.len());
        let body = message.replace("BODY", &(text + &filler.collect::<String>()));
        command.args(["--publish-url", url, "--publish-message", &body]);
    }
    if let Some(cursor) = target.cursor {
        command.args(["--cursor", cursor]);
    }
    // A server that sends each event by itself takes several seconds for all of them.
    command.args(["--handshake-timeout", "30s", "--storm-timeout", "40s"]);
    command.args(["--expect", &format!("{missed} of {missed}")]);
    with_output(command, json)
}

/// The command that holds connections: the first ones, or those that are measured after them.
pub fn hold(mut command: Command, case: &Case, target: &Target, json: Option<&Path>) -> Command {
    command.args(["idle", "--url", &target.url]);
    if let Some(authority) = &target.authority {
        command.arg("--ca").arg(authority);
    }
    match json {
        None => {
            command.args(["--connections", &IDLE_FIRST.to_string(), "--hold", "60s", "--quiet"]);
            command.args(["--cores", TESTER_CORE]);
            command
        }
        Some(json) => {
            let measured = case.connections - IDLE_FIRST;
            command.args(["--connections", &measured.to_string(), "--hold", "1s"]);
            command.args(["--first-number", &IDLE_FIRST.to_string()]);
            command.args(["--pid", &target.pids[0].to_string()]);
            with_output(command, json)
        }
    }
}

fn with_output(mut command: Command, json: &Path) -> Command {
    command.args(["--cores", TESTER_CORE, "--quiet"]);
    command.arg(format!("--json={}", json.display()));
    command
}

/// The parts of a report that matter here.
#[derive(Debug, Deserialize)]
struct Report {
    rate: f64,
    #[serde(default)]
    latency_us: Latency,
    valid: bool,
    #[serde(default)]
    invalid_because: Vec<String>,
    #[serde(default)]
    errors: BTreeMap<String, u64>,
    details: BTreeMap<String, f64>,
}

/// Reads the report of a run; `cost` is the name of the figure that is compared.
///
/// # Errors
/// There is none, or it lacks the figure.
pub fn read(json: &Path, cost: &str) -> Result<Sample> {
    let text = fs::read_to_string(json).context("the run has written no report")?;
    parse(&text, cost)
}

fn parse(text: &str, cost: &str) -> Result<Sample> {
    let report: Report = serde_json::from_str(text).context("the report has another format")?;
    let value = report.details.get(cost);
    let value = *value.with_context(|| format!("the report has no {cost}"))?;
    let mut because = report.invalid_because;
    if report.valid {
        because.clear();
    }
    Ok(Sample {
        cost: value,
        rate: report.rate,
        latency_us: report.latency_us,
        faults: report.errors.values().sum(),
        invalid_because: because,
    })
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;

    fn words(command: &Command) -> String {
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        words.collect::<Vec<_>>().join(" ")
    }

    fn target() -> Target {
        Target {
            name: "some",
            pids: vec![7],
            authority: None,
            url: "ws://a/".to_owned(),
            cursor: Some("cursor"),
            message: None,
            publisher: Some(Publisher {
                url: "http://a/publish".to_owned(),
                message: "<BODY>".to_owned(),
            }),
        }
    }

    #[test]
    fn a_storm_publishes_what_its_clients_wait_for() {
        let case = CASES.iter().find(|case| case.name == "return").unwrap();
        let line = words(&storm(Command::new("load"), case, 100, &target(), Path::new("out")));
        for part in [
            "storm --url ws://a/ --pid 7 --connections 10000 --hold 100ms --away 1500ms --missed 100",
            "--publish-url http://a/publish --publish-message <{event} of 100 and some",
            "--cursor cursor --handshake-timeout 30s --storm-timeout 40s --expect 100 of 100",
            "--cores 1 --quiet --json=out",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn idle_connections_are_measured_beyond_the_first() {
        let case = CASES.iter().find(|case| case.name == "idle").unwrap();
        let first = words(&hold(Command::new("load"), case, &target(), None));
        assert!(first.contains("--connections 1000 --hold 60s") && !first.contains("--pid"));
        let measured = words(&hold(Command::new("load"), case, &target(), Some(Path::new("out"))));
        assert!(measured.contains("--connections 9000 --hold 1s --first-number 1000 --pid 7"));
    }

    #[test]
    fn a_report_is_read_with_its_doubts() {
        let text = r#"{"rate": 5000.5, "latency_us": {"p50": 1, "p99": 2}, "valid": false,
            "invalid_because": ["late: why"], "errors": {"never_resumed": 3}, "more": 1,
            "details": {"server_cpu_ns_per_connection": 81000.5}}"#;
        let sample = parse(text, "server_cpu_ns_per_connection").unwrap();
        assert_eq!((sample.cost, sample.faults, sample.latency_us.p99), (81_000.5, 3, 2.0));
        assert_eq!(sample.invalid_because, ["late: why"]);
        assert!(parse(text, "server_rss_bytes_per_connection").is_err());
    }
}
