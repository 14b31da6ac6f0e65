//! How much server CPU does a message cost on io_uring, against epoll, or against any other
//! server?
//!
//! Starts the servers, drives them in paired slots from another core, and prints a table for
//! each case. It never shares a core between a server and a tester.

#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ringway_benches::{
    case::{Case, Kind, Rate, Wait},
    gateway::Gateway,
    pairing::{PairingArgs, Variant},
    rounds::{self, Contestant, Outcome, Plan, Pool},
    tester::{self, Tester, TesterArgs, Times},
};

/// Rounds of a slot each that find what half load is.
const PROBE_ROUNDS: usize = 3;

/// Compare the server CPU per message of several servers, in paired slots
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
    /// What to measure; may be repeated
    #[arg(long, value_enum, default_value = "saturated")]
    case: Vec<Kind>,
    /// Connections to each server [default: what the case usually has]
    #[arg(long)]
    connections: Option<usize>,
    /// Payload bytes [default: what the case usually has]
    #[arg(long)]
    size: Option<usize>,
    /// Messages a second of the fixed case: a number, or `half` of what the base can do
    #[arg(long, default_value = "half")]
    rate: Rate,
    /// The gateways' server.wait
    #[arg(long, value_enum, default_value = "adaptive")]
    wait: Wait,
    /// Length of a slot
    #[arg(long, default_value_t = 200)]
    slot_ms: u64,
    /// One more server: NAME=BINARY is another ringway, run on io_uring; NAME=URL,PID runs already
    #[arg(long)]
    other: Vec<Other>,
    /// One more gateway, on the base's engine, with settings of its own; may be repeated
    #[arg(long, value_name = "NAME=KEY=VALUE,...")]
    variant: Vec<Variant>,
    /// The server that the others are compared with
    #[arg(long, default_value = "epoll")]
    base: String,
    /// Hold io_uring against the ratios that it must reach; fail when it misses one
    #[arg(long, conflicts_with_all = ["case", "connections", "size", "rate", "wait"])]
    targets: bool,
    #[command(flatten)]
    pairing: PairingArgs,
}

#[derive(Debug, Clone)]
struct Other {
    name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Binary(PathBuf),
    Running { url: String, pid: u32 },
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither NAME=BINARY nor NAME=ws://HOST:PORT/PATH,PID");
        let (name, place) = text.split_once('=').ok_or_else(wrong)?;
        let place = if place.starts_with("ws://") {
            let (url, pid) = place.rsplit_once(',').ok_or_else(wrong)?;
            Place::Running { url: url.to_owned(), pid: pid.parse().map_err(|_| wrong())? }
        } else {
            Place::Binary(PathBuf::from(place))
        };
        Ok(Self { name: name.to_owned(), place })
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Tester(args)) = args.command {
        return tester::serve(&args).map(|()| ExitCode::SUCCESS);
    }
    let args = args.measure;
    args.pairing.check()?;
    let mut is_good = true;
    for (case, ratio_max) in cases(&args) {
        let outcomes = measure(&args, &case)?;
        print(&case, &outcomes);
        is_good &= outcomes.iter().all(|outcome| outcome.faults == 0);
        if let Some(ratio_max) = ratio_max {
            is_good &= is_reached(&outcomes, ratio_max);
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What to measure, and the ratio to reach if there is one.
fn cases(args: &MeasureArgs) -> Vec<(Case, Option<f64>)> {
    if args.targets {
        let saturated =
            |connections| (Case::new(Kind::Saturated, Some(connections), None), Some(0.90));
        let fixed = Case { wait: Wait::Throughput, ..Case::new(Kind::Fixed, None, None) };
        return vec![saturated(100), saturated(1000), saturated(10_000), (fixed, Some(0.65))];
    }
    let case = |&kind| {
        let case = Case::new(kind, args.connections, args.size);
        (Case { rate: args.rate, wait: args.wait, ..case }, None)
    };
    args.case.iter().map(case).collect()
}

fn measure(args: &MeasureArgs, case: &Case) -> Result<Vec<Outcome>> {
    let (mut contestants, _gateways) = start(args, case)?;
    for contestant in &mut contestants {
        let ready = contestant.tester.await_ready();
        ready.with_context(|| format!("connecting to {}", contestant.name))?;
    }
    let mut plan = args.pairing.plan(Duration::from_millis(args.slot_ms), Pool::Slot);
    if case.kind == Kind::Fixed {
        plan.rate = Some(match case.rate {
            Rate::PerSecond(rate) => rate,
            Rate::Half => {
                let probe = Plan { rounds: PROBE_ROUNDS, ..plan };
                (rounds::run(&mut contestants[..1], &probe)?[0].rate / 2.0) as u32
            }
        });
    }
    rounds::run(&mut contestants, &plan)
}

/// All servers with their testers, the base first, and the processes that were started for it.
fn start(args: &MeasureArgs, case: &Case) -> Result<(Vec<Contestant>, Vec<Gateway>)> {
    let binary = args.pairing.binary()?;
    let wait = format!("server.wait={}", format!("{:?}", case.wait).to_lowercase());
    let gateway = |binary: &Path, io: &str| args.pairing.start_gateway(binary, io, &[&wait]);
    let mut gateways = Vec::new();
    let mut servers = Vec::new();
    let mut own = |name: &str, gateway: Gateway| {
        servers.push((name.to_owned(), gateway.url().to_owned(), gateway.pid()));
        gateways.push(gateway);
    };
    own("epoll", gateway(&binary, "epoll")?);
    own("uring", gateway(&binary, "uring")?);
    let base_io = if args.base == "epoll" { "epoll" } else { "uring" };
    if args.pairing.control {
        own("control", gateway(&binary, base_io)?);
    }
    for variant in &args.variant {
        let mut settings = vec![wait.as_str()];
        settings.extend(variant.settings.iter().map(String::as_str));
        own(&variant.name, args.pairing.start_gateway(&binary, base_io, &settings)?);
    }
    for other in &args.other {
        if let Place::Binary(binary) = &other.place {
            own(&other.name, gateway(binary, "uring")?);
        }
    }
    for other in &args.other {
        if let Place::Running { url, pid } = &other.place {
            servers.push((other.name.clone(), url.clone(), *pid));
        }
    }
    let base = servers.iter().position(|(name, ..)| *name == args.base);
    servers.swap(0, base.with_context(|| format!("no server is called {}", args.base))?);
    let contestant = |(name, url, pid): (String, String, u32)| {
        let tester = Tester::start(&url, args.pairing.tester_core, &case.load())?;
        Ok(Contestant { name, pid, tester })
    };
    let contestants: Result<_> = servers.into_iter().map(contestant).collect();
    Ok((contestants?, gateways))
}

fn print(case: &Case, outcomes: &[Outcome]) {
    println!("\n{case}, {} rounds", outcomes[0].rounds);
    println!(
        "  {:<10} {:>10} {:>21} {:>8} {:>5} {:>6} {:>9} {:>9} {:>9} {:>9} {:>6}",
        "server",
        "ns/message",
        "ratio [quartiles]",
        "rate/s",
        "busy",
        "waited",
        "tester ns",
        "messages",
        "p50 us",
        "p99 us",
        "faults"
    );
    for outcome in outcomes {
        let Times { median, p99, .. } = outcome.latencies.first().copied().unwrap_or_default();
        println!(
            "  {:<10} {:>10.0} {:>21} {:>8.0} {:>4.0}% {:>5.0}% {:>9.0} {:>9} {:>9.1} {:>9.1} {:>6}",
            outcome.name,
            outcome.server_ns,
            outcome.ratio.to_string(),
            outcome.rate,
            outcome.busy * 100.0,
            outcome.waiting * 100.0,
            outcome.tester_ns,
            outcome.count,
            median.as_secs_f64() * 1e6,
            p99.as_secs_f64() * 1e6,
            outcome.faults,
        );
    }
}

fn is_reached(outcomes: &[Outcome], ratio_max: f64) -> bool {
    let uring = outcomes.iter().find(|outcome| outcome.name == "uring");
    let ratio = uring.map_or(f64::INFINITY, |uring| uring.ratio.median);
    let is_reached = ratio <= ratio_max;
    let word = if is_reached { "reached" } else { "MISSED" };
    println!("  target: uring at most {ratio_max:.2} of the base: {word} ({ratio:.3})");
    is_reached
}
