//! How much of a gateway's memory does an idle client take?
//!
//! Resident memory is read while 1,000 connections are open, and again when thousands more
//! are: the difference is theirs alone, without what any gateway has from its start.

#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use ringway_acceptor::descriptors;
use ringway_benches::{
    audience::Audience,
    crowd::Crowd,
    gateway::binary_beside_this_one,
    memory,
    opening::{Link, Target},
    traffic::{Content, Traffic},
    visit::{Route, Visit},
};

/// Open while memory is first read, so that tables and allocators have what they always have.
const BASE_CONNECTIONS: usize = 1000;

/// A poll is held for as long as the memory is looked at.
const LONG_POLLS: [&str; 1] = ["http.poll_wait_max=1h"];

/// Payload bytes of the message that `--echo` sends.
const ECHO_BYTES: usize = 64;

/// Measure the server's resident memory per idle client, on both engines
#[derive(Debug, Parser)]
struct Args {
    /// Idle connections
    #[arg(long, default_value_t = 9000)]
    connections: usize,
    /// Fail when an engine takes more bytes for a connection
    #[arg(long)]
    max: Option<u64>,
    /// Clients of the hub, each with a name of its own and one subscription, on this transport
    /// [default: WebSockets of /echo, without any]
    #[arg(long, value_enum, conflicts_with_all = ["echo", "size"])]
    route: Option<Route>,
    /// What clients of the hub are subscribed to
    #[arg(long, value_enum, default_value = "own", requires = "route")]
    topic: Topics,
    /// Each connection has had a message echoed before it is idle
    #[arg(long)]
    echo: bool,
    /// Payload bytes of that message
    #[arg(long, default_value_t = ECHO_BYTES)]
    size: usize,
    /// The ringway binary [default: the one beside this one]
    #[arg(long)]
    server: Option<PathBuf>,
    /// The server's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
}

/// What clients are subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Topics {
    /// Each to a topic of its own.
    Own,
    /// All to the same one.
    Shared,
}

/// Connections that are kept open.
enum Idle {
    Echo { _crowd: Box<Crowd> },
    Hub { _audience: Audience },
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.connections > 0, "at least one connection");
    descriptors::raise_limit()?;
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => binary_beside_this_one()?,
    };
    println!(
        "{:<8} {:>12} {:>20} {:>20}",
        "server", "connections", "resident each", "anonymous each"
    );
    let mut is_good = true;
    for io in ["epoll", "uring"] {
        let (resident, anonymous) = measure(&args, &binary, io)?;
        println!("{io:<8} {:>12} {resident:>18} B {anonymous:>18} B", args.connections);
        is_good &= args.max.is_none_or(|max| resident <= max);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Resident and anonymous bytes for each connection.
fn measure(args: &Args, binary: &Path, io: &str) -> Result<(u64, u64)> {
    let gateway = memory::start(binary, args.server_core, io, &LONG_POLLS)?;
    let target = Target::parse(gateway.url())?;
    drop(open(args, &target, 0, BASE_CONNECTIONS)?);
    memory::settle(&gateway)?;
    let _base = open(args, &target, 0, BASE_CONNECTIONS)?;
    let before = memory::settle(&gateway)?;
    let _idle = open(args, &target, BASE_CONNECTIONS, args.connections)?;
    let after = memory::settle(&gateway)?;
    let each = |before: u64, after: u64| after.saturating_sub(before) / args.connections as u64;
    Ok((each(before.resident, after.resident), each(before.anonymous, after.anonymous)))
}

/// `count` connections; those who have names are numbered from `first` on.
fn open(args: &Args, target: &Target, first: usize, count: usize) -> Result<Idle> {
    let Some(route) = args.route else {
        let traffic = Traffic::new(Content::Binary, args.size);
        let mut crowd = Crowd::open(target, count, traffic)?;
        if args.echo {
            crowd.run_closed(1, Duration::ZERO)?;
        }
        return Ok(Idle::Echo { _crowd: Box::new(crowd) });
    };
    let visits = (first..first + count).map(|number| {
        let topic = match args.topic {
            Topics::Own => format!("topic-{number:07}"),
            Topics::Shared => "all".to_owned(),
        };
        Visit::new(route, &format!("client-{number:07}"), &topic)
    });
    let mut audience = Audience::open(target, Link::Loopback, visits)?;
    audience.expect_silence()?;
    Ok(Idle::Hub { _audience: audience })
}
