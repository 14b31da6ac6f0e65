//! The command line of `churn`.
//!
//! It only parses the options.

use std::time::Duration;

use clap::Args;

use super::{ArrivalsArg, CommonArgs, bytes, rate, time};
use crate::measure::arrivals::Pattern;

const EXAMPLES: &str = "\
EXAMPLES
  ringway-loadtest churn --url ws://127.0.0.1:8080/echo --pid 4711
  ringway-loadtest churn --url ws://127.0.0.1:8080/echo --rate 2k --arrivals poisson -c 1000
  ringway-loadtest churn --url ws://127.0.0.1:8080/echo --echo 64
  ringway-loadtest churn --url ws://10.0.0.5/echo --source 10.0.0.10-10.0.0.17

The end that closes a connection first keeps its port for a minute: the server after a Close frame,
this host with --abrupt. If ports run out (no_port_left), use several addresses with --source.";

/// The options of `churn`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
#[command(mut_arg("connections", |arg| {
    arg.default_value("100").help("Connections at a time, at most")
}))]
#[command(mut_arg("pid", |arg| arg.help(
    "The server's process, if it is on this host: its CPU time per connection is measured"
)))]
#[command(mut_arg("drain", |arg| arg.help(
    "Wait this long for unfinished connections after the last one was begun"
)))]
pub struct ChurnArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    /// Open this many connections per second, however long each takes: an open loop. Without it,
    /// the next connection is opened as soon as one has ended
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub rate: Option<f64>,
    /// How the connections of an open loop are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Constant, requires = "rate")]
    pub arrivals: ArrivalsArg,
    /// Send a message of this size on each connection and wait for its echo before closing: a
    /// connection is then counted and timed when its echo has arrived
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub echo: Option<usize>,
    /// How long to measure
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = time)]
    pub duration: Duration,
    /// End connections without a Close frame
    #[arg(long)]
    pub abrupt: bool,
}

impl ChurnArgs {
    /// How the connections of an open loop are spread.
    pub fn pattern(&self) -> Pattern {
        self.arrivals.into()
    }
}
