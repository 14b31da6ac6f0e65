//! What a checked configuration means, in words: what `ringway check` prints, the
//! warnings of a start, and whether there are descriptors enough. It never changes
//! a value and never asks the kernel for a limit itself.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
};

use crate::{
    config::{
        Automatic, Config, ConfigError, Cores, Limits, Reach, SlowReader, Sources, table::KEYS,
        topics, units,
    },
    limits,
};

/// Loads the sources as a start would, and says what would run: the text of
/// `ringway check FILE`, which begins with `FILE: ok`.
pub fn check(sources: &Sources) -> Result<String, ConfigError> {
    let config = Config::load(sources)?;
    let name = match &sources.file {
        Some(path) => path.display().to_string(),
        None => "defaults".to_owned(),
    };
    let mut text = format!("{name}: ok\n{}", config.summary());
    let variables: Vec<_> = sources
        .environment
        .iter()
        .map(|(name, _)| name.to_string_lossy())
        .filter(|name| KEYS.iter().any(|key| key.variable() == *name))
        .collect();
    if !variables.is_empty() {
        line(&mut text, "environment", &variables.join(", "));
    }
    for warning in config.warnings() {
        line(&mut text, "warning", &warning);
    }
    Ok(text)
}

impl Config {
    /// What an operator should know although it is allowed; one line each, to
    /// be logged at every start.
    pub fn warnings(&self) -> Vec<String> {
        let addresses: Vec<_> = self.listeners.iter().map(|listener| listener.address).collect();
        self.warnings_at(&addresses, self.server.api_listen)
    }

    /// The same once the addresses are bound: port 0 has become a port.
    pub fn warnings_at(&self, addresses: &[SocketAddr], api: SocketAddr) -> Vec<String> {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let mut warnings = vec![format!(
            "anonymous clients are allowed: whoever can reach {} may connect without credentials",
            addresses.join(", ")
        )];
        if Reach::of(api) == Reach::OtherMachines {
            warnings.push(format!(
                "server.api_listen = \"{api}\" can be reached from other machines, and the API \
                 asks for no credentials; let a firewall keep clients away from it"
            ));
        }
        warnings
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for listener in &self.listeners {
            let value = format!("{}, backlog {}", listener.address, listener.backlog);
            line(&mut text, "listen", &value);
        }
        line(&mut text, "socket", &self.socket_text());
        line(&mut text, "private API", &self.server.api_listen.to_string());
        line(&mut text, "engine", &self.engine_text());
        line(&mut text, "websocket", &self.websocket_text());
        line(&mut text, "deflate", &self.deflate_text());
        line(&mut text, "clients", &self.clients_text());
        line(&mut text, "clients may", &self.permissions_text());
        line(&mut text, "history", &self.history_text());
        line(&mut text, "http", &self.http_text());
        line(&mut text, "limits", &self.limits_text());
        line(&mut text, "memory", &self.limits.memory_text());
        let drain = milliseconds_text(self.server.drain_time);
        line(&mut text, "drain", &format!("over {drain} after SIGTERM"));
        text
    }

    /// What differs from the kernel's defaults.
    fn socket_text(&self) -> String {
        let socket = &self.socket;
        let mut parts = vec![if socket.nodelay { "nodelay" } else { "no nodelay" }.to_owned()];
        if !socket.defer_accept.is_zero() {
            parts.push(format!(
                "accepted when they speak or after {}",
                milliseconds_text(socket.defer_accept)
            ));
        }
        if let Automatic::Exactly(bytes) = socket.notsent_lowat_bytes {
            parts.push(format!("{} unsent", units::size_text(bytes.into())));
        }
        if !socket.keepalive_idle.is_zero() {
            parts.push(format!("keepalive after {}", milliseconds_text(socket.keepalive_idle)));
            if let Automatic::Exactly(interval) = socket.keepalive_interval {
                parts.push(format!("probes every {}", milliseconds_text(interval)));
            }
            if let Automatic::Exactly(probes) = socket.keepalive_probes {
                parts.push(format!("{probes} probes"));
            }
        }
        if let Automatic::Exactly(time) = socket.user_timeout {
            parts.push(format!("acknowledged within {}", milliseconds_text(time)));
        }
        if let Automatic::Exactly(bytes) = socket.receive_buffer_bytes {
            parts.push(format!("receive buffers of {}", units::size_text(bytes.into())));
        }
        if let Automatic::Exactly(bytes) = socket.send_buffer_bytes {
            parts.push(format!("send buffers of {}", units::size_text(bytes.into())));
        }
        if let Automatic::Exactly(microseconds) = socket.busy_poll_us {
            parts.push(format!("busy polling for {microseconds} us"));
        }
        parts.push("the rest as the kernel has it".to_owned());
        parts.join(", ")
    }

    fn engine_text(&self) -> String {
        let server = &self.server;
        let buffer = u64::from(server.receive_buffer_bytes);
        let buffers = u64::from(server.receive_buffers);
        let cores = match &server.cores {
            Cores::Auto => "every core".to_owned(),
            Cores::Count(1) => "one core".to_owned(),
            Cores::Count(count) => format!("{count} cores"),
            Cores::List(_) => format!("cores {}", server.cores.to_string().trim_end_matches(',')),
        };
        format!(
            "io {}, wait {}, {cores}, {buffers} receive buffers of {} ({}) on each",
            format!("{:?}", server.io).to_lowercase(),
            format!("{:?}", server.wait).to_lowercase(),
            units::size_text(buffer),
            units::size_text(buffers * buffer),
        )
    }

    fn websocket_text(&self) -> String {
        let websocket = &self.websocket;
        format!(
            "messages to {} (/echo {}) within {}, ping after {}, pong within {}, close within {}",
            units::size_text(websocket.message_bytes_max as u64),
            units::size_text(websocket.echo_message_bytes_max as u64),
            milliseconds_text(websocket.message_timeout),
            milliseconds_text(websocket.ping_interval),
            milliseconds_text(websocket.pong_timeout),
            milliseconds_text(websocket.close_timeout),
        )
    }

    fn deflate_text(&self) -> String {
        let deflate = &self.websocket.deflate;
        if !deflate.enabled {
            return "off".to_owned();
        }
        let takeover = match (deflate.server_context_takeover, deflate.client_context_takeover) {
            (false, false) => "no context takeover",
            (true, false) => "server context takeover",
            (false, true) => "client context takeover",
            (true, true) => "context takeover",
        };
        format!(
            "level {}, memory level {}, {takeover}, window bits {} (server) and {} (client)",
            deflate.level,
            deflate.memory_level,
            deflate.server_window_bits_max,
            deflate.client_window_bits_max,
        )
    }

    fn clients_text(&self) -> String {
        let clients = &self.clients;
        let slow_reader = match clients.slow_reader {
            SlowReader::Gap => "slow readers are told of gaps",
            SlowReader::Close => "slow readers are closed",
        };
        format!(
            "queues to {}, {slow_reader}, {} recipients an event, {} subscriptions, \
             the last {} events",
            units::size_text(clients.queue_bytes_max as u64),
            clients.recipients_max,
            clients.subscriptions_max,
            clients.last_events_max,
        )
    }

    fn permissions_text(&self) -> String {
        let clients = &self.clients;
        format!(
            "notify {}, publish to {}, subscribe to {}",
            patterns_text(&clients.may_notify),
            patterns_text(&clients.may_publish),
            patterns_text(&clients.may_subscribe),
        )
    }

    fn history_text(&self) -> String {
        let history = &self.history;
        format!(
            "{} events, {}, {}{}",
            history.events_max,
            units::size_text(history.bytes_max),
            milliseconds_text(history.age_max),
            topics::text(&history.topics),
        )
    }

    fn http_text(&self) -> String {
        let http = &self.http;
        let origins = match &self.cors.allowed_origins[..] {
            [] => "pages of no other origin".to_owned(),
            origins if origins.iter().any(|origin| origin == "*") => {
                "pages of every origin".to_owned()
            }
            origins => format!("pages of {}", origins.join(", ")),
        };
        format!(
            "polls wait {} (at most {}) for up to {}, retry after {}, {origins}",
            milliseconds_text(http.poll_wait),
            milliseconds_text(http.poll_wait_max),
            units::size_text(http.poll_bytes_max as u64),
            milliseconds_text(http.retry),
        )
    }

    fn limits_text(&self) -> String {
        let limits = &self.limits;
        let connections = match limits.connections_max {
            Automatic::Auto => "connections as NOFILE allows".to_owned(),
            Automatic::Exactly(connections) => format!("{connections} connections"),
        };
        format!(
            "{connections} ({} an address), handshake {}, keep-alive {}, \
             heads to {} and {} fields, targets to {}",
            limits.connections_per_address_max,
            milliseconds_text(limits.handshake_timeout),
            milliseconds_text(limits.keep_alive_timeout),
            units::size_text(limits.header_bytes_max as u64),
            limits.header_fields_max,
            units::size_text(limits.target_bytes_max as u64),
        )
    }
}

impl Limits {
    fn memory_text(&self) -> String {
        match self.memory_bytes {
            Automatic::Auto => {
                "buffers to half of what the process may take, less the history".to_owned()
            }
            Automatic::Exactly(bytes) => format!("buffers to {}", units::size_text(bytes)),
        }
    }

    /// The connections to allow where the descriptors that the process may open
    /// leave room for `room` of them.
    ///
    /// ```
    /// let limits = ringway::config::Config::default().limits;
    /// assert_eq!(limits.connections_max_within(896), Ok(896));
    /// ```
    ///
    /// # Errors
    /// There is no room at all, or less than `connections_max` asks for.
    pub fn connections_max_within(&self, room: u64) -> Result<u32, DescriptorsError> {
        // The bound fits in 32 bits; `limits` asserts it.
        let room = room.min(limits::CONNECTIONS.most) as u32;
        match self.connections_max {
            Automatic::Auto if room > 0 => Ok(room),
            Automatic::Exactly(connections) if connections <= room => Ok(connections),
            connections_max => Err(DescriptorsError { connections_max, room }),
        }
    }
}

/// The process may not open descriptors enough for the connections it was asked
/// to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorsError {
    connections_max: Automatic<u32>,
    room: u32,
}

impl fmt::Display for DescriptorsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mend = "raise it (LimitNOFILE= in the unit, ulimit -n in a shell)";
        let room = self.room;
        match self.connections_max {
            Automatic::Auto => {
                write!(formatter, "the limit of open files leaves no room for connections; {mend}")
            }
            Automatic::Exactly(wanted) => write!(
                formatter,
                "limits.connections_max = {wanted}, but the limit of open files leaves room for \
                 {room}; {mend} by {} or lower limits.connections_max",
                wanted.saturating_sub(room)
            ),
        }
    }
}

impl std::error::Error for DescriptorsError {}

/// The list, unless it is longer than a line of a summary should be.
fn patterns_text(patterns: &[String]) -> String {
    match patterns {
        [] => "nobody".to_owned(),
        [_, _, _, _, _, ..] => format!("{} patterns", patterns.len()),
        few => few.join(" "),
    }
}

fn milliseconds_text(duration: std::time::Duration) -> String {
    units::duration_text(duration.as_millis() as u64)
}

fn line(text: &mut String, name: &str, value: &str) {
    writeln!(text, "  {name:<12} {value}").expect("writing to a string does not fail");
}
