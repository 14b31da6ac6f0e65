//! The command `echo`, from its arguments to its exit status.

use std::sync::Arc;

use anyhow::{Context, Result};
use ringway_acceptor::WaitMode;

use super::{
    Echo, EchoPlan, Marking,
    unstamped::{SAMPLE_INTERVAL, Unstamped},
};
use crate::{
    args::{EchoArgs, TrafficArgs},
    engine::{coordinator::Coordinator, plan::Plan, table::Clock},
    exit::{Status, require, usage},
    measure::ledger::Ledger,
    mode::{pace::Dial, ready},
    output::{
        self,
        progress::{Loudness, RunProgress},
    },
    prepare, verdict,
    wire::{message::Form, template::Template},
};

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &EchoArgs) -> Result<Status> {
    let (common, traffic) = (&args.common, &args.traffic);
    let plan = plan(args)?;
    let heading = prepare::heading("echo", &plan, (!traffic.closed).then_some(traffic.rate));
    let mut progress = RunProgress::new(traffic.duration, Loudness::of(&common.output));
    let mut coordinator = start(echo_plan(traffic)?, plan)?;
    let opening = ready::await_connections(&mut coordinator, &mut progress)?;
    let run = coordinator.measure(traffic.duration, &mut progress)?;
    progress.finish();
    let mut report = verdict::report(&heading, &opening, &run, Ledger::sum(&run.outcomes));
    if traffic.message.unstamped {
        report.warnings.push(unverified());
    }
    if report.ledger.sent > 0 && report.ledger.received == 0 {
        report.warnings.push(no_echo(run.seen.foreign.as_deref()));
    }
    output::finish(&report, Some(&opening), &run.seen, &common.output)?;
    coordinator.end();
    Ok(Status::of(&report))
}

/// What a run without stamps does not verify.
pub fn unverified() -> String {
    format!(
        "unstamped: no latency is measured, and of each reply only the kind and the length are \
         checked, and the bytes of one in {SAMPLE_INTERVAL}; their order is not checked, and a \
         repeated reply counts as the next one"
    )
}

/// Advice for a server that sends nothing back.
fn no_echo(foreign: Option<&str>) -> String {
    let came = foreign.map_or("nothing came".to_owned(), |text| format!("`{text}` came instead"));
    format!(
        "no_echo: no message came back, and {came}: the server does not send to a client what that \
         client sent; check the path in --url, try --text, say what the server understands with \
         --message, or use `fanout` for a server that sends to others"
    )
}

/// The plan of a run with these arguments.
///
/// # Errors
/// The arguments are wrong; the error says how to fix them.
pub fn plan(args: &EchoArgs) -> Result<Plan> {
    let (traffic, message) = (&args.traffic, &args.traffic.message);
    let bytes_min = message.bytes_min();
    require(message.size >= bytes_min, || {
        format!(
            "--size {} is too small: a message carries its connection, number and time, {bytes_min} \
             bytes",
            message.size
        )
    })?;
    let message_bytes = match echo_plan(traffic)?.template {
        Some(template) => template.draft(u32::MAX).bytes(),
        None => message.size,
    };
    let form = if message.deflate { Form::Compressed } else { Form::Plain };
    let mut plan = prepare::plan(&args.common, form, message_bytes, traffic.duration)?;
    if traffic.closed {
        let outstanding =
            u64::from(plan.connections) * u64::from(message.pipeline) * message_bytes as u64;
        require(outstanding <= OUTSTANDING_BYTES_MAX, || {
            format!(
                "--connections times --pipeline times --size are {} MiB outstanding, and at most \
                 {} MiB are allowed: if the server does not read, all of it stays in the tester's \
                 memory",
                outstanding >> 20,
                OUTSTANDING_BYTES_MAX >> 20
            )
        })?;
        // The latencies of a closed loop mean little, so fewer wake-ups are better.
        plan.wait = WaitMode::Adaptive;
    }
    Ok(plan)
}

/// The most bytes that may be outstanding in a closed loop.
const OUTSTANDING_BYTES_MAX: u64 = 2 << 30;

/// Starts the threads, which start opening connections.
///
/// # Errors
/// A thread or its driver cannot be started.
pub fn start(echo: EchoPlan, plan: Plan) -> Result<Coordinator<Ledger>> {
    start_by(Clock::start(), echo, plan)
}

/// Does the same with a clock that other threads already use.
///
/// # Errors
/// A thread or its driver cannot be started.
pub fn start_by(clock: Clock, echo: EchoPlan, plan: Plan) -> Result<Coordinator<Ledger>> {
    if echo.marking == Marking::Unstamped {
        return Coordinator::start_by(clock, plan, move |share, plan| {
            Unstamped::new(&echo, plan.share(share.index).1)
        });
    }
    Coordinator::start_by(clock, plan, move |share, plan| {
        Echo::new(echo.clone(), share, plan.share(share.index).1, plan.seed)
    })
}

/// The plan of an echo with these arguments.
///
/// # Errors
/// The template has no place for a message.
pub fn echo_plan(traffic: &TrafficArgs) -> Result<EchoPlan> {
    let message = &traffic.message;
    require(traffic.closed || !message.unstamped, || {
        "--unstamped is for a closed loop: without stamps there are no latencies, which are what an \
         open loop is for; add --closed"
            .to_owned()
    })?;
    let template = message.message.as_deref().map(|text| Template::parse(text, message.size));
    let template = template.transpose().context("--message").map_err(usage)?;
    let plan = EchoPlan {
        dial: Dial::new((!traffic.closed).then_some(traffic.rate), traffic.pattern()),
        pipeline: message.pipeline,
        content: message.content(),
        bytes: message.size,
        template: template.map(Arc::new),
        marking: if message.unstamped { Marking::Unstamped } else { Marking::Stamped },
    };
    require(plan.pipeline == 1 || plan.addressed().is_none(), || {
        "--pipeline is for messages that come back: those to others have no order to check"
            .to_owned()
    })?;
    Ok(plan)
}
