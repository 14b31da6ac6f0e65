//! Servers that cannot share a run: each is measured alone, in turn, and ratios are taken per round.
//! Never starts anything.

use super::compare::{Finding, Findings, Latency, Ledger, Ratio, Unit};

/// One run against one server.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// What each connection cost.
    pub cost: f64,
    pub rate: f64,
    pub latency_us: Latency,
    /// Clients for which something went wrong.
    pub faults: u64,
    pub invalid_because: Vec<String>,
}

/// The samples of one server, by round; `None` where a run failed.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub samples: Vec<Option<Sample>>,
    pub failed: Option<String>,
}

impl Series {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), samples: Vec::new(), failed: None }
    }
}

/// The turns of a round: each server has one, and the order varies.
pub fn turns(servers: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..servers).map(move |turn| (turn + round) % servers)
}

/// The results of all rounds; the first series is the base of the ratios.
pub fn findings(series: &[Series], unit: Unit, command: Vec<String>) -> Findings {
    let base = series.first().map_or(&[][..], |base| &base.samples[..]);
    Findings {
        targets: series.iter().map(|one| finding(one, base)).collect(),
        rounds_run: base.len() as u32,
        rounds_calm: base.len() as u32,
        unit,
        command,
        ..Findings::default()
    }
}

fn finding(series: &Series, base: &[Option<Sample>]) -> Finding {
    let known: Vec<&Sample> = series.samples.iter().flatten().collect();
    let median = |value: fn(&Sample) -> f64| {
        quartiles(known.iter().map(|sample| value(sample)).collect()).map_or(0.0, |one| one.median)
    };
    let paired = series.samples.iter().zip(base);
    let ratios = paired.filter_map(|(one, base)| Some(one.as_ref()?.cost / base.as_ref()?.cost));
    // Each round may have its own doubt; the reader needs one of each kind.
    let mut because: Vec<String> =
        known.iter().flat_map(|sample| sample.invalid_because.clone()).collect();
    because.sort();
    because.dedup_by_key(|why| why.split(':').next().unwrap_or_default().to_owned());
    Finding {
        name: series.name.clone(),
        ratio: quartiles(ratios.filter(|ratio| ratio.is_finite()).collect()),
        server_cpu_ns_per_message: (!known.is_empty()).then(|| median(|sample| sample.cost)),
        rate: median(|sample| sample.rate),
        latency_us: Latency {
            p50: median(|sample| sample.latency_us.p50),
            p99: median(|sample| sample.latency_us.p99),
        },
        valid: because.is_empty() && series.failed.is_none(),
        invalid_because: because,
        ledger: Ledger {
            lost: known.iter().map(|sample| sample.faults).sum(),
            ..Ledger::default()
        },
        rounds: known.len() as u32,
        failed: series.failed.clone(),
        ..Finding::default()
    }
}

/// The median and the quartiles, interpolated.
fn quartiles(mut values: Vec<f64>) -> Option<Ratio> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    let at = |share: f64| {
        let place = share * last;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    Some(Ratio { low: at(0.25), median: at(0.5), high: at(0.75) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, costs: &[Option<f64>]) -> Series {
        let sample = |cost: &Option<f64>| cost.map(|cost| Sample { cost, ..Sample::default() });
        Series { samples: costs.iter().map(sample).collect(), ..Series::new(name) }
    }

    #[test]
    fn ratios_are_of_one_round_each() {
        let base = series("ringway", &[Some(100.0), Some(200.0), None]);
        let slow = series("other", &[Some(150.0), Some(300.0), Some(1.0)]);
        let findings = findings(&[base, slow], Unit::Bytes, Vec::new());
        let [base, slow] = &findings.targets[..] else { panic!("{findings:?}") };
        assert_eq!(base.ratio, Some(Ratio { low: 1.0, median: 1.0, high: 1.0 }));
        assert_eq!(slow.ratio, Some(Ratio { low: 1.5, median: 1.5, high: 1.5 }));
        assert_eq!((base.server_cpu_ns_per_message, base.rounds), (Some(150.0), 2));
    }

    #[test]
    fn a_doubt_of_one_run_is_a_doubt_of_all() {
        let mut one = series("one", &[Some(1.0), Some(2.0)]);
        for sample in one.samples.iter_mut().flatten() {
            sample.invalid_because = vec![format!("tester_cpu: {}", sample.cost)];
            sample.faults = 2;
        }
        let found = findings(&[one], Unit::Nanoseconds, Vec::new());
        assert_eq!(found.targets[0].invalid_because, ["tester_cpu: 1"]);
        assert!(!found.targets[0].valid && found.targets[0].ledger.faults() == 4);
        let mut gone = series("gone", &[]);
        gone.failed = Some("it ended".to_owned());
        let found = findings(&[gone], Unit::Nanoseconds, Vec::new());
        assert_eq!((found.targets[0].ratio, found.targets[0].valid), (None, false));
    }

    #[test]
    fn quartiles_lie_between_the_values() {
        let four = quartiles(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(four, Ratio { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!(quartiles(Vec::new()), None);
    }

    #[test]
    fn each_server_has_its_turn_in_another_place() {
        assert_eq!(turns(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turns(3, 2).collect::<Vec<_>>(), [2, 0, 1]);
    }
}
