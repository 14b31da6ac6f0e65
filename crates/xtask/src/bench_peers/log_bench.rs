//! The bench `log`: builds it, runs it, and finds the figures of the table in what it prints. Never
//! starts a server.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::compare::{Finding, Findings};
use super::report::BASE;
use crate::checkout::Checkout;
use crate::process;

const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// Builds the bench.
pub fn build(checkout: &Checkout) -> Result<()> {
    let build = ["build", "--release", "--package", "ringway-benches", "--bin", "log"];
    process::check(checkout.cargo(&build), BUILD_LIMIT)
}

/// Runs the bench.
pub fn run(checkout: &Checkout) -> Result<Findings> {
    build(checkout)?;
    let mut command = Command::new(checkout.release_folder().join("log"));
    command.args(ARGUMENTS);
    let captured = process::capture(command, RUN_LIMIT)?;
    ensure!(captured.status.success(), "`log` ended with {}", captured.status);
    read(&captured.output)
}

/// Everything once: costs are CPU time, which other work changes little.
const ARGUMENTS: [&str; 2] = ["--rounds", "1"];

/// The start of a table with the cost by the number of cores; its first columns are of events that
/// concern none of them, without and with the cores that are stored beside an event.
const TABLE: &str = ": ns of CPU per event and core";
/// The end of a line with the same for threads on different CPUs.
const THREADS: &str = " threads that no event concerns";

/// The figure of the table is the worst of those with the most cores.
fn read(output: &str) -> Result<Findings> {
    let mut costs: Vec<(&str, f64, f64, f64)> = Vec::new();
    let mut others = Vec::new();
    let mut kind = "";
    for line in output.lines() {
        if let Some((what, _)) = line.split_once(TABLE) {
            kind = what.trim();
        } else if let Some((threads, rest)) = line.split_once(THREADS) {
            let cost = numbers(rest).next().context("`log` prints no cost of its threads")?;
            others.push(finding(&format!("{kind}, {} threads", threads.trim()), cost));
        } else if let [cores, without, with, ..] = numbers(line).collect::<Vec<_>>()[..]
            && !kind.is_empty()
        {
            // A row with more cores follows one with fewer.
            costs.retain(|(of, ..)| *of != kind);
            costs.push((kind, cores, without, with));
        }
    }
    let worst = costs.iter().map(|(.., with)| *with).max_by(f64::total_cmp);
    let worst = worst.context("`log` prints no cost of such an event")?;
    let mut targets = vec![finding(BASE, worst)];
    for (kind, cores, without, with) in costs {
        targets.push(finding(&format!("{kind}, {cores:.0} cores"), with));
        targets.push(finding(&format!("{kind}, {cores:.0} cores, each looks up names"), without));
    }
    targets.extend(others);
    let command = ["log"].into_iter().chain(ARGUMENTS).map(str::to_owned).collect();
    Ok(Findings { targets, command, ..Findings::default() })
}

fn finding(name: &str, cost: f64) -> Finding {
    Finding {
        name: name.to_owned(),
        server_cpu_ns_per_message: Some(cost),
        valid: true,
        ..Finding::default()
    }
}

/// The numbers of a line, up to its first other word.
fn numbers(line: &str) -> impl Iterator<Item = f64> {
    let words = line.trim_start_matches(|letter: char| !letter.is_ascii_digit()).split_whitespace();
    let is_row = line.split_whitespace().next().is_some_and(|word| word.parse::<f64>().is_ok());
    let is_rest = line.starts_with(',');
    words.map_while(|word| word.parse().ok()).filter(move |_| is_row || is_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_the_worst_with_the_most_cores() {
        let output = "append, alone  96.1 ns, 10.4 M/s of CPU\n\
events of topics: ns of CPU per event and core, without and with their cores stored
    cores            0%            1%
        1   10.5    3.1   11.0    4.0
       64   21.5    4.5   22.0    6.0
    4 threads that no event concerns, with their part of indexing: 7.5 ns
events with four recipients: ns of CPU per event and core, without and with their cores stored
    cores            0%            1%
       64   81.5    5.5   82.0    7.0
";
        let findings = read(output).unwrap();
        let named: Vec<(&str, f64)> = findings
            .targets
            .iter()
            .map(|one| (&one.name[..], one.server_cpu_ns_per_message.unwrap()))
            .collect();
        assert_eq!(
            named,
            [
                (BASE, 5.5),
                ("events of topics, 64 cores", 4.5),
                ("events of topics, 64 cores, each looks up names", 21.5),
                ("events with four recipients, 64 cores", 5.5),
                ("events with four recipients, 64 cores, each looks up names", 81.5),
                ("events of topics, 4 threads", 7.5),
            ]
        );
        assert!(read("append 90 ns\n").is_err());
    }
}
