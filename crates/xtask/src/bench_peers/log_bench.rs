//! The bench `log`: builds it, runs it, and finds the figure of the table in what it prints. Never
//! starts a server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::compare::{Finding, Findings};
use super::report::BASE;
use crate::checkout::Checkout;
use crate::process;

const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// Builds the bench.
pub fn build(checkout: &Checkout) -> Result<()> {
    let build = ["build", "--release", "--package", "ringway-benches", "--bin", "log"];
    process::check(checkout.cargo(&build), BUILD_LIMIT)
}

/// Runs the bench.
pub fn run(checkout: &Checkout) -> Result<Findings> {
    build(checkout)?;
    let command = std::process::Command::new(checkout.release_folder().join("log"));
    let captured = process::capture(command, RUN_LIMIT)?;
    ensure!(captured.status.success(), "`log` ended with {}", captured.status);
    read(&captured.output)
}

fn read(output: &str) -> Result<Findings> {
    let line = output.lines().rfind(|line| line.contains("does not concern"));
    let cost = line.and_then(nanoseconds).context("`log` prints no cost of such an event")?;
    let base = Finding {
        name: BASE.to_owned(),
        server_cpu_ns_per_message: Some(cost),
        valid: true,
        ..Finding::default()
    };
    Ok(Findings { targets: vec![base], command: vec!["log".to_owned()], ..Findings::default() })
}

/// The first number before `ns`.
fn nanoseconds(line: &str) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).find(|pair| pair[1].trim_end_matches([',', ';']) == "ns")?[0].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_such_line_counts() {
        let output = "append 90 ns\nan event that does not concern a core: 12.5 ns, 4 cores\n\
                      an event that does not concern a core: 9.5 ns, 64 cores\n";
        let findings = read(output).unwrap();
        assert_eq!(findings.targets[0].server_cpu_ns_per_message, Some(9.5));
        assert!(read("append 90 ns\n").is_err());
    }
}
