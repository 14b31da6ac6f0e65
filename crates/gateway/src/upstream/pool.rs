//! Which server of a route gets the next connection. Each core has a pool for each route.
//!
//! The connection that is served calls it: [`Pool::pick`] for each attempt, [`Pool::note`] with the
//! outcome of the attempt, and [`Pool::release`] once for each pick, when the connection has ended.
//! It reads no clock and opens no connection.

mod balance;
mod endpoint;
pub mod servers;
mod waiting;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ringway_acceptor::Connector;

use self::servers::{Listed, Policy, ServerResult, Servers};
pub use self::{
    balance::hash,
    endpoint::{Checked, Fitness},
    servers::{Lease, NoServer, Tried},
    waiting::{QueueFull, Waiter, Waiting},
};

use crate::config::{Route, upstream_url::UpstreamUrl};

/// A server, and how to connect to it.
#[derive(Debug, Clone, Copy)]
pub struct Picked {
    /// The claim on it.
    pub server: Lease,
    /// Its address.
    pub connector: Connector,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server has answered the request, in whatever way.
    Answered,
    /// It did not connect, or broke the connection before it answered.
    Unreachable,
    /// It did not connect, or did not answer, in time.
    TimedOut,
    /// Its answer was not valid.
    Invalid,
}

/// The servers of one route.
#[derive(Debug)]
pub struct Pool {
    route: Arc<Route>,
    servers: Servers<SocketAddr>,
}

impl Pool {
    /// The servers of this route.
    pub fn new(route: Arc<Route>) -> Self {
        let policy = Policy {
            balance: route.balance.clone(),
            failures_max: route.failures_max,
            eject_time: route.eject_time,
            slow_start: route.slow_start,
            connections_max: route.connections_max,
        };
        let listed = |url: &UpstreamUrl| Listed {
            address: url.address,
            weight: url.weight,
            checked: Checked::Up,
        };
        let listed: Vec<_> = route.upstream.iter().map(listed).collect();
        let mut servers = Servers::new(policy);
        servers.set_servers(&listed, Duration::ZERO);
        Self { route, servers }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The server of the next attempt, which counts as tried from here on. `key` decides it if the
    /// route hashes.
    ///
    /// # Errors
    /// There is none that may be tried.
    pub fn pick(&mut self, key: u64, tried: &mut Tried, now: Duration) -> Result<Picked, NoServer> {
        let server = self.servers.pick(key, tried, now)?;
        Ok(Picked { server, connector: Connector::new(*self.servers.address(server)) })
    }

    /// An attempt has succeeded or failed.
    pub fn note(&mut self, server: Lease, outcome: Outcome, now: Duration) {
        let result = match outcome {
            Outcome::Answered => ServerResult::Success,
            Outcome::Unreachable | Outcome::TimedOut | Outcome::Invalid => ServerResult::Failure,
        };
        self.servers.report(server, result, now);
    }

    /// A connection that was picked has ended.
    pub fn release(&mut self, server: Lease) {
        self.servers.release(server);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A route with this many servers.
    pub(in crate::upstream) fn route(path: &str, servers: u16) -> Route {
        let url = |port| UpstreamUrl::parse(&format!("ws://127.0.0.1:{port}")).expect("a URL");
        let upstream = (1..=servers).map(url).collect();
        Route { upstream, ..Route::default_at(path) }
    }

    #[test]
    fn each_request_tries_every_server_once() {
        let mut pool = Pool::new(Arc::new(route("/", 3)));
        let mut tried = Tried::default();
        let mut next = || pool.pick(0, &mut tried, Duration::ZERO);
        let picks: Vec<_> = std::iter::from_fn(|| next().ok()).collect();
        assert_eq!(next().err(), Some(NoServer::Unhealthy));
        let mut servers: Vec<_> =
            picks.iter().map(|picked| picked.connector.target.port()).collect();
        servers.sort_unstable();
        assert_eq!((servers, tried.count()), (vec![1, 2, 3], 3));
        picks.iter().for_each(|picked| pool.release(picked.server));
    }
}
