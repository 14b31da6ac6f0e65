//! A tester: one process for each server, told over a pipe when it is its turn.
//!
//! One process each, because the descriptors of one do not suffice for 10,000 connections to
//! each of two servers. Between its slots a tester sleeps on the pipe and costs nothing.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use ringway_acceptor::{cores, descriptors};

use crate::{
    case::{Load, Shape},
    churn::Churn,
    crowd::{Crowd, Slot},
    opening::Target,
    process::{self, Scheduled},
    traffic::Traffic,
};

/// No slot is longer.
pub const SLOT_TIME_MAX: Duration = Duration::from_secs(60);

/// What the tester's process is started with; a hidden command of the measuring binary.
#[derive(Debug, clap::Args)]
pub struct TesterArgs {
    /// The server
    #[arg(long)]
    url: String,
    /// The core to run on
    #[arg(long)]
    core: usize,
    #[command(flatten)]
    load: Load,
}

/// The tester's process: says `ready`, then answers each line of standard input by one line.
///
/// # Errors
/// The server fails the test, or the starter is gone.
pub fn serve(args: &TesterArgs) -> Result<()> {
    cores::pin(args.core).context("pinning the tester")?;
    descriptors::raise_limit()?;
    let target = Target::parse(&args.url)?;
    let Load { shape, connections, depth, bytes, content } = args.load;
    match shape {
        Shape::Echo => {
            let mut crowd = Crowd::open(&target, connections, Traffic::new(content, bytes))?;
            answer(|order| {
                Ok(match order {
                    Order::Run { time, rate: 0 } => Answer::of(crowd.run_closed(depth, time)?),
                    Order::Run { time, rate } => Answer::of(crowd.run_open(rate, time)?),
                    Order::Latencies => Answer::of_times(crowd.take_latencies()),
                })
            })
        }
        Shape::Churn => {
            let mut churn = Churn::new(&target, connections)?;
            answer(|order| {
                Ok(match order {
                    Order::Run { time, .. } => Answer::of(churn.run(time)?),
                    Order::Latencies => Answer::of_times(churn.take_latencies()),
                })
            })
        }
    }
}

/// A line to a tester.
enum Order {
    /// A slot; a rate of 0 is a closed loop.
    Run {
        time: Duration,
        rate: u32,
    },
    Latencies,
}

/// A line from a tester: three numbers.
struct Answer([u64; 3]);

impl Answer {
    fn of(slot: Slot) -> Self {
        Self([slot.count, slot.faults, slot.elapsed.as_nanos() as u64])
    }

    fn of_times((median, p99): (Duration, Duration)) -> Self {
        Self([median.as_nanos() as u64, p99.as_nanos() as u64, 0])
    }
}

fn answer(mut obey: impl FnMut(Order) -> Result<Answer>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let order = match words[..] {
            ["run", ms, rate] => {
                Order::Run { time: Duration::from_millis(ms.parse()?), rate: rate.parse()? }
            }
            ["latencies"] => Order::Latencies,
            _ => bail!("`{line}` is no order"),
        };
        let Answer([one, two, three]) = obey(order)?;
        writeln!(out, "{one} {two} {three}")?;
        out.flush()?;
    }
    Ok(())
}

/// A tester's process as its starter sees it. Ended on drop.
#[derive(Debug)]
pub struct Tester {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Tester {
    /// Starts this executable again, as a tester of `url` on `core`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(url: &str, core: usize, load: &Load) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["tester", "--url", url, "--core", &core.to_string()])
            .args(load.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a tester")?;
        let orders = child.stdin.take().context("its input is piped")?;
        let answers = BufReader::new(child.stdout.take().context("its output is piped")?);
        Ok(Self { child, orders, answers })
    }

    /// Waits until all its connections are open.
    ///
    /// # Errors
    /// They are not to be had; the tester has said why.
    pub fn await_ready(&mut self) -> Result<()> {
        let line = self.read_line()?;
        ensure!(line == "ready", "a tester said `{line}`");
        Ok(())
    }

    /// One slot: a closed loop, or an open one at a rate.
    ///
    /// # Errors
    /// The tester gave up; it has said why.
    pub fn run(&mut self, time: Duration, rate: Option<u32>) -> Result<Slot> {
        let time = time.min(SLOT_TIME_MAX);
        let [count, faults, elapsed_ns] =
            self.ask(&format!("run {} {}", time.as_millis(), rate.unwrap_or(0)))?;
        Ok(Slot { count, faults, elapsed: Duration::from_nanos(elapsed_ns) })
    }

    /// The median and the 99th percentile of what was measured since the last call.
    ///
    /// # Errors
    /// The tester is gone.
    pub fn take_latencies(&mut self) -> Result<(Duration, Duration)> {
        let [median, p99, _] = self.ask("latencies")?;
        Ok((Duration::from_nanos(median), Duration::from_nanos(p99)))
    }

    /// What its own process had of the CPU.
    ///
    /// # Errors
    /// The tester is gone.
    pub fn scheduled(&self) -> Result<Scheduled> {
        process::scheduled(self.child.id())
    }

    fn ask(&mut self, order: &str) -> Result<[u64; 3]> {
        writeln!(self.orders, "{order}").context("a tester has ended")?;
        let line = self.read_line()?;
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("a tester said `{line}`"))?;
        numbers.try_into().ok().with_context(|| format!("a tester said `{line}`"))
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a tester has ended before its time");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Tester {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
