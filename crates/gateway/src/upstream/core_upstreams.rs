//! A core's connections to servers: the pools of its routes, and the client of each connection.
//!
//! It never sends: the client's connection does.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ringway_acceptor::{ConnectToken, ConnectionId, Operations};

use crate::{
    config::{Route, upstream_url::Scheme},
    limits::{UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIME},
    outbox::channel::{Channel, Channels},
    upstream::{end::UpstreamEnd, pool::Pool},
};

/// The servers of one core.
#[derive(Debug, Default)]
pub struct CoreUpstreams {
    pools: Vec<Pool>,
    /// The clients of attempts to connect, until they are answered.
    attempts: HashMap<ConnectToken, ConnectionId>,
    begun: u64,
    /// The connections to servers, by slot, each with its client.
    clients: Vec<Option<(ConnectionId, ConnectionId)>>,
    /// The layers of connections to servers.
    channels: Channels,
    /// Connections that wait for another request; the last one was used last.
    idle: Vec<Idle>,
    /// The addresses of clients, by slot.
    addresses: Vec<Option<IpAddr>>,
}

/// A connection that waits for another request.
#[derive(Debug)]
struct Idle {
    target: SocketAddr,
    end: UpstreamEnd,
    until: Duration,
}

impl CoreUpstreams {
    /// A core without connections.
    pub fn new(channels: Channels) -> Self {
        Self { channels, ..Self::default() }
    }

    /// The channel of a connection to this server of a route; `None`: it is not known how to speak to
    /// the server.
    pub fn channel(&self, route: &Route, server: SocketAddr) -> Option<Channel> {
        let url = route.upstream.iter().find(|url| url.address == server)?;
        match url.scheme {
            Scheme::Tls => self.channels.connect(&(server, route.upstream_ca_file.clone())),
            _ => Some(Channel::default()),
        }
    }

    /// Keeps a connection for another request to the same server.
    pub fn keep_idle(
        &mut self,
        target: SocketAddr,
        mut end: UpstreamEnd,
        operations: &mut Operations,
        now: Duration,
    ) {
        let count = self.idle.iter().filter(|idle| idle.target == target).count();
        if count >= UPSTREAM_IDLE_MAX {
            return end.close(operations, now);
        }
        // It belongs to itself: to no client.
        self.join(end.connection(), end.connection());
        self.idle.push(Idle { target, end, until: now + UPSTREAM_IDLE_TIME });
    }

    /// Takes a connection to this server for a request of `client`.
    pub fn take_idle(
        &mut self,
        target: SocketAddr,
        client: ConnectionId,
        now: Duration,
    ) -> Option<UpstreamEnd> {
        let is_usable = |idle: &Idle| idle.target == target && now < idle.until;
        let place = self.idle.iter().rposition(is_usable)?;
        let Idle { end, .. } = self.idle.remove(place);
        self.join(end.connection(), client);
        Some(end)
    }

    /// Closes an idle connection whose server has sent something, or has ended it. `false`: it is not
    /// idle.
    pub fn close_idle(
        &mut self,
        server: ConnectionId,
        operations: &mut Operations,
        now: Duration,
    ) -> bool {
        let place = self.idle.iter().position(|idle| idle.end.connection() == server);
        let Some(place) = place else { return self.client_of(server) == Some(server) };
        self.idle.remove(place).end.close(operations, now);
        true
    }

    /// Closes the connections that nothing has used for long.
    pub fn sweep_idle(&mut self, operations: &mut Operations, now: Duration) {
        self.idle.retain_mut(|idle| {
            if now >= idle.until {
                idle.end.close(operations, now);
            }
            now < idle.until
        });
    }

    /// When [`CoreUpstreams::sweep_idle`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.idle.iter().map(|idle| idle.until).min()
    }

    /// The servers of a route.
    pub fn pool(&mut self, route: &Arc<Route>) -> &mut Pool {
        let place = self.pools.iter().position(|pool| Arc::ptr_eq(pool.route(), route));
        let place = place.unwrap_or_else(|| {
            self.pools.push(Pool::new(Arc::clone(route)));
            self.pools.len() - 1
        });
        &mut self.pools[place]
    }

    /// An attempt to connect begins for this client.
    pub fn begin(&mut self, client: ConnectionId) -> ConnectToken {
        let token = ConnectToken(self.begun);
        self.begun += 1;
        self.attempts.insert(token, client);
        token
    }

    /// An attempt has ended: its client, which may be gone.
    pub fn end_attempt(&mut self, token: ConnectToken) -> Option<ConnectionId> {
        self.attempts.remove(&token)
    }

    /// A connection to a server belongs to this client.
    pub fn join(&mut self, server: ConnectionId, client: ConnectionId) {
        put(&mut self.clients, server, Some((server, client)));
    }

    /// The client that a connection to a server belongs to.
    #[inline]
    pub fn client_of(&self, server: ConnectionId) -> Option<ConnectionId> {
        let (name, client) = (*self.clients.get(server.slot() as usize)?)?;
        (name == server).then_some(client)
    }

    /// A connection to a server is closed.
    pub fn forget(&mut self, server: ConnectionId) {
        if self.client_of(server).is_some() {
            self.clients[server.slot() as usize] = None;
        }
    }

    /// A client has connected from this address.
    pub fn note_address(&mut self, client: ConnectionId, address: IpAddr) {
        put(&mut self.addresses, client, Some(address));
    }

    /// The address from which a client has connected, if it was noted.
    pub fn address_of(&self, client: ConnectionId) -> Option<IpAddr> {
        *self.addresses.get(client.slot() as usize)?
    }
}

fn put<T: Clone>(table: &mut Vec<Option<T>>, connection: ConnectionId, entry: Option<T>) {
    let slot = connection.slot() as usize;
    if table.len() <= slot {
        table.resize(slot + 1, None);
    }
    table[slot] = entry;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_used_again_has_another_client() {
        let mut upstreams = CoreUpstreams::default();
        let name = |slot, generation| ConnectionId::new(slot, generation);
        upstreams.join(name(5, 1), name(0, 1));
        assert_eq!(upstreams.client_of(name(5, 1)), Some(name(0, 1)));
        assert_eq!(upstreams.client_of(name(5, 2)), None);
        upstreams.forget(name(5, 2));
        assert_eq!(upstreams.client_of(name(5, 1)), Some(name(0, 1)));
        upstreams.forget(name(5, 1));
        assert_eq!(upstreams.client_of(name(5, 1)), None);
    }
}
