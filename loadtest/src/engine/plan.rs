//! What all modes of a run have in common: where to, how many, from where, on which cores.
//!
//! It decides nothing about messages.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ringway_acceptor::{WaitMode, engine::Engine};

use crate::wire::{handshake::Approach, sources::Sources, tls::Security};

/// A run as asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to, and what to ask for.
    pub approach: Approach,
    /// TLS, if the server wants it.
    pub security: Option<Security>,
    /// Connections, over all threads.
    pub connections: u32,
    /// Number of the first of them, where several processes share a run.
    pub first_number: u32,
    /// From which addresses; the kernel's choice without.
    pub sources: Option<Sources>,
    /// Connections opened a second, over all threads; as fast as possible without.
    pub ramp: Option<f64>,
    /// Threads.
    pub threads: u32,
    /// Cores to pin them to; any without.
    pub cores: Vec<usize>,
    /// io_uring or epoll.
    pub engine: Engine,
    /// How long threads may wait for more in one wake-up.
    pub wait: WaitMode,
    /// How threads wait for what is due soon.
    pub punctuality: Punctuality,
    /// Bytes of the longest message that is to be received.
    pub message_bytes: usize,
    /// A response to a handshake takes no longer.
    pub handshake_time_max: Duration,
    /// How long the measurement takes.
    pub duration: Duration,
    /// When it starts, if that was asked for.
    pub start_at: Option<SystemTime>,
    /// How long answers are awaited after that.
    pub drain_time_max: Duration,
    /// The server's process, if it is on this host.
    pub server_pid: Option<u32>,
    /// Random seed.
    pub seed: u64,
    /// What the field is called in whose value the server says how far a connection has read, and
    /// that the next handshake has in its query.
    pub cursor: Option<String>,
    /// What a connection that is cut looks like to the server.
    pub cut: Cut,
}

/// How a thread waits for what is due soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Punctuality {
    /// It looks again and again: the most exact, on a core of its own.
    #[default]
    Spins,
    /// It sleeps, on a finer timer than is usual: takes nothing from others on its core.
    Sleeps,
}

/// How a connection is ended without a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// As when a process dies: the kernel sends FIN.
    #[default]
    Fin,
    /// With RST, as a middlebox does that gives up. This host keeps no TIME_WAIT of it.
    Reset,
}

impl Plan {
    /// How many connections a thread has, and the number of the first of them.
    pub fn share(&self, thread: u32) -> (u32, u32) {
        let (each, more) = (self.connections / self.threads, self.connections % self.threads);
        let first = self.first_number + thread * each + thread.min(more);
        (first, each + u32::from(thread < more))
    }

    /// The address that the connection with this number comes from.
    pub fn source(&self, number: u32) -> Option<IpAddr> {
        self.sources.map(|sources| sources.of(number))
    }
}
