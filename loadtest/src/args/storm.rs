//! The command line of `storm`.
//!
//! It only parses the options.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{CommonArgs, count, time};

// The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
const EXAMPLES: &str = "\
EXAMPLES
  ringway-loadtest storm --url ws://127.0.0.1:8080/echo
  ringway-loadtest storm --url 'ws://127.0.0.1:8080/ws?client=load-{\u{1b}[mn}' --expect welcome --cursor cursor
  ringway-loadtest storm --url wss://chat.example/ --how reset --return-within 10s
  Each has missed 100 events when it returns:
    ringway-loadtest storm --url 'ws://127.0.0.1:8080/ws?client=load-{\u{1b}[mn}&topic=news' --cursor cursor \\
      --away 2s --missed 100 --publish-url http://127.0.0.1:8081/v1/publish \\
      --publish-message '{\"topic\":\"news\",\"data\":\"{event} of 100\"}' --expect '100 of 100'

The table's latency is from the moment of the drop (or when a connection was to return) to its
resumption, including failed attempts. With several rounds, details are of the slowest.";

/// The options of `storm`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
#[command(mut_arg("connections", |arg| arg.default_value("10k")))]
#[command(mut_arg("drain", |arg| arg.hide(true)))]
#[command(mut_arg("ramp", |arg| arg.help(
    "Open this many connections a second, at first and in a storm, instead of as many as possible"
)))]
#[command(mut_arg("pid", |arg| arg.help(
    "The server's process, if it is on this host: its CPU time per resumption is measured"
)))]
pub struct StormArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    /// How the connections drop
    #[arg(long, value_enum, default_value_t = HowArg::Cut)]
    pub how: HowArg,
    /// Hold the connections for this long before each storm
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub hold: Duration,
    /// Each connection returns at a random time within this, instead of at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub return_within: Duration,
    /// A connection has resumed only when it has received a message that contains this text, such
    /// as `welcome`; without it, as soon as it is open
    #[arg(long, value_name = "TEXT")]
    pub expect: Option<String>,
    /// A string field of the server's messages, such as `cursor`, from which a connection resumes:
    /// its latest value goes into the query of the next handshake, under that name
    #[arg(long, value_name = "FIELD")]
    pub cursor: Option<String>,
    /// Each connection stays away for at least this long
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub away: Duration,
    /// While they are away, publish this many events, one after another, which each of them misses
    #[arg(long, value_name = "N", value_parser = count, requires = "publish_url", requires = "away")]
    pub missed: Option<u32>,
    /// The http: URL to which the missed events are published, by POST
    #[arg(long, value_name = "URL", requires = "missed")]
    pub publish_url: Option<String>,
    /// A missed event; {event} stands for its number, from 1. With --expect, a connection can be
    /// counted as resumed when it has received the last one
    #[arg(long, value_name = "TEMPLATE", default_value = "{event}")]
    pub publish_message: String,
    /// Content type of missed events
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub content_type: String,
    /// Number of storms, one after another
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub rounds: u32,
    /// Give up on connections that have not resumed after this
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub storm_timeout: Duration,
}

/// How connections drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HowArg {
    /// FIN without a Close frame, as when processes die.
    Cut,
    /// RST, as when a middlebox fails.
    Reset,
    /// A Close frame; the connection returns when the server has answered.
    Close,
}
