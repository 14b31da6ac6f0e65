//! The command `calibrate`, from its arguments to its exit status.

use anyhow::{Context, Result};
use ringway_acceptor::cores;

use super::{BYTES_MIN, Calibration, Errors, cost, echo::Site};
use crate::{
    args::{CalibrateArgs, CommonArgs},
    engine::coordinator::Coordinator,
    exit::{Status, require},
    measure::{quantiles::Quantiles, run::Run},
    mode::ready,
    output::{
        self,
        progress::{Loudness, RunProgress},
    },
    prepare, verdict,
    wire::message::Form,
};

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &CalibrateArgs) -> Result<Status> {
    if args.cost.echo_url.is_some() {
        return cost::run(args);
    }
    require(args.size >= BYTES_MIN, || {
        format!("--size {} is too small: a message carries {BYTES_MIN} bytes of times", args.size)
    })?;
    let (tester_core, echo_core) = two_cores(args)?;
    let site = Site::choose()?;
    let common = CommonArgs {
        cores: vec![tester_core],
        threads: Some(1),
        connections: args.connections,
        io: args.io,
        ..CommonArgs::of(&format!("ws://{}/", site.address()?))
    };
    let plan = prepare::plan(&common, Form::Plain, args.size, args.duration)?;
    let heading = prepare::heading("calibrate", &plan, Some(args.rate));
    let loudness = if args.output.quiet { Loudness::Quiet } else { Loudness::Usual };
    let mut progress = RunProgress::new(args.duration, loudness);
    let (rate, size) = (args.rate, args.size);
    let mut coordinator = Coordinator::start(plan, move |_, _| Calibration::new(rate, size))?;
    let echo = site.start(echo_core, coordinator.clock())?;
    let opening = ready::await_connections(&mut coordinator, &mut progress)?;
    let mut slots = Vec::new();
    let mut runs: Vec<(f64, Run<Errors>)> = Vec::new();
    for _ in 0..args.slots {
        let run = coordinator.measure(args.duration, &mut progress)?;
        let found = run.outcomes.first().context("a thread without an outcome")?;
        let p99 = Quantiles::of(&found.total).p99;
        slots.push(p99);
        runs.push((p99, run));
    }
    progress.finish();
    // Each latency includes two passes through the kernel, on any tester.
    let pass_us = Quantiles::of(&echo.end()).p50;
    // The median run: the best one would flatter this machine.
    runs.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (_, run) = runs.swap_remove(runs.len() / 2);
    let found = &run.outcomes[0];
    let mut report = verdict::report(&heading, &opening, &run, found.ledger);
    report.details.insert("pass_p50_us".to_owned(), tenth(pass_us));
    for (name, times, passes) in [
        ("error", &found.total, 2.0),
        ("error_out", &found.out, 1.0),
        ("error_back", &found.back, 1.0),
    ] {
        let times = Quantiles::of(times);
        for (quantile, us) in [
            ("p50", times.p50),
            ("p90", times.p90),
            ("p99", times.p99),
            ("p99_9", times.p99_9),
            ("max", times.max),
        ] {
            let error = tenth(us - passes * pass_us);
            report.details.insert(format!("{name}_{quantile}_us"), error);
        }
    }
    for (slot, p99) in slots.iter().enumerate() {
        let error = tenth(p99 - 2.0 * pass_us);
        report.details.insert(format!("slot_{slot:02}_error_p99_us"), error);
    }
    let (error, within) = (report.details["error_p99_us"], args.within.as_secs_f64() * 1e6);
    if error > within {
        report.invalidate(format!(
            "error_above_limit: the tester's own error is {error:.1} us at p99, and may be \
             {within:.0}; leave it a core without other work"
        ));
    }
    output::finish(&report, Some(&opening), &run.seen, &args.output)?;
    coordinator.end();
    Ok(Status::of(&report))
}

/// Rounds to a tenth; negative values become 0.
fn tenth(us: f64) -> f64 {
    (us.max(0.0) * 10.0).round() / 10.0
}

/// The tester's core and the echo server's.
fn two_cores(args: &CalibrateArgs) -> Result<(usize, usize)> {
    let allowed = cores::allowed()?;
    let (tester, echo) = match *args.cores {
        [] => (allowed[allowed.len() - 1], allowed[0]),
        [tester] => {
            (tester, allowed.iter().copied().find(|core| *core != tester).unwrap_or(tester))
        }
        [tester, echo, ..] => (tester, echo),
    };
    require(tester != echo, || {
        "calibrating takes two cores, one of them for the echo; give them as --cores 1,0".to_owned()
    })?;
    Ok((tester, echo))
}
