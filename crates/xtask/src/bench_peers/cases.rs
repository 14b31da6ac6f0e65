//! The cases: each one's load, and how long it takes. A new case is an entry of `CASES`; a new kind
//! of load is also a variant of `Load`, its place in `peers` and `dialect`, and its method.
//! Never defines how a load is made.

use std::time::Duration;

/// The kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Every message is echoed; the next one follows.
    Echo { outstanding: u32, content: Content },
    /// Every message goes to another client, chosen at random; the next one follows its arrival.
    Direct,
    /// One publisher; every event goes to all subscribers, and the next ones follow its arrival.
    Fanout { outstanding: u32, transport: Transport },
    /// Publishers send POST requests with this many events each; one subscriber gets all of them.
    Post { lines: u32 },
    /// Connections are opened, echo one message and are closed, 32 at a time.
    Churn,
    /// All clients lose their connections, miss this many events, and return at once.
    Return { missed: u32 },
    /// Clients are connected, and nothing happens.
    Idle(Client),
    /// Events pass through the log of a core that they do not concern.
    Log,
}

/// How subscribers receive events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    Sse,
    /// Clients poll, and are answered when there is an event: each event costs a request and a
    /// response for every client.
    LongPoll,
}

/// An idle client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It only has a WebSocket.
    Bare,
    /// It is subscribed as well.
    Subscriber,
}

/// The content of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Binary,
    /// UTF-8 of one to four bytes a character, which a server must check (RFC 6455 §5.6).
    Text,
}

/// The form of messages on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// With permessage-deflate (RFC 7692).
    Deflate,
}

/// How encrypted connections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Each by a full handshake.
    Full,
    /// All but the first ones by the ticket of an earlier one.
    Resumed,
}

/// What serves the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The server itself.
    Own,
    /// An echo behind it, whose CPU time does not count.
    Relayed,
}

/// How a case is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `ringway-loadtest compare`: slots in turn.
    Slots,
    /// `ringway-loadtest storm`, once for each server in each round.
    Storms,
    /// `ringway-loadtest idle`, once for each server in each round.
    Holds,
    /// The bench `log`, which has no other servers.
    Program,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name for `--case`.
    pub name: &'static str,
    pub title: &'static str,
    pub load: Load,
    pub form: Form,
    /// `None`: in plain text.
    pub tls: Option<Tls>,
    pub service: Service,
    /// Connections to each server, or subscribers.
    pub connections: u32,
    /// Payload bytes of a message.
    pub size_bytes: u32,
    pub slot: Duration,
    /// What a reader has to know about the servers of this case.
    pub note: &'static str,
}

/// How long every server is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Full,
    Quick,
}

const BINARY: Load = Load::Echo { outstanding: 1, content: Content::Binary };
const TEXT: Load = Load::Echo { outstanding: 1, content: Content::Text };
const SHORT_SLOT: Duration = Duration::from_millis(200);
/// Long enough to hold many messages even if each of them takes long.
const LONG_SLOT: Duration = Duration::from_millis(400);

const fn case(name: &'static str, title: &'static str, load: Load) -> Case {
    Case {
        name,
        title,
        load,
        form: Form::Plain,
        tls: None,
        service: Service::Own,
        connections: 100,
        size_bytes: 64,
        slot: SHORT_SLOT,
        note: "",
    }
}

const OF_PROXY: &str =
    "The same echo, the floor, is behind each proxy; the figures are of the proxy alone.";

/// An echo through a proxy.
const fn relayed(name: &'static str, title: &'static str) -> Case {
    Case { service: Service::Relayed, note: OF_PROXY, ..case(name, title, BINARY) }
}

const WITH_ECHO: &str = "The figures of nginx and HAProxy include their echo, which is the floor.";

/// A fan-out by this transport.
const fn fanout(
    name: &'static str,
    title: &'static str,
    outstanding: u32,
    transport: Transport,
) -> Case {
    Case {
        connections: 1000,
        size_bytes: 128,
        slot: LONG_SLOT,
        ..case(name, title, Load::Fanout { outstanding, transport })
    }
}

/// All cases, in the table's order.
pub const CASES: &[Case] = &[
    case("echo-100", "echo 64 B, N=100", BINARY),
    Case { connections: 1000, ..case("echo-1000", "echo 64 B, N=1,000", BINARY) },
    Case {
        connections: 10_000,
        slot: LONG_SLOT,
        ..case("echo-10000", "echo 64 B, N=10,000", BINARY)
    },
    case(
        "pipelined",
        "pipelined 16 deep, N=100",
        Load::Echo { outstanding: 16, content: Content::Binary },
    ),
    Case {
        connections: 1000,
        size_bytes: 1024,
        ..case("text", "1 KiB mixed UTF-8 text, N=1,000", TEXT)
    },
    Case { connections: 64, size_bytes: 16 << 10, ..case("16k", "16 KiB, N=64", BINARY) },
    Case {
        connections: 64,
        size_bytes: 1 << 20,
        slot: LONG_SLOT,
        ..case("1m", "1 MiB, N=64", BINARY)
    },
    Case {
        size_bytes: 1024,
        form: Form::Deflate,
        note: "Mixed UTF-8 text; no server keeps anything from message to message.",
        ..case("echo-deflate", "1 KiB text with permessage-deflate, N=100", TEXT)
    },
    fanout("fanout-1000", "fan-out 1->1,000, saturated", 1, Transport::WebSocket),
    Case {
        connections: 9000,
        ..fanout("fanout-9000", "fan-out 1->9,000, saturated", 1, Transport::WebSocket)
    },
    fanout("fanout-8", "8 publishes outstanding, N=1,000", 8, Transport::WebSocket),
    Case {
        size_bytes: 1024,
        form: Form::Deflate,
        note: "Ringway and nchan compress an event once for all subscribers. Bun's subscribers share a \
               compressor; ws compresses for each.",
        ..fanout(
            "fanout-deflate",
            "fan-out 1->1,000 of 1 KiB with permessage-deflate",
            1,
            Transport::WebSocket,
        )
    },
    fanout("sse", "SSE fan-out 1->1,000, saturated", 1, Transport::Sse),
    fanout("long-poll", "long-poll 1->1,000, saturated", 1, Transport::LongPoll),
    Case {
        connections: 10_000,
        slot: LONG_SLOT,
        note: "Each client sends to another one, chosen at random. Bun publishes to a topic of one \
               subscriber. Ringway also tells the sender what became of the message, so it sends \
               twice as many.",
        ..case("notify", "one-to-one among 10,000 clients", Load::Direct)
    },
    Case {
        connections: 1,
        size_bytes: 128,
        note: "32 publishers, each with a request under way; one subscriber checks every event. \
               Ringway's requests come through its private API.",
        ..case("post", "POST, one event each", Load::Post { lines: 1 })
    },
    Case {
        connections: 1,
        size_bytes: 128,
        note: "Only Ringway takes many events in one request: nchan takes one.",
        ..case("post-bulk", "POST, 100 events each", Load::Post { lines: 100 })
    },
    Case {
        connections: 32,
        note: "The figures are of a connection, not of a message.",
        ..case("churn", "connect, upgrade, echo, close", Load::Churn)
    },
    Case {
        connections: 10_000,
        size_bytes: 128,
        note: "The figures are of a client that returns, and include the end of its connection before. \
               Ringway's clients return with their cursors; nchan's get the last 100 messages of a \
               channel, whatever they have had.",
        ..case("return", "10,000 return at once, 100 events missed", Load::Return { missed: 100 })
    },
    Case {
        connections: IDLE_FIRST + 9000,
        note: "Resident bytes of each of 9,000 connections, beyond the first 1,000. Ringway runs \
               without huge pages here, which would hide what a connection takes.",
        ..case("idle", "idle connection, resident bytes", Load::Idle(Client::Bare))
    },
    Case {
        connections: IDLE_FIRST + 9000,
        note: "As before. Each client of Ringway also has a name of its own.",
        ..case("idle-subscriber", "idle subscriber, resident bytes", Load::Idle(Client::Subscriber))
    },
    Case {
        tls: Some(Tls::Full),
        note: WITH_ECHO,
        ..case("wss-echo-100", "wss echo 64 B, N=100", BINARY)
    },
    Case {
        tls: Some(Tls::Full),
        connections: 1000,
        note: WITH_ECHO,
        ..case("wss-echo-1000", "wss echo 64 B, N=1,000", BINARY)
    },
    Case {
        tls: Some(Tls::Full),
        ..fanout("wss-fanout-1000", "wss fan-out 1->1,000, saturated", 1, Transport::WebSocket)
    },
    Case {
        tls: Some(Tls::Full),
        connections: 32,
        note: "The figures are of a connection: TCP, a full handshake by ECDSA, upgrade, echo, close.",
        ..case("wss-churn", "wss connect, full handshake, echo, close", Load::Churn)
    },
    Case {
        tls: Some(Tls::Resumed),
        connections: 32,
        note: "As before, with the ticket of an earlier connection.",
        ..case("wss-resume", "wss connect, resumed handshake, echo, close", Load::Churn)
    },
    Case {
        tls: Some(Tls::Full),
        connections: IDLE_FIRST + 6000,
        note: "Resident bytes of each of 6,000 connections, beyond the first 1,000; of proxies without \
               their echo.",
        ..case("wss-idle", "idle wss connection, resident bytes", Load::Idle(Client::Bare))
    },
    relayed("relay-echo-100", "relayed echo 64 B, N=100"),
    Case { connections: 1000, ..relayed("relay-echo-1000", "relayed echo 64 B, N=1,000") },
    Case {
        connections: 64,
        size_bytes: 16 << 10,
        ..relayed("relay-16k", "relayed echo 16 KiB, N=64")
    },
    Case {
        connections: 64,
        size_bytes: 1 << 20,
        slot: LONG_SLOT,
        ..relayed("relay-1m", "relayed echo 1 MiB, N=64")
    },
    Case { tls: Some(Tls::Full), ..relayed("wss-relay-100", "relayed wss echo 64 B, N=100") },
    Case {
        tls: Some(Tls::Full),
        connections: 1000,
        ..relayed("wss-relay-1000", "relayed wss echo 64 B, N=1,000")
    },
    Case {
        connections: IDLE_FIRST + 3000,
        load: Load::Idle(Client::Bare),
        note: "Resident bytes of each of 3,000 relayed connections, beyond the first 1,000, of the proxy \
               alone.",
        ..relayed("relay-idle", "idle relayed connection, resident bytes")
    },
    Case {
        note: "The bench `log`: CPU time of a core for an event that concerns none of its clients, with 64 \
               cores; the worse of events to topics and to recipients.",
        ..case("log", "an event that does not concern a core", Load::Log)
    },
];

/// The connections that an idle server has before its memory is compared.
pub const IDLE_FIRST: u32 = 1000;

/// Starting a server and waiting until it listens.
const START: Duration = Duration::from_secs(1);
/// Opening a connection, and closing it afterwards.
const PER_CONNECTION: Duration = Duration::from_micros(300);
/// Rounds of `compare` that are not counted.
const WARM_UP_ROUNDS: u32 = 2;
/// The end of a slot, and the pause before the next one.
const PER_SLOT: Duration = Duration::from_millis(30);
/// A storm of 10,000 connections, with the time that they are away.
const STORM: Duration = Duration::from_secs(6);
/// Holding idle connections.
const HOLD: Duration = Duration::from_secs(2);
/// The bench `log`.
const PROGRAM: Duration = Duration::from_secs(25);

/// The longest round, and the end of a comparison.
const LAST_ROUND: Duration = Duration::from_secs(120);

impl Length {
    /// How often each server is measured.
    pub fn rounds(self, method: Method) -> u32 {
        match (self, method) {
            (Self::Full, Method::Slots) => 20,
            (Self::Quick, Method::Slots) => 8,
            (Self::Full, Method::Storms) => 6,
            (Self::Quick, Method::Storms) => 2,
            (Self::Full, Method::Holds) => 3,
            (Self::Quick, Method::Holds) | (_, Method::Program) => 1,
        }
    }
}

impl Case {
    pub fn method(&self) -> Method {
        match self.load {
            Load::Echo { .. }
            | Load::Direct
            | Load::Fanout { .. }
            | Load::Post { .. }
            | Load::Churn => Method::Slots,
            Load::Return { .. } => Method::Storms,
            Load::Idle(_) => Method::Holds,
            Load::Log => Method::Program,
        }
    }

    /// How long it takes with this many servers; one of them is measured twice.
    pub fn estimate(&self, servers: usize, length: Length) -> Duration {
        let (servers, rounds) = (servers as u32 + 1, length.rounds(self.method()));
        let opening = self.connections * PER_CONNECTION;
        match self.method() {
            Method::Slots => {
                let slots = (rounds + WARM_UP_ROUNDS) * (self.slot + PER_SLOT);
                servers * (START + slots + opening)
            }
            Method::Storms => servers * (START + rounds * (opening + STORM)),
            Method::Holds => servers * rounds * (START + opening + HOLD),
            Method::Program => PROGRAM,
        }
    }

    /// When its last round begins: the figures are then those of the rounds before.
    pub fn time_max(&self, servers: usize, length: Length) -> Duration {
        3 * self.estimate(servers, length) + Duration::from_secs(60)
    }

    /// When it is aborted: no round of servers that answer takes as long as is left by then.
    pub fn limit(&self, servers: usize, length: Length) -> Duration {
        self.time_max(servers, length) + LAST_ROUND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_a_command_line_and_no_two_are_equal() {
        for (index, case) in CASES.iter().enumerate() {
            assert!(!case.name.contains([' ', ',']), "{}", case.name);
            assert!(!case.title.contains('|') && !case.note.contains(['|', '\n']), "{}", case.name);
            assert!(CASES[..index].iter().all(|other| other.name != case.name), "{}", case.name);
        }
    }

    #[test]
    fn a_case_that_makes_no_slots_says_what_its_figures_are() {
        for case in CASES.iter().filter(|case| case.method() != Method::Slots) {
            assert!(!case.note.is_empty(), "{}", case.name);
        }
    }
}
