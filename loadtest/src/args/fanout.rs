//! The command line of `fanout`.
//!
//! Templates come from the user: no server's format is known here.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ArrivalsArg, CommonArgs, bytes, count, header, rate, time};
use crate::measure::arrivals::Pattern;

/// The options of `fanout`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct FanoutArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "documented on the type")]
    pub common: CommonArgs,
    /// How subscribers receive; all but WebSockets take an http: URL
    #[arg(long, value_enum, value_name = "WAY", default_value_t = SubscribeArg::WebSocket)]
    pub subscribe_by: SubscribeArg,
    /// In a long poll, the field of a response whose value goes into the query of the next request.
    /// Entity tags and modification times are always sent back
    #[arg(long, value_name = "NAME")]
    pub cursor: Option<String>,
    /// Each subscriber sends this when it is open; `{n}` stands for its number.
    // The escape sequence shows nothing, and keeps clap from taking {n} for the end of a line.
    #[arg(
        long,
        value_name = "TEMPLATE",
        help = "Each subscriber sends this when it is open; may \
                        be repeated; {\u{1b}[mn} stands for its number"
    )]
    pub hello: Vec<String>,
    /// Where publishers connect, by ws: or, to send each event with a POST request, http:; by
    /// default the subscribers' URL
    #[arg(long, value_name = "URL")]
    pub publish_url: Option<String>,
    /// Publishers
    #[arg(long, value_name = "M", default_value = "1", value_parser = count)]
    pub publishers: u32,
    /// Each publisher sends this when it is open; may be repeated
    #[arg(long, value_name = "TEMPLATE")]
    pub publish_hello: Vec<String>,
    /// Send this header with each publisher's requests; may be repeated; `@FILE` reads it from a file
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub publish_header: Vec<(String, String)>,
    /// The message to publish: {stamp} stands for 34 characters that identify a delivery, and
    /// {body}, directly after it, for letters and digits up to --size
    #[arg(long, value_name = "TEMPLATE", default_value = "{stamp}{body}")]
    pub message: String,
    /// Publish binary messages instead of text
    #[arg(long)]
    pub binary: bool,
    /// Content type of the bodies of POST requests
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub content_type: String,
    /// In a closed loop over HTTP, send this many events with each POST request, a line each, if the
    /// server takes such bodies
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, requires = "closed")]
    pub bulk: u32,
    /// Subscribers offer permessage-deflate
    #[arg(long)]
    pub deflate: bool,
    /// Events per second over all publishers, independent of deliveries: an open loop
    #[arg(long, value_parser = rate, conflicts_with = "closed", default_value = "10")]
    pub rate: f64,
    /// Publish the next event when the last one has reached all subscribers: saturates the server.
    /// The latencies then mean little, because a slow server gets fewer events
    #[arg(long)]
    pub closed: bool,
    /// In a closed loop, keep this many events outstanding
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub pipeline: u32,
    /// How events are spread over time
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Constant)]
    pub arrivals: ArrivalsArg,
    /// How long to measure
    #[arg(long, short = 'd', value_name = "TIME", default_value = "10s", value_parser = time)]
    pub duration: Duration,
    /// During the fan-out, send echo messages of 64 bytes on other connections to this ws: URL of
    /// the same server, to measure how long other clients wait while events are delivered
    #[arg(long, value_name = "URL")]
    pub echo_url: Option<String>,
    /// Echo messages per second
    #[arg(long, value_name = "RATE", default_value = "200", value_parser = rate)]
    pub echo_rate: f64,
    /// Connections that send echo messages, in rotation
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub echo_connections: u32,
    /// Bytes of an event's stamp and body, at least 34
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = bytes)]
    pub size: usize,
}

/// How subscribers receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SubscribeArg {
    /// As messages of a WebSocket.
    #[value(name = "websocket")]
    WebSocket,
    /// As Server-Sent Events.
    Sse,
    /// As the responses to long polls.
    LongPoll,
}

const EXAMPLES: &str = "\
EXAMPLES
  Every message of a client is sent to all clients:
    ringway-loadtest fanout --url ws://127.0.0.1:8080/room --connections 1000 --rate 20
  Subscribers join by a message, and publishers publish over HTTP:
    ringway-loadtest fanout --url ws://127.0.0.1:8080/ws --hello '{\"join\":\"news\"}' \\
      --publish-url http://127.0.0.1:9090/publish --message '{\"topic\":\"news\",\"data\":\"{stamp}{body}\"}'
  How long the messages of other clients of the same server take meanwhile:
    ringway-loadtest fanout --url ws://127.0.0.1:8080/room -c 9000 --closed --echo-url ws://127.0.0.1:8080/echo";

impl FanoutArgs {
    /// How events are spread.
    pub fn pattern(&self) -> Pattern {
        self.arrivals.into()
    }
}
