//! The messages between a tester and the process that started it: one line of JSON each.
//!
//! It decides nothing.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    measure::{encoding, ledger::Ledger, quantiles, run::Run, timeline::Seen},
    wire::failure::Reason,
};

/// A line to a tester; at the end of its input a tester ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TesterRequest {
    /// Measure one slot.
    Measure {
        /// Its length in microseconds.
        micros: u64,
        /// Its rate; `None` in a closed loop.
        rate: Option<f64>,
    },
}

/// A line from a tester.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TesterResponse {
    /// Each connection is open, or its first attempt has failed.
    Ready(Opened),
    /// The slot has ended.
    Slot(Box<Slot>),
    /// The tester has failed.
    Failed(String),
}

/// The result of opening the connections.
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
    /// A warning, if there is one.
    pub warning: Option<String>,
}

/// The results of one slot.
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
    /// The largest share of the time that a thread worked or waited for a CPU.
    pub occupied: f64,
    /// How far sending was behind schedule when it was stopped.
    pub behind: Duration,
    /// CPU time of the tester's threads.
    pub tester_cpu: Duration,
    /// The part of it that was not spent polling for the next due time.
    pub tester_work: Duration,
    /// Connections open at the end.
    pub open: u32,
    /// The fate of the messages.
    pub ledger: Ledger,
    /// Failures by reason.
    pub errors: BTreeMap<String, u64>,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    times: EncodedTimes,
    /// Latencies of the echoes during a fan-out.
    beside: Option<EncodedTimes>,
}

/// Histograms, encoded as in a histogram log.
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

    /// Decodes them into a [`Seen`] that has nothing else.
    fn seen(&self) -> Result<Seen> {
        let mut seen = Seen::new();
        quantiles::add(&mut seen.latencies, &encoding::decode(&self.latencies)?);
        quantiles::add(&mut seen.send_delays, &encoding::decode(&self.send_delays)?);
        quantiles::add(&mut seen.look_delays, &encoding::decode(&self.look_delays)?);
        Ok(seen)
    }
}

impl Slot {
    /// The results of a measurement.
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
            tester_work: run.tester_work,
            open: run.open,
            ledger,
            errors: counts(&run.seen.errors),
            interrupted: run.interrupted.is_some(),
            times: EncodedTimes::of(&run.seen),
            beside: None,
        }
    }

    /// Adds the echoes during a fan-out.
    #[must_use]
    pub fn beside(self, echo: Option<&Seen>) -> Self {
        Self { beside: echo.map(EncodedTimes::of), ..self }
    }

    /// The latencies of the echoes during a fan-out.
    ///
    /// # Errors
    /// A histogram is malformed.
    pub fn seen_beside(&self) -> Result<Option<Seen>> {
        self.beside.as_ref().map(EncodedTimes::seen).transpose()
    }

    /// Converts to a [`Seen`], with everything except the intervals and the handshake times.
    ///
    /// # Errors
    /// A histogram is malformed.
    pub fn seen(&self) -> Result<Seen> {
        let mut seen = self.times.seen()?;
        let errors = self.errors.iter();
        seen.errors = errors.map(|(name, count)| (Reason::named(name.clone()), *count)).collect();
        (seen.sent, seen.received) = (self.sent, self.received);
        seen.received_bytes = self.received_bytes;
        Ok(seen)
    }
}

/// Failures by the name of their reason.
pub fn counts(errors: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    errors.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
}
