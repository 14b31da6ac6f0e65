//! How much of a gateway's memory does an idle WebSocket take?
//!
//! Resident memory is read while 1,000 connections are open, and again when thousands more
//! are: the difference is theirs alone, without what any gateway has from its start. Sockets
//! themselves are the kernel's memory and are not in it. The server's allocator is told to do
//! without huge pages: those are resident whole, however little of them is in use.

#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Parser;
use ringway_acceptor::descriptors;
use ringway_benches::{
    crowd::Crowd,
    gateway::{Gateway, binary_beside_this_one},
    opening::Target,
    process::{self, Memory},
    traffic::{Content, Traffic},
};

/// Open while memory is first read, so that tables and allocators have what they always have.
const BASE_CONNECTIONS: usize = 1000;

/// Memory has settled when it stays the same for this long ...
const SETTLED_TIME: Duration = Duration::from_millis(500);

/// ... and is taken as it is after this.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(10);

/// Keeps mimalloc from huge pages, and from keeping freed ones for later.
const SMALL_PAGES: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

/// Payload bytes of the message that `--echo` sends.
const ECHO_BYTES: usize = 64;

/// Measure the server's resident memory per idle WebSocket, on both engines
#[derive(Debug, Parser)]
struct Args {
    /// Idle connections
    #[arg(long, default_value_t = 9000)]
    connections: usize,
    /// Fail when an engine takes more bytes for a connection
    #[arg(long)]
    max: Option<u64>,
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
    let gateway = Gateway::start(
        binary,
        args.server_core,
        &["--io".to_owned(), io.to_owned()],
        &SMALL_PAGES,
    )?;
    let target = Target::parse(gateway.url())?;
    let open = |connections| -> Result<Crowd> {
        let traffic = Traffic::new(Content::Binary, args.size);
        let mut crowd = Crowd::open(&target, connections, traffic)?;
        if args.echo {
            crowd.run_closed(1, Duration::ZERO)?;
        }
        Ok(crowd)
    };
    drop(open(BASE_CONNECTIONS)?);
    settle(&gateway)?;
    let _base = open(BASE_CONNECTIONS)?;
    let before = settle(&gateway)?;
    let _idle = open(args.connections)?;
    let after = settle(&gateway)?;
    let each = |before: u64, after: u64| after.saturating_sub(before) / args.connections as u64;
    Ok((each(before.resident, after.resident), each(before.anonymous, after.anonymous)))
}

fn settle(gateway: &Gateway) -> Result<Memory> {
    let start = Instant::now();
    let mut last = process::memory(gateway.pid())?;
    loop {
        thread::sleep(SETTLED_TIME);
        let now = process::memory(gateway.pid())?;
        if now == last || start.elapsed() > SETTLING_TIME_MAX {
            return Ok(now);
        }
        last = now;
    }
}
