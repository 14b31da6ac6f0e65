//! The results of a run as one value: the JSON output is exactly this, and tables and pages show
//! it.
//!
//! The `verdict` module decides whether its figures are the server's or the tester's own.

pub mod beside;
pub mod comparison;
pub mod costs;
pub mod step;
pub mod timeline;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    measure::{
        ledger::Ledger,
        quantiles::{Percentile, Quantiles, curve},
        run::Run,
        server::ServerThread,
        timeline::Seen,
    },
};

pub use step::Step;
pub use timeline::Point;

/// The results of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name and version of this program.
    pub tool: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine that ran it.
    pub machine: Machine,
    /// When the measurement began, in seconds since 1970.
    pub started_at_unix_s: f64,
    /// The mode: `echo`, `fanout` and so on.
    pub mode: String,
    /// The server's URL.
    pub url: String,
    /// Connections asked for.
    pub connections: u32,
    /// Connections open at the end.
    pub connections_open: u32,
    /// How long the measurement took, until the last answer.
    pub elapsed_s: f64,
    /// Messages per second asked for; `None` in a closed loop.
    pub rate_asked: Option<f64>,
    /// Messages sent per second.
    pub rate_sent: f64,
    /// Messages received per second: the throughput.
    pub rate: f64,
    /// Payload bytes received per second.
    pub bytes_per_s: f64,
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// From connect(2) to the end of the handshake.
    pub opening_us: Quantiles,
    /// The fate of each message.
    pub ledger: Ledger,
    /// Failures of connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of the server for each message received, if its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// The share of the time that the server was on a CPU; above 1 if it uses several.
    pub server_busy: Option<f64>,
    /// The tester's own figures.
    pub tester: Tester,
    /// Whether the figures are the server's.
    pub valid: bool,
    /// Latencies above this quantile include the tester's own delay, and are not the server's;
    /// `None` if no latency is affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected_above: Option<f64>,
    /// Why the figures are not the server's.
    pub invalid_because: Vec<String>,
    /// Remarks that do not make the figures invalid.
    pub warnings: Vec<String>,
    /// Figures of this mode only, by name; the name includes the unit.
    pub details: BTreeMap<String, f64>,
    /// The percentile curve of the latency.
    pub percentiles: Vec<Percentile>,
    /// Figures for each second.
    pub timeline: Vec<Point>,
    /// The steps of a mode that searches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// What each thread of the server did meanwhile, in modes that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_threads: Vec<ServerThread>,
    /// The figures of each storm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storms: Vec<Storm>,
}

/// The figures of a storm: all connections drop and return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// Connections that dropped.
    pub dropped: u64,
    /// Connections that resumed.
    pub resumed: u64,
    /// Failed attempts.
    pub tries_failed: u64,
    /// From the drop until the tester had started to open all of them again; `None` if attempts
    /// failed, because they were repeated later.
    pub begun_100_ms: Option<f64>,
    /// From the drop until half of the dropped connections had resumed; `None` if they did not.
    pub back_50_ms: Option<f64>,
    /// The same for nine in ten.
    pub back_90_ms: Option<f64>,
    /// The same for 99 in 100.
    pub back_99_ms: Option<f64>,
    /// The same for all of them.
    pub back_100_ms: Option<f64>,
}

/// The tester's own figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tester {
    /// From the intended send time to the real one.
    pub send_delay_us: Quantiles,
    /// How long it did not read its sockets, when it then found messages there.
    pub look_delay_us: Quantiles,
    /// The share of the time that its busiest thread worked.
    pub busy: f64,
    /// The largest share of the time that a thread worked, or waited for a CPU.
    pub occupied: f64,
    /// The largest share of the time for which a thread had work but waited for a CPU.
    #[serde(default)]
    pub waited: f64,
    /// How often its threads were preempted although they had work.
    #[serde(default)]
    pub preempted: u64,
    /// The share of all CPU time that the host of a virtual machine used for other work.
    #[serde(default)]
    pub stolen: f64,
    /// CPU time of all its threads for each message received.
    pub cpu_ns_per_message: f64,
    /// Threads.
    pub threads: u32,
    /// io_uring or epoll.
    pub engine: String,
}

/// What is known about a run before it starts.
#[derive(Debug, Clone)]
pub struct Heading {
    /// The command line.
    pub command: Vec<String>,
    /// The mode.
    pub mode: &'static str,
    /// The server's URL.
    pub url: String,
    /// Connections asked for.
    pub connections: u32,
    /// Messages per second asked for.
    pub rate_asked: Option<f64>,
    /// Threads.
    pub threads: u32,
    /// The tester's engine.
    pub engine: String,
}

impl Report {
    /// The report of a measurement, without a verdict; `opening` has what was counted while
    /// connections were opened.
    pub fn new<O>(heading: &Heading, opening: &Seen, run: &Run<O>, ledger: Ledger) -> Self {
        let Run { seen, elapsed, .. } = run;
        let seconds = elapsed.as_secs_f64().max(1e-9);
        // A storm does not send for a set time: it is over when all connections have returned.
        let sending = if run.lasted.is_zero() { *elapsed } else { run.lasted };
        let sending_s = sending.as_secs_f64().max(1e-9);
        let each = |time: Duration| time.as_nanos() as f64 / seen.received.max(1) as f64;
        let mut openings = opening.openings.clone();
        openings.add(&seen.openings).expect("all histograms have the same bounds");
        let mut errors = BTreeMap::new();
        for (reason, count) in opening.errors.iter().chain(&seen.errors) {
            *errors.entry(reason.to_string()).or_default() += count;
        }
        Self {
            tool: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: heading.command.clone(),
            machine: Machine::here(),
            started_at_unix_s: run.started_at.as_secs_f64(),
            mode: heading.mode.to_owned(),
            url: heading.url.clone(),
            connections: heading.connections,
            connections_open: run.open,
            elapsed_s: seconds,
            rate_asked: heading.rate_asked,
            rate_sent: seen.sent as f64 / sending_s,
            rate: seen.received as f64 / seconds,
            bytes_per_s: seen.received_bytes as f64 / seconds,
            latency_us: Quantiles::of(&seen.latencies),
            opening_us: Quantiles::of(&openings),
            ledger,
            errors,
            server_cpu_ns_per_message: run.server_cpu.map(each),
            server_busy: run.server_cpu.map(|time| time.as_secs_f64() / seconds),
            tester: Tester {
                send_delay_us: Quantiles::of(&seen.send_delays),
                look_delay_us: Quantiles::of(&seen.look_delays),
                busy: run.busy,
                occupied: run.occupied,
                waited: run.machine.waited,
                preempted: run.machine.preempted,
                stolen: run.machine.stolen,
                cpu_ns_per_message: each(run.tester_cpu),
                threads: heading.threads,
                engine: heading.engine.clone(),
            },
            valid: true,
            affected_above: None,
            invalid_because: Vec::new(),
            warnings: Vec::new(),
            details: BTreeMap::new(),
            percentiles: curve(&seen.latencies),
            timeline: timeline::of(seen, sending, *elapsed),
            steps: None,
            server_threads: Vec::new(),
            storms: Vec::new(),
        }
    }

    /// What `rate`, `latency_us` and the CPU time count: `message`, or `connection` in modes that
    /// open connections again and again.
    pub fn counted(&self) -> &'static str {
        match &*self.mode {
            "churn" | "storm" => "connection",
            _ => "message",
        }
    }

    /// The number of connections, in words.
    pub fn connections_said(&self) -> String {
        let (open, asked) = (self.connections_open, self.connections);
        match (&*self.mode, self.details.get("connections_completed")) {
            // The connections that are open at the end were opened too late.
            ("churn", Some(completed)) => {
                let begun = self.details.get("connections_begun").unwrap_or(completed);
                format!("{completed:.0} of {begun:.0} connections completed, {asked} at a time")
            }
            _ => format!("{open} of {asked} connections open"),
        }
    }

    /// Whether answers decided when the next message was sent. This saturates a server; the
    /// latencies then mean little, because a slow server gets fewer messages. Idle connections send
    /// nothing, and a storm ends before this could matter.
    pub fn is_closed_loop(&self) -> bool {
        self.rate_asked.is_none() && !matches!(&*self.mode, "idle" | "storm")
    }

    /// Adds a figure of this mode; the name ends in the unit.
    pub fn detail(&mut self, name: &str, value: f64) {
        self.details.insert(name.to_owned(), value);
    }

    /// Whether the latency at this quantile includes the tester's own delay.
    pub fn is_affected(&self, quantile: f64) -> bool {
        self.affected_above.is_some_and(|above| quantile > above)
    }

    /// Marks the figures as not the server's.
    pub fn invalidate(&mut self, why: String) {
        self.valid = false;
        self.invalid_because.push(why);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The report of a run in which nothing was done.
    pub(crate) fn report() -> Report {
        let heading = Heading {
            command: Vec::new(),
            mode: "echo",
            url: String::new(),
            connections: 1,
            rate_asked: None,
            threads: 1,
            engine: String::new(),
        };
        let run: Run<()> = Run {
            seen: Seen::new(),
            started_at: Duration::ZERO,
            outcomes: Vec::new(),
            elapsed: Duration::from_secs(1),
            lasted: Duration::from_secs(1),
            busy: 0.0,
            occupied: 0.0,
            machine: crate::measure::run::MachineLoad::default(),
            behind: Duration::ZERO,
            tester_work: Duration::ZERO,
            tester_cpu: Duration::ZERO,
            server_cpu: None,
            server: None,
            open: 1,
            interrupted: None,
        };
        Report::new(&heading, &Seen::new(), &run, Ledger::default())
    }
}
