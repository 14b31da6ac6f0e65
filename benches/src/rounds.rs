//! Paired slots: in each round every server has one slot, and ratios are taken per round, so
//! that what disturbs the machine for longer than a round disturbs all alike.
//!
//! It never averages over rounds: medians and quartiles only.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    crowd::Slot,
    process::{self, Scheduled},
    tester::{Tester, Times},
};

/// Rounds that are not counted: caches, allocators and the kernel's buffers settle.
const WARM_UP_ROUNDS: usize = 2;

/// Rounds run for each that shall count, at most, while the machine is not calm.
const TRIES_MAX: usize = 20;

/// A server and its tester.
#[derive(Debug)]
pub struct Contestant {
    /// What it is called.
    pub name: String,
    /// The server's process.
    pub pid: u32,
    /// Its tester, with all connections open.
    pub tester: Tester,
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds that count.
    pub rounds: usize,
    /// Length of a slot.
    pub slot: Duration,
    /// Messages a second of an open loop; `None` for a closed loop.
    pub rate: Option<u32>,
    /// A round counts only if no server and no tester waited for its CPU for a larger share of
    /// its slot: then the machine had other work.
    pub waiting_max: f64,
    /// Over what latencies are taken together.
    pub latencies: Pool,
}

/// Over what the quantiles of latencies are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Over each slot: the median slot's are quoted.
    Slot,
    /// Over all slots after the first rounds, calm or not: where a slot has few of them.
    Run,
}

/// What was seen of one server.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// CPU of the server, ns per message, median.
    pub server_ns: f64,
    /// CPU of its tester, ns per message, median.
    pub tester_ns: f64,
    /// The share of the time that the server was on a CPU, median.
    pub busy: f64,
    /// The share of the time that the server or its tester waited for a CPU, median.
    pub waiting: f64,
    /// Rounds that count.
    pub rounds: usize,
    /// Messages a second, median.
    pub rate: f64,
    /// CPU per message against the base server's of the same round.
    pub ratio: Quartiles,
    /// Messages counted.
    pub count: u64,
    /// Echoes that were not what was sent.
    pub faults: u64,
    /// Latency, of each kind that its tester measures; pooled as planned.
    pub latencies: Vec<Times>,
}

/// The middle of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quartiles {
    /// A quarter of the values is below.
    pub low: f64,
    /// Half of them is.
    pub median: f64,
    /// A quarter of them is above.
    pub high: f64,
}

impl Quartiles {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3} {:.3}]", self.median, self.low, self.high)
    }
}

/// One slot with what it cost.
#[derive(Debug, Clone)]
struct Sample {
    slot: Slot,
    server: Scheduled,
    tester: Scheduled,
    /// Empty when they are pooled over the run.
    latencies: Vec<Times>,
}

impl Sample {
    fn take(contestant: &mut Contestant, plan: &Plan) -> Result<Self> {
        let server = process::scheduled(contestant.pid)?;
        let tester = contestant.tester.scheduled()?;
        let slot = contestant.tester.run(plan.slot, plan.rate)?;
        Ok(Self {
            slot,
            server: process::scheduled(contestant.pid)? - server,
            tester: contestant.tester.scheduled()? - tester,
            latencies: match plan.latencies {
                Pool::Slot => contestant.tester.take_latencies()?,
                Pool::Run => Vec::new(),
            },
        })
    }

    fn per_message(&self, time: Duration) -> f64 {
        time.as_nanos() as f64 / self.slot.count.max(1) as f64
    }

    fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.slot.elapsed.as_secs_f64()
    }

    fn waiting(&self) -> f64 {
        self.share(self.server.waiting.max(self.tester.waiting))
    }
}

/// Runs all rounds; the first contestant is the base of the ratios.
///
/// # Errors
/// A tester gave up, a server has ended, or no round was calm.
pub fn run(contestants: &mut [Contestant], plan: &Plan) -> Result<Vec<Outcome>> {
    for round in 0..WARM_UP_ROUNDS {
        run_round(contestants, round, plan)?;
    }
    for contestant in &mut *contestants {
        contestant.tester.take_latencies()?;
    }
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 0..plan.rounds * TRIES_MAX {
        let samples = run_round(contestants, round, plan)?;
        if samples.iter().all(|sample| sample.waiting() <= plan.waiting_max) {
            rounds.push(samples);
        }
        if rounds.len() == plan.rounds {
            break;
        }
    }
    ensure!(!rounds.is_empty(), "no round was calm: the machine has other work");
    let mut outcomes = Vec::with_capacity(contestants.len());
    for (index, contestant) in contestants.iter_mut().enumerate() {
        let latencies = match plan.latencies {
            Pool::Slot => median_slot(&rounds, index),
            Pool::Run => contestant.tester.take_latencies()?,
        };
        outcomes.push(judge(contestant.name.clone(), index, &rounds, latencies));
    }
    Ok(outcomes)
}

/// One slot for each; nobody always follows the same one.
fn run_round(contestants: &mut [Contestant], round: usize, plan: &Plan) -> Result<Vec<Sample>> {
    let count = contestants.len();
    let mut samples = Vec::with_capacity(count);
    for turn in 0..count {
        let index = (turn + round) % count;
        samples.push((index, Sample::take(&mut contestants[index], plan)?));
    }
    samples.sort_by_key(|(index, _)| *index);
    Ok(samples.into_iter().map(|(_, sample)| sample).collect())
}

/// Of each kind the median slot's quantiles, and the longest of all.
fn median_slot(rounds: &[Vec<Sample>], index: usize) -> Vec<Times> {
    let kinds = rounds[0][index].latencies.len();
    let of_kind = |kind: usize| {
        let slots = || rounds.iter().map(move |samples| samples[index].latencies[kind]);
        let middle = |value: fn(Times) -> Duration| {
            let values = slots().map(|times| value(times).as_secs_f64());
            Duration::from_secs_f64(Quartiles::of(values).median)
        };
        Times {
            median: middle(|times| times.median),
            p99: middle(|times| times.p99),
            max: slots().map(|times| times.max).max().unwrap_or_default(),
        }
    };
    (0..kinds).map(of_kind).collect()
}

fn judge(name: String, index: usize, rounds: &[Vec<Sample>], latencies: Vec<Times>) -> Outcome {
    let quartiles = |value: &dyn Fn(&Sample) -> f64| {
        Quartiles::of(rounds.iter().map(|samples| value(&samples[index])))
    };
    let cost = |sample: &Sample| sample.per_message(sample.server.running);
    let ratios = rounds.iter().map(|samples| cost(&samples[index]) / cost(&samples[0]));
    let slots = || rounds.iter().map(|samples| samples[index].slot);
    Outcome {
        name,
        server_ns: quartiles(&cost).median,
        tester_ns: quartiles(&|sample| sample.per_message(sample.tester.running)).median,
        busy: quartiles(&|sample| sample.share(sample.server.running)).median,
        waiting: quartiles(&Sample::waiting).median,
        rounds: rounds.len(),
        rate: quartiles(&|sample| sample.slot.count as f64 / sample.slot.elapsed.as_secs_f64())
            .median,
        ratio: Quartiles::of(ratios),
        count: slots().map(|slot| slot.count).sum(),
        faults: slots().map(|slot| slot.faults).sum(),
        latencies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let quartiles = Quartiles::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(quartiles, Quartiles { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!(Quartiles::of([7.0].into_iter()).high, 7.0);
    }
}
