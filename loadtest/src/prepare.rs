//! From the command line to a plan: what can be known to be wrong before anything is opened is
//! said here, and how to mend it.
//!
//! It opens nothing.

use std::{
    env,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, ensure};
use ringway_acceptor::{
    cores, descriptors,
    engine::{self, Engine, Io},
};

use crate::{
    args::{CommonArgs, IoArg},
    engine::plan::{Cut, Plan},
    report::Heading,
    wire::{message::Form, opening::Approach, target::Target},
};

/// Descriptors that a thread takes for itself.
const RESERVED: u64 = 64;

/// The plan of a run of `duration` with messages of `message_bytes`.
///
/// # Errors
/// What is wrong with the arguments or this machine, and how to mend it.
pub fn plan(
    args: &CommonArgs,
    form: Form,
    message_bytes: usize,
    duration: Duration,
) -> Result<Plan> {
    let target = Target::parse(&args.url)?;
    let approach = Approach::new(target, form).with_headers(&args.subprotocol, &args.header)?;
    let limit = descriptors::raise_limit().context("raising the limit of open files")?;
    ensure!(
        u64::from(args.connections) + RESERVED <= limit,
        "{} connections take more than the {limit} open files that this process may have: raise \
         the hard limit (`ulimit -Hn`), or run several processes with --first-number and --save, \
         and `merge` them",
        args.connections
    );
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
        connections: args.connections,
        first_number: args.first_number,
        sources: args.source,
        ramp: args.ramp,
        threads,
        cores: cores::exactly(&args.cores)?,
        engine,
        message_bytes,
        handshake_time_max: args.handshake_timeout,
        duration,
        drain_time_max: args.drain,
        server_pid: args.pid,
        seed: args.seed,
        cut: Cut::default(),
    })
}

/// More threads are for those who ask for them.
const THREADS_USUAL_MAX: u32 = 8;

/// What a report says of this run before it is made.
pub fn heading(mode: &'static str, plan: &Plan, rate_asked: Option<f64>) -> Heading {
    let engine = match &plan.engine {
        Engine::Uring(_) => "io_uring",
        Engine::Epoll { .. } => "epoll",
    };
    Heading {
        command: env::args().collect(),
        mode,
        url: plan.approach.target().url().to_owned(),
        connections: plan.connections,
        rate_asked,
        threads: plan.threads,
        engine: engine.to_owned(),
        started_at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    }
}
