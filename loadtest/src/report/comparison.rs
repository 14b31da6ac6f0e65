//! The results of a comparison as one value: the JSON output is exactly this, and tables and pages
//! show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::beside::EchoBeside;
use crate::{
    machine::Machine,
    measure::{ledger::Ledger, quantiles::Quantiles, spread::Spread},
};

/// The results of a comparison.
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
    /// Messages outstanding on each connection, or events, or messages sent together.
    pub pipeline: u32,
    /// Messages per second asked of each server, or events with fan-out, or connections with churn;
    /// `None` in a closed loop.
    pub rate_asked: Option<f64>,
    /// The first server's rate in a closed loop, if half of it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_rate: Option<f64>,
    /// The length of a slot, in milliseconds.
    pub slot_ms: f64,
    /// Total slots, after the warm-up.
    pub slots: usize,
    /// Calm rounds that the user asked for.
    pub rounds_asked: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Which rounds count.
    pub basis: Basis,
    /// Rounds that were calm.
    pub rounds_calm: usize,
    /// Rounds after the warm-up.
    pub rounds_run: usize,
    /// A round is calm if no server and no tester waited for a CPU for more than this share of a
    /// slot.
    pub calm_percent: f64,
    /// The servers, in the order of the command line; the first is the base.
    pub targets: Vec<TargetResult>,
    /// Whether all figures are the servers'.
    pub valid: bool,
    /// Why they are not the servers'.
    pub invalid_because: Vec<String>,
    /// Remarks that do not make the figures invalid.
    pub warnings: Vec<String>,
}

/// Which rounds of a comparison count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Those that were calm.
    Calm,
    /// All, because too few were calm: the figures include the noise of the machine.
    All,
}

/// The results of one server. Figures are medians over the counted rounds, latencies are those of
/// all these rounds together, and ratios are to the base's slot of the same round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetResult {
    /// Its name; `control` is the base measured again.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Ratio of the server's CPU time per message to the base's; below 1 is better.
    pub ratio: Option<Spread>,
    /// Ratio of messages per second to the base's; above 1 is better.
    pub ratio_rate: Option<Spread>,
    /// Ratio of the median latency to the base's; below 1 is better.
    pub ratio_p50: Option<Spread>,
    /// Ratio of the p99 latency to the base's; below 1 is better.
    pub ratio_p99: Option<Spread>,
    /// CPU time of the server for each message received, if its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// CPU time of the tester for each message received.
    pub tester_cpu_ns_per_message: f64,
    /// Messages received per second; with fan-out, deliveries.
    pub rate: f64,
    /// The share of the time that the server was on a CPU; above 1 if it uses several.
    pub server_busy: Option<f64>,
    /// The share of the time that the server waited for a CPU.
    pub server_waiting: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// The share of the time that the tester waited for a CPU.
    pub tester_waiting: f64,
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// Latencies of the echo messages on other connections during a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_beside: Option<EchoBeside>,
    /// Counted rounds in which it had its slot.
    pub rounds: usize,
    /// Connections open at the end.
    pub connections_open: u32,
    /// The fate of each message, whether its round was counted or not.
    pub ledger: Ledger,
    /// Failures of connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// Why the server was left out, if it was: no connection could be opened, or it failed later. The
    /// figures are of the rounds before that.
    pub failed: Option<String>,
    /// Whether the figures are the server's.
    pub valid: bool,
    /// Why the figures are not the server's.
    pub invalid_because: Vec<String>,
    /// Remarks that do not make the figures invalid.
    pub warnings: Vec<String>,
}
