//! Paired slots: in each round every server has one slot, and ratios are taken per round, so
//! that what disturbs the machine for longer than a round disturbs all alike.
//!
//! It never averages over rounds: medians and quartiles only.

use std::{fmt, time::Duration};

use anyhow::Result;

use crate::{crowd::Slot, process, tester::Tester};

/// Rounds that are not counted: caches, allocators and the kernel's buffers settle.
const WARM_UP_ROUNDS: usize = 2;

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
    /// How much of its time the server was on a CPU, median.
    pub busy: f64,
    /// Messages a second, median.
    pub rate: f64,
    /// CPU per message against the base server's of the same round.
    pub ratio: Quartiles,
    /// Messages counted.
    pub count: u64,
    /// Echoes that were not what was sent.
    pub faults: u64,
    /// The median and the 99th percentile of latency.
    pub latencies: (Duration, Duration),
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
#[derive(Debug, Clone, Copy)]
struct Sample {
    slot: Slot,
    server_cpu: Duration,
    tester_cpu: Duration,
}

impl Sample {
    fn take(contestant: &mut Contestant, plan: &Plan) -> Result<Self> {
        let before = (process::cpu_time(contestant.pid)?, contestant.tester.cpu_time()?);
        let slot = contestant.tester.run(plan.slot, plan.rate)?;
        let after = (process::cpu_time(contestant.pid)?, contestant.tester.cpu_time()?);
        Ok(Self { slot, server_cpu: after.0 - before.0, tester_cpu: after.1 - before.1 })
    }

    fn server_ns(&self) -> f64 {
        self.server_cpu.as_nanos() as f64 / self.slot.count.max(1) as f64
    }
}

/// Runs all rounds; the first contestant is the base of the ratios.
///
/// # Errors
/// A tester gave up, or a server has ended.
pub fn run(contestants: &mut [Contestant], plan: &Plan) -> Result<Vec<Outcome>> {
    let count = contestants.len();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::with_capacity(plan.rounds); count];
    for round in 0..WARM_UP_ROUNDS + plan.rounds {
        if round == WARM_UP_ROUNDS {
            for contestant in &mut *contestants {
                contestant.tester.take_latencies()?;
            }
        }
        for turn in 0..count {
            // Nobody always follows the same one.
            let index = (turn + round) % count;
            let sample = Sample::take(&mut contestants[index], plan)?;
            if round >= WARM_UP_ROUNDS {
                samples[index].push(sample);
            }
        }
    }
    let base: Vec<f64> = samples[0].iter().map(Sample::server_ns).collect();
    let pairs = contestants.iter_mut().zip(&samples);
    pairs.map(|(contestant, samples)| judge(contestant, samples, &base)).collect()
}

fn judge(contestant: &mut Contestant, samples: &[Sample], base: &[f64]) -> Result<Outcome> {
    let median = |value: &dyn Fn(&Sample) -> f64| Quartiles::of(samples.iter().map(value)).median;
    let count = |sample: &Sample| sample.slot.count.max(1) as f64;
    let seconds = |sample: &Sample| sample.slot.elapsed.as_secs_f64();
    Ok(Outcome {
        name: contestant.name.clone(),
        server_ns: median(&Sample::server_ns),
        tester_ns: median(&|sample| sample.tester_cpu.as_nanos() as f64 / count(sample)),
        busy: median(&|sample| sample.server_cpu.as_secs_f64() / seconds(sample)),
        rate: median(&|sample| count(sample) / seconds(sample)),
        ratio: Quartiles::of(samples.iter().zip(base).map(|(one, base)| one.server_ns() / base)),
        count: samples.iter().map(|sample| sample.slot.count).sum(),
        faults: samples.iter().map(|sample| sample.slot.faults).sum(),
        latencies: contestant.tester.take_latencies()?,
    })
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
