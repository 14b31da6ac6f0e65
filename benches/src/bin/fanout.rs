//! How much server CPU does one delivery of a published event cost, against other servers, and
//! how long do other clients wait meanwhile?
//!
//! One publisher, many subscribers of its topic, saturated. Starts the servers, drives them in
//! paired slots from another core, and prints a table for each number of subscribers. It never
//! shares a core between a server and a tester.

#![forbid(unsafe_code)]

use std::{fmt::Write, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use ringway_benches::{
    case::{Load, Shape},
    gateway::{Gateway, WITHOUT_HEARTBEATS},
    pairing::PairingArgs,
    rival,
    rounds::{self, Contestant, Outcome, Pool},
    server::ServerProcess,
    tester::{self, Tester, TesterArgs, Times},
    traffic::Content,
};

/// Sends of events in one turn of the gateway: what may come before another client is served.
const TURN_SENDS: f64 = 512.0;

/// Compare the server CPU per delivery of several servers, in paired slots
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: MeasureArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load one server at the orders of standard input
    #[command(hide = true)]
    Tester(TesterArgs),
}

#[derive(Debug, clap::Args)]
struct MeasureArgs {
    /// Subscribers of each server; may be repeated
    #[arg(long, default_values_t = [1000, 9000])]
    subscribers: Vec<usize>,
    /// Events published at once; the next ones when all subscribers have them
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Bytes of each event's data
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// The engine of the gateway
    #[arg(long, value_enum, default_value = "uring")]
    io: Io,
    /// What to hold it against; may be repeated. The first one is the base of the ratios
    #[arg(long, value_enum)]
    against: Vec<Rival>,
    /// Then measure an echo client beside the fan-out of the gateways
    #[arg(long)]
    echo: bool,
    /// Its messages a second
    #[arg(long, default_value_t = 200, requires = "echo")]
    echo_rate: u32,
    /// For how long
    #[arg(long, default_value_t = 10_000, requires = "echo")]
    echo_ms: u64,
    /// Length of a slot
    #[arg(long, default_value_t = 400)]
    slot_ms: u64,
    /// The Bun program [default: what `cargo xtask bench-peers --install` has installed]
    #[arg(long)]
    bun: Option<PathBuf>,
    #[command(flatten)]
    pairing: PairingArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Io {
    Uring,
    Epoll,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rival {
    /// The gateway on io_uring.
    Uring,
    /// The gateway on epoll.
    Epoll,
    /// Bun's own topics, which are uWebSockets inside.
    Bun,
}

/// A server that runs.
enum Server {
    Gateway(Gateway),
    Bun(ServerProcess),
}

/// All servers with their testers, the base first.
struct Field {
    servers: Vec<Server>,
    contestants: Vec<Contestant>,
    /// Of an event as it arrives.
    frame_bytes: usize,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Tester(args)) = args.command {
        return tester::serve(&args).map(|()| ExitCode::SUCCESS);
    }
    let args = args.measure;
    args.pairing.check()?;
    ensure!(args.burst > 0, "at least one event");
    ensure!(args.echo_rate > 0, "at least one echo a second");
    let plan = args.pairing.plan(Duration::from_millis(args.slot_ms), Pool::Run);
    let mut is_good = true;
    for &subscribers in &args.subscribers {
        let mut field = start(&args, subscribers)?;
        let outcomes = rounds::run(&mut field.contestants, &plan)?;
        let frame_bytes = field.frame_bytes;
        println!(
            "\nfan-out 1->{subscribers}, {} at once, {} B of data, {frame_bytes} B a delivery, \
             {} rounds",
            args.burst, args.size, outcomes[0].rounds
        );
        print(&outcomes);
        is_good &= outcomes.iter().all(|outcome| outcome.faults == 0);
        let events = subscribers as f64;
        for ((server, contestant), outcome) in
            field.servers.iter().zip(&mut field.contestants).zip(&outcomes)
        {
            if let Server::Gateway(gateway) = server {
                print_counts(&args, gateway, contestant, events)?;
                if args.echo {
                    print_echo(&args, contestant, outcome)?;
                }
            }
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts all servers, and has all subscribers come. The gateway comes first: it says how long an
/// event is, and the others send as much.
fn start(args: &MeasureArgs, subscribers: usize) -> Result<Field> {
    let binary = args.pairing.binary()?;
    let gateway = |io: &str| {
        args.pairing.start_gateway(&binary, io, &[WITHOUT_HEARTBEATS]).map(Server::Gateway)
    };
    let own = match args.io {
        Io::Uring => "uring",
        Io::Epoll => "epoll",
    };
    let mut servers = vec![(own, gateway(own)?)];
    for rival in &args.against {
        match rival {
            Rival::Uring => servers.push(("uring", gateway("uring")?)),
            Rival::Epoll => servers.push(("epoll", gateway("epoll")?)),
            Rival::Bun => servers.extend(bun(args).map(|server| ("bun", server))),
        }
    }
    let base = servers.get(1).unwrap_or(&servers[0]).0;
    if args.pairing.control {
        let again = if base == "bun" { bun(args) } else { Some(gateway(base)?) };
        servers.extend(again.map(|server| ("control", server)));
    }
    let mut frame_bytes = None;
    let mut contestants = Vec::new();
    for (name, server) in &servers {
        let (shape, bytes) = match (server, frame_bytes) {
            (Server::Bun(_), Some(frame_bytes)) => (Shape::Relay, payload_bytes(frame_bytes)),
            _ => (Shape::Topic, args.size),
        };
        let load = Load {
            shape,
            connections: subscribers,
            depth: args.burst,
            bytes,
            content: Content::Text,
        };
        let mut tester = Tester::start(&server.url(), args.pairing.tester_core, &load)?;
        let bytes = tester.await_ready().with_context(|| format!("connecting to {name}"))?;
        let expected = *frame_bytes.get_or_insert(bytes);
        ensure!(bytes == expected, "{name} sends {bytes} B for each event, and not {expected}");
        contestants.push(Contestant { name: (*name).to_owned(), pid: server.pid(), tester });
    }
    let mut servers: Vec<Server> = servers.into_iter().map(|(_, server)| server).collect();
    // The base of the ratios goes first.
    if servers.len() > 1 && !args.against.is_empty() {
        servers.swap(0, 1);
        contestants.swap(0, 1);
    }
    Ok(Field { servers, contestants, frame_bytes: frame_bytes.unwrap_or_default() })
}

/// Of a frame (RFC 6455 §5.2: a header of 2, 4 or 10 bytes where nothing is masked).
fn payload_bytes(frame_bytes: usize) -> usize {
    match frame_bytes {
        0..=127 => frame_bytes - 2,
        128..=65_539 => frame_bytes - 4,
        _ => frame_bytes - 10,
    }
}

/// Says so when there is none.
fn bun(args: &MeasureArgs) -> Option<Server> {
    match rival::start_bun(args.bun.as_deref(), args.pairing.server_core) {
        Ok(process) => Some(Server::Bun(process)),
        Err(error) => {
            println!("bun is not available, and is left out: {error:#}");
            None
        }
    }
}

impl Server {
    fn url(&self) -> String {
        match self {
            Self::Gateway(gateway) => gateway.url().to_owned(),
            Self::Bun(process) => {
                format!("ws://{}/", process.address("ws://").unwrap_or_default())
            }
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Gateway(gateway) => gateway.pid(),
            Self::Bun(process) => process.pid(),
        }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn print(outcomes: &[Outcome]) {
    println!(
        "  {:<8} {:>11} {:>21} {:>9} {:>5} {:>6} {:>9} {:>10} {:>17} {:>17} {:>6}",
        "server",
        "ns/delivery",
        "ratio [quartiles]",
        "rate/s",
        "busy",
        "waited",
        "tester ns",
        "deliveries",
        "first p50/p99 us",
        "last p50/p99 us",
        "faults"
    );
    for outcome in outcomes {
        let kind = |index: usize| {
            let Times { median, p99, .. } = outcome.latencies[index];
            format!("{:.0} / {:.0}", microseconds(median), microseconds(p99))
        };
        println!(
            "  {:<8} {:>11.0} {:>21} {:>9.0} {:>4.0}% {:>5.0}% {:>9.0} {:>10} {:>17} {:>17} {:>6}",
            outcome.name,
            outcome.server_ns,
            outcome.ratio.to_string(),
            outcome.rate,
            outcome.busy * 100.0,
            outcome.waiting * 100.0,
            outcome.tester_ns,
            outcome.count,
            kind(0),
            kind(1),
            outcome.faults,
        );
    }
}

/// What the gateway counts for one event, over a slot.
fn print_counts(
    args: &MeasureArgs,
    gateway: &Gateway,
    contestant: &mut Contestant,
    subscribers: f64,
) -> Result<()> {
    let before = gateway.totals()?;
    let slot = contestant.tester.run(Duration::from_millis(args.slot_ms), None)?;
    let events = slot.count as f64 / subscribers;
    let mut text = String::new();
    for (name, total) in gateway.totals()? {
        let counted = total - before.get(&name).copied().unwrap_or(0.0);
        if counted > 0.0 {
            let name = name.trim_start_matches("ringway_").trim_end_matches("_total");
            write!(text, " {name} {:.2};", counted / events)?;
        }
    }
    println!("  {}, of each event:{}", contestant.name, text.trim_end_matches(';'));
    Ok(())
}

/// An echo client beside the fan-out, held against the sends of one turn.
fn print_echo(args: &MeasureArgs, contestant: &mut Contestant, outcome: &Outcome) -> Result<()> {
    contestant.tester.take_latencies()?;
    let time = Duration::from_millis(args.echo_ms);
    contestant.tester.run(time, Some(args.echo_rate))?;
    let kinds = contestant.tester.take_latencies()?;
    let [_, _, echo, delay] = kinds[..] else { return Ok(()) };
    println!(
        "  {}, echo {}/s beside it: p50 {:.0} us, p99 {:.0} us, max {:.0} us; \
         the tester sent {:.0} us late (p99); {TURN_SENDS:.0} sends take {:.0} us",
        contestant.name,
        args.echo_rate,
        microseconds(echo.median),
        microseconds(echo.p99),
        microseconds(echo.max),
        microseconds(delay.p99),
        TURN_SENDS * outcome.server_ns / 1e3,
    );
    Ok(())
}
