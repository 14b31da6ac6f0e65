//! The cases: each one's load, and the servers that can take part in it.
//! Never defines how a load is made.

use std::time::Duration;

/// The kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Every message is echoed; the next one follows.
    Echo { outstanding: u32, content: Content },
    /// One publisher; every event goes to all subscribers, and the next ones follow its arrival.
    Fanout { outstanding: u32 },
    /// The same with clients that poll and are answered when there is an event: each event costs
    /// a request and a response for every client.
    LongPoll,
}

/// The content of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Binary,
    /// UTF-8 of one to four bytes a character, which a server must check (RFC 6455 §5.6).
    Text,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name for `--case`.
    pub name: &'static str,
    pub title: &'static str,
    pub load: Load,
    /// Connections to each server, or subscribers.
    pub connections: u32,
    /// Payload bytes of a message.
    pub size_bytes: u32,
    pub slot: Duration,
}

/// How long every server is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Full,
    Quick,
}

const BINARY: Load = Load::Echo { outstanding: 1, content: Content::Binary };
const SHORT_SLOT: Duration = Duration::from_millis(200);
/// Long enough to hold many messages even if each of them takes long.
const LONG_SLOT: Duration = Duration::from_millis(400);

const fn case(name: &'static str, title: &'static str, load: Load) -> Case {
    Case { name, title, load, connections: 100, size_bytes: 64, slot: SHORT_SLOT }
}

/// All cases, in the table's order.
pub const CASES: [Case; 11] = [
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
        ..case(
            "text",
            "1 KiB mixed UTF-8 text, N=1,000",
            Load::Echo { outstanding: 1, content: Content::Text },
        )
    },
    Case { connections: 64, size_bytes: 16 << 10, ..case("16k", "16 KiB, N=64", BINARY) },
    Case {
        connections: 64,
        size_bytes: 1 << 20,
        slot: LONG_SLOT,
        ..case("1m", "1 MiB, N=64", BINARY)
    },
    Case {
        connections: 1000,
        size_bytes: 128,
        slot: LONG_SLOT,
        ..case("fanout-1000", "fan-out 1->1,000, saturated", Load::Fanout { outstanding: 1 })
    },
    Case {
        connections: 9000,
        size_bytes: 128,
        slot: LONG_SLOT,
        ..case("fanout-9000", "fan-out 1->9,000, saturated", Load::Fanout { outstanding: 1 })
    },
    Case {
        connections: 1000,
        size_bytes: 128,
        slot: LONG_SLOT,
        ..case("fanout-8", "8 publishes outstanding, N=1,000", Load::Fanout { outstanding: 8 })
    },
    Case {
        connections: 1000,
        size_bytes: 128,
        slot: LONG_SLOT,
        ..case("long-poll", "long-poll 1->1,000, saturated", Load::LongPoll)
    },
];

/// Starting a server and waiting until it listens.
const START: Duration = Duration::from_secs(2);
/// Opening a connection, and closing it afterwards.
const PER_CONNECTION: Duration = Duration::from_micros(300);

/// The longest round, and the end of a comparison.
const LAST_ROUND: Duration = Duration::from_secs(120);

impl Length {
    /// Slots of each server.
    pub fn rounds(self) -> u32 {
        match self {
            Self::Full => 20,
            Self::Quick => 8,
        }
    }
}

impl Case {
    /// How long it takes with this many servers; one of them is measured twice.
    pub fn estimate(&self, servers: usize, length: Length) -> Duration {
        let servers = servers as u32 + 1;
        servers * (START + length.rounds() * self.slot + self.connections * PER_CONNECTION)
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
            assert!(CASES[..index].iter().all(|other| other.name != case.name), "{}", case.name);
        }
    }

    #[test]
    fn a_full_run_is_over_within_half_an_hour() {
        let total: Duration = CASES.iter().map(|case| case.estimate(8, Length::Full)).sum();
        assert!(total < Duration::from_secs(30 * 60), "{total:?}");
    }
}
