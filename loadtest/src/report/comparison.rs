//! What a comparison found, as one value: the JSON output is exactly this, and tables and pages show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::beside::EchoBeside;
use crate::{
    machine::Machine,
    measure::{ledger::Ledger, quantiles::Quantiles, spread::Spread},
};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name and version of this program.
    pub tool: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine that ran it.
    pub machine: Machine,
    /// When it began, in seconds since 1970.
    pub started_at_unix_s: f64,
    /// `compare`.
    pub mode: String,
    /// What the servers did: `echo` and so on.
    pub workload: String,
    /// Connections to each server.
    pub connections: u32,
    /// Payload bytes of a message.
    pub size_bytes: usize,
    /// Messages outstanding on each connection, or events, or messages sent at once.
    pub pipeline: u32,
    /// Messages a second asked of each server, or events of a fan-out, or connections of churn; none
    /// in a closed loop.
    pub rate_asked: Option<f64>,
    /// Where half of that was asked for: what the first server received a second in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_rate: Option<f64>,
    /// How long a server had its turn, in milliseconds.
    pub slot_ms: f64,
    /// Slots in all, after the warm-up.
    pub slots: usize,
    /// Rounds that were to count.
    pub rounds_asked: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds after the warm-up.
    pub rounds_run: usize,
    /// A round counts if nobody waited for a CPU for more than this share of a slot.
    pub calm_percent: f64,
    /// The servers, in the order of the command line; the first is the base.
    pub targets: Vec<TargetResult>,
    /// Whether all figures are the servers'.
    pub valid: bool,
    /// Why they are not.
    pub invalid_because: Vec<String>,
    /// What is worth knowing and does not make them invalid.
    pub warnings: Vec<String>,
}

/// What was found of one server. Figures are medians over the rounds that count, latencies are
/// those of all these rounds together, and ratios are to the base's slot of the same round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetResult {
    /// What it is called; `control` is the base again.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// CPU time of the server for each message, to the base's; below 1 is better.
    pub ratio: Option<Spread>,
    /// Messages a second, to the base's; above 1 is better.
    pub ratio_rate: Option<Spread>,
    /// Latency, to the base's; below 1 is better.
    pub ratio_p50: Option<Spread>,
    /// As above.
    pub ratio_p99: Option<Spread>,
    /// CPU time of the server for each message received, where its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// CPU time of the tester for each message received.
    pub tester_cpu_ns_per_message: f64,
    /// Messages received a second; of a fan-out, deliveries.
    pub rate: f64,
    /// The share of the time that the server was on a CPU; above 1 on several.
    pub server_busy: Option<f64>,
    /// The share of the time that it waited for one.
    pub server_waiting: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// The share of the time that the tester waited for a CPU.
    pub tester_waiting: f64,
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// Of messages that were echoed on other connections beside a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_beside: Option<EchoBeside>,
    /// Rounds that count and in which it had its slot.
    pub rounds: usize,
    /// Connections open at the end.
    pub connections_open: u32,
    /// What became of each message, whether its round counts or not.
    pub ledger: Ledger,
    /// Failures of connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// Why it was left out, if it was: no connection could be opened, or it died.
    pub failed: Option<String>,
    /// Whether the figures are the server's.
    pub valid: bool,
    /// Why they are not.
    pub invalid_because: Vec<String>,
    /// What is worth knowing and does not make them invalid.
    pub warnings: Vec<String>,
}
