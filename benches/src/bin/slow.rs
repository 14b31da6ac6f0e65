//! What does a client that never reads cost a gateway, beyond its queue?
//!
//! The same events are published twice: to subscribers that read all of them, and to as many that
//! read nothing after their welcome. In the first case the gateway's resident memory grows by the
//! history, and in the second case by the history and the slow readers. Their link is narrow, so
//! that the kernel does not take all bytes; those that it does take are not resident in the
//! gateway, and are reported separately. With `--wide` the link is plain loopback, and the kernel
//! takes as much as it can.

#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ringway_acceptor::{cores, descriptors};
use ringway_benches::{
    gateway::{binary_beside_this_one, totals},
    handshake::{Link, Target},
    memory,
    publisher::{Publisher, TOPIC},
    subscribers::Subscribers,
};

/// The most memory of a slow reader in addition to its queue.
const OVERHEAD_BYTES_MAX: i64 = 256;

/// Measure the server's resident memory per client that never reads, on both engines
#[derive(Debug, Parser)]
struct Args {
    /// Clients that never read
    #[arg(long, default_value_t = 1000)]
    connections: u32,
    /// Events published to them
    #[arg(long, default_value_t = 10_000)]
    events: u32,
    /// Bytes of each event's data
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Events published at a time
    #[arg(long, default_value_t = 8)]
    burst: u32,
    /// Bytes of clients.queue_bytes_max
    #[arg(long, default_value_t = 64 << 10)]
    queue: u32,
    /// Readers of a wide link: the kernel may take megabytes for each
    #[arg(long)]
    wide: bool,
    /// Set a key of the gateways, such as socket.notsent_lowat_bytes=16KiB; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Fail when an engine takes more bytes for each [default: the queue and 256]
    #[arg(long)]
    max: Option<i64>,
    /// The ringway binary [default: the one in the folder of this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// The server's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The tester's core
    #[arg(long, default_value_t = 1)]
    tester_core: usize,
}

/// Whether the subscribers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    Prompt,
    Never,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.connections > 0 && args.burst > 0, "at least one connection and one event");
    descriptors::raise_limit()?;
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => binary_beside_this_one()?,
    };
    let max = args.max.unwrap_or(OVERHEAD_BYTES_MAX + i64::from(args.queue));
    println!(
        "{:<8} {:>12} {:>8} {:>16} {:>20} {:>14} {:>14}",
        "server",
        "slow readers",
        "events",
        "with readers",
        "with slow readers",
        "each",
        "kernel, each"
    );
    let mut is_good = true;
    for io in ["epoll", "uring"] {
        let history = growth(&args, &binary, io, Readers::Prompt)?;
        let with_slow = growth(&args, &binary, io, Readers::Never)?;
        let each = (with_slow.resident - history.resident) / i64::from(args.connections);
        let kernel_each = with_slow.kernel / i64::from(args.connections);
        println!(
            "{io:<8} {:>12} {:>8} {:>12} KiB {:>16} KiB {each:>12} B {kernel_each:>12} B",
            args.connections,
            args.events,
            history.resident / 1024,
            with_slow.resident / 1024,
        );
        is_good &= each <= max;
    }
    println!("bound: {max} B each");
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bytes by which memory grows while the events are published.
struct Growth {
    /// Of the gateway's resident memory.
    resident: i64,
    /// In the buffers of all TCP sockets of the machine.
    kernel: i64,
}

fn growth(args: &Args, binary: &Path, io: &str, readers: Readers) -> Result<Growth> {
    let queue = format!("clients.queue_bytes_max={}", args.queue);
    let mut settings = vec![queue.as_str()];
    settings.extend(args.set.iter().map(String::as_str));
    let gateway = memory::start(binary, args.server_core, io, &settings)?;
    let target = Target::parse(&gateway.echo_url())?;
    let link = match readers {
        Readers::Prompt => Link::Loopback,
        Readers::Never if args.wide => Link::Loopback,
        Readers::Never => Link::Narrow,
    };
    let mut subscribers = Subscribers::open(&target, link, args.connections, TOPIC)?;
    let mut publisher = Publisher::open(&target, args.size)?;
    let before = memory::settle(&gateway)?;
    let kernel_before = memory::kernel_buffers()?;
    // On a separate thread: a gateway would inherit the pinning of the thread that starts it.
    thread::scope(|scope| {
        let publishing = || {
            cores::pin(args.tester_core).context("pinning the tester")?;
            publish(args, &mut publisher, &mut subscribers, readers)
        };
        scope.spawn(publishing).join().expect("it does not panic")
    })?;
    let after = memory::settle(&gateway)?;
    let kernel = memory::kernel_buffers()? - kernel_before;
    // On a wide link the settings decide whether the kernel refuses any bytes.
    if readers == Readers::Never && !args.wide {
        let short = totals(&gateway)?.get("ringway_short_sends_total").copied().unwrap_or(0.0);
        ensure!(
            short >= f64::from(args.connections),
            "only {short} sends came short: the kernel has taken the events of the others; \
             publish more or larger ones"
        );
    }
    Ok(Growth { resident: after as i64 - before as i64, kernel })
}

fn publish(
    args: &Args,
    publisher: &mut Publisher,
    subscribers: &mut Subscribers,
    readers: Readers,
) -> Result<()> {
    let mut frame_bytes = None;
    let mut published = 0;
    while published < args.events {
        let burst = args.burst.min(args.events - published);
        publisher.publish(burst)?;
        if readers == Readers::Prompt {
            let bytes = match frame_bytes {
                Some(bytes) => bytes,
                None => subscribers.first_frame_bytes()?,
            };
            frame_bytes = Some(bytes);
            subscribers.read_all(bytes, burst)?;
        }
        publisher.await_answers()?;
        published += burst;
    }
    Ok(())
}
