//! Rounds: each target has one slot in each round, and the order varies.
//!
//! It keeps every slot, and then chooses the rounds that count. A target that fails is left out from
//! then on; the others continue.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{
    pool::Pool,
    sample::{Figures, Sample},
    slot::Opened,
    tester::Tester,
};
use crate::{engine::signal, measure::spread::Spread, report::comparison::Basis};

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
    /// Calm rounds to run.
    pub rounds: usize,
    /// Warm-up rounds before them.
    pub warm_up: usize,
    /// The most rounds, calm or not.
    pub rounds_max: usize,
    /// After this time no further round begins, except the first.
    pub deadline: Option<Instant>,
    /// Length of a slot.
    pub slot: Duration,
    /// How long to wait for answers after a slot.
    pub drain: Duration,
    /// Messages per second to each server; `None` in a closed loop.
    pub rate: Option<f64>,
    /// A round is calm if no server and no tester waited for its CPU for a larger share of its slot;
    /// otherwise the machine had other work.
    pub waiting_max: f64,
}

/// A round after the warm-up: the slot of each target that has not failed.
#[derive(Debug)]
pub struct Round {
    samples: Vec<Option<Sample>>,
    is_calm: bool,
}

/// All rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    all: Vec<Round>,
    /// Why there are fewer than asked for, if a signal or the deadline ended them.
    pub cut: Option<Cut>,
}

/// What ended the rounds early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A signal.
    Signal,
    /// The time that the comparison may take.
    Deadline,
}

/// The rounds that count.
#[derive(Debug)]
pub struct Counted {
    /// For each of them, the figures of each target that had its slot.
    pub figures: Vec<Vec<Option<Figures>>>,
    /// How they were chosen.
    pub basis: Basis,
    /// How many rounds were calm.
    pub calm: usize,
    /// How many rounds were run.
    pub run: usize,
}

/// Runs all rounds; `observe` is called with the number of calm ones.
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
    while rounds.all.len() < plan.rounds_max
        && rounds.calm() < plan.rounds
        && rounds.cut.is_none()
        && testers.iter().any(Result::is_ok)
    {
        let samples = run_round(targets, testers, rounds.all.len(), plan);
        let slots = || samples.iter().flatten();
        if signal::seen().is_some() || slots().any(|sample| sample.slot.interrupted) {
            rounds.cut = Some(Cut::Signal);
        } else if plan.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            rounds.cut = Some(Cut::Deadline);
        }
        if slots().next().is_some() {
            let is_calm = rounds.cut != Some(Cut::Signal)
                && slots().all(|sample| sample.figures.waiting() <= plan.waiting_max);
            rounds.all.push(Round { samples, is_calm });
        }
        observe(rounds.calm());
    }
    rounds
}

impl Rounds {
    fn calm(&self) -> usize {
        self.all.iter().filter(|round| round.is_calm).count()
    }

    /// Chooses the rounds that count, and adds them up for each target. If fewer than half of the
    /// rounds asked for were calm, all count: a noisy machine gives a wide figure, not none.
    ///
    /// # Errors
    /// A histogram is malformed.
    pub fn count(&self, targets: &mut [ComparisonTarget], asked: usize) -> Result<Counted> {
        let (calm, run) = (self.calm(), self.all.len());
        let basis = if 2 * calm >= asked.min(run) { Basis::Calm } else { Basis::All };
        let mut figures = Vec::new();
        for round in self.all.iter().filter(|round| round.is_calm || basis == Basis::All) {
            for (target, sample) in targets.iter_mut().zip(&round.samples) {
                if let Some(sample) = sample {
                    target.pool.add(sample)?;
                }
            }
            let of = |sample: &Option<Sample>| sample.as_ref().map(|sample| sample.figures);
            figures.push(round.samples.iter().map(of).collect());
        }
        Ok(Counted { figures, basis, calm, run })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{
            ledger::Ledger,
            run::{MachineLoad, Run},
            timeline::Seen,
        },
        mode::compare::{sample::Load, slot::Slot},
    };

    /// A slot in which the server took `cpu_ns` for each of 1,000 messages.
    fn sample(cpu_ns: f64) -> Sample {
        let run: Run<()> = Run {
            seen: Seen { received: 1000, ..Seen::new() },
            started_at: Duration::ZERO,
            outcomes: Vec::new(),
            elapsed: Duration::from_millis(100),
            lasted: Duration::from_millis(100),
            busy: 0.5,
            occupied: 0.5,
            machine: MachineLoad::default(),
            behind: Duration::ZERO,
            tester_cpu: Duration::ZERO,
            tester_work: Duration::ZERO,
            server_cpu: None,
            server: None,
            open: 4,
            interrupted: None,
        };
        Sample {
            slot: Slot::of(&run, Ledger::default()),
            server: None,
            load: Load::default(),
            figures: Figures { server_cpu_ns: Some(cpu_ns), ..Figures::default() },
        }
    }

    /// Rounds of two servers, of which the second costs twice as much.
    fn rounds(calm: &[bool]) -> Rounds {
        let round = |is_calm: &bool| Round {
            samples: vec![Some(sample(1000.0)), Some(sample(2000.0))],
            is_calm: *is_calm,
        };
        Rounds { all: calm.iter().map(round).collect(), cut: None }
    }

    fn targets() -> Vec<ComparisonTarget> {
        let target = |tester| ComparisonTarget {
            name: "a".to_owned(),
            url: "ws://a/".to_owned(),
            pids: Vec::new(),
            tester,
            opened: Opened::default(),
            pool: Pool::default(),
        };
        (0..2).map(target).collect()
    }

    #[test]
    fn calm_rounds_count_and_all_do_if_too_few_are_calm() {
        let of = |calm: usize, noisy: usize| [vec![true; calm], vec![false; noisy]].concat();
        for (calm, noisy, asked, basis) in [
            (6, 0, 6, Basis::Calm),
            (6, 6, 6, Basis::Calm),
            (3, 9, 6, Basis::Calm),
            (2, 10, 6, Basis::All),
            (0, 12, 6, Basis::All),
            // A signal or the deadline has ended them early.
            (2, 1, 20, Basis::Calm),
            (0, 1, 20, Basis::All),
        ] {
            let mut targets = targets();
            let counted = rounds(&of(calm, noisy)).count(&mut targets, asked).unwrap();
            let count = if basis == Basis::Calm { calm } else { calm + noisy };
            assert_eq!((counted.basis, counted.figures.len()), (basis, count), "{calm} {noisy}");
            assert_eq!((counted.calm, counted.run), (calm, calm + noisy));
            for target in &targets {
                assert_eq!(target.pool.seen.received, 1000 * count as u64);
            }
        }
    }

    #[test]
    fn without_a_round_nothing_counts() {
        let counted = Rounds::default().count(&mut targets(), 6).unwrap();
        assert_eq!((counted.run, counted.figures.len()), (0, 0));
    }
}
