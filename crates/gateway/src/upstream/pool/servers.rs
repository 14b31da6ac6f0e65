//! The servers of one route, as one core sees them: which of them gets the next connection, and
//! which are out.
//!
//! It knows no socket and no clock. Each core counts its own connections.

#[cfg(test)]
mod tests;

use std::{fmt::Display, time::Duration};

use crate::{
    config::balance::Balance,
    limits::UPSTREAMS_MAX,
    upstream::pool::{
        balance,
        endpoint::{Checked, Endpoint, Fitness},
    },
};

/// The rules of a route for its servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How a server is chosen.
    pub balance: Balance,
    /// Failures in a row that take a server out.
    pub failures_max: u32,
    /// For how long; twice as long each time until it succeeds, up to 32 times.
    pub eject_time: Duration,
    /// The time in which a server that comes back reaches its whole share.
    pub slow_start: Duration,
    /// Connections to one server.
    pub connections_max: u32,
}

/// A server as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<A> {
    /// Its address.
    pub address: A,
    /// Its part of the load, from 1.
    pub weight: u32,
    /// The result of its active checks.
    pub checked: Checked,
}

/// A connection's claim on a server, from [`Servers::pick`] to [`Servers::release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lease that is not released counts for ever"]
pub struct Lease {
    slot: u32,
    number: u64,
}

/// The servers that were tried for a request, by slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried(u64);

const _: () = assert!(UPSTREAMS_MAX <= u64::BITS as u64);

impl Tried {
    /// How many there are.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn has(self, slot: usize) -> bool {
        self.0 & (1 << slot) != 0
    }
}

/// Why no server was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoServer {
    /// Those that may get a connection have as many as they may have.
    Full,
    /// All are out, or have been tried.
    Unhealthy,
}

/// What a connection shows about the health of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerResult {
    /// It did what it should.
    Success,
    /// It failed, and the server is to blame.
    Failure,
}

/// The servers of one route.
#[derive(Debug)]
pub struct Servers<A> {
    policy: Policy,
    /// By slot, which stays the same for as long as a server has a connection.
    endpoints: Vec<Option<Endpoint<A>>>,
    /// Counts the choices: it names leases, and equal servers take turns by it.
    number: u64,
    /// Reused by each choice.
    candidates: Vec<u32>,
}

impl<A: Clone + PartialEq + Display> Servers<A> {
    /// None yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, endpoints: Vec::new(), number: 0, candidates: Vec::new() }
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Replaces the rules; open connections stay.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Replaces the list of servers. A server that stays keeps its state; one that goes gets no
    /// connection, and is forgotten with its last one.
    pub fn set_servers(&mut self, servers: &[Listed<A>], now: Duration) {
        for endpoint in self.endpoints.iter_mut().flatten() {
            endpoint.is_removed = !servers.iter().any(|one| one.address == endpoint.address);
        }
        for slot in &mut self.endpoints {
            slot.take_if(|endpoint| endpoint.is_removed && endpoint.connections == 0);
        }
        for server in servers {
            if let Some(endpoint) = self.find_or_insert(server) {
                endpoint.weight = server.weight;
                endpoint.check(server.checked, now);
            }
        }
    }

    /// `None`: there are as many as there may be, those included that only have connections.
    fn find_or_insert(&mut self, server: &Listed<A>) -> Option<&mut Endpoint<A>> {
        let is_it = |slot: &Option<Endpoint<A>>| {
            slot.as_ref().is_some_and(|endpoint| endpoint.address == server.address)
        };
        let place = self.endpoints.iter().position(is_it);
        let place = place.or_else(|| self.endpoints.iter().position(Option::is_none));
        let place = place.unwrap_or_else(|| {
            self.endpoints.push(None);
            self.endpoints.len() - 1
        });
        if place as u64 >= UPSTREAMS_MAX {
            self.endpoints.truncate(UPSTREAMS_MAX as usize);
            return None;
        }
        Some(self.endpoints[place].get_or_insert_with(|| {
            let hash = balance::hash(server.address.to_string().as_bytes());
            Endpoint::new(server.address.clone(), server.weight, hash)
        }))
    }

    /// Chooses a server for a connection, apart from those in `tried`, which it adds to them: a
    /// healthy one; if there is none, one that failed a short time ago and that nobody tries at the
    /// moment.
    ///
    /// # Errors
    /// There is no such server.
    pub fn pick(&mut self, key: u64, tried: &mut Tried, now: Duration) -> Result<Lease, NoServer> {
        let mut is_full = false;
        for fitness in [Fitness::Healthy, Fitness::Ejected] {
            let mut candidates = std::mem::take(&mut self.candidates);
            candidates.clear();
            for (slot, endpoint) in self.endpoints.iter().enumerate() {
                let Some(endpoint) = endpoint else { continue };
                if endpoint.fitness(now) != fitness || tried.has(slot) {
                    continue;
                }
                match endpoint.has_room(&self.policy) {
                    true => candidates.push(slot as u32),
                    false => is_full = true,
                }
            }
            let (policy, turn) = (&self.policy, self.number as usize);
            let chosen = balance::choose(&mut self.endpoints, &candidates, policy, key, turn, now);
            self.candidates = candidates;
            if let Some(slot) = chosen {
                self.number += 1;
                tried.0 |= 1 << slot;
                let lease = Lease { slot, number: self.number };
                self.endpoints[slot as usize].as_mut().expect("it was chosen").begin(lease.number);
                return Ok(lease);
            }
            if is_full {
                // A healthy server that is full is better than one that fails.
                return Err(NoServer::Full);
            }
        }
        Err(NoServer::Unhealthy)
    }

    /// The address of a leased server.
    pub fn address(&self, lease: Lease) -> &A {
        &self.leased(lease).address
    }

    /// Whether a leased server is no longer listed: its connections must end soon.
    pub fn is_removed(&self, lease: Lease) -> bool {
        self.leased(lease).is_removed
    }

    /// Notes how a connection, or a request on it, went; the connection goes on.
    pub fn report(&mut self, lease: Lease, outcome: ServerResult, now: Duration) {
        let endpoint = self.endpoints[lease.slot as usize].as_mut().expect(LEASED);
        match outcome {
            ServerResult::Success => endpoint.succeeded(lease.number, now),
            ServerResult::Failure => endpoint.failed(lease.number, &self.policy, now),
        }
    }

    /// Ends the claim of a connection that has ended. Its outcome, if it shows one, was reported.
    pub fn release(&mut self, lease: Lease) {
        let slot = &mut self.endpoints[lease.slot as usize];
        let endpoint = slot.as_mut().expect(LEASED);
        endpoint.end(lease.number);
        slot.take_if(|endpoint| endpoint.is_removed && endpoint.connections == 0);
    }

    /// Each server with its health and its connections, for the private API.
    pub fn servers(&self, now: Duration) -> impl Iterator<Item = (&A, Fitness, u32)> {
        self.endpoints
            .iter()
            .flatten()
            .map(move |one| (&one.address, one.fitness(now), one.connections))
    }

    fn leased(&self, lease: Lease) -> &Endpoint<A> {
        self.endpoints[lease.slot as usize].as_ref().expect(LEASED)
    }
}

const LEASED: &str = "a leased server stays in its slot";
