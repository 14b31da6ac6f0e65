//! The one table of configuration keys. Reading, `--set`, `RINGWAY_` variables,
//! nearest-name search and `ringway defaults` all work from it, so that they
//! cannot disagree. It never holds a bound: those are in `limits`.

use crate::limits::{self, Bound};

/// What may be written for a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A duration with its unit; the bound is in milliseconds.
    Duration(Bound),
    /// Bytes, bare or with a unit.
    Size(Bound),
    /// A whole number.
    Count(Bound),
    /// A whole number that is a power of two.
    PowerOfTwo(Bound),
    /// `true` or `false`, and the default.
    Switch(bool),
    /// One of these words, and the default.
    Word(&'static [&'static str], &'static str),
    /// An IP address and a port, and the default.
    Address(&'static str),
    /// Networks such as `10.0.0.0/8`, and the default.
    Networks(&'static [&'static str]),
    /// `"auto"`, a count or a list of cores.
    Cores,
}

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// Section and name, with dots: `limits.handshake_timeout`.
    pub path: &'static str,
    pub kind: Kind,
    /// What it does: sentences for an operator, printed by `ringway defaults`.
    pub meaning: &'static str,
}

impl Key {
    /// `limits` of `limits.handshake_timeout`.
    pub fn section(&self) -> &'static str {
        split(self.path).0
    }

    /// `handshake_timeout` of `limits.handshake_timeout`.
    pub fn name(&self) -> &'static str {
        split(self.path).1
    }

    /// `RINGWAY_LIMITS_HANDSHAKE_TIMEOUT` of `limits.handshake_timeout`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether the key belongs to one listener of possibly several.
    pub fn is_of_listener(&self) -> bool {
        self.section() == LISTENER
    }
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').expect("every key is in a section")
}

/// How many tables a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// One table: `[limits]`.
    Once,
    /// A table for each: `[[listener]]`.
    Each,
}

/// A section, in the order in which `ringway defaults` prints them.
#[derive(Debug)]
pub(super) struct Section {
    pub path: &'static str,
    pub repeats: Repeats,
    pub meaning: &'static str,
}

impl Section {
    /// The section as it is written: `[limits]` or `[[listener]]`.
    pub fn header(&self) -> String {
        match self.repeats {
            Repeats::Once => format!("[{}]", self.path),
            Repeats::Each => format!("[[{}]]", self.path),
        }
    }
}

/// What the name of each environment variable starts with.
pub const VARIABLE_PREFIX: &str = "RINGWAY_";
/// The variable that names the configuration file, as `--config` does.
pub const FILE_VARIABLE: &str = "RINGWAY_CONFIG";
/// The section that may be written several times.
pub(super) const LISTENER: &str = "listener";

pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

pub(super) fn find_section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// The known name that differs least from `name`, if it is at all like it.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (name.len() / 3).clamp(1, 4);
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

pub(super) static SECTIONS: &[Section] = &[
    Section {
        path: "server",
        repeats: Repeats::Once,
        meaning: "The process: its threads, its engine, its private API.",
    },
    Section {
        path: LISTENER,
        repeats: Repeats::Each,
        meaning: "A public listener. Write the section once for each address. From the \
                  environment, --set and --listen: the addresses (several with commas) replace \
                  all listeners, and any other key holds for every listener.",
    },
    Section {
        path: "websocket",
        repeats: Repeats::Once,
        meaning: "WebSocket connections (RFC 6455).",
    },
    Section {
        path: "websocket.deflate",
        repeats: Repeats::Once,
        meaning: "Compression of messages (permessage-deflate, RFC 7692).",
    },
    Section { path: "limits", repeats: Repeats::Once, meaning: "What clients may take." },
    Section { path: "log", repeats: Repeats::Once, meaning: "The log, on standard error." },
];

pub(super) static KEYS: &[Key] = &[
    Key {
        path: "server.cores",
        kind: Kind::Cores,
        meaning: "The cores to run on, one thread each: \"auto\" is every core that the process \
                  may use; 2 is a count; \"0,2-3\" is a list (core 5 alone: \"5-5\").",
    },
    Key {
        path: "server.io",
        kind: Kind::Word(&["auto", "uring", "epoll"], "auto"),
        meaning: "The kernel interface: \"auto\" is io_uring where the kernel allows it and \
                  epoll, with one log line, where it does not.",
    },
    Key {
        path: "server.wait",
        kind: Kind::Word(&["latency", "adaptive", "throughput"], "adaptive"),
        meaning: "How a core waits: \"latency\" wakes for every completion; \"adaptive\" gathers \
                  them for at most 50 us while the core is busy anyway; \"throughput\" gathers \
                  them for at most 400 us from 16 a millisecond on, to save CPU. It has no effect \
                  on epoll.",
    },
    Key {
        path: "server.drain_time",
        kind: Kind::Duration(limits::DRAIN_TIME_MS),
        meaning: "After SIGTERM, the time over which clients are told to leave.",
    },
    Key {
        path: "server.api_listen",
        kind: Kind::Address("127.0.0.1:8081"),
        meaning: "Address of the application's private API and of the metrics. It asks for no \
                  credentials: keep it out of reach of clients.",
    },
    Key {
        path: "server.allow_anonymous_on_public_address",
        kind: Kind::Switch(false),
        meaning: "Clients need no credentials. On an address that other machines can reach the \
                  gateway refuses to start that way unless this is true.",
    },
    Key {
        path: "server.receive_buffers",
        kind: Kind::PowerOfTwo(limits::RECEIVE_BUFFERS),
        meaning: "Receive buffers of each core, shared by all its connections.",
    },
    Key {
        path: "server.receive_buffer_bytes",
        kind: Kind::Size(limits::RECEIVE_BUFFER_BYTES),
        meaning: "Bytes of one receive buffer.",
    },
    Key {
        path: "listener.address",
        kind: Kind::Address("127.0.0.1:8080"),
        meaning: "IP address and port, such as \"0.0.0.0:8080\" or \"[::1]:8080\"; port 0 lets \
                  the kernel choose one.",
    },
    Key {
        path: "listener.backlog",
        kind: Kind::Count(limits::BACKLOG),
        meaning: "Connections that may wait to be accepted, on each core.",
    },
    Key {
        path: "websocket.message_bytes_max",
        kind: Kind::Size(limits::MESSAGE_BYTES),
        meaning: "The largest message that a client may send to /ws, inflated; a larger one \
                  closes the connection with 1009. This version serves no /ws yet.",
    },
    Key {
        path: "websocket.frame_bytes_max",
        kind: Kind::Size(limits::FRAME_BYTES),
        meaning: "The largest frame that a client may send; \"auto\" is as large as a message \
                  may be.",
    },
    Key {
        path: "websocket.echo_message_bytes_max",
        kind: Kind::Size(limits::ECHO_MESSAGE_BYTES),
        meaning: "The largest message that a client may send to /echo, inflated.",
    },
    Key {
        path: "websocket.close_timeout",
        kind: Kind::Duration(limits::CLOSE_TIMEOUT_MS),
        meaning: "How long a client may take to answer a Close before its connection is cut.",
    },
    Key {
        path: "websocket.idle_timeout",
        kind: Kind::Duration(limits::IDLE_TIMEOUT_MS),
        meaning: "A client that sends nothing for half of this is sent a Ping; one that sends \
                  nothing, not even a Pong, for all of it is closed.",
    },
    Key {
        path: "websocket.queue_bytes_max",
        kind: Kind::Size(limits::QUEUE_BYTES),
        meaning: "Outgoing bytes kept for a client that reads slowly; beyond it, nothing more \
                  is read from that client until it has caught up.",
    },
    Key {
        path: "websocket.deflate.enabled",
        kind: Kind::Switch(true),
        meaning: "Accept compression from clients that offer it.",
    },
    Key {
        path: "websocket.deflate.level",
        kind: Kind::Count(limits::DEFLATE_LEVEL),
        meaning: "Effort of the compressor.",
    },
    Key {
        path: "websocket.deflate.memory_level",
        kind: Kind::Count(limits::DEFLATE_MEMORY_LEVEL),
        meaning: "Memory of the compressor's state.",
    },
    Key {
        path: "websocket.deflate.server_context_takeover",
        kind: Kind::Switch(false),
        meaning: "Let the gateway's compressor remember earlier messages. It compresses better, \
                  costs each connection a compressor's memory, and a broadcast can no longer be \
                  compressed once for all.",
    },
    Key {
        path: "websocket.deflate.client_context_takeover",
        kind: Kind::Switch(false),
        meaning: "Let clients' compressors remember earlier messages. It costs each connection \
                  a window of memory.",
    },
    Key {
        path: "websocket.deflate.server_window_bits_max",
        kind: Kind::Count(limits::WINDOW_BITS),
        meaning: "Window of the gateway's compressor: 2 to this power, in bytes.",
    },
    Key {
        path: "websocket.deflate.client_window_bits_max",
        kind: Kind::Count(limits::WINDOW_BITS),
        meaning: "Window asked of clients' compressors that let the server choose: 2 to this \
                  power, in bytes.",
    },
    Key {
        path: "limits.connections_max",
        kind: Kind::Count(limits::CONNECTIONS),
        meaning: "Connections of the whole process; further ones are refused.",
    },
    Key {
        path: "limits.connections_per_address_max",
        kind: Kind::Count(limits::CONNECTIONS_PER_ADDRESS),
        meaning: "Connections from one IP address; further ones are refused.",
    },
    Key {
        path: "limits.connections_per_address_exempt",
        kind: Kind::Networks(&["127.0.0.0/8", "::1/128"]),
        meaning: "Networks to which connections_per_address_max does not apply: a proxy or a \
                  load generator on this machine brings every client from one address.",
    },
    Key {
        path: "limits.handshake_timeout",
        kind: Kind::Duration(limits::HANDSHAKE_TIMEOUT_MS),
        meaning: "From the connection to the end of its first request head.",
    },
    Key {
        path: "limits.header_bytes_max",
        kind: Kind::Size(limits::HEADER_BYTES),
        meaning: "Bytes of a request head: request line and header fields; beyond it, 431.",
    },
    Key {
        path: "limits.header_fields_max",
        kind: Kind::Count(limits::HEADER_FIELDS),
        meaning: "Header fields of a request; beyond it, 431.",
    },
    Key {
        path: "limits.target_bytes_max",
        kind: Kind::Size(limits::TARGET_BYTES),
        meaning: "Bytes of a request target, at most header_bytes_max; beyond it, 414.",
    },
    Key {
        path: "limits.keep_alive_timeout",
        kind: Kind::Duration(limits::KEEP_ALIVE_TIMEOUT_MS),
        meaning: "How long an HTTP connection may wait for its next request.",
    },
    Key {
        path: "limits.requests_per_connection_max",
        kind: Kind::Count(limits::REQUESTS_PER_CONNECTION),
        meaning: "Requests that one HTTP connection may carry before it is closed.",
    },
    Key {
        path: "log.level",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"], "info"),
        meaning: "The least important lines that are written.",
    },
    Key {
        path: "log.format",
        kind: Kind::Word(&["text", "json"], "text"),
        meaning: "\"text\" for people, \"json\" (an object a line) for collectors.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_and_variables_are_unique_and_in_order_of_their_sections() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!(paths.len(), KEYS.len());
        assert_eq!(variables.len(), KEYS.len());
        assert!(!variables.contains(FILE_VARIABLE));

        let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
        sections.dedup();
        let expected: Vec<_> = SECTIONS.iter().map(|section| section.path).collect();
        assert_eq!(sections, expected, "the keys of a section stand together");
    }

    #[test]
    fn nearest_is_near() {
        let names = || KEYS.iter().map(Key::name);
        let table = [
            ("handshake_timout", Some("handshake_timeout")),
            ("hanshake_timeout", Some("handshake_timeout")),
            ("header_byte_max", Some("header_bytes_max")),
            ("adress", Some("address")),
            ("lvl", None),
            ("port", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(nearest(name, names()), expected, "{name:?}");
        }
    }
}
