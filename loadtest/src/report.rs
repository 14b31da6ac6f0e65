//! What a run found, as one value: the JSON output is exactly this, and tables and pages show it.
//!
//! Whether its figures are the server's or the tester's own is for `verdict` to say.

pub mod beside;
pub mod comparison;
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

/// What a run found.
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
    /// What was done: `echo`, `fanout` and so on.
    pub mode: String,
    /// The server.
    pub url: String,
    /// Connections asked for.
    pub connections: u32,
    /// Connections open at the end.
    pub connections_open: u32,
    /// How long the measurement took, until the last answer.
    pub elapsed_s: f64,
    /// Messages a second asked for; none in a closed loop.
    pub rate_asked: Option<f64>,
    /// Messages sent a second.
    pub rate_sent: f64,
    /// Messages received a second: the throughput.
    pub rate: f64,
    /// Payload bytes received a second.
    pub bytes_per_s: f64,
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// From connect(2) to the end of the handshake.
    pub opening_us: Quantiles,
    /// What became of each message.
    pub ledger: Ledger,
    /// Failures of connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// CPU time of the server for each message received, where its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// The share of the time that the server was on a CPU; above 1 on several.
    pub server_busy: Option<f64>,
    /// What the tester knows of itself.
    pub tester: Tester,
    /// Whether the figures are the server's.
    pub valid: bool,
    /// Latencies above this quantile are longer for what delayed the tester itself, and are not the
    /// server's; none are without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected_above: Option<f64>,
    /// Why they are not.
    pub invalid_because: Vec<String>,
    /// What is worth knowing and does not make them invalid.
    pub warnings: Vec<String>,
    /// What the mode alone knows, by name: numbers, with their unit in the name.
    pub details: BTreeMap<String, f64>,
    /// The percentile curve of the latency.
    pub percentiles: Vec<Percentile>,
    /// Second by second.
    pub timeline: Vec<Point>,
    /// What was tried, of a mode that searches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// What each thread of the server did meanwhile, where a mode asks for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_threads: Vec<ServerThread>,
    /// Each storm by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storms: Vec<Storm>,
}

/// All connections drop and return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// Connections that dropped.
    pub dropped: u64,
    /// Those that resumed.
    pub resumed: u64,
    /// Tries in vain.
    pub tries_failed: u64,
    /// From the drop until the tester had begun to open all of them again; none when tries failed,
    /// which were begun later.
    pub begun_100_ms: Option<f64>,
    /// From the drop until half of those that dropped have resumed; none when they have not.
    pub back_50_ms: Option<f64>,
    /// As above, nine in ten.
    pub back_90_ms: Option<f64>,
    /// As above, 99 in 100.
    pub back_99_ms: Option<f64>,
    /// As above, all of them.
    pub back_100_ms: Option<f64>,
}

/// What the tester knows of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tester {
    /// From the intended send time to the real one.
    pub send_delay_us: Quantiles,
    /// How long it did not look at its sockets, when it then found messages there.
    pub look_delay_us: Quantiles,
    /// The share of the time that its busiest thread worked.
    pub busy: f64,
    /// The largest share of the time that a thread worked, or waited for a CPU.
    pub occupied: f64,
    /// The largest share of the time that a thread had work and waited for a CPU.
    #[serde(default)]
    pub waited: f64,
    /// How often its threads were taken off their CPUs although they had work.
    #[serde(default)]
    pub preempted: u64,
    /// The share of the time of all CPUs that the host of a virtual machine used for others.
    #[serde(default)]
    pub stolen: f64,
    /// CPU time of all its threads for each message received.
    pub cpu_ns_per_message: f64,
    /// Threads.
    pub threads: u32,
    /// io_uring or epoll.
    pub engine: String,
}

/// What a mode knows before it runs.
#[derive(Debug, Clone)]
pub struct Heading {
    /// The command line.
    pub command: Vec<String>,
    /// What is done.
    pub mode: &'static str,
    /// The server.
    pub url: String,
    /// Connections asked for.
    pub connections: u32,
    /// Messages a second asked for.
    pub rate_asked: Option<f64>,
    /// Threads.
    pub threads: u32,
    /// The tester's engine.
    pub engine: String,
}

impl Report {
    /// Of a measurement, still to be judged; what was seen while connections were opened is in
    /// `opening`.
    pub fn new<O>(heading: &Heading, opening: &Seen, run: &Run<O>, ledger: Ledger) -> Self {
        let Run { seen, elapsed, .. } = run;
        let seconds = elapsed.as_secs_f64().max(1e-9);
        // A storm sends for no set time: it is over when all have returned.
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

    /// What `rate`, `latency_us` and the CPU time are of: `message`, or `connection` in modes that
    /// open them again and again.
    pub fn counted(&self) -> &'static str {
        match &*self.mode {
            "churn" | "storm" => "connection",
            _ => "message",
        }
    }

    /// How many connections there were, in words.
    pub fn connections_said(&self) -> String {
        let (open, asked) = (self.connections_open, self.connections);
        match (&*self.mode, self.details.get("connections_completed")) {
            // What is open at the end is what came too late.
            ("churn", Some(completed)) => {
                let begun = self.details.get("connections_begun").unwrap_or(completed);
                format!("{completed:.0} of {begun:.0} connections completed, {asked} at a time")
            }
            _ => format!("{open} of {asked} connections open"),
        }
    }

    /// Whether answers decided when the next message went out, which asks a server for as much as it
    /// can do; latencies say little then, as a slow server is asked less. Idle connections ask for
    /// nothing, and a storm is over before it says anything of that.
    pub fn is_closed_loop(&self) -> bool {
        self.rate_asked.is_none() && !matches!(&*self.mode, "idle" | "storm")
    }

    /// What the mode alone knows; the name ends in the unit.
    pub fn detail(&mut self, name: &str, value: f64) {
        self.details.insert(name.to_owned(), value);
    }

    /// Whether the latency at this quantile is partly the tester's own.
    pub fn is_affected(&self, quantile: f64) -> bool {
        self.affected_above.is_some_and(|above| quantile > above)
    }

    /// The figures are not the server's.
    pub fn invalidate(&mut self, why: String) {
        self.valid = false;
        self.invalid_because.push(why);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of a run in which nothing was done.
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
            tester_cpu: Duration::ZERO,
            server_cpu: None,
            server: None,
            open: 1,
            interrupted: None,
        };
        Report::new(&heading, &Seen::new(), &run, Ledger::default())
    }
}
