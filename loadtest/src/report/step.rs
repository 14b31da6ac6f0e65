//! The results of a sweep at one rate.

use serde::{Deserialize, Serialize};

/// The results at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Messages per second asked for.
    pub rate_asked: f64,
    /// Messages received per second.
    pub rate: f64,
    /// Half of the latencies were no longer, in microseconds.
    pub p50_us: f64,
    /// 99 in 100 of the latencies were no longer.
    pub p99_us: f64,
    /// 999 in 1,000 of the latencies were no longer.
    pub p99_9_us: f64,
    /// CPU time of the server for each message received, if its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// The share of the time that the server was on a CPU.
    pub server_busy: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// How long the step took.
    pub elapsed_s: f64,
    /// Whether it is the longer step that confirms the result.
    pub confirms: bool,
    /// Whether the rate was reached with all latencies in time.
    pub passed: bool,
    /// Why it did not pass.
    pub why: Vec<String>,
    /// What limited the rate.
    pub limit: Limit,
}

/// What limited the rate of a step that did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The step passed.
    None,
    /// The server.
    Server,
    /// The tester, so the step shows nothing about the server.
    Tester,
}
