//! What a sweep found at one rate.

use serde::{Deserialize, Serialize};

/// What was measured at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Messages a second asked for.
    pub rate_asked: f64,
    /// Messages received a second.
    pub rate: f64,
    /// Half of the latencies were no longer, in microseconds.
    pub p50_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// 999 in 1,000.
    pub p99_9_us: f64,
    /// CPU time of the server for each message received, where its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// The share of the time that the server was on a CPU.
    pub server_busy: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// How long it took.
    pub elapsed_s: f64,
    /// Whether it is the long one that confirms the result.
    pub confirms: bool,
    /// Whether the rate was reached with all latencies in time.
    pub passed: bool,
    /// Why not.
    pub why: Vec<String>,
    /// Who the limit is.
    pub limit: Limit,
}

/// Who a step that did not pass was too much for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// It passed.
    None,
    /// The server.
    Server,
    /// The tester, so nothing is known of the server.
    Tester,
}
