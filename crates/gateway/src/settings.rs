//! What every peer of a process goes by: resolved, immutable, shared by all cores.
//!
//! It is the configuration as the data path wants it; it reads no file.

use std::time::Duration;

use ringway_frame::{
    ReadLimits,
    deflate::{ContextTakeover, Level, MemoryLevel, Policy, WindowBits},
};

use crate::{permission::Permissions,
    config::{Automatic, Config, Deflate},
    http::{cors::Origins, head::HeadLimits, visit::VisitLimits},
    limits::VISIT_TOPICS_MAX,
};

/// See the configuration keys of the same names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds of a request head.
    pub head: HeadLimits,
    /// From the connection, or the first byte of a request, to the end of its head.
    pub handshake_timeout: Duration,
    /// Between two requests.
    pub keep_alive_timeout: Duration,
    /// Requests of one connection.
    pub requests_per_connection_max: u32,
    /// Bounds of what `/ws` and its fall-backs are asked for.
    pub visits: VisitLimits,
    /// Whose pages may read the answers.
    pub origins: Origins,
    /// Bounds of what `/echo` reads.
    pub echo: ReadLimits,
    /// What is agreed on for permessage-deflate; `None` agrees on nothing.
    pub deflate: Option<Policy>,
    pub ping_interval: Duration,
    pub pong_timeout: Duration,
    pub recipients_max: usize,
    pub subscriptions_max: usize,
    pub slow_reader: SlowReader,
    pub permissions: Permissions,
    pub history: HistorySettings,
    pub poll_wait: Duration,
    pub poll_wait_max: Duration,
    pub poll_bytes_max: usize,
    pub retry: Duration,
    pub message: ReadLimits,
    /// How long a peer may take to answer a Close, or to end the stream after our FIN.
    pub close_timeout: Duration,
    /// Bytes kept for a slow reader before its input is paused.
    pub queue_bytes_max: usize,
    /// Over how long clients are told to leave.
    pub drain_time: Duration,
}

impl Settings {
    /// The part of the configuration that peers go by.
    pub fn from_config(config: &Config) -> Self {
        let Config { server, websocket, limits, .. } = config;
        Self {
            head: HeadLimits {
                bytes_max: limits.header_bytes_max,
                fields_max: limits.header_fields_max,
                target_bytes_max: limits.target_bytes_max,
            },
            handshake_timeout: limits.handshake_timeout,
            keep_alive_timeout: limits.keep_alive_timeout,
            requests_per_connection_max: limits.requests_per_connection_max,
            visits: VisitLimits {
                topics_max: VISIT_TOPICS_MAX,
                body_bytes_max: websocket.message_bytes_max,
            },
            origins: Origins::default(),
            echo: read_limits(websocket.frame_bytes_max, websocket.echo_message_bytes_max),
            deflate: websocket.deflate.enabled.then(|| policy(&websocket.deflate)),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            recipients_max: 1000,
            subscriptions_max: 100,
            slow_reader: SlowReader::Gap,
            permissions: {
                let all = || crate::permission::Patterns::new(["*"]);
                Permissions { notify: all(), publish: all(), subscribe: all() }
            },
            history: HistorySettings { events_max: 100_000, bytes_max: 64 << 20, age_max: Duration::from_secs(300) },
            poll_wait: Duration::from_secs(25),
            poll_wait_max: Duration::from_secs(60),
            poll_bytes_max: 1 << 20,
            retry: Duration::from_secs(2),
            message: read_limits(websocket.frame_bytes_max, websocket.message_bytes_max),
            close_timeout: websocket.close_timeout,
            queue_bytes_max: websocket.queue_bytes_max,
            drain_time: server.drain_time,
        }
    }
}

/// Without a bound of its own a frame is bounded by its message alone, whose compressed form may
/// be a little longer than itself.
fn read_limits(frame_bytes_max: Automatic<usize>, message_bytes_max: usize) -> ReadLimits {
    ReadLimits {
        frame_bytes_max: match frame_bytes_max {
            Automatic::Auto => u64::MAX,
            Automatic::Exactly(bytes) => bytes as u64,
        },
        message_bytes_max: message_bytes_max as u64,
    }
}

fn policy(deflate: &Deflate) -> Policy {
    let takeover =
        |allowed| if allowed { ContextTakeover::Allowed } else { ContextTakeover::Forbidden };
    let checked = "the configuration has checked the range";
    Policy {
        level: Level::new(deflate.level).expect(checked),
        memory_level: MemoryLevel::new(deflate.memory_level).expect(checked),
        server_context_takeover: takeover(deflate.server_context_takeover),
        client_context_takeover: takeover(deflate.client_context_takeover),
        server_window_bits_max: WindowBits::new(deflate.server_window_bits_max).expect(checked),
        client_window_bits_max: WindowBits::new(deflate.client_window_bits_max).expect(checked),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowReader { Gap, Close }
#[derive(Debug, Clone, Copy)]
pub struct HistorySettings { pub events_max: u64, pub bytes_max: u64, pub age_max: Duration }
