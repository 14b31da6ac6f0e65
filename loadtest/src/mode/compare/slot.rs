//! What a tester and its starter say to each other: a line of JSON each.
//!
//! It never decides what follows.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    measure::{encoding, ledger::Ledger, quantiles, run::Run, timeline::Seen},
    wire::failure::Reason,
};

/// A line to a tester; the end of its input is the end of its work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TesterRequest {
    /// It is its turn.
    Measure {
        /// For this many microseconds.
        micros: u64,
        /// At this rate; in a closed loop without.
        rate: Option<f64>,
    },
}

/// A line from a tester.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TesterResponse {
    /// Its connections are open, or were tried.
    Ready(Opened),
    /// Its turn is over.
    Slot(Box<Slot>),
    /// It cannot go on.
    Failed(String),
}

/// How opening went.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Opened {
    /// Connections that are open.
    pub connections: u64,
    /// Failures by reason.
    pub errors: BTreeMap<String, u64>,
    /// io_uring or epoll.
    pub engine: String,
    /// Threads of the tester.
    pub threads: u32,
    /// What is worth knowing.
    pub warning: Option<String>,
}

/// What one slot brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slot {
    /// From the start to the last answer.
    pub elapsed: Duration,
    /// From the start to the end of the sending.
    pub lasted: Duration,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// The share of the time that the tester's busiest thread worked.
    pub busy: f64,
    /// The largest share of the time that one of them worked or waited for a CPU.
    pub occupied: f64,
    /// How far the sending was behind when it was told to stop.
    pub behind: Duration,
    /// CPU time of the tester's threads.
    pub tester_cpu: Duration,
    /// Connections open at the end.
    pub open: u32,
    /// What became of the messages.
    pub ledger: Ledger,
    /// Failures by reason.
    pub errors: BTreeMap<String, u64>,
    /// Whether a signal cut it short.
    pub interrupted: bool,
    times: EncodedTimes,
    /// Of what is echoed beside a fan-out.
    beside: Option<EncodedTimes>,
}

/// Histograms in the form of a histogram log.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EncodedTimes {
    latencies: String,
    send_delays: String,
    look_delays: String,
}

impl EncodedTimes {
    fn of(seen: &Seen) -> Self {
        Self {
            latencies: encoding::encode(&seen.latencies),
            send_delays: encoding::encode(&seen.send_delays),
            look_delays: encoding::encode(&seen.look_delays),
        }
    }

    /// The same as a [`Seen`] that has nothing else.
    fn seen(&self) -> Result<Seen> {
        let mut seen = Seen::new();
        quantiles::add(&mut seen.latencies, &encoding::decode(&self.latencies)?);
        quantiles::add(&mut seen.send_delays, &encoding::decode(&self.send_delays)?);
        quantiles::add(&mut seen.look_delays, &encoding::decode(&self.look_delays)?);
        Ok(seen)
    }
}

impl Slot {
    /// Of a measurement.
    pub fn of<O>(run: &Run<O>, ledger: Ledger) -> Self {
        Self {
            elapsed: run.elapsed,
            lasted: run.lasted,
            sent: run.seen.sent,
            received: run.seen.received,
            received_bytes: run.seen.received_bytes,
            busy: run.busy,
            occupied: run.occupied,
            behind: run.behind,
            tester_cpu: run.tester_cpu,
            open: run.open,
            ledger,
            errors: counts(&run.seen.errors),
            interrupted: run.interrupted.is_some(),
            times: EncodedTimes::of(&run.seen),
            beside: None,
        }
    }

    /// The same with what was echoed beside it.
    #[must_use]
    pub fn beside(self, echo: Option<&Seen>) -> Self {
        Self { beside: echo.map(EncodedTimes::of), ..self }
    }

    /// The times of what was echoed beside it.
    ///
    /// # Errors
    /// A histogram is not one.
    pub fn seen_beside(&self) -> Result<Option<Seen>> {
        self.beside.as_ref().map(EncodedTimes::seen).transpose()
    }

    /// The same as a [`Seen`], with all but the moments and the openings.
    ///
    /// # Errors
    /// A histogram is not one.
    pub fn seen(&self) -> Result<Seen> {
        let mut seen = self.times.seen()?;
        let errors = self.errors.iter();
        seen.errors = errors.map(|(name, count)| (Reason::named(name.clone()), *count)).collect();
        (seen.sent, seen.received) = (self.sent, self.received);
        seen.received_bytes = self.received_bytes;
        Ok(seen)
    }
}

/// Failures by the names of their reasons.
pub fn counts(errors: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    errors.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}
