//! The command line of `idle`.
//!
//! It only parses the options.

use std::time::Duration;

use clap::Args;

use super::{CommonArgs, time};

// The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
const EXAMPLES: &str = "\
EXAMPLES
  ringway-loadtest idle --url 'ws://127.0.0.1:8080/ws?client=load-{\u{1b}[mn}' --pid 4711
  ringway-loadtest idle --url ws://127.0.0.1:8080/echo -c 50k --source 127.0.0.1-127.0.0.8
  ringway-loadtest idle --url wss://chat.example/ --hold 10m --ping 30s --ramp 500
  ringway-loadtest idle --url 'http://127.0.0.1:8080/sse?client=load-{\u{1b}[mn}&topic=news' --pid 4711

At an http: URL, one request is sent on each connection and its response is held, such as a stream or a
poll that waits. What a connection costs beyond what a server has allocated for the first ones: hold
those by another run of this program, and give this one a --first-number.

The kernel's memory is the growth on the whole host since before the first connection: run it where
little else happens, and as root, because only root may read /proc/slabinfo. Restart the server
first: memory that it kept from earlier connections is not measured.";

/// The options of `idle`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
#[command(mut_arg("connections", |arg| arg.default_value("10k")))]
#[command(mut_arg("pid", |arg| arg.help(
    "The server's process, if it is on this host: its memory and its threads' CPU are measured"
)))]
pub struct IdleArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    /// Hold the connections for this long once they are open
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub hold: Duration,
    /// Each connection sends this when it is open; `{n}` stands for its number.
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        value_name = "TEMPLATE",
        help = "Each connection sends this when it is open; may be repeated; {\u{1b}[mn} stands for its \
                number"
    )]
    pub hello: Vec<String>,
    /// Send a Ping on each connection at this interval, and measure how long its Pong takes
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub ping: Option<Duration>,
}

fn period(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| match time.is_zero() {
        true => Err("it must be more than 0".to_owned()),
        false => Ok(time),
    })
}
