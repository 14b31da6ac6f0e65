//! The results of a run as values, which are saved and rendered. Never measures, and never renders.

use serde::{Deserialize, Serialize};

use super::cases::Case;
use super::compare::Findings;
use super::machine::Machine;

/// The server that the others are compared with.
pub const BASE: &str = "ringway";

/// The floor is no usable server, so Ringway does not lose against it.
pub const FLOOR: &str = "floor";

/// A server of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entrant {
    pub name: String,
    /// The version of each of its parts that has one.
    pub version: String,
}

/// A server that could not take part, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Absent {
    pub name: String,
    pub reason: String,
}

/// A line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The name of its case.
    pub name: String,
    pub title: String,
    /// What a reader has to know about the servers of this case.
    pub note: String,
    /// The results, or why nothing was measured.
    pub outcome: Result<Findings, String>,
}

impl Row {
    pub fn new(case: &Case, outcome: Result<Findings, String>) -> Self {
        let text = |text: &str| text.to_owned();
        Self { name: text(case.name), title: text(case.title), note: text(case.note), outcome }
    }
}

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub command: String,
    /// `full` or `quick`.
    pub length: String,
    pub machine: Machine,
    pub entrants: Vec<Entrant>,
    pub absent: Vec<Absent>,
    pub rows: Vec<Row>,
}

#[cfg(test)]
pub mod example {
    use super::super::compare::{Finding, Latency, Ledger, Ratio};
    use super::*;

    /// A sound result.
    pub fn finding(name: &str, median: f64) -> Finding {
        Finding {
            name: name.to_owned(),
            ratio: Some(Ratio { low: median - 0.05, median, high: median + 0.05 }),
            server_cpu_ns_per_message: Some(5400.0 * median),
            rate: 180_000.0,
            busy: Some(0.991),
            latency_us: Latency { p50: 510.0, p99: 720.0 },
            valid: true,
            ..Finding::default()
        }
    }

    /// A report with a loss, a doubt, a fault, and a case that was not measured.
    pub fn report() -> Report {
        let entrant = |name: &str| Entrant { name: name.to_owned(), version: "1.0".to_owned() };
        let late = Finding {
            valid: false,
            invalid_because: vec!["late_sends: why".to_owned()],
            ..finding("bun", 0.5)
        };
        let lossy =
            Finding { ledger: Ledger { lost: 2, ..Ledger::default() }, ..finding("ws", 3.0) };
        let row = |name: &str, outcome| Row {
            name: name.to_owned(),
            title: name.to_owned(),
            note: format!("A note about {name}."),
            outcome,
        };
        Report {
            command: "cargo xtask bench-peers".to_owned(),
            length: "full".to_owned(),
            machine: Machine {
                processor: "Some CPU".to_owned(),
                cores: 2,
                kernel: "6.18.1".to_owned(),
                date: "2026-11-22".to_owned(),
            },
            entrants: ["ringway", "bun", "ws", "floor"].map(entrant).into(),
            absent: vec![Absent {
                name: "nchan".to_owned(),
                reason: "apt-get is not here".to_owned(),
            }],
            rows: vec![
                row(
                    "echo",
                    Ok(Findings {
                        targets: vec![
                            finding("ringway", 1.0),
                            finding("bun", 0.98),
                            lossy,
                            finding("floor", 0.9),
                            finding("control", 1.01),
                        ],
                        command: ["/a/load", "--url", "a=ws://b/?x={n}", "--json=/c/d"]
                            .map(str::to_owned)
                            .into(),
                        ..Findings::default()
                    }),
                ),
                row(
                    "fan-out",
                    Ok(Findings {
                        targets: vec![finding("ringway", 1.0), late],
                        ..Findings::default()
                    }),
                ),
                row("text", Err("it took too long".to_owned())),
            ],
        }
    }
}
