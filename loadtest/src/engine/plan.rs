//! What all modes of a run share: the server, the connections, the source addresses, the cores.
//!
//! It decides nothing about messages.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ringway_acceptor::{WaitMode, engine::Engine};
use ringway_tls::client::Client;

use crate::wire::{handshake::Approach, sources::Sources};

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server, and what the handshake requests.
    pub approach: Approach,
    /// TLS, if the URL requires it.
    pub tls: Option<Client>,
    /// Connections, over all threads.
    pub connections: u32,
    /// Number of the first connection, where several processes share a run.
    pub first_number: u32,
    /// Source addresses; `None` leaves the choice to the kernel.
    pub sources: Option<Sources>,
    /// Connections opened per second, over all threads; `None` is as fast as possible.
    pub ramp: Option<f64>,
    /// Threads.
    pub threads: u32,
    /// Cores to pin the threads to; empty if they are not pinned.
    pub cores: Vec<usize>,
    /// io_uring or epoll.
    pub engine: Engine,
    /// How long threads may wait for more completions in one wake-up.
    pub wait: WaitMode,
    /// How threads wait for the next due time.
    pub punctuality: Punctuality,
    /// Bytes of the longest message to receive.
    pub message_bytes: usize,
    /// The longest time that a handshake may take.
    pub handshake_time_max: Duration,
    /// How long the measurement takes.
    pub duration: Duration,
    /// When to start, if the user set a time.
    pub start_at: Option<SystemTime>,
    /// How long to wait for answers after that.
    pub drain_time_max: Duration,
    /// The server's process, if it is on this host.
    pub server_pid: Option<u32>,
    /// Random seed.
    pub seed: u64,
    /// The field in which the server says how far a connection has read; its value goes into the
    /// query of the next handshake.
    pub cursor: Option<String>,
    /// How a cut connection ends.
    pub cut: Cut,
}

/// How a thread waits for the next due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Punctuality {
    /// It polls in a loop: the most exact, but it needs a core of its own.
    #[default]
    Spins,
    /// It sleeps, on a finer timer than usual: leaves its core to others meanwhile.
    Sleeps,
}

/// How a connection is ended without a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// As when a process dies: the kernel sends FIN.
    #[default]
    Fin,
    /// With RST, as from a middlebox that gives up. This host then keeps no TIME_WAIT.
    Reset,
}

impl Plan {
    /// How many connections a thread has, and the number of its first connection.
    pub fn share(&self, thread: u32) -> (u32, u32) {
        let (each, more) = (self.connections / self.threads, self.connections % self.threads);
        let first = self.first_number + thread * each + thread.min(more);
        (first, each + u32::from(thread < more))
    }

    /// The source address of the connection with this number.
    pub fn source(&self, number: u32) -> Option<IpAddr> {
        self.sources.map(|sources| sources.of(number))
    }
}
