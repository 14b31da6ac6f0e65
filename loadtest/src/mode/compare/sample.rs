//! One slot of one server: what its tester reports, and what the slot cost.
//!
//! It keeps the slot as it was sent, compressed: the histograms of all slots would take much memory.

use std::time::Duration;

use anyhow::Result;

use super::{rounds::Plan, slot::Slot, tester::Tester};
use crate::measure::{
    process::{self, ProcessTimes, Scheduled},
    quantiles::micros,
    run::ServerLoad,
};

/// The load of threads in one slot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// The share of the time that the tester's busiest thread worked.
    pub busy: f64,
    /// The largest share of the time that a thread worked or waited for a CPU.
    pub occupied: f64,
    /// How far sending was behind schedule when it was stopped.
    pub behind: Duration,
    /// The server's load, if its process is known.
    pub server: Option<ServerLoad>,
}

/// The figures of one slot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// CPU time of the server for each message received, in nanoseconds.
    pub server_cpu_ns: Option<f64>,
    /// CPU time of the tester for each message received, in nanoseconds.
    pub tester_cpu_ns: f64,
    /// Messages received per second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// The p99 latency in microseconds.
    pub p99: f64,
    /// The share of the time that the server was on a CPU.
    pub server_busy: Option<f64>,
    /// The share of the time that the server waited for a CPU.
    pub server_waiting: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// The share of the time that the tester waited for a CPU.
    pub tester_waiting: f64,
}

/// One slot and its cost.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What the tester reports.
    pub slot: Slot,
    /// CPU time of the server in the slot, if its process is known.
    pub server: Option<Scheduled>,
    /// The load of threads.
    pub load: Load,
    /// The figures.
    pub figures: Figures,
}

impl Sample {
    /// Measures a slot.
    ///
    /// # Errors
    /// The tester or the server has ended, or the tester hangs.
    pub fn take(tester: &mut Tester, pids: &[u32], plan: &Plan) -> Result<Self> {
        let (server_before, tester_before) = (ProcessTimes::now(pids)?, tester.scheduled()?);
        let slot = tester.measure(plan.slot, plan.drain, plan.rate)?;
        let tester_waited = tester.scheduled()?.waited.saturating_sub(tester_before.waited);
        let server_after = ProcessTimes::now(pids)?;
        let server = (!pids.is_empty()).then(|| server_after.since(&server_before));
        let cores = pids.iter().filter_map(|pid| process::cores(*pid).ok()).max().unwrap_or(1);
        let between = |_| ServerLoad::between(&server_before, &server_after, cores, slot.elapsed);
        let load = Load {
            busy: slot.busy,
            occupied: slot.occupied,
            behind: slot.behind,
            server: server.map(between),
        };
        let seen = slot.seen()?;
        let seconds = slot.elapsed.as_secs_f64().max(1e-9);
        let each = |time: Duration| time.as_nanos() as f64 / slot.received as f64;
        // Without latencies there is no quantile and no ratio.
        let at = |quantile| match seen.latencies.len() {
            0 => f64::NAN,
            _ => micros(seen.latencies.value_at_quantile(quantile)),
        };
        let figures = Figures {
            server_cpu_ns: server.map(|server| each(server.cpu)),
            tester_cpu_ns: each(slot.tester_cpu),
            rate: slot.received as f64 / seconds,
            p50: at(0.5),
            p99: at(0.99),
            server_busy: server.map(|server| server.cpu.as_secs_f64() / seconds),
            server_waiting: server.map(|server| server.waited.as_secs_f64() / seconds),
            tester_busy: slot.busy,
            tester_waiting: tester_waited.as_secs_f64() / seconds,
        };
        Ok(Self { slot, server, load, figures })
    }
}

impl Figures {
    /// The largest share of the slot for which a process waited for a CPU.
    pub fn waiting(&self) -> f64 {
        self.server_waiting.unwrap_or_default().max(self.tester_waiting)
    }
}
