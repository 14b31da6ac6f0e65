//! The command `sweep`, from its arguments to its exit status.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    curve,
    search::Search,
    step::{Purpose, judge},
};
use crate::{
    args::{EchoArgs, SweepArgs},
    engine::{coordinator::Coordinator, signal},
    exit::Status,
    measure::{ledger::Ledger, timeline::Seen},
    mode::{echo, pace::Dial, ready},
    output::{
        self,
        progress::{Loudness, RunProgress},
        table::{self, time},
    },
    prepare,
    report::{
        Heading, Report,
        step::{Limit, Step},
    },
    verdict,
};

/// The confirming step is this many times as long.
const CONFIRM_FACTOR: u32 = 3;

/// The most rates to confirm, each lower than the previous one by the precision.
const CONFIRMATIONS_MAX: u32 = 8;

/// How often a step that the tester limited is tried.
const TESTER_TRIES_MAX: u32 = 3;

/// After an overload, the pause is this many times as long as usual.
const REST_FACTOR: u32 = 4;

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &SweepArgs) -> Result<Status> {
    let echo = EchoArgs { common: args.common.clone(), traffic: args.traffic() };
    let plan = echo::command::plan(&echo)?;
    let heading = prepare::heading("sweep", &plan, Some(args.from));
    let mut progress = RunProgress::new(args.step, Loudness::of(&args.common.output));
    let echo_plan = echo::command::echo_plan(&echo.traffic)?;
    let dial = echo_plan.dial.clone();
    let mut coordinator = echo::command::start(echo_plan, plan)?;
    let mut opening = ready::await_connections(&mut coordinator, &mut progress)?;
    // Failures while opening belong to the sweep, and not to the first step.
    let failures = std::mem::take(&mut opening.errors);
    let mut sweep = Sweep {
        args,
        coordinator,
        dial,
        heading,
        opening,
        progress,
        steps: Vec::new(),
        last: Seen::new(),
    };
    let (mut report, ending) = sweep.run()?;
    sweep.progress.finish();
    sweep.coordinator.end();
    conclude(&mut report, sweep.steps, &ending, args);
    for (reason, count) in failures {
        *report.errors.entry(reason.to_string()).or_default() += count;
    }
    let output = &args.common.output;
    output::finish_with(
        &report,
        || render(&report, args.p99),
        output,
        || output::save_only(&report, Some(&sweep.opening), &sweep.last, output),
    )?;
    Ok(match (&ending, Status::of(&report)) {
        (Ending::Nothing, Status::Clean) => Status::Failures,
        (_, status) => status,
    })
}

/// The name of the result in the report's details.
const HIGHEST: &str = "highest_rate_per_s";

/// The name of the server's lowest possible result, if the tester was the limit.
const AT_LEAST: &str = "at_least_rate_per_s";

/// How a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    /// This is the highest rate that passed.
    Found { rate: f64, is_at_bound: bool },
    /// A rate that passed a step failed the longer one, and so did somewhat lower rates.
    Unsteady,
    /// No rate passed.
    Nothing,
    /// The tester cannot send more.
    Tester,
    /// A signal ended the sweep.
    Interrupted,
}

struct Sweep<'a> {
    args: &'a SweepArgs,
    coordinator: Coordinator<Ledger>,
    dial: Dial,
    heading: Heading,
    opening: Seen,
    progress: RunProgress,
    steps: Vec<Step>,
    /// The figures of the last step.
    last: Seen,
}

impl Sweep<'_> {
    /// Searches, then confirms. Returns the report of the confirming step, or of the last one.
    fn run(&mut self) -> Result<(Report, Ending)> {
        let mut search = Search::new(self.args.from, self.args.to, self.args.precision);
        let mut last = None;
        while let Some(rate) = search.next_rate() {
            let report = self.step(rate, Purpose::Search)?;
            let limit = self.steps.last().map_or(Limit::None, |step| step.limit);
            last = Some(report);
            match limit {
                _ if signal::seen().is_some() => break,
                Limit::None => search.pass(rate),
                Limit::Server => search.fail(rate),
                Limit::Tester => break,
            }
        }
        let ending = self.ending(&search);
        if let (Some(report), Some(ending)) = (last, ending) {
            return Ok((report, ending));
        }
        self.confirm(&search)
    }

    /// The result of the search, if there is nothing to confirm.
    fn ending(&self, search: &Search) -> Option<Ending> {
        let last = self.steps.last().map_or(Limit::None, |step| step.limit);
        match search.highest() {
            _ if signal::seen().is_some() => Some(Ending::Interrupted),
            _ if last == Limit::Tester => Some(Ending::Tester),
            None => Some(Ending::Nothing),
            Some(_) => None,
        }
    }

    fn confirm(&mut self, search: &Search) -> Result<(Report, Ending)> {
        let mut rate = search.highest().unwrap_or(self.args.from);
        for tried in 1.. {
            let report = self.step(rate, Purpose::Confirm)?;
            let limit = self.steps.last().map_or(Limit::None, |step| step.limit);
            let ending = match limit {
                _ if signal::seen().is_some() => Ending::Interrupted,
                Limit::None => {
                    Ending::Found { rate, is_at_bound: search.is_at_bound() && tried == 1 }
                }
                Limit::Tester => Ending::Tester,
                Limit::Server if tried >= CONFIRMATIONS_MAX => Ending::Unsteady,
                Limit::Server => {
                    rate /= 1.0 + self.args.precision;
                    continue;
                }
            };
            return Ok((report, ending));
        }
        unreachable!("the loop has no end of its own")
    }

    /// Tries one rate, again if it fails: one failure may be chance, and a tester that was late
    /// once is not at its limit.
    fn step(&mut self, rate: f64, purpose: Purpose) -> Result<Report> {
        let time = match purpose {
            Purpose::Search => self.args.step,
            Purpose::Confirm => self.args.step * CONFIRM_FACTOR,
        };
        let (mut too_much, mut late) = (0, 0);
        loop {
            self.dial.set(Some(rate));
            let run = self.coordinator.measure(time, &mut self.progress)?;
            self.heading.rate_asked = Some(rate);
            let report =
                verdict::report(&self.heading, &self.opening, &run, Ledger::sum(&run.outcomes));
            self.last = run.seen;
            let step = judge(&report, time, self.args.p99, purpose);
            self.tell(&step);
            let limit = step.limit;
            self.steps.push(step);
            match limit {
                Limit::None => self.rest(self.args.settle),
                _ => self.rest(self.args.settle * REST_FACTOR),
            }
            match limit {
                Limit::Server => too_much += 1,
                Limit::Tester => late += 1,
                Limit::None => return Ok(report),
            }
            let is_over = too_much >= self.args.tries || late >= TESTER_TRIES_MAX;
            if is_over || signal::seen().is_some() {
                return Ok(report);
            }
        }
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && signal::seen().is_none() {
            thread::sleep(until.saturating_duration_since(Instant::now()).min(self.args.settle));
        }
    }

    fn tell(&self, step: &Step) {
        if !self.args.common.output.quiet {
            self.progress.say(&line(step));
        }
    }
}

/// Adds the result of the sweep to the report of the last step.
fn conclude(report: &mut Report, steps: Vec<Step>, ending: &Ending, args: &SweepArgs) {
    let passed = steps.iter().filter(|step| step.passed).map(|step| step.rate_asked);
    let passed = passed.reduce(f64::max);
    report.steps = Some(steps);
    let details = &mut report.details;
    details.insert("p99_allowed_us".to_owned(), args.p99.as_secs_f64() * 1e6);
    match *ending {
        Ending::Found { rate, is_at_bound } => {
            details.insert(HIGHEST.to_owned(), rate);
            // Messages that were in time although the tester was late would also be in time without
            // its delay.
            report.warnings.append(&mut report.invalid_because);
            report.valid = true;
            if is_at_bound {
                report.warnings.push("no rate up to --to was too much".to_owned());
            }
        }
        Ending::Unsteady => report.invalidate(
            "unsteady: rates that held for a step did not hold for three; use a longer --step, or \
             end other work of the machine"
                .to_owned(),
        ),
        Ending::Nothing => {
            report.warnings.push("even the lowest rate was too much for the server".to_owned());
        }
        Ending::Tester => {
            if let Some(rate) = passed {
                details.insert(AT_LEAST.to_owned(), rate);
            }
            report.invalidate(
            "tester: this is the limit of the tester or of this machine, not the server's; use more \
             --threads or several processes, or end other work on this machine"
                .to_owned(),
        )
        }
        // The report says so already, unless the signal arrived between two steps.
        Ending::Interrupted if report.valid => {
            report.invalidate("interrupted: the run was ended by a signal".to_owned());
        }
        Ending::Interrupted => {}
    }
}

fn render(report: &Report, p99_max: Duration) -> String {
    let steps = report.steps.as_deref().unwrap_or_default();
    let mut out: String = steps.iter().map(|step| line(step) + "\n").collect();
    out += &curve::draw(steps, p99_max.as_secs_f64() * 1e6);
    out += &table::render(report);
    out += &match (report.details.get(HIGHEST), report.details.get(AT_LEAST)) {
        (Some(rate), _) => format!("highest    {rate:.0}/s with a p99 under {p99_max:?}\n"),
        (None, Some(rate)) => {
            format!("highest    at least {rate:.0}/s, the highest that the tester can send\n")
        }
        (None, None) => "highest    none was found\n".to_owned(),
    };
    out
}

/// One line for a step.
fn line(step: &Step) -> String {
    let purpose = if step.confirms { "confirming " } else { "" };
    let cpu = step.server_cpu_ns_per_message.map(|cpu| format!(", {cpu:.0} ns of CPU each"));
    let ending = match step.limit {
        Limit::None => "passed".to_owned(),
        Limit::Server => format!("too much: {}", step.why.join(", ")),
        Limit::Tester => format!("the tester was late: {}", step.why.join(", ")),
    };
    format!(
        "{purpose}{:.0}/s: {:.0}/s came back, p50 {}, p99 {}, p99.9 {}{}; {ending}",
        step.rate_asked,
        step.rate,
        time(step.p50_us),
        time(step.p99_us),
        time(step.p99_9_us),
        cpu.unwrap_or_default()
    )
}
