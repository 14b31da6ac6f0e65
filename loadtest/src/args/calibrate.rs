//! The command line of `calibrate`.
//!
//! It starts its own server, or measures what a message costs another one.

use std::time::Duration;

use clap::Args;

use super::{CostArgs, IoArg, OutputArgs, bytes, count, rate, time};

/// The options of `calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {
    /// Connections
    #[arg(long, short = 'c', default_value = "10", value_parser = count)]
    pub connections: u32,
    /// Messages per second
    #[arg(long, value_parser = rate, default_value = "10k")]
    pub rate: f64,
    /// How long to measure, in each slot
    #[arg(long, short = 'd', value_name = "TIME", default_value = "1s", value_parser = time)]
    pub duration: Duration,
    /// Slots: the one with the median p99 is reported in full, the others only with their p99
    #[arg(long, value_name = "N", default_value = "5", value_parser = count)]
    pub slots: u32,
    /// Payload bytes of a message
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = bytes)]
    pub size: usize,
    /// The tester's core and the echo server's, such as 1,0; by default the last and the first. With
    /// --echo-url, the tester's
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub cores: Vec<usize>,
    /// Kernel interface of the tester
    #[arg(long, value_enum, default_value_t = IoArg::Auto)]
    pub io: IoArg,
    /// The largest error allowed at p99; above it, the exit status is 3
    #[arg(long, value_name = "TIME", default_value = "20us", value_parser = time)]
    pub within: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub cost: CostArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub output: OutputArgs,
}
