//! What a message costs the tester and a server, case by case: the JSON output is exactly this.

use serde::{Deserialize, Serialize};

use crate::{machine::Machine, measure::spread::Spread};

/// The costs of all cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Name and version of this program.
    pub tool: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine that ran it.
    pub machine: Machine,
    /// The cases.
    pub cases: Vec<CaseCost>,
}

/// The costs of one case. Figures are medians over the slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseCost {
    /// Its name.
    pub name: String,
    /// Its load, in words.
    pub load: String,
    /// Messages received in all slots; with fan-out, deliveries; with churn, connections.
    pub received: u64,
    /// Messages received per second.
    pub rate: f64,
    /// CPU time of the tester for each, without polling.
    pub tester_ns: f64,
    /// CPU time that the tester polled for the next due time, for each: an open loop is punctual that
    /// way, and polling ends when there is work.
    pub polling_ns: f64,
    /// CPU time of the server for each.
    pub server_ns: f64,
    /// Ratio of the tester's to the server's, without polling; below 1 the tester is cheaper.
    pub ratio: Option<Spread>,
    /// The conclusion.
    pub verdict: CostVerdict,
    /// Why there is no figure, or what is doubtful about it.
    pub remarks: Vec<String>,
}

/// Which of the two costs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostVerdict {
    /// The tester costs less than the server.
    Cheaper,
    /// The quartiles of the ratio are on both sides of 1.
    Equal,
    /// The tester costs more than the server.
    Dearer,
    /// There is no figure.
    Unknown,
}

impl CostVerdict {
    /// The verdict for this ratio.
    pub fn of(ratio: Option<Spread>) -> Self {
        match ratio {
            None => Self::Unknown,
            Some(spread) if spread.high < 1.0 => Self::Cheaper,
            Some(spread) if spread.low > 1.0 => Self::Dearer,
            Some(_) => Self::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_both_quartiles() {
        let of = |low, high| CostVerdict::of(Some(Spread { low, median: 1.0, high }));
        assert_eq!(of(0.8, 0.9), CostVerdict::Cheaper);
        assert_eq!(of(0.9, 1.1), CostVerdict::Equal);
        assert_eq!(of(1.1, 1.2), CostVerdict::Dearer);
        assert_eq!(CostVerdict::of(None), CostVerdict::Unknown);
    }
}
