//! What every peer of a process goes by: resolved, immutable, shared by all cores.
//!
//! It is the configuration as the data path wants it; it reads no file.

use std::{sync::Arc, time::Duration};

use ringway_frame::{
    ReadLimits,
    deflate::{ContextTakeover, Level, MemoryLevel, Policy, WindowBits},
};
use ringway_hub::TopicRetention;

use crate::{
    config::{
        Automatic, Clients, Config, Deflate, HistoryTopic, SlowReader, Socket,
        api_hosts::ApiHosts,
        origins::Origins,
        patterns::{Patterns, Permissions},
    },
    limits::KERNEL_QUEUE_BYTES,
};

use ringway_http::head::HeadLimits;

/// Bounds of what a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct VisitLimits {
    /// How often `topic` may be given.
    pub topics_max: usize,
    /// Bytes of the body of `POST /send`, without its framing.
    pub body_bytes_max: usize,
}

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
    /// Connections of the process, as far as it is known.
    pub connections_max: u32,
    /// Connections from one address.
    pub connections_per_address_max: u32,
    /// Bytes buffered for all clients, as far as it is known.
    pub memory_bytes: u64,
    /// Bounds of what is asked for by a query, and by `POST /send`.
    pub visits: VisitLimits,
    /// Whose pages may read the answers.
    pub origins: Origins,
    /// Bounds of what `/ws` reads.
    pub message: ReadLimits,
    /// Bounds of what `/echo` reads.
    pub echo: ReadLimits,
    /// What is agreed on for permessage-deflate; `None` agrees on nothing.
    pub deflate: Option<Policy>,
    /// From the first byte of a message to its last.
    pub message_timeout: Duration,
    /// How long a peer may be silent until it is asked for a sign of life.
    pub ping_interval: Duration,
    /// How long it may stay silent after that.
    pub pong_timeout: Duration,
    /// How long a peer may take to answer a Close, or to end the stream after our FIN.
    pub close_timeout: Duration,
    /// Bytes kept for a slow reader before its input is paused.
    pub queue_bytes_max: usize,
    /// Bytes that the kernel may keep for a socket that takes no more.
    pub kernel_queue_bytes: usize,
    /// What becomes of a slow reader whose events have left the history.
    pub slow_reader: SlowReader,
    /// Recipients of one event.
    pub recipients_max: usize,
    /// Levels of the data of an event.
    pub data_depth_max: usize,
    /// Under which names the private API may be asked for.
    pub api_hosts: ApiHosts,
    /// Topics that one connection may be subscribed to.
    pub subscriptions_max: usize,
    /// The last events of a topic that a client may ask for.
    pub last_events_max: usize,
    /// What clients may do.
    pub permissions: Permissions,
    /// What is kept for those who were away.
    pub history: HistorySettings,
    /// How long a poll waits when the client does not say.
    pub poll_wait: Duration,
    /// How long a client may have a poll wait.
    pub poll_wait_max: Duration,
    /// Bytes of the events in one answer to a poll; one event always fits.
    pub poll_bytes_max: usize,
    /// How long clients of server-sent events are told to wait before they connect again.
    pub retry: Duration,
    /// Over how long clients are told to leave.
    pub drain_time: Duration,
}

/// The bounds of the history; whichever is reached first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySettings {
    /// Events that are kept.
    pub events_max: u64,
    /// Their bytes.
    pub bytes_max: u64,
    /// How long each is kept.
    pub age_max: Duration,
    /// Topics that keep less; the first that matches counts.
    pub topics: Arc<[(Patterns, TopicRetention)]>,
}

impl Settings {
    /// The part of the configuration that peers go by.
    pub fn from_config(config: &Config) -> Self {
        let Config {
            server, socket, websocket, deflate, clients, history, http, cors, limits, ..
        } = config;
        Self {
            head: HeadLimits {
                bytes_max: limits.header_bytes_max,
                fields_max: limits.header_fields_max,
                target_bytes_max: limits.target_bytes_max,
            },
            handshake_timeout: limits.handshake_timeout,
            keep_alive_timeout: limits.keep_alive_timeout,
            requests_per_connection_max: limits.requests_per_connection_max,
            connections_max: limits.connections_max.exactly().unwrap_or(u32::MAX),
            connections_per_address_max: limits.connections_per_address_max,
            memory_bytes: limits.memory_bytes.exactly().unwrap_or(u64::MAX),
            visits: VisitLimits {
                topics_max: clients.subscriptions_max,
                body_bytes_max: websocket.message_bytes_max,
            },
            origins: cors.allowed_origins.clone(),
            message: read_limits(websocket.frame_bytes_max, websocket.message_bytes_max),
            echo: read_limits(websocket.frame_bytes_max, websocket.echo_message_bytes_max),
            deflate: deflate.enabled.then(|| policy(deflate)),
            message_timeout: websocket.message_timeout,
            ping_interval: websocket.ping_interval,
            pong_timeout: websocket.pong_timeout,
            close_timeout: websocket.close_timeout,
            queue_bytes_max: clients.queue_bytes_max,
            kernel_queue_bytes: kernel_queue_bytes(socket),
            slow_reader: clients.slow_reader,
            recipients_max: clients.recipients_max,
            data_depth_max: clients.data_depth_max,
            api_hosts: server.api_allowed_hosts.clone(),
            subscriptions_max: clients.subscriptions_max,
            last_events_max: clients.last_events_max,
            permissions: permissions(clients),
            history: HistorySettings {
                events_max: history.events_max,
                bytes_max: history.bytes_max,
                age_max: history.age_max,
                topics: config.history_topics.iter().map(topic_retention).collect(),
            },
            poll_wait: http.poll_wait,
            poll_wait_max: http.poll_wait_max,
            poll_bytes_max: http.poll_bytes_max,
            retry: http.retry,
            drain_time: server.drain_time,
        }
    }
}

/// What TCP_NOTSENT_LOWAT and SO_SNDBUF let the kernel keep for a client that does not read.
fn kernel_queue_bytes(socket: &Socket) -> usize {
    let bounds = [socket.notsent_lowat_bytes.exactly(), socket.send_buffer_bytes.exactly()];
    bounds.into_iter().flatten().min().map_or(KERNEL_QUEUE_BYTES as usize, |bytes| bytes as usize)
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

fn permissions(clients: &Clients) -> Permissions {
    Permissions {
        notify: clients.may_notify.clone(),
        publish: clients.may_publish.clone(),
        subscribe: clients.may_subscribe.clone(),
    }
}

fn topic_retention(topic: &HistoryTopic) -> (Patterns, TopicRetention) {
    let retention = TopicRetention {
        events_max: topic.events_max.unwrap_or(u64::MAX),
        age_max: topic.age_max.unwrap_or(Duration::MAX),
    };
    (Patterns::new([&*topic.pattern]), retention)
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
