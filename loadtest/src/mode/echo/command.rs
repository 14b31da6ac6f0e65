//! The command `echo`, from its arguments to its exit status.

use anyhow::Result;
use ringway_acceptor::WaitMode;

use super::{Echo, EchoPlan, Pace};
use crate::{
    args::{EchoArgs, TrafficArgs},
    engine::{conductor::Conductor, plan::Plan},
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
    let plan = plan(args)?;
    let heading = prepare::heading("echo", &plan, (!traffic.closed).then_some(traffic.rate));
    let mut progress = Progress::new(traffic.duration, Loudness::of(&common.output));
    let mut conductor = start(args, plan)?;
    let opening = ready::await_connections(&mut conductor, &mut progress)?;
    let run = conductor.measure(traffic.duration, &mut progress)?;
    progress.finish();
    let report = Report::new(&heading, &opening, &run, Ledger::sum(&run.outcomes));
    output::finish(&report, Some(&opening), &run.seen, &common.output)?;
    conductor.end();
    Ok(Status::of(&report))
}

/// The plan of a run with these arguments.
///
/// # Errors
/// What is wrong with them, and how to mend it.
pub fn plan(args: &EchoArgs) -> Result<Plan> {
    let traffic = &args.traffic;
    let content = traffic.content();
    require(traffic.size >= content.bytes_min(), || {
        format!(
            "--size {} is too small: a message carries its connection, number and time, {} bytes",
            traffic.size,
            content.bytes_min()
        )
    })?;
    let form = if traffic.deflate { Form::Compressed } else { Form::Plain };
    let mut plan = prepare::plan(&args.common, form, traffic.size, traffic.duration)?;
    if traffic.closed {
        let outstanding =
            u64::from(plan.connections) * u64::from(traffic.pipeline) * traffic.size as u64;
        require(outstanding <= OUTSTANDING_BYTES_MAX, || {
            format!(
                "--connections times --pipeline times --size are {} MiB outstanding, and may be \
                 {} MiB: a server that does not read would leave them all to the tester's memory",
                outstanding >> 20,
                OUTSTANDING_BYTES_MAX >> 20
            )
        })?;
        // Its latencies say little, so wake-ups may be saved.
        plan.wait = WaitMode::Adaptive;
    }
    Ok(plan)
}

/// What a closed loop may have under way.
const OUTSTANDING_BYTES_MAX: u64 = 2 << 30;

/// Starts the threads, which begin to open connections.
///
/// # Errors
/// A thread or its driver cannot be had.
pub fn start(args: &EchoArgs, plan: Plan) -> Result<Conductor<Ledger>> {
    let echo = echo_plan(&args.traffic);
    Conductor::start(plan, move |share, plan| {
        Echo::new(echo, share, plan.share(share.index).1, plan.seed)
    })
}

/// What is echoed with these arguments.
pub fn echo_plan(traffic: &TrafficArgs) -> EchoPlan {
    EchoPlan {
        pace: if traffic.closed {
            Pace::Closed
        } else {
            Pace::Open { rate: traffic.rate, pattern: traffic.pattern() }
        },
        pipeline: traffic.pipeline,
        content: traffic.content(),
        bytes: traffic.size,
    }
}
