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
use hdrhistogram::Histogram;
use ringway_acceptor::{cores, descriptors};

use crate::{
    case::{Load, Shape},
    churn::Churn,
    crowd::{Crowd, Slot},
    fanout::Fanout,
    opening::Target,
    process::{self, Scheduled},
    publisher::Dialect,
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

/// One kind of latency over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Half of them were shorter.
    pub median: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Times {
    /// What a histogram of nanoseconds holds; empties it.
    pub fn take(histogram: &mut Histogram<u64>) -> Self {
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        let taken =
            Self { median: at(0.5), p99: at(0.99), max: Duration::from_nanos(histogram.max()) };
        histogram.reset();
        taken
    }
}

/// The tester's process: says `ready` and how long what it receives is, then answers each line of standard input by one line.
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
            answer(bytes, |order| {
                Ok(match order {
                    Order::Run { time, rate: 0 } => Answer::of(crowd.run_closed(depth, time)?),
                    Order::Run { time, rate } => Answer::of(crowd.run_open(rate, time)?),
                    Order::Latencies => Answer::of_times(&crowd.take_latencies()),
                })
            })
        }
        Shape::Churn => {
            let mut churn = Churn::new(&target, connections)?;
            answer(bytes, |order| {
                Ok(match order {
                    Order::Run { time, .. } => Answer::of(churn.run(time)?),
                    Order::Latencies => Answer::of_times(&churn.take_latencies()),
                })
            })
        }
        Shape::Topic | Shape::Relay => {
            let is_relay = shape == Shape::Relay;
            let dialect = if is_relay { Dialect::Relay } else { Dialect::Gateway };
            let mut fanout = Fanout::open(&target, dialect, connections, bytes)?;
            answer(fanout.frame_bytes(), |order| {
                Ok(match order {
                    Order::Run { time, rate } => Answer::of(fanout.run(depth, time, rate)?),
                    Order::Latencies => Answer::of_times(&fanout.take_latencies()),
                })
            })
        }
    }
}

/// A line to a tester.
enum Order {
    /// A slot; a rate of 0 is a closed loop, or a fan-out without echoes beside it.
    Run {
        time: Duration,
        rate: u32,
    },
    Latencies,
}

/// A line from a tester: numbers.
struct Answer(Vec<u64>);

impl Answer {
    fn of(slot: Slot) -> Self {
        Self(vec![slot.count, slot.faults, slot.elapsed.as_nanos() as u64])
    }

    fn of_times(kinds: &[Times]) -> Self {
        let numbers = kinds.iter().flat_map(|times| [times.median, times.p99, times.max]);
        Self(numbers.map(|time| time.as_nanos() as u64).collect())
    }
}

fn answer(bytes: usize, mut obey: impl FnMut(Order) -> Result<Answer>) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready {bytes}")?;
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
        let Answer(numbers) = obey(order)?;
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        writeln!(out, "{}", words.join(" "))?;
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

    /// Waits until all its connections are open. Returns the bytes of what each receives at a
    /// time: an echo's payload, or an event's frame.
    ///
    /// # Errors
    /// They are not to be had; the tester has said why.
    pub fn await_ready(&mut self) -> Result<usize> {
        let line = self.read_line()?;
        let bytes = line.strip_prefix("ready ").and_then(|bytes| bytes.parse().ok());
        bytes.with_context(|| format!("a tester said `{line}`"))
    }

    /// One slot: a closed loop, or an open one at a rate; for a fan-out the rate is of echoes.
    ///
    /// # Errors
    /// The tester gave up; it has said why.
    pub fn run(&mut self, time: Duration, rate: Option<u32>) -> Result<Slot> {
        let time = time.min(SLOT_TIME_MAX);
        let numbers = self.ask(&format!("run {} {}", time.as_millis(), rate.unwrap_or(0)))?;
        let [count, faults, elapsed_ns] = numbers[..] else { bail!("a tester said {numbers:?}") };
        Ok(Slot { count, faults, elapsed: Duration::from_nanos(elapsed_ns) })
    }

    /// What was measured since the last call, of each kind that this tester measures.
    ///
    /// # Errors
    /// The tester is gone.
    pub fn take_latencies(&mut self) -> Result<Vec<Times>> {
        let numbers = self.ask("latencies")?;
        let kinds = numbers.chunks_exact(3).map(|kind| {
            let [median, p99, max] = [kind[0], kind[1], kind[2]].map(Duration::from_nanos);
            Times { median, p99, max }
        });
        Ok(kinds.collect())
    }

    /// What its own process had of the CPU.
    ///
    /// # Errors
    /// The tester is gone.
    pub fn scheduled(&self) -> Result<Scheduled> {
        process::scheduled(self.child.id())
    }

    fn ask(&mut self, order: &str) -> Result<Vec<u64>> {
        writeln!(self.orders, "{order}").context("a tester has ended")?;
        let line = self.read_line()?;
        let numbers: Result<_, _> = line.split_whitespace().map(str::parse).collect();
        numbers.with_context(|| format!("a tester said `{line}`"))
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
