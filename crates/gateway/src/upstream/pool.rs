//! Which server of a route gets the next connection. Each core has a pool for each route.
//!
//! The connection that is served calls it: [`Pool::pick`] for each attempt, [`Pool::note`] with the
//! outcome of the attempt, and [`Pool::release`] once for each pick, when the connection has ended.
//! It reads no clock and opens no connection.

mod balance;
mod endpoint;
pub mod servers;
mod waiting;

use std::{sync::Arc, time::Duration};

use ringway_acceptor::Connector;

pub use self::{
    balance::hash,
    endpoint::{Checked, Fitness},
    waiting::{QueueFull, Waiter, Waiting},
};

use crate::config::Route;

/// A server of a route, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerIndex(u16);

/// The servers that were tried for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried(u64);

impl Tried {
    /// How many there are.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// A server, and how to connect to it.
#[derive(Debug, Clone, Copy)]
pub struct Picked {
    /// The server.
    pub server: ServerIndex,
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
    next: usize,
}

impl Pool {
    /// The servers of this route.
    pub fn new(route: Arc<Route>) -> Self {
        Self { route, next: 0 }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The server of the next attempt, which counts as tried from here on; `None`: there is none that
    /// was not tried.
    pub fn pick(&mut self, _now: Duration, tried: &mut Tried) -> Option<Picked> {
        let servers = &self.route.upstream;
        let order = (0..servers.len()).map(|place| (self.next + place) % servers.len());
        let place = order.into_iter().find(|place| tried.0 & (1 << place) == 0)?;
        self.next = (place + 1) % servers.len();
        tried.0 |= 1 << place;
        let connector = Connector::new(servers[place].address);
        Some(Picked { server: ServerIndex(place as u16), connector })
    }

    /// An attempt has succeeded or failed.
    pub fn note(&mut self, _server: ServerIndex, _outcome: Outcome, _now: Duration) {}

    /// A connection that was picked has ended.
    pub fn release(&mut self, _server: ServerIndex, _now: Duration) {}
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::upstream_url::UpstreamUrl;

    /// A route with this many servers.
    pub(in crate::upstream) fn route(path: &str, servers: u16) -> Route {
        let url = |port| UpstreamUrl::parse(&format!("ws://127.0.0.1:{port}")).expect("a URL");
        let second = Duration::from_secs(1);
        Route {
            path: path.to_owned(),
            upstream: (1..=servers).map(url).collect(),
            connect_timeout: second,
            response_timeout: second,
            idle_timeout: second,
        }
    }

    #[test]
    fn each_request_tries_every_server_once_and_they_take_turns() {
        let mut pool = Pool::new(Arc::new(route("/", 3)));
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let mut tried = Tried::default();
            let servers: Vec<_> = std::iter::from_fn(|| pool.pick(Duration::ZERO, &mut tried))
                .map(|picked| picked.server.0)
                .collect();
            let mut sorted = servers.clone();
            sorted.sort_unstable();
            assert_eq!((sorted, tried.count()), (vec![0, 1, 2], 3));
            pool.pick(Duration::ZERO, &mut Tried::default());
            firsts.push(servers[0]);
        }
        assert_eq!(firsts, [0, 1, 2]);
    }
}
