//! What the gateway's configuration requires of a host.
//!
//! It never reads the host; facts such as the number of cores are arguments.

use ringway_acceptor::{descriptors, uring::probe};

use crate::config::{Automatic, Config, Cores, Io, bound_of};

/// The connections that a host should hold if the configuration has no number. With fewer, a
/// setting limits the host, and not its hardware.
const CONNECTIONS_WANTED: u64 = 10_000;

/// The requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Connections that the host should hold.
    pub connections: u64,
    /// The most connections that the configuration allows.
    pub connections_max: u64,
    /// The longest `listener.backlog`.
    pub backlog: u64,
    /// The value of `socket.receive_buffer_bytes`, if it is set.
    pub receive_buffer: Option<u64>,
    /// The value of `socket.send_buffer_bytes`, if it is set.
    pub send_buffer: Option<u64>,
    /// Cores in use.
    pub cores: usize,
    /// Addresses of listeners.
    pub listeners: usize,
    /// The configured engine.
    pub io: Io,
    /// Bytes of memory that do not depend on the number of connections.
    pub fixed_bytes: u64,
}

impl Needs {
    /// The requirements on a host with this many cores.
    pub fn of(config: &Config, cores: usize) -> Self {
        let cores = match &config.server.cores {
            Cores::Auto => cores,
            Cores::Count(count) => *count,
            Cores::List(list) => list.len(),
        };
        let (connections, connections_max) = match config.limits.connections_max {
            Automatic::Auto => (CONNECTIONS_WANTED, bound_of("limits.connections_max").most),
            Automatic::Exactly(number) => (number.into(), number.into()),
        };
        let server = &config.server;
        let buffers = u64::from(server.receive_buffers) * u64::from(server.receive_buffer_bytes);
        let rings = buffers.saturating_mul(cores as u64) + probe::locked_bytes(cores);
        Self {
            connections,
            connections_max,
            backlog: config.listeners.iter().map(|one| one.backlog.into()).max().unwrap_or(0),
            receive_buffer: exactly(config.socket.receive_buffer_bytes),
            send_buffer: exactly(config.socket.send_buffer_bytes),
            cores,
            listeners: config.listeners.len(),
            io: server.io,
            fixed_bytes: config.history.bytes_max.saturating_add(rings),
        }
    }

    /// Descriptors for the connections that the host should hold.
    pub fn descriptors(&self) -> u64 {
        // With more descriptors, more are reserved for the private listener.
        let most = self.connections + (u64::MAX - self.room(u64::MAX));
        (self.connections..most).find(|&some| self.room(some) >= self.connections).unwrap_or(most)
    }

    /// The connections that this many descriptors allow.
    pub fn room(&self, descriptors: u64) -> u64 {
        descriptors::connections_max(descriptors, self.cores, self.listeners)
    }
}

fn exactly(bytes: Automatic<u32>) -> Option<u64> {
    match bytes {
        Automatic::Auto => None,
        Automatic::Exactly(bytes) => Some(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_for_a_capacity_give_that_capacity() {
        let needs = Needs::of(&Config::default(), 2);
        assert_eq!(needs.descriptors(), 10_352);
        assert_eq!(needs.room(needs.descriptors()), needs.connections);
    }

    #[test]
    fn the_configuration_is_used() {
        let mut config = Config::default();
        config.server.cores = Cores::List(vec![1, 3, 5]);
        config.limits.connections_max = Automatic::Exactly(50_000);
        config.listeners[0].backlog = 9_000;
        let needs = Needs::of(&config, 2);
        assert_eq!((needs.cores, needs.connections, needs.backlog), (3, 50_000, 9_000));
        assert_eq!(needs.connections_max, 50_000);
        assert!(needs.fixed_bytes > config.history.bytes_max);
    }
}
