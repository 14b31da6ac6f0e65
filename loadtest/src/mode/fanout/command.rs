//! The command `fanout`, from its arguments to its exit status.

use anyhow::Result;

use super::{
    participants::{FanoutRun, Participants},
    plans::Plans,
    sides::Received,
    spread::{Spread, Spreads},
};
use crate::{
    args::fanout::FanoutArgs,
    exit::Status,
    measure::{
        ledger::Ledger,
        quantiles::{Quantiles, Times},
        run::Run,
        timeline::Seen,
    },
    output::{
        self,
        progress::{Loudness, RunProgress},
    },
    prepare,
    report::{Heading, Report, beside::EchoBeside},
    verdict,
};

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &FanoutArgs) -> Result<Status> {
    let plans = Plans::new(args)?;
    let plan = &plans.subscribers;
    let events_asked = (!args.closed).then_some(args.rate);
    let deliveries_asked = events_asked.map(|rate| rate * f64::from(plan.connections));
    let heading = prepare::heading("fanout", plan, deliveries_asked);
    let mut progress = RunProgress::new(args.duration, Loudness::of(&args.common.output));
    let mut participants = Participants::start(plans)?;
    let mut opening = participants.open(&mut progress)?;
    let warning = participants.probe(args.common.drain, &mut opening)?;
    participants.await_start()?;
    let mut run = participants.measure(args.duration, &mut progress)?;
    progress.finish();
    let report = report(&heading, &opening, &mut run, warning);
    output::finish(&report, Some(&opening), &run.received.seen, &args.common.output)?;
    participants.end();
    Ok(Status::of(&report))
}

fn report(
    heading: &Heading,
    opening: &Seen,
    run: &mut FanoutRun,
    warning: Option<String>,
) -> Report {
    let ledger = run.settle();
    let FanoutRun { received, published, echo } = run;
    let mut report = verdict::report(heading, opening, received, ledger);
    let Some(all_published) = published.outcomes.first() else { return report };
    let tables: Vec<&Spread> = received.outcomes.iter().map(|one| &one.spread).collect();
    let Spreads { times, complete, incomplete } = Spread::together(&tables, &all_published.owed);
    let seconds = report.elapsed_s;
    let sum = |of: fn(&Received) -> u64| received.outcomes.iter().map(of).sum::<u64>() as f64;
    let mut note = |name: &str, value: f64| {
        report.details.insert(name.to_owned(), value);
    };
    note("events", all_published.events as f64);
    note("events_per_s", all_published.events as f64 / seconds);
    note("events_complete", complete as f64);
    note("events_incomplete", incomplete as f64);
    note("events_behind", all_published.behind as f64);
    note("deliveries_per_s", report.rate);
    note("deliveries_due_while_away", sum(|one| one.away));
    note("foreign_events", sum(|one| one.foreign));
    note("other_messages", sum(|one| one.others));
    note("publishers_open", f64::from(published.open));
    note("publisher_messages", all_published.others as f64);
    note("stalls", all_published.stalls as f64);
    quantiles(&mut note, "spread_us", &times);
    quantiles(&mut note, "publish_ack_us", &published.seen.latencies);
    if let Some(echo) = echo {
        describe_echo(&mut report, echo);
    }
    report.warnings.extend(warning);
    if all_published.behind > 0 {
        report.warnings.push(format!(
            "events_behind: {} events were due and not published, as each publisher awaits the \
             response before its next event; use more --publishers, or a lower --rate",
            all_published.behind
        ));
    }
    if all_published.stalls > 0 {
        report.warnings.push(format!(
            "stalls: {} times nothing was delivered for a second, and the outstanding events were \
             given up",
            all_published.stalls
        ));
    }
    report
}

/// Adds the latencies of echoes during the fan-out, and how much of them may be the tester's own
/// delay.
fn describe_echo(report: &mut Report, echo: &Run<Ledger>) {
    let beside = EchoBeside::of(&echo.seen);
    let EchoBeside { latency_us, own_delay_p99_us } = &beside;
    report.detail("echo_sent", echo.seen.sent as f64);
    report.detail("echo_received", echo.seen.received as f64);
    for (name, value) in [
        ("echo_us_p50", latency_us.p50),
        ("echo_us_p99", latency_us.p99),
        ("echo_us_max", latency_us.max),
        ("echo_own_delay_us_p99", *own_delay_p99_us),
    ] {
        report.detail(name, value);
    }
    report.warnings.extend(beside.warning());
}

fn quantiles(note: &mut impl FnMut(&str, f64), name: &str, times: &Times) {
    if times.is_empty() {
        return;
    }
    let Quantiles { p50, p99, max, .. } = Quantiles::of(times);
    for (quantile, value) in [("p50", p50), ("p99", p99), ("max", max)] {
        note(&format!("{name}_{quantile}"), value);
    }
}
