//! The descriptor limit: raised to the hard limit at the start, then divided.
//!
//! It never lowers a limit.

use std::{io, ops::RangeInclusive};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the process that belong to no connection and no core: standard streams, logs,
/// clients that are refused, the control thread and the fewest clients that it may have.
pub const RESERVED: u64 = 118;

/// Connections of the private listener: an application keeps a small pool on each of its hosts.
const PRIVATE_CONNECTIONS: RangeInclusive<u64> = 32..=256;

/// Descriptors of each core in addition to its listeners: a ring or an epoll set, an eventfd, one
/// held in reserve, and one that is being accepted.
pub const RESERVED_PER_CORE: u64 = 4;

/// Raises the soft NOFILE limit to the hard one (getrlimit(2)); returns the limit in force.
///
/// # Errors
/// `setrlimit(2)` failed, which it never does for a soft limit below the hard one.
pub fn raise_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(hard)
}

/// The connections that the private listener may hold under a limit of `limit` descriptors: an
/// eighth of them, within bounds.
///
/// ```
/// assert_eq!(ringway_acceptor::descriptors::private_connections_max(1024), 128);
/// assert_eq!(ringway_acceptor::descriptors::private_connections_max(20_000), 256);
/// ```
pub fn private_connections_max(limit: u64) -> usize {
    (limit / 8).clamp(*PRIVATE_CONNECTIONS.start(), *PRIVATE_CONNECTIONS.end()) as usize
}

/// The largest number of connections that `limit` descriptors can hold on this many cores, each with
/// this many listeners.
///
/// ```
/// assert_eq!(ringway_acceptor::descriptors::connections_max(20_000, 2, 1), 19_648);
/// ```
pub fn connections_max(limit: u64, cores: usize, listeners: usize) -> u64 {
    let of_cores = cores as u64 * (RESERVED_PER_CORE + listeners as u64);
    let private = private_connections_max(limit) as u64 - PRIVATE_CONNECTIONS.start();
    limit.saturating_sub(RESERVED + of_cores + private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let raised = raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }

    #[test]
    fn a_tiny_limit_holds_nothing() {
        assert_eq!(connections_max(RESERVED - 1, 1, 1), 0);
        assert_eq!(connections_max(RESERVED + 1_000, 100, 6), 0);
    }
}
