//! From the command line to a plan. Errors that can be found before anything is opened are reported
//! here, with their remedy.
//!
//! It opens nothing.

use std::{env, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use ringway_acceptor::{
    WaitMode, cores, descriptors,
    engine::{self, Engine, Io},
};
use ringway_tls::client::{Client, Trust};

use crate::{
    args::{CommonArgs, ConnectArgs, IoArg},
    engine::plan::{Cut, Plan, Punctuality},
    exit::{require, usage},
    measure::process,
    report::Heading,
    wire::{
        handshake::Approach,
        message::Form,
        target::{Security, Target, Unresolved},
    },
};

/// Descriptors reserved for a thread itself.
const RESERVED: u64 = 64;

/// Makes the plan of a run of `duration` with messages of `message_bytes`.
///
/// # Errors
/// The arguments are wrong, or this machine does not allow the run; the error says what to change.
pub fn plan(
    args: &CommonArgs,
    form: Form,
    message_bytes: usize,
    duration: Duration,
) -> Result<Plan> {
    let mut target = Target::parse(&args.url)
        .map_err(|error| if error.is::<Unresolved>() { error } else { usage(error) })?;
    if let Some(sources) = &args.connect.source {
        target = target.reached_from(sources.of(0));
        sources.check(target.addresses()[0]).map_err(usage)?;
    }
    let tls = tls(args, &target).map_err(usage)?;
    let approach = Approach::new(target, form)
        .with_headers(&args.connect.subprotocol, &args.connect.header)
        .map_err(usage)?;
    require(!duration.is_zero(), || "--duration must be longer than 0".to_owned())?;
    require(args.first_number.checked_add(args.connections).is_some(), || {
        format!("--first-number {} and --connections pass 2^32", args.first_number)
    })?;
    let cores = cores::exactly(&args.cores).map_err(usage)?;
    if let Some(pid) = args.pid {
        // If the process ends later, the run reports it.
        process::threads(pid).context("--pid").map_err(usage)?;
    }
    let limit = descriptors::raise_limit().context("raising the limit of open files")?;
    require(u64::from(args.connections) + RESERVED <= limit, || {
        format!(
            "{} connections take more than the {limit} open files that this process may have: \
             raise the hard limit (`ulimit -Hn`), or run several processes with --first-number \
             and --save, and `merge` them",
            args.connections
        )
    })?;
    let allowed = cores::allowed()?.len() as u32;
    let usual = if args.cores.is_empty() {
        allowed.saturating_sub(1).clamp(1, THREADS_USUAL_MAX)
    } else {
        args.cores.len() as u32
    };
    let threads = args.threads.unwrap_or(usual).clamp(1, args.connections);
    let io = match args.io {
        IoArg::Auto => Io::Auto,
        IoArg::Uring => Io::Uring,
        IoArg::Epoll => Io::Epoll,
    };
    let engine = engine::choose(io, threads as usize).map_err(|why| anyhow!("{why}"))?;
    Ok(Plan {
        approach,
        tls,
        connections: args.connections,
        first_number: args.first_number,
        sources: args.connect.source,
        ramp: args.connect.ramp,
        threads,
        cores,
        engine,
        wait: WaitMode::Latency,
        punctuality: Punctuality::default(),
        message_bytes,
        handshake_time_max: args.connect.handshake_timeout,
        duration,
        start_at: args.start_at,
        drain_time_max: args.drain,
        server_pid: args.pid,
        seed: args.seed,
        cursor: None,
        cut: Cut::default(),
    })
}

fn tls(args: &CommonArgs, target: &Target) -> Result<Option<Client>> {
    let ConnectArgs { ca, insecure, resume, .. } = &args.connect;
    if target.security() == Security::Plain {
        ensure!(
            ca.is_none() && !insecure && !resume,
            "--ca, --insecure and --resume are for wss://, and {target} is not encrypted"
        );
        return Ok(None);
    }
    let trust = match ca {
        Some(path) => Trust::File(path.clone()),
        None if *insecure => Trust::Anybody,
        None => Trust::System,
    };
    let client = Client::new(target.host(), &trust)
        .with_context(|| format!("TLS with {target}; see also --ca and --insecure"))?;
    Ok(Some(if *resume { client.resuming() } else { client }))
}

/// The most threads by default; the user can set more.
const THREADS_USUAL_MAX: u32 = 8;

/// The part of a report that is known before the run.
pub fn heading(mode: &'static str, plan: &Plan, rate_asked: Option<f64>) -> Heading {
    let engine = match &plan.engine {
        Engine::Uring(_) => "io_uring",
        Engine::Epoll { .. } => "epoll",
    };
    Heading {
        command: env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        mode,
        url: plan.approach.target().url().to_owned(),
        connections: plan.connections,
        rate_asked,
        threads: plan.threads,
        engine: engine.to_owned(),
    }
}
