//! Rounds: each target has one slot in each round, and the order varies.
//!
//! It keeps the figures of each slot for the ratios, and pools the rest. A target that fails is
//! left out from then on; the others continue.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, bail, ensure};

use super::{
    slot::{Opened, Slot},
    tester::Tester,
};
use crate::{
    engine::signal,
    measure::{
        ledger::Ledger,
        process::{self, ProcessTimes, Scheduled},
        quantiles::{add, micros},
        run::{MachineLoad, Run, ServerLoad},
        spread::Spread,
        timeline::Seen,
    },
};

/// A tester with open connections, or why it failed.
pub type Standby = Result<Tester, String>;

/// A server to measure.
#[derive(Debug)]
pub struct ComparisonTarget {
    /// Its name.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The server's processes, if they are known.
    pub pids: Vec<u32>,
    /// The index of its tester; a control may share the base's.
    pub tester: usize,
    /// The result of opening its connections.
    pub opened: Opened,
    /// The figures of all counted slots.
    pub pool: Pool,
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds to count.
    pub rounds: usize,
    /// Warm-up rounds before them.
    pub warm_up: usize,
    /// The most rounds, including those that are not counted.
    pub rounds_max: usize,
    /// Length of a slot.
    pub slot: Duration,
    /// How long to wait for answers after a slot.
    pub drain: Duration,
    /// Messages per second to each server; `None` in a closed loop.
    pub rate: Option<f64>,
    /// A round counts only if no server and no tester waited for its CPU for a larger share of its
    /// slot; otherwise the machine had other work.
    pub waiting_max: f64,
}

/// The figures of several slots.
#[derive(Debug, Default)]
pub struct Pool {
    /// In the counted slots.
    pub seen: Seen,
    /// Echoes during the fan-out of the counted slots.
    pub beside: Option<Seen>,
    /// Total length of the counted slots.
    pub elapsed: Duration,
    /// Total time of sending in the counted slots.
    pub lasted: Duration,
    /// CPU time of the tester in the counted slots.
    pub tester_cpu: Duration,
    /// CPU time of the server in the counted slots.
    pub server_cpu: Option<Duration>,
    /// The load of the tester's and the server's threads in each counted slot.
    loads: Vec<Load>,
    /// Connections open at the end of the last slot.
    pub open: u32,
    /// Over all slots, counted or not.
    pub ledger: Ledger,
    /// Over all slots, counted or not.
    pub errors: BTreeMap<String, u64>,
}

/// The load of threads in one slot.
#[derive(Debug, Clone, Copy)]
struct Load {
    busy: f64,
    occupied: f64,
    behind: Duration,
    server: Option<ServerLoad>,
}

/// The figures of one slot.
#[derive(Debug, Clone, Copy)]
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

/// The results of all rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    /// For each counted round, the figures of each target that had its slot.
    pub counted: Vec<Vec<Option<Figures>>>,
    /// Rounds after the warm-up, including those that are not counted.
    pub run: usize,
    /// Whether a signal ended them early.
    pub interrupted: bool,
}

/// Runs all rounds; `observe` is called with the number of counted ones.
pub fn run(
    targets: &mut [ComparisonTarget],
    testers: &mut [Standby],
    plan: &Plan,
    mut observe: impl FnMut(usize),
) -> Rounds {
    let mut rounds = Rounds::default();
    for round in 0..plan.warm_up {
        run_round(targets, testers, round, plan);
    }
    while rounds.run < plan.rounds_max && rounds.counted.len() < plan.rounds {
        let samples = run_round(targets, testers, rounds.run, plan);
        rounds.interrupted |= signal::seen().is_some()
            || samples.iter().flatten().any(|sample| sample.slot.interrupted);
        if rounds.interrupted || testers.iter().all(Result::is_err) {
            break;
        }
        rounds.run += 1;
        let is_calm = |sample: &Sample| sample.figures.waiting() <= plan.waiting_max;
        if !samples.iter().flatten().all(is_calm) {
            continue;
        }
        let figures = |sample: &Option<Sample>| sample.as_ref().map(|sample| sample.figures);
        rounds.counted.push(samples.iter().map(figures).collect());
        for (target, sample) in targets.iter_mut().zip(&samples) {
            sample.iter().for_each(|sample| target.pool.add(sample));
        }
        observe(rounds.counted.len());
    }
    rounds
}

/// Rounds that measure a server's rate in a closed loop, after a first one.
const SATURATED_ROUNDS: usize = 3;

/// The first target's rate in a closed loop, in messages received per second.
///
/// # Errors
/// The server fails, or sends nothing back.
pub fn saturated_rate(
    targets: &mut [ComparisonTarget],
    testers: &mut [Standby],
    plan: &Plan,
) -> Result<f64> {
    let base = &mut targets[..1];
    let mut rates = Vec::new();
    for round in 0..=SATURATED_ROUNDS {
        let sample = run_round(base, testers, round, plan).pop().flatten();
        rates.extend(sample.map(|sample| sample.figures.rate));
    }
    let name = &base[0].name;
    if let Err(why) = &testers[base[0].tester] {
        bail!("half the rate of {name} is unknown, as it failed: {why}");
    }
    let rate = Spread::of(rates.into_iter().skip(1)).map_or(0.0, |spread| spread.median);
    ensure!(rate > 0.0, "half the rate of {name} is unknown: no reply came back from it");
    Ok(rate)
}

/// Runs one slot for each target that has not failed.
fn run_round(
    targets: &mut [ComparisonTarget],
    testers: &mut [Standby],
    round: usize,
    plan: &Plan,
) -> Vec<Option<Sample>> {
    let count = targets.len();
    let mut samples: Vec<Option<Sample>> = std::iter::repeat_with(|| None).take(count).collect();
    for turn in 0..count {
        let index = (turn + round) % count;
        let target = &mut targets[index];
        let standby = &mut testers[target.tester];
        let Ok(tester) = standby else { continue };
        match Sample::take(tester, &target.pids, plan) {
            Ok(sample) => {
                target.pool.count(&sample.slot);
                samples[index] = Some(sample);
            }
            Err(error) => *standby = Err(format!("{error:#}")),
        }
        if signal::seen().is_some() {
            break;
        }
    }
    samples
}

/// One slot and its cost.
struct Sample {
    slot: Slot,
    seen: Seen,
    beside: Option<Seen>,
    server: Option<Scheduled>,
    load: Load,
    figures: Figures,
}

impl Sample {
    fn take(tester: &mut Tester, pids: &[u32], plan: &Plan) -> Result<Self> {
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
        let (seen, beside) = (slot.seen()?, slot.seen_beside()?);
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
        Ok(Self { slot, seen, beside, server, load, figures })
    }
}

impl Figures {
    fn waiting(&self) -> f64 {
        self.server_waiting.unwrap_or_default().max(self.tester_waiting)
    }
}

impl Pool {
    /// Adds the figures that count in any case: a message that is lost on a busy machine is lost,
    /// too.
    fn count(&mut self, slot: &Slot) {
        self.ledger += slot.ledger;
        self.open = slot.open;
        for (reason, count) in &slot.errors {
            *self.errors.entry(reason.clone()).or_default() += count;
        }
    }

    fn add(&mut self, sample: &Sample) {
        let Sample { slot, seen, beside, server, .. } = sample;
        add_times(&mut self.seen, seen);
        if let Some(beside) = beside {
            add_times(self.beside.get_or_insert_default(), beside);
        }
        self.seen.sent += slot.sent;
        self.seen.received += slot.received;
        self.seen.received_bytes += slot.received_bytes;
        self.elapsed += slot.elapsed;
        self.lasted += slot.lasted;
        self.tester_cpu += slot.tester_cpu;
        self.loads.push(sample.load);
        if let Some(server) = server {
            *self.server_cpu.get_or_insert_default() += server.cpu;
        }
    }

    /// The slots as one measurement. The load of threads is the median's, so that one disturbed
    /// slot of many does not make all of them invalid.
    pub fn into_run(self, started_at: Duration) -> Run<()> {
        let median = |value: &dyn Fn(&Load) -> f64| {
            Spread::of(self.loads.iter().map(value)).map_or(0.0, |spread| spread.median)
        };
        let of_server =
            |value: fn(ServerLoad) -> f64| median(&|load| load.server.map_or(f64::NAN, value));
        let server = self.server_cpu.map(|_| ServerLoad {
            busiest: of_server(|server| server.busiest),
            used: of_server(|server| server.used),
            starved: of_server(|server| server.starved),
        });
        Run {
            busy: median(&|load| load.busy),
            occupied: median(&|load| load.occupied),
            machine: MachineLoad {
                waited: median(&|load| load.occupied - load.busy),
                ..MachineLoad::default()
            },
            behind: Duration::from_secs_f64(median(&|load| load.behind.as_secs_f64())),
            server,
            started_at,
            seen: self.seen,
            outcomes: Vec::new(),
            elapsed: self.elapsed,
            lasted: self.lasted,
            tester_cpu: self.tester_cpu,
            server_cpu: self.server_cpu,
            open: self.open,
            interrupted: None,
        }
    }
}

fn add_times(sum: &mut Seen, part: &Seen) {
    add(&mut sum.latencies, &part.latencies);
    add(&mut sum.send_delays, &part.send_delays);
    add(&mut sum.look_delays, &part.look_delays);
}
