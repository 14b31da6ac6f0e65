//! The command `churn`, from its arguments to its exit status.

use anyhow::Result;

use super::{Churn, ChurnPlan, Churned, Farewell};
use crate::{
    args::churn::ChurnArgs,
    engine::{coordinator::Coordinator, plan::Plan},
    exit::{Status, require},
    measure::{kernel::KernelMemory, timeline::Seen},
    mode::{pace::Dial, ready},
    output::{
        self,
        progress::{Goal, Loudness, RunProgress},
    },
    prepare,
    report::Report,
    verdict,
    wire::message::{Content, Form},
};

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &ChurnArgs) -> Result<Status> {
    let common = &args.common;
    let churn = churn_plan(args)?;
    let bytes = args.echo.unwrap_or(0);
    let plan = prepare::plan(common, Form::Plain, bytes, args.duration)?;
    let heading = prepare::heading("churn", &plan, args.rate);
    let goal = Goal::Churning(args.duration);
    let mut progress = RunProgress::towards(goal, Loudness::of(&common.output));
    let mut coordinator = start(churn, plan)?;
    coordinator.await_ready(&mut progress)?;
    coordinator.await_start()?;
    let run = coordinator.measure(args.duration, &mut progress)?;
    progress.finish();
    if run.seen.received == 0 {
        return Err(ready::nothing_open(&run.seen));
    }
    let churned = sum(&run.outcomes);
    let mut report = verdict::report(&heading, &Seen::new(), &run, churned.ledger);
    describe(&mut report, churned);
    output::finish(&report, None, &run.seen, &common.output)?;
    coordinator.end();
    Ok(Status::of(&report))
}

/// The plan of a churn with these arguments.
///
/// # Errors
/// The arguments are wrong; the error says how to fix them.
pub fn churn_plan(args: &ChurnArgs) -> Result<ChurnPlan> {
    let content = Content::Binary;
    require(args.echo.is_none_or(|bytes| bytes >= content.bytes_min()), || {
        format!("--echo is too small: a message carries its number, {} bytes", content.bytes_min())
    })?;
    Ok(ChurnPlan {
        dial: Dial::new(args.rate, args.pattern()),
        farewell: if args.abrupt { Farewell::Abrupt } else { Farewell::Polite },
        echo: args.echo.map(|bytes| (content, bytes)),
    })
}

/// Starts the threads; nothing is opened before a measurement.
///
/// # Errors
/// A thread or its driver cannot be started.
pub fn start(churn: ChurnPlan, plan: Plan) -> Result<Coordinator<Churned>> {
    Coordinator::start(plan, move |share, plan| {
        Churn::new(churn.clone(), share, plan.share(share.index).1, plan.seed)
    })
}

/// The sum of the results of all threads.
pub fn sum(threads: &[Churned]) -> Churned {
    let mut sum = Churned::default();
    threads.iter().for_each(|one| sum += *one);
    sum
}

fn describe(report: &mut Report, churned: Churned) {
    report.detail("connections_begun", churned.begun as f64);
    report.detail("connections_completed", churned.completed as f64);
    report.detail("connections_per_s", report.rate);
    if report.url.starts_with("wss:") {
        report.detail("connections_resumed", churned.resumed as f64);
    }
    if report.rate_asked.is_some() {
        report.detail("connections_that_waited_for_another", churned.waited as f64);
    }
    if let Some(cpu) = report.server_cpu_ns_per_message {
        report.detail("server_cpu_ns_per_connection", cpu);
    }
    if let Some(sockets) = KernelMemory::now().sockets {
        report.detail("sockets_in_time_wait", sockets.time_wait as f64);
    }
    if churned.waited > 0 {
        report.warnings.push(format!(
            "{} connections waited for another one to end before they could begin, and this wait \
             is part of their time: allow more at a time with --connections",
            churned.waited
        ));
    }
}
