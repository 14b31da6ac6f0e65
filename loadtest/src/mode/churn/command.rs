//! The command `churn`, from its arguments to its exit status.

use anyhow::Result;

use super::{Churn, ChurnPlan, Churned, Farewell, Pace};
use crate::{
    args::churn::ChurnArgs,
    engine::conductor::Conductor,
    exit::Status,
    measure::{kernel::KernelMemory, ledger::Ledger, timeline::Seen},
    mode::ready,
    output::{
        self,
        progress::{Goal, Loudness, Progress},
    },
    prepare,
    report::Report,
    wire::message::Form,
};

/// Runs it.
///
/// # Errors
/// Nothing can be measured: what is wrong and how to mend it.
pub fn run(args: &ChurnArgs) -> Result<Status> {
    let common = &args.common;
    let pace = match args.rate {
        Some(rate) => Pace::Open { rate, pattern: args.pattern() },
        None => Pace::Closed,
    };
    let farewell = if args.abrupt { Farewell::Abrupt } else { Farewell::Polite };
    let plan = prepare::plan(common, Form::Plain, 0, args.duration)?;
    let heading = prepare::heading("churn", &plan, args.rate);
    let goal = Goal::Churning(args.duration);
    let mut progress = Progress::towards(goal, Loudness::of(&common.output));
    let mut conductor = Conductor::start(plan, move |share, plan| {
        let churn = ChurnPlan { pace, farewell };
        Churn::new(churn, share, plan.share(share.index).1, plan.seed)
    })?;
    conductor.await_ready(&mut progress)?;
    conductor.await_start()?;
    let run = conductor.measure(args.duration, &mut progress)?;
    progress.finish();
    if run.seen.received == 0 {
        return Err(ready::nothing_open(&run.seen));
    }
    let mut churned = Churned::default();
    run.outcomes.iter().for_each(|one| churned += *one);
    let mut report = Report::new(&heading, &Seen::new(), &run, Ledger::default());
    describe(&mut report, churned);
    output::finish(&report, None, &run.seen, &common.output)?;
    conductor.end();
    Ok(Status::of(&report))
}

fn describe(report: &mut Report, churned: Churned) {
    report.detail("connections_begun", churned.begun as f64);
    report.detail("connections_completed", churned.completed as f64);
    report.detail("connections_per_s", report.rate);
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
            "{} connections waited for another one's end before they could begin, which is part of \
             their time: allow more at a time with --connections",
            churned.waited
        ));
    }
}
