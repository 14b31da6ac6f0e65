//! The command line.
//!
//! It only parses the options; the modes interpret them.

mod calibrate;
pub mod churn;
mod compare;
mod cost;
pub mod fanout;
pub mod idle;
mod merge;
mod message;
mod named;
pub mod start;
pub mod storm;
mod sweep;
mod values;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{measure::arrivals::Pattern, wire::sources::Sources};

pub use calibrate::CalibrateArgs;
pub use compare::{CompareArgs, RateArg, TesterArgs, WorkloadArg};
pub use cost::{CostArgs, CostCase};
pub use merge::MergeArgs;
pub use message::MessageArgs;
pub use named::Named;
pub use sweep::SweepArgs;
pub use values::{bytes, count, header, rate, threads, time};

/// A load generator for WebSocket servers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES
  ringway-loadtest echo --url ws://127.0.0.1:8080/echo
  ringway-loadtest echo --url ws://127.0.0.1:8080/echo --connections 10k --rate 50k --duration 30s
  ringway-loadtest echo --url ws://127.0.0.1:8080/echo --closed --pid 4711 --json=run.json
  ringway-loadtest calibrate --connections 1000 --rate 20k
  ringway-loadtest calibrate --echo-url ws://127.0.0.1:8080/echo --pid 4711 --cores 1
  ringway-loadtest sweep --url ws://127.0.0.1:8080/echo --p99 5ms --pid 4711
  ringway-loadtest compare --url new=ws://127.0.0.1:8080/echo --url old=ws://127.0.0.1:8081/echo \\
                           --pid new=4711 --pid old=4712 --control --cores 1
  two processes, one run:
  ringway-loadtest echo --url ws://127.0.0.1:8080/echo -c 15k --rate 20k --start-at 12:00:00 \\
                        --save a.hdr &
  ringway-loadtest echo --url ws://127.0.0.1:8080/echo -c 15k --rate 20k --start-at 12:00:00 \\
                        --first-number 15000 --save b.hdr
  ringway-loadtest merge a.hdr b.hdr

EXIT STATUS
  0  the run is valid, the ledger is clean, no connection failed
  1  the run is valid and the ledger is clean, but connections failed, or `sweep` found no rate
  2  a wrong command line
  3  the run is invalid and the ledger is clean: the tester was the bottleneck, the machine delayed
     it so much that no latency is the server's, or it was interrupted
  4  nothing could be measured, such as when no connection could be opened
  5  the ledger has faults: the server lost, doubled, reordered or corrupted messages, even if the
     run is also invalid or connections failed. No other end has this status";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send messages that the server sends back, and measure how long each takes
    Echo(EchoArgs),
    /// Measure this program's own error on this machine, against an echo server that measures its
    /// own time; or what a message costs it, beside a server
    Calibrate(CalibrateArgs),
    /// Publish events that the server delivers to all subscribers, and measure how long that takes
    Fanout(fanout::FanoutArgs),
    /// Find the highest rate at which 99 in 100 messages come back in time
    Sweep(SweepArgs),
    /// Measure two or more servers in short alternating slots, and report ratios to the first
    Compare(CompareArgs),
    /// Add up the saved results of several processes or hosts that shared a run
    Merge(MergeArgs),
    /// The tester of one server; `compare` starts it
    #[command(hide = true)]
    Tester(TesterArgs),
    /// Open connections and hold them, and measure what each costs the server and the kernel
    Idle(idle::IdleArgs),
    /// Open and close connections continuously, and measure the time to 101 and the rate
    Churn(churn::ChurnArgs),
    /// Drop all connections at once, and measure the time until all have resumed
    Storm(storm::StormArgs),
}

/// The options that all commands that open connections share.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// The server; `{n}` stands for the number of the connection.
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        help = "The server, such as ws://127.0.0.1:8080/echo; {\u{1b}[mn} stands for the \
                        number of the connection"
    )]
    pub url: String,
    /// Connections
    #[arg(long, short = 'c', default_value = "1000", value_parser = count)]
    pub connections: u32,
    /// Number of the first connection, where several processes share a run
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub first_number: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub connect: ConnectArgs,
    /// Threads; by default one fewer than there are cores
    #[arg(long, value_parser = threads)]
    pub threads: Option<u32>,
    /// Pin the threads to these cores, such as 1,3
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub cores: Vec<usize>,
    /// Kernel interface of the tester
    #[arg(long, value_enum, default_value_t = IoArg::Auto)]
    pub io: IoArg,
    /// The server's process, if it is on this host: measure its CPU time per message
    #[arg(long)]
    pub pid: Option<u32>,
    /// Wait this long for answers after the last message was sent
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub drain: Duration,
    /// Start measuring at this time, in seconds since 1970 or as HH:MM:SS in UTC: connections are
    /// opened before, and several processes and hosts start together
    #[arg(long, value_name = "TIME", value_parser = start::at)]
    pub start_at: Option<SystemTime>,
    /// Random seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub output: OutputArgs,
}

/// How connections are opened.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// Open this many connections per second instead of as many as possible
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub ramp: Option<f64>,
    /// Connect from these addresses in rotation, such as 127.0.0.1-127.0.0.8: one address can
    /// open some 28,000 connections to one server
    #[arg(long, value_name = "FIRST-LAST")]
    pub source: Option<Sources>,
    /// Send this header with each handshake or request; may be repeated. `Host` replaces the URL's
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Ask for this subprotocol; may be repeated
    #[arg(long, value_name = "NAME")]
    pub subprotocol: Vec<String>,
    /// Trust the authorities in this PEM file instead of the system's (wss)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not verify the server's certificate (wss)
    #[arg(long)]
    pub insecure: bool,
    /// Resume TLS sessions: each connection uses a ticket that an earlier one was given, if one is
    /// left, instead of a full handshake (wss)
    #[arg(long)]
    pub resume: bool,
    /// Give up a handshake that takes longer than this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub handshake_timeout: Duration,
}

impl CommonArgs {
    /// The default options, with this URL.
    pub fn of(url: &str) -> Self {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            common: CommonArgs,
        }
        let words = ["ringway-loadtest".to_owned(), format!("--url={url}")];
        Alone::try_parse_from(words).expect("all but the URL have defaults").common
    }
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Write the result as JSON to this file, or to standard output in place of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
    /// Write the result as one page, with curves, to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a histogram log to this file, which `merge` and other tools read
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// A kernel interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IoArg {
    /// io_uring, or epoll if the kernel refuses io_uring.
    Auto,
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

/// How messages are sent, and when.
#[derive(Debug, Clone, Args)]
pub struct TrafficArgs {
    /// Messages per second over all connections, independent of replies: an open loop
    #[arg(long, value_parser = rate, conflicts_with = "closed", default_value = "10k")]
    pub rate: f64,
    /// Send the next message when the reply to the last one arrives: saturates the server. The
    /// latencies then mean little, because a slow server gets fewer messages
    #[arg(long)]
    pub closed: bool,
    /// How messages are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Constant)]
    pub arrivals: ArrivalsArg,
    /// How long to measure
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = time)]
    pub duration: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub message: MessageArgs,
}

impl TrafficArgs {
    /// How messages are spread.
    pub fn pattern(&self) -> Pattern {
        self.arrivals.into()
    }
}

/// How messages are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArrivalsArg {
    /// Evenly.
    Constant,
    /// At random, each independent of the others.
    Poisson,
}

impl From<ArrivalsArg> for Pattern {
    fn from(arg: ArrivalsArg) -> Self {
        match arg {
            ArrivalsArg::Constant => Self::Constant,
            ArrivalsArg::Poisson => Self::Poisson,
        }
    }
}

/// `echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub traffic: TrafficArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_shows_where_the_number_goes() {
        for mode in Arguments::command().get_subcommands_mut() {
            let texts = mode
                .get_arguments()
                .flat_map(|one| [one.get_help(), one.get_long_help()])
                .chain([mode.get_after_help(), mode.get_after_long_help()]);
            for text in texts.flatten().map(|text| text.ansi().to_string()) {
                assert!(
                    !text.contains("{n}"),
                    "clap would take {{n}} for the end of a line: {text}"
                );
            }
            if mode.get_arguments().any(|one| one.get_id() == "url") {
                let help = mode.render_long_help().to_string();
                assert!(help.contains("{n} stands for") || help.contains("{n} in"), "{help}");
            }
        }
    }

    #[test]
    fn the_url_alone_is_enough() {
        let args = CommonArgs::of("-x ws://a/{n}");
        assert_eq!((&args.url[..], args.connections), ("-x ws://a/{n}", 1000));
    }
}
