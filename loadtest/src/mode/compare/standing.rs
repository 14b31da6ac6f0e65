//! What a comparison found: the JSON output is exactly this, and the table shows it.
//!
//! It is also where a contestant's figures are judged to be its own or the tester's.

use std::{collections::BTreeMap, env, time::Duration};

use serde::{Deserialize, Serialize};

use super::rounds::{Contestant, Figures, Rounds, Standby};
use crate::{
    args::{CompareArgs, ContestArg},
    exit::Status,
    machine::Machine,
    measure::{ledger::Ledger, quantiles::Quantiles, spread::Spread, timeline::Seen},
    mode::echo,
    report::{Heading, Report, beside::EchoBeside},
};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name and version of this program.
    pub tool: String,
    /// The command line.
    pub command: Vec<String>,
    /// The machine that ran it.
    pub machine: Machine,
    /// When it began, in seconds since 1970.
    pub started_at_unix_s: f64,
    /// `compare`.
    pub mode: String,
    /// What the servers did: `echo` and so on.
    pub contest: String,
    /// Connections to each server.
    pub connections: u32,
    /// Payload bytes of a message.
    pub size_bytes: usize,
    /// Messages outstanding on each connection, or events, or messages sent at once.
    pub pipeline: u32,
    /// Messages a second asked of each server, or events of a fan-out, or connections of churn; none
    /// in a closed loop.
    pub rate_asked: Option<f64>,
    /// Where half of that was asked for: what the first server received a second in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated_rate: Option<f64>,
    /// How long a server had its turn, in milliseconds.
    pub slot_ms: f64,
    /// Slots in all, after the warm-up.
    pub slots: usize,
    /// Rounds that were to count.
    pub rounds_asked: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds after the warm-up.
    pub rounds_run: usize,
    /// A round counts if nobody waited for a CPU for more than this share of a slot.
    pub calm_percent: f64,
    /// The servers, in the order of the command line; the first is the base.
    pub contestants: Vec<Standing>,
    /// Whether all figures are the servers'.
    pub valid: bool,
    /// Why they are not.
    pub invalid_because: Vec<String>,
    /// What is worth knowing and does not make them invalid.
    pub warnings: Vec<String>,
}

/// What was found of one server. Figures are medians over the rounds that count, latencies are
/// those of all these rounds together, and ratios are to the base's slot of the same round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What it is called; `control` is the base again.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// CPU time of the server for each message, to the base's; below 1 is better.
    pub ratio: Option<Spread>,
    /// Messages a second, to the base's; above 1 is better.
    pub ratio_rate: Option<Spread>,
    /// Latency, to the base's; below 1 is better.
    pub ratio_p50: Option<Spread>,
    /// As above.
    pub ratio_p99: Option<Spread>,
    /// CPU time of the server for each message received, where its process is known.
    pub server_cpu_ns_per_message: Option<f64>,
    /// CPU time of the tester for each message received.
    pub tester_cpu_ns_per_message: f64,
    /// Messages received a second; of a fan-out, deliveries.
    pub rate: f64,
    /// The share of the time that the server was on a CPU; above 1 on several.
    pub server_busy: Option<f64>,
    /// The share of the time that it waited for one.
    pub server_waiting: Option<f64>,
    /// The share of the time that the tester's busiest thread worked.
    pub tester_busy: f64,
    /// The share of the time that the tester waited for a CPU.
    pub tester_waiting: f64,
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// Of messages that were echoed on other connections beside a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo_beside: Option<EchoBeside>,
    /// Rounds that count and in which it had its slot.
    pub rounds: usize,
    /// Connections open at the end.
    pub connections_open: u32,
    /// What became of each message, whether its round counts or not.
    pub ledger: Ledger,
    /// Failures of connections by reason.
    pub errors: BTreeMap<String, u64>,
    /// Why it was left out, if it was: no connection could be opened, or it died.
    pub failed: Option<String>,
    /// Whether the figures are the server's.
    pub valid: bool,
    /// Why they are not.
    pub invalid_because: Vec<String>,
    /// What is worth knowing and does not make them invalid.
    pub warnings: Vec<String>,
}

/// How often something was asked of each server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Times a second, in an open loop.
    pub rate: Option<f64>,
    /// What the first server did in a closed loop, if that was measured.
    pub saturated_rate: Option<f64>,
}

impl Comparison {
    /// Adds up what was seen of all contestants.
    pub fn new(
        args: &CompareArgs,
        started_at: Duration,
        contestants: Vec<Contestant>,
        testers: &[Standby],
        rounds: &Rounds,
        asked: Asked,
    ) -> Self {
        let count = contestants.len();
        let standings = contestants.into_iter().enumerate();
        let mut comparison = Self {
            tool: concat!("ringway-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: env::args().collect(),
            machine: Machine::here(),
            started_at_unix_s: started_at.as_secs_f64(),
            mode: "compare".to_owned(),
            contest: args.mode.name().to_owned(),
            connections: args.connections,
            size_bytes: args.message.size,
            pipeline: args.message.pipeline,
            rate_asked: asked.rate,
            saturated_rate: asked.saturated_rate,
            slot_ms: args.slot.as_secs_f64() * 1e3,
            slots: rounds.run * count,
            rounds_asked: args.rounds as usize,
            rounds: rounds.counted.len(),
            rounds_run: rounds.run,
            calm_percent: args.calm,
            contestants: standings
                .map(|(index, one)| {
                    let failed = testers[one.tester].as_ref().err().cloned();
                    standing(args, asked.rate, started_at, one, failed, index, rounds)
                })
                .collect(),
            valid: true,
            invalid_because: Vec::new(),
            warnings: Vec::new(),
        };
        if args.message.unstamped {
            comparison.warnings.push(echo::command::unverified());
        }
        comparison.judge(rounds);
        comparison
    }

    fn judge(&mut self, rounds: &Rounds) {
        let because = &mut self.invalid_because;
        if rounds.interrupted {
            because.push("interrupted: the run was ended by a signal".to_owned());
        }
        // Where nobody had a slot, that is said of each.
        if self.rounds == 0 && self.rounds_run > 0 {
            because.push(format!(
                "no_calm_round: in each of {} rounds, a server or a tester waited for its CPU for \
                 more than {}% of its slot; end other work, or allow more with --calm",
                self.rounds_run, self.calm_percent
            ));
        } else if (1..self.rounds_asked).contains(&self.rounds) {
            self.warnings.push(format!(
                "{} rounds count, of {} asked for: in others a server or a tester waited for its \
                 CPU for more than {}% of its slot",
                self.rounds, self.rounds_asked, self.calm_percent
            ));
        }
        for one in self.contestants.iter().filter(|one| one.failed.is_none()) {
            because.extend(one.invalid_because.iter().map(|why| format!("{}: {why}", one.name)));
        }
        self.valid = because.is_empty();
    }

    /// How the command ends.
    pub fn status(&self) -> Status {
        let has_failures = |one: &Standing| one.failed.is_some() || !one.errors.is_empty();
        if self.contestants.iter().all(|one| one.failed.is_some()) {
            Status::Failed
        } else if self.contestants.iter().any(|one| !one.ledger.is_clean()) {
            // A late tester changes times and not what became of the messages.
            Status::LedgerFaults
        } else if !self.valid {
            Status::Invalid
        } else if self.contestants.iter().any(has_failures) {
            Status::Failures
        } else {
            Status::Clean
        }
    }
}

fn standing(
    args: &CompareArgs,
    rate_asked: Option<f64>,
    started_at: Duration,
    contestant: Contestant,
    failed: Option<String>,
    index: usize,
    rounds: &Rounds,
) -> Standing {
    let Contestant { name, url, opened, pool, .. } = contestant;
    let own = || rounds.counted.iter().filter_map(move |round| round[index]);
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
        Spread::of(rounds.counted.iter().filter_map(of_round))
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
        rate_asked,
        threads: opened.threads,
        engine: opened.engine,
    };
    // A report judges whether figures are the server's.
    let mut report = Report::new(&heading, &Seen::new(), &pool.into_run(started_at), ledger);
    report.warnings.extend(opened.warning);
    report.warnings.extend(echo_beside.as_ref().and_then(EchoBeside::warning));
    let failed = failed.or(is_silent.then(|| "nothing came back".to_owned()));
    if let Some(why) = &failed {
        report.invalidate(format!("failed: {why}"));
    }
    let stay_open = args.mode != ContestArg::Churn;
    if stay_open && failed.is_none() && report.connections_open < args.connections {
        let (open, of) = (report.connections_open, args.connections);
        // Fewer connections are cheaper to serve.
        report.invalidate(format!("connections_missing: {open} of {of} connections are open"));
    }
    Standing {
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
