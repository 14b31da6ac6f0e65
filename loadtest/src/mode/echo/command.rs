//! The command `echo`, from its arguments to its exit status.

use anyhow::Result;
use ringway_acceptor::WaitMode;

use super::{Echo, EchoPlan, Pace};
use crate::{
    args::EchoArgs,
    engine::conductor::Conductor,
    exit::{Status, require},
    measure::ledger::Ledger,
    mode::ready,
    output::{
        self,
        progress::{Loudness, Progress},
    },
    prepare,
    report::Report,
    wire::message::Form,
};

/// Runs it.
///
/// # Errors
/// Nothing can be measured: what is wrong and how to mend it.
pub fn run(args: &EchoArgs) -> Result<Status> {
    let (common, traffic) = (&args.common, &args.traffic);
    let content = traffic.content();
    require(traffic.size >= content.bytes_min(), || {
        format!(
            "--size {} is too small: a message carries its connection, number and time, {} bytes",
            traffic.size,
            content.bytes_min()
        )
    })?;
    let echo = EchoPlan {
        pace: if traffic.closed {
            Pace::Closed
        } else {
            Pace::Open { rate: traffic.rate, pattern: traffic.pattern() }
        },
        pipeline: traffic.pipeline,
        content,
        bytes: traffic.size,
    };
    let form = if traffic.deflate { Form::Compressed } else { Form::Plain };
    let mut plan = prepare::plan(common, form, traffic.size, traffic.duration)?;
    if traffic.closed {
        // Its latencies say little, so wake-ups may be saved.
        plan.wait = WaitMode::Adaptive;
    }
    let heading = prepare::heading("echo", &plan, (!traffic.closed).then_some(traffic.rate));
    let loudness = if common.output.quiet { Loudness::Quiet } else { Loudness::Usual };
    let mut progress = Progress::new(traffic.duration, loudness);
    let mut conductor = Conductor::start(plan, move |share, plan| {
        Echo::new(echo, share, plan.share(share.index).1, plan.seed)
    })?;
    let opening = ready::await_connections(&mut conductor, &mut progress)?;
    let run = conductor.measure(traffic.duration, &mut progress)?;
    progress.finish();
    let ledger = run.outcomes.iter().fold(Ledger::default(), |mut sum, one| {
        sum += *one;
        sum
    });
    let report = Report::new(&heading, &opening, &run, ledger);
    output::show(&report, &common.output)?;
    conductor.end();
    Ok(Status::of(&report))
}
