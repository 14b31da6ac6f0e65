//! From the figures of all rounds to the results of a comparison, and whether they are the servers'
//! or the testers' own.

use std::{env, time::Duration};

use super::{
    rounds::{ComparisonTarget, Counted, Cut, Standby},
    sample::Figures,
};
use crate::{
    args::{CompareArgs, WorkloadArg},
    machine::Machine,
    measure::{spread::Spread, timeline::Seen},
    mode::echo,
    report::{
        Heading,
        beside::EchoBeside,
        comparison::{Basis, Comparison, TargetResult},
    },
    verdict,
};

/// The rate that was asked of each server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Per second, in an open loop.
    pub rate: Option<f64>,
    /// The first server's rate in a closed loop, if that was measured.
    pub saturated_rate: Option<f64>,
}

/// What is known at the end, except for the figures of each target.
pub struct Conclusion<'c> {
    /// The command line.
    pub args: &'c CompareArgs,
    /// When the comparison began, since 1970.
    pub started_at: Duration,
    /// The testers; some may have failed.
    pub testers: &'c [Standby],
    /// The rounds that count.
    pub counted: &'c Counted,
    /// What ended the rounds early, if anything did.
    pub cut: Option<Cut>,
    /// The rate that was asked of each server.
    pub asked: Asked,
}

impl Conclusion<'_> {
    /// Adds up the figures of all targets.
    pub fn comparison(&self, targets: Vec<ComparisonTarget>) -> Comparison {
        let Self { args, started_at, counted, asked, .. } = self;
        let mut comparison = Comparison {
            tool: concat!("ringway-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: env::args().collect(),
            machine: Machine::here(),
            started_at_unix_s: started_at.as_secs_f64(),
            mode: "compare".to_owned(),
            workload: args.mode.name().to_owned(),
            connections: args.connections,
            size_bytes: args.message.size,
            pipeline: args.message.pipeline,
            rate_asked: asked.rate,
            saturated_rate: asked.saturated_rate,
            slot_ms: args.slot.as_secs_f64() * 1e3,
            slots: counted.run * targets.len(),
            rounds_asked: args.rounds as usize,
            rounds: counted.figures.len(),
            basis: counted.basis,
            rounds_calm: counted.calm,
            rounds_run: counted.run,
            calm_percent: args.calm,
            targets: (0..).zip(targets).map(|(index, one)| self.target(index, one)).collect(),
            valid: true,
            invalid_because: Vec::new(),
            warnings: Vec::new(),
        };
        if args.message.unstamped {
            comparison.warnings.push(echo::command::unverified());
        }
        self.judge(&mut comparison);
        comparison
    }

    fn judge(&self, comparison: &mut Comparison) {
        let Comparison { rounds_calm, rounds_run, rounds_asked, calm_percent, .. } = *comparison;
        let because = &mut comparison.invalid_because;
        if self.cut == Some(Cut::Signal) {
            because.push("interrupted: the run was ended by a signal".to_owned());
        }
        let noise = format!(
            "a server or a tester waited for its CPU for more than {calm_percent}% of its slot"
        );
        if comparison.basis == Basis::All {
            because.push(format!(
                "noisy: only {rounds_calm} of {rounds_run} rounds were calm, so all of them count; in \
                 the others {noise}; end other work, or allow more with --calm"
            ));
        } else if rounds_calm < rounds_run && rounds_calm < rounds_asked {
            comparison.warnings.push(format!(
                "{rounds_calm} rounds count, of {rounds_asked} asked for: in the others {noise}"
            ));
        }
        if self.cut == Some(Cut::Deadline) && rounds_calm < rounds_asked {
            comparison.warnings.push(format!(
                "time_max: {rounds_run} rounds were run in the time that --time-max allows"
            ));
        }
        for one in comparison.targets.iter().filter(|one| one.failed.is_none()) {
            because.extend(one.invalid_because.iter().map(|why| format!("{}: {why}", one.name)));
        }
        comparison.valid = because.is_empty();
    }

    fn target(&self, index: usize, target: ComparisonTarget) -> TargetResult {
        let Self { args, started_at, testers, counted, asked, .. } = self;
        let ComparisonTarget { name, url, opened, pool, tester, .. } = target;
        let failed = testers[tester].as_ref().err().cloned();
        let own = || counted.figures.iter().filter_map(move |round| round[index]);
        let median = |value: fn(&Figures) -> f64| {
            Spread::of(own().map(|figures| value(&figures))).map_or(0.0, |spread| spread.median)
        };
        let median_if_known = |value: fn(&Figures) -> Option<f64>| {
            Spread::of(own().filter_map(|figures| value(&figures))).map(|spread| spread.median)
        };
        let ratio = |value: fn(&Figures) -> Option<f64>| {
            let of_round = |round: &Vec<Option<Figures>>| {
                Some(value(&round[index]?)? / value(round[0].as_ref()?)?)
            };
            Spread::of(counted.figures.iter().filter_map(of_round))
        };
        let is_silent = own().count() > 0 && pool.seen.received == 0;
        let (ledger, mut errors) = (pool.ledger, pool.errors.clone());
        let echo_beside = pool.beside.as_ref().map(EchoBeside::of);
        for (reason, count) in &opened.errors {
            *errors.entry(reason.clone()).or_default() += count;
        }
        let heading = Heading {
            command: Vec::new(),
            mode: args.mode.name(),
            url: url.clone(),
            connections: args.connections,
            rate_asked: asked.rate,
            threads: opened.threads,
            engine: opened.engine,
        };
        // A report decides whether the figures are the server's.
        let mut report =
            verdict::report(&heading, &Seen::new(), &pool.into_run(*started_at), ledger);
        report.warnings.extend(opened.warning);
        report.warnings.extend(echo_beside.as_ref().and_then(EchoBeside::warning));
        let failed = failed.or(is_silent.then(|| "nothing came back".to_owned()));
        if let Some(why) = &failed {
            report.invalidate(format!("failed: {why}"));
        }
        let stay_open = args.mode != WorkloadArg::Churn;
        if stay_open && failed.is_none() && report.connections_open < args.connections {
            let (open, of) = (report.connections_open, args.connections);
            // Fewer connections are cheaper to serve.
            report.invalidate(format!("connections_missing: {open} of {of} connections are open"));
        }
        TargetResult {
            name,
            url,
            ratio: ratio(|figures| figures.server_cpu_ns),
            ratio_rate: ratio(|figures| Some(figures.rate)),
            ratio_p50: ratio(|figures| Some(figures.p50)),
            ratio_p99: ratio(|figures| Some(figures.p99)),
            server_cpu_ns_per_message: median_if_known(|figures| figures.server_cpu_ns),
            tester_cpu_ns_per_message: median(|figures| figures.tester_cpu_ns),
            rate: median(|figures| figures.rate),
            server_busy: median_if_known(|figures| figures.server_busy),
            server_waiting: median_if_known(|figures| figures.server_waiting),
            tester_busy: median(|figures| figures.tester_busy),
            tester_waiting: median(|figures| figures.tester_waiting),
            latency_us: report.latency_us,
            echo_beside,
            rounds: own().count(),
            connections_open: report.connections_open,
            ledger,
            errors,
            failed,
            valid: report.valid,
            invalid_because: report.invalid_because,
            warnings: report.warnings,
        }
    }
}
