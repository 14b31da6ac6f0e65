//! The configuration: read from all its sources, checked as a whole, and then
//! immutable. Whoever holds a `Config` may rely on every range and relation in
//! `limits`. Nothing here opens a socket or asks the kernel for its limits.

pub mod api_hosts;
mod cores;
mod defaults;
mod error;
mod file;
mod keys;
pub mod origins;
mod page_origin;
pub mod patterns;
pub mod reference;
mod resolve;
pub mod settings;
mod source;
pub mod spelling;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod topics;
mod units;
mod value;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use tracing::level_filters::LevelFilter;

pub use cores::{Cores, CoresError};
pub use defaults::defaults_text;
pub use error::ConfigError;
pub use keys::{FILE_VARIABLE, VARIABLE_PREFIX};
pub use source::{Flag, Sources};
pub use summary::{DescriptorsError, check};
pub use topics::TopicHistory;

/// What the gateway runs with. It comes from [`Config::load`] (or is the
/// default); the fields are for reading.
///
/// ```
/// use ringway::config::Config;
/// let config = Config::default();
/// assert_eq!(config.listeners[0].address, "127.0.0.1:8080".parse().unwrap());
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[[listener]]`: at least one, no address twice.
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
    /// `[socket]`
    pub socket: Socket,
    /// `[websocket]`
    pub websocket: WebSocket,
    /// `[clients]`
    pub clients: Clients,
    /// `[history]`
    pub history: History,
    /// `[http]`
    pub http: Http,
    /// `[cors]`
    pub cors: Cors,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

/// `[server]`: the process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The cores to run on, one shard each.
    pub cores: Cores,
    /// The kernel interface.
    pub io: Io,
    /// How a core waits for completions.
    pub wait: Wait,
    /// Over how long clients are told to leave after SIGTERM.
    #[serde(deserialize_with = "milliseconds")]
    pub drain_time: Duration,
    /// Address of the private API.
    pub api_listen: SocketAddr,
    /// Host names of the private API, or `*`.
    pub api_allowed_hosts: Vec<String>,
    /// Whether clients without credentials may use a public address.
    pub allow_anonymous_on_public_address: bool,
    /// Receive buffers of each core; a power of two.
    pub receive_buffers: u16,
    /// Bytes of one receive buffer.
    pub receive_buffer_bytes: u32,
}

/// The kernel interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// io_uring where the kernel allows it, else epoll.
    Auto,
    /// io_uring, or no start.
    Uring,
    /// epoll.
    Epoll,
}

/// How a core waits for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// One completion wakes.
    Latency,
    /// As `Latency`, until the core is busy: then completions are gathered for a moment.
    Adaptive,
    /// Completions are gathered for longer, from a moderate rate on.
    Throughput,
}

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where to listen; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Connections that may wait to be accepted, on each core.
    pub backlog: u32,
}

/// `[socket]`: what the kernel is told of each client's connection. `Auto` tells it nothing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    /// Whether small segments are sent at once.
    pub nodelay: bool,
    /// How long a connection waits for its first bytes to be accepted; whole seconds, zero is off.
    #[serde(deserialize_with = "milliseconds")]
    pub defer_accept: Duration,
    /// Bytes never sent, with which the kernel takes no more.
    pub notsent_lowat_bytes: Automatic<u32>,
    /// Silence before the kernel's first probe; whole seconds, zero is off.
    #[serde(deserialize_with = "milliseconds")]
    pub keepalive_idle: Duration,
    /// From probe to probe; whole seconds.
    #[serde(deserialize_with = "automatic_milliseconds")]
    pub keepalive_interval: Automatic<Duration>,
    /// Unanswered probes that end a connection.
    pub keepalive_probes: Automatic<u32>,
    /// How long sent bytes may stay unacknowledged.
    #[serde(deserialize_with = "automatic_milliseconds")]
    pub user_timeout: Automatic<Duration>,
    /// The kernel's receive buffer of a connection.
    pub receive_buffer_bytes: Automatic<u32>,
    /// The kernel's send buffer of a connection.
    pub send_buffer_bytes: Automatic<u32>,
    /// Microseconds for which a receive polls the network card.
    pub busy_poll_us: Automatic<u32>,
}

/// Who can open a connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Only processes on this machine: a loopback address.
    ThisMachine,
    /// Other machines too.
    OtherMachines,
}

impl Reach {
    /// Who can connect to this address.
    ///
    /// ```
    /// use ringway::config::Reach;
    /// assert_eq!(Reach::of("[::1]:80".parse().unwrap()), Reach::ThisMachine);
    /// assert_eq!(Reach::of("0.0.0.0:80".parse().unwrap()), Reach::OtherMachines);
    /// ```
    pub fn of(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() {
            Self::ThisMachine
        } else {
            Self::OtherMachines
        }
    }
}

/// `[websocket]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocket {
    /// Payload bytes of a message to `/ws`, inflated.
    pub message_bytes_max: usize,
    /// Payload bytes of a frame; `Auto` leaves the bound to the message.
    pub frame_bytes_max: Automatic<usize>,
    /// Payload bytes of a message to `/echo`, inflated.
    pub echo_message_bytes_max: usize,
    /// How long a message may take from its first byte to its last.
    #[serde(deserialize_with = "milliseconds")]
    pub message_timeout: Duration,
    /// How long a peer may take to answer a Close.
    #[serde(deserialize_with = "milliseconds")]
    pub close_timeout: Duration,
    /// How long a peer may be silent until it is sent a Ping.
    #[serde(deserialize_with = "milliseconds")]
    pub ping_interval: Duration,
    /// How long it may stay silent after that.
    #[serde(deserialize_with = "milliseconds")]
    pub pong_timeout: Duration,
    /// `[websocket.deflate]`
    pub deflate: Deflate,
}

/// `[websocket.deflate]`: permessage-deflate, RFC 7692.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deflate {
    /// Whether an offer is accepted.
    pub enabled: bool,
    /// Effort, 1 to 9.
    pub level: u8,
    /// Memory of the compressor's state, 1 to 9.
    pub memory_level: u8,
    /// Whether our compressor remembers earlier messages.
    pub server_context_takeover: bool,
    /// Whether the client's compressor may remember earlier messages.
    pub client_context_takeover: bool,
    /// Window of our compressor, 8 to 15.
    pub server_window_bits_max: u8,
    /// Window asked of the client's compressor, 8 to 15.
    pub client_window_bits_max: u8,
}

/// `[clients]`: one client, on every transport.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// Outgoing bytes kept for a slow client before its reading is paused.
    pub queue_bytes_max: usize,
    /// What becomes of a client whose events have left the history.
    pub slow_reader: SlowReader,
    /// Recipients of one event.
    pub recipients_max: usize,
    /// Levels of the data of an event.
    pub data_depth_max: usize,
    /// Topics that one connection may be subscribed to.
    pub subscriptions_max: usize,
    /// The last events of a topic that a client is sent when it asks for them.
    pub last_events_max: usize,
    /// Patterns of the clients that clients may notify.
    pub may_notify: Vec<String>,
    /// Patterns of the topics that clients may publish to.
    pub may_publish: Vec<String>,
    /// Patterns of the topics that clients may subscribe to.
    pub may_subscribe: Vec<String>,
}

/// What becomes of a client that reads so slowly that its events have left the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlowReader {
    /// It is told which it has missed, and goes on.
    Gap,
    /// Its connection is closed, with a cursor to resume from.
    Close,
}

/// `[history]`: what is kept for those who were away.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Events that are kept.
    pub events_max: u64,
    /// Bytes of the events that are kept; at least a message's.
    pub bytes_max: u64,
    /// How long an event is kept.
    #[serde(deserialize_with = "milliseconds")]
    pub age_max: Duration,
    /// `[[history.topic]]`: topics that keep less.
    #[serde(rename = "topic")]
    pub topics: Vec<TopicHistory>,
}

/// `[http]`: the transports beside WebSocket.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// How long a poll waits when the client does not say; at most `poll_wait_max`.
    #[serde(deserialize_with = "milliseconds")]
    pub poll_wait: Duration,
    /// How long a client may have a poll wait.
    #[serde(deserialize_with = "milliseconds")]
    pub poll_wait_max: Duration,
    /// Bytes of the events in one answer to a poll.
    pub poll_bytes_max: usize,
    /// How long clients of server-sent events wait before they connect again.
    #[serde(deserialize_with = "milliseconds")]
    pub retry: Duration,
}

/// `[cors]`: pages of other origins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, or `*`.
    pub allowed_origins: Vec<String>,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections of the process; see [`Limits::connections_max_within`].
    pub connections_max: Automatic<u32>,
    /// Bytes buffered for all clients; see [`crate::process::memory_limit::of`].
    pub memory_bytes: Automatic<u64>,
    /// Connections from one address.
    pub connections_per_address_max: u32,
    /// Networks that `connections_per_address_max` does not apply to.
    pub connections_per_address_exempt: Vec<IpNet>,
    /// From the connection to the end of its first request head.
    #[serde(deserialize_with = "milliseconds")]
    pub handshake_timeout: Duration,
    /// Bytes of a request head.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub header_fields_max: usize,
    /// Bytes of a request target; at most `header_bytes_max`.
    pub target_bytes_max: usize,
    /// How long a connection may wait for its next request.
    #[serde(deserialize_with = "milliseconds")]
    pub keep_alive_timeout: Duration,
    /// Requests of one connection.
    pub requests_per_connection_max: u32,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// The shape of a line.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the field's five words")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line, for collectors.
    Json,
}

/// A value, or the word `"auto"`: it follows from something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic<T> {
    /// It follows from something else.
    Auto,
    /// This value.
    Exactly(T),
}

impl<T> Automatic<T> {
    /// The value, unless it follows from something else.
    pub fn exactly(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Exactly(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Automatic<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some(value::AUTO) {
            return Ok(Self::Auto);
        }
        T::deserialize(value).map(Self::Exactly).map_err(serde::de::Error::custom)
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn automatic_milliseconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Automatic<Duration>, D::Error> {
    Ok(match Automatic::<u64>::deserialize(deserializer)? {
        Automatic::Auto => Automatic::Auto,
        Automatic::Exactly(milliseconds) => Automatic::Exactly(Duration::from_millis(milliseconds)),
    })
}
