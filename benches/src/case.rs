//! The cases that can be measured, and the load that each of them is.
//!
//! A case is what a person asks for; a load is what one tester process is told.

use std::{fmt, str::FromStr};

use clap::ValueEnum;

use crate::traffic::Content;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Closed loop: each connection has one 64-byte binary message outstanding.
    Saturated,
    /// Closed loop: each connection has 16 of them outstanding.
    Pipelined,
    /// Closed loop of 1 KiB text messages, a mix of ASCII and longer characters.
    Text,
    /// Closed loop of large binary messages.
    Large,
    /// Open loop: 64-byte messages at a fixed rate, evenly spread.
    Fixed,
    /// Connections are opened, upgraded and closed.
    Churn,
}

/// Messages a second of an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Half of what the base server does when it is saturated.
    Half,
    /// So many.
    PerSecond(u32),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("half", _) => Ok(Self::Half),
            (_, Ok(rate)) if rate > 0 => Ok(Self::PerSecond(rate)),
            _ => Err(format!("`{text}` is neither `half` nor messages a second")),
        }
    }
}

/// The gateways' `server.wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// One completion wakes.
    Latency,
    /// Under load, several do.
    Adaptive,
    /// Wake-ups are as few as they may be.
    Throughput,
}

/// One line of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What is measured.
    pub kind: Kind,
    /// Connections to each server.
    pub connections: usize,
    /// Payload bytes of a message.
    pub bytes: usize,
    /// Of an open loop.
    pub rate: Rate,
    /// Told to every gateway that is started here.
    pub wait: Wait,
}

impl Case {
    /// The usual form of `kind`, in which `connections` and `bytes` may be given.
    pub fn new(kind: Kind, connections: Option<usize>, bytes: Option<usize>) -> Self {
        let (usual_connections, usual_bytes) = match kind {
            Kind::Saturated | Kind::Fixed => (1000, 64),
            Kind::Pipelined => (100, 64),
            Kind::Text => (1000, 1024),
            Kind::Large => (64, 16 * 1024),
            Kind::Churn => (32, 0),
        };
        Self {
            kind,
            connections: connections.unwrap_or(usual_connections),
            bytes: bytes.unwrap_or(usual_bytes),
            rate: Rate::Half,
            wait: Wait::Adaptive,
        }
    }

    /// What a tester does.
    pub fn load(&self) -> Load {
        Load {
            shape: if self.kind == Kind::Churn { Shape::Churn } else { Shape::Echo },
            connections: self.connections,
            depth: if self.kind == Kind::Pipelined { 16 } else { 1 },
            bytes: self.bytes,
            content: if self.kind == Kind::Text { Content::Text } else { Content::Binary },
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, connections, bytes, .. } = self;
        let wait = word(self.wait);
        match (kind, self.rate) {
            (Kind::Churn, _) => write!(f, "churn, {connections} at a time, {wait}"),
            (Kind::Fixed, Rate::Half) => {
                write!(f, "fixed at half load, {bytes} B, N={connections}, {wait}")
            }
            (Kind::Fixed, Rate::PerSecond(rate)) => {
                write!(f, "fixed {rate}/s, {bytes} B, N={connections}, {wait}")
            }
            _ => write!(f, "{}, {bytes} B, N={connections}, {wait}", word(*kind)),
        }
    }
}

fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What the connections of a tester are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// They stay, and messages are echoed.
    Echo,
    /// They come and go.
    Churn,
    /// They subscribe to a topic of a gateway, and one more publishes to it.
    Topic,
    /// The same, of a server that sends on what it gets from `/publish` to `/subscribe`.
    Relay,
}

/// What one tester process does to one server.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Load {
    /// What connections are for
    #[arg(long)]
    pub shape: Shape,
    /// Connections
    #[arg(long)]
    pub connections: usize,
    /// Messages outstanding on each connection, or events published at once
    #[arg(long)]
    pub depth: u32,
    /// Payload bytes of a message
    #[arg(long)]
    pub bytes: usize,
    /// What the messages are made of
    #[arg(long)]
    pub content: Content,
}

impl Load {
    /// The command line that says the same.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            format!("--shape={}", word(self.shape)),
            format!("--connections={}", self.connections),
            format!("--depth={}", self.depth),
            format!("--bytes={}", self.bytes),
            format!("--content={}", word(self.content)),
        ]
    }
}
