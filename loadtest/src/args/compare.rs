//! The command line of `compare`, and of the testers that it starts.
//!
//! A tester gets the same options as `compare` itself, and the name of its server as well.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    ArrivalsArg, CommonArgs, ConnectArgs, EchoArgs, IoArg, MessageArgs, TrafficArgs,
    churn::ChurnArgs,
    count,
    fanout::{FanoutArgs, SubscribeArg},
    named::Named,
    rate, threads, time,
};
use crate::wire::{message::Content, template::MARKED_BYTES};

const EXAMPLES: &str = "\
EXAMPLES
  The cost of an echo on the second server, compared with the first, which is measured twice to show
  the noise:
    ringway-loadtest compare --url a=ws://127.0.0.1:8080/echo --pid a=4711 \\
                             --url b=ws://127.0.0.1:8081/echo --pid b=4712 --control --cores 1
  Latencies of both at half of what the first can do:
    ringway-loadtest compare --url a=ws://127.0.0.1:8080/echo --url b=ws://127.0.0.1:8081/echo --rate half
  Connections that open, have one message echoed, and close, 32 at a time:
    ringway-loadtest compare --mode churn -c 32 --url a=ws://127.0.0.1:8080/echo --pid a=4711 --control
  The server is so quick that the tester is the bottleneck:
    ringway-loadtest compare --unstamped --url a=ws://127.0.0.1:8080/echo --pid a=4711 --control
  How long other clients wait while events are sent to 9,000 subscribers:
    ringway-loadtest compare --mode fanout -c 9000 --url a=ws://127.0.0.1:8080/room \\
                             --echo-url a=ws://127.0.0.1:8080/echo --control";

/// The options of `compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct CompareArgs {
    /// A server, with a name for it; `{n}` in the URL stands for the number of the connection.
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        required = true,
        value_name = "NAME=URL",
        help = "A server and what to call it; \
                        the first is the base of the ratios. {\u{1b}[mn} in the URL stands for the \
                        number of the connection"
    )]
    pub url: Vec<Named>,
    /// A process of that server, if it is on this host: ratios are then of CPU time per message.
    /// May be repeated for a server of several processes
    #[arg(long, value_name = "NAME=PID")]
    pub pid: Vec<Named<u32>>,
    /// What the servers do
    #[arg(long, value_enum, default_value_t = WorkloadArg::Echo)]
    pub mode: WorkloadArg,
    /// Echo: the message for that server, in place of --message
    #[arg(long, value_name = "NAME=TEMPLATE")]
    pub message_of: Vec<Named>,
    /// Fan-out: where publishers of that server connect, by ws: or http:; by default its --url
    #[arg(long, value_name = "NAME=URL")]
    pub publish_url: Vec<Named>,
    /// Fan-out: the message to publish to that server; {stamp} and {body} as in `fanout`
    #[arg(long, value_name = "NAME=TEMPLATE")]
    pub publish_message: Vec<Named>,
    /// Fan-out: each subscriber of that server sends this when it is open; may be repeated
    #[arg(long, value_name = "NAME=TEMPLATE")]
    pub hello: Vec<Named>,
    /// Fan-out: each publisher of that server sends this when it is open; may be repeated
    #[arg(long, value_name = "NAME=TEMPLATE")]
    pub publish_hello: Vec<Named>,
    /// Fan-out: how subscribers receive; all but WebSockets take http: URLs
    #[arg(long, value_enum, value_name = "WAY", default_value_t = SubscribeArg::WebSocket)]
    pub subscribe_by: SubscribeArg,
    /// Fan-out by long polls: the cursor's field in that server's responses, as in `fanout`
    #[arg(long, value_name = "NAME=FIELD")]
    pub cursor: Vec<Named>,
    /// Fan-out: publishers of each server
    #[arg(long, value_name = "M", default_value = "1", value_parser = count)]
    pub publishers: u32,
    /// Fan-out: meanwhile, send echo messages on other connections to this ws: URL of that server
    #[arg(long, value_name = "NAME=URL")]
    pub echo_url: Vec<Named>,
    /// Fan-out: echo messages per second
    #[arg(long, value_name = "RATE", default_value = "200", value_parser = rate)]
    pub echo_rate: f64,
    /// Fan-out: connections that send echo messages, in rotation
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub echo_connections: u32,
    /// Fan-out: content type of the bodies of POST requests
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub content_type: String,
    /// Fan-out in a closed loop over HTTP: events in each POST request, a line each, as in `fanout`
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, conflicts_with = "rate")]
    pub bulk: u32,
    /// Measure the first server a second time, as `control`, to show the noise
    #[arg(long)]
    pub control: bool,
    /// Connections to each server; with fan-out, subscribers; with churn, connections at a time
    #[arg(long, short = 'c', default_value = "1000", value_parser = count)]
    pub connections: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub message: MessageArgs,
    /// Send the next message when the reply to the last one arrives; this is the default without
    /// --rate
    #[arg(long)]
    pub closed: bool,
    /// Messages per second to each server, or events with fan-out, or connections with churn,
    /// independent of replies: an open loop, for latencies. `half` is half of the first server's
    /// rate in a closed loop, which is measured first
    #[arg(long, value_name = "RATE|half", conflicts_with = "closed")]
    pub rate: Option<RateArg>,
    /// How the messages of an open loop are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Constant)]
    pub arrivals: ArrivalsArg,
    /// How long each slot of a server is
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = slot)]
    pub slot: Duration,
    /// Calm rounds to run; each server has one slot in each
    #[arg(long, default_value = "20", value_parser = count)]
    pub rounds: u32,
    /// Warm-up rounds, in which caches and buffers settle; they are not counted
    #[arg(long, default_value_t = 2)]
    pub warm_up: u32,
    /// A round is calm if no server and no tester waited for its CPU for more than this share of its
    /// slot. Only calm rounds count, unless fewer than half of those asked for are calm: then all
    /// count, and the result is marked as noisy
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0)]
    pub calm: f64,
    /// End after this many rounds, calm or not; twice --rounds by default
    #[arg(long, value_name = "ROUNDS", value_parser = count)]
    pub rounds_max: Option<u32>,
    /// Begin no further round after this time, and conclude from those that were run
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time_max: Option<Duration>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub connect: ConnectArgs,
    /// Threads of each tester; by default one, or as many as --cores names
    #[arg(long, value_parser = threads)]
    pub threads: Option<u32>,
    /// Pin the testers' threads to these cores, such as 1,3
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub cores: Vec<usize>,
    /// Kernel interface that the testers use
    #[arg(long, value_enum, default_value_t = IoArg::Auto)]
    pub io: IoArg,
    /// Wait this long for answers after the last message of a slot was sent
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub drain: Duration,
    /// Random seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result as JSON to this file, or to standard output in place of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
    /// Write the result as one page to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a histogram log to this file; each server's latencies are tagged with its name
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// What the servers of a comparison do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkloadArg {
    /// They send each message back.
    Echo,
    /// They deliver each published event to all subscribers.
    Fanout,
    /// They accept a connection, echo one message on it, and see it closed.
    Churn,
}

/// Messages per second in an open loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RateArg {
    /// Half of the first server's rate when it is saturated.
    Half,
    /// This rate.
    PerSecond(f64),
}

impl FromStr for RateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "half" {
            return Ok(Self::Half);
        }
        rate(text).map(Self::PerSecond).map_err(|why| format!("{why}, or `half`"))
    }
}

impl WorkloadArg {
    /// The name of the mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Fanout => "fanout",
            Self::Churn => "churn",
        }
    }
}

/// The options of the tester of one server.
#[derive(Debug, Clone, Args)]
pub struct TesterArgs {
    /// The name of its server
    #[arg(long)]
    pub target: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub compare: CompareArgs,
}

impl CompareArgs {
    /// The options of a run of `echo` against one of the servers.
    pub fn echo(&self, name: &str, url: &str) -> EchoArgs {
        let own = self.message_of.iter().find(|one| one.name == name);
        let message = own.map(|one| one.value.clone()).or(self.message.message.clone());
        let traffic = TrafficArgs {
            rate: self.rate_asked().unwrap_or_default(),
            closed: self.rate_asked().is_none(),
            arrivals: self.arrivals,
            duration: self.slot,
            message: MessageArgs { message, ..self.message.clone() },
        };
        EchoArgs { common: self.common(url), traffic }
    }

    /// The options of a run of `fanout` against one of the servers.
    pub fn fanout(&self, name: &str, url: &str) -> FanoutArgs {
        let of = |all: &[Named]| -> Vec<String> {
            all.iter().filter(|one| one.name == name).map(|one| one.value.clone()).collect()
        };
        FanoutArgs {
            common: self.common(url),
            subscribe_by: self.subscribe_by,
            cursor: of(&self.cursor).pop(),
            hello: of(&self.hello),
            publish_url: of(&self.publish_url).pop(),
            publishers: self.publishers,
            publish_hello: of(&self.publish_hello),
            publish_header: self.connect.header.clone(),
            message: of(&self.publish_message).pop().unwrap_or_else(|| EVENT.to_owned()),
            binary: false,
            content_type: self.content_type.clone(),
            bulk: self.bulk,
            deflate: self.message.deflate,
            rate: self.rate_asked().unwrap_or_default(),
            closed: self.rate_asked().is_none(),
            pipeline: self.message.pipeline,
            arrivals: self.arrivals,
            duration: self.slot,
            echo_url: of(&self.echo_url).pop(),
            echo_rate: self.echo_rate,
            echo_connections: self.echo_connections,
            size: self.message.size,
        }
    }

    /// The options of a run of `churn` against one of the servers.
    pub fn churn(&self, url: &str) -> ChurnArgs {
        ChurnArgs {
            common: self.common(url),
            rate: self.rate_asked(),
            arrivals: self.arrivals,
            echo: Some(self.message.size),
            duration: self.slot,
            abrupt: false,
        }
    }

    /// The rate of an open loop, if it is known before anything is measured.
    pub fn rate_asked(&self) -> Option<f64> {
        match self.rate? {
            RateArg::Half => None,
            RateArg::PerSecond(rate) => Some(rate),
        }
    }

    /// The shortest message.
    pub fn size_min(&self) -> usize {
        match self.mode {
            WorkloadArg::Echo if !self.message_of.is_empty() => MARKED_BYTES,
            WorkloadArg::Echo => self.message.bytes_min(),
            WorkloadArg::Fanout => MARKED_BYTES,
            WorkloadArg::Churn => Content::Binary.bytes_min(),
        }
    }

    /// The name in each option that names a server.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            ("--message-of", &self.message_of),
            ("--publish-url", &self.publish_url),
            ("--publish-message", &self.publish_message),
            ("--cursor", &self.cursor),
            ("--hello", &self.hello),
            ("--publish-hello", &self.publish_hello),
            ("--echo-url", &self.echo_url),
        ];
        let pids = self.pid.iter().map(|one| ("--pid", &one.name[..]));
        let texts = texts
            .into_iter()
            .flat_map(|(option, all)| all.iter().map(move |one| (option, &one.name[..])));
        pids.chain(texts)
    }

    fn common(&self, url: &str) -> CommonArgs {
        // Some of the servers may be encrypted and others not.
        let is_encrypted = url.starts_with("wss:") || url.starts_with("https:");
        CommonArgs {
            connections: self.connections,
            connect: ConnectArgs {
                ca: self.connect.ca.clone().filter(|_| is_encrypted),
                insecure: self.connect.insecure && is_encrypted,
                resume: self.connect.resume && is_encrypted,
                ..self.connect.clone()
            },
            threads: Some(self.threads.unwrap_or(self.cores.len().max(1) as u32)),
            cores: self.cores.clone(),
            io: self.io,
            drain: self.drain,
            seed: self.seed,
            ..CommonArgs::of(url)
        }
    }
}

/// The event that is published by default.
const EVENT: &str = "{stamp}{body}";

/// The maximum length of a slot: in a longer one, conditions would change before the next server's
/// slot.
const SLOT_TIME_MAX: Duration = Duration::from_secs(60);

/// The minimum length of a slot: in a shorter one, the start and the end dominate.
const SLOT_TIME_MIN: Duration = Duration::from_millis(10);

fn slot(text: &str) -> Result<Duration, String> {
    let slot = time(text)?;
    match (SLOT_TIME_MIN..=SLOT_TIME_MAX).contains(&slot) {
        true => Ok(slot),
        false => Err("a slot lasts from 10ms to 60s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_half() {
        assert_eq!("half".parse(), Ok(RateArg::Half));
        assert_eq!("20k".parse(), Ok(RateArg::PerSecond(20_000.0)));
        for bad in ["", "0", "-1", "halves", "third"] {
            assert!(bad.parse::<RateArg>().unwrap_err().contains("half"), "{bad}");
        }
    }

    #[test]
    fn slots_have_bounds() {
        assert!(slot("200ms").is_ok());
        assert!(slot("1ms").is_err() && slot("2m").is_err());
    }
}
