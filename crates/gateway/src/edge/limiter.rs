//! Counts connections, in all and from each address; shared by all cores.
//!
//! It is used when a client connects and when it leaves, and for each request that a proxy passes
//! on; never on the path of a message.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use ipnet::IpNet;

use crate::{limits::TURNED_AWAY_MAX, refusal::Refusal};

/// The bounds.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// The most connections of the process.
    pub connections_max: u32,
    /// The most connections from one address.
    pub connections_per_address_max: u32,
    /// Networks to which the bound per address does not apply.
    pub exempt: Vec<IpNet>,
}

/// Counts connections.
#[derive(Debug)]
pub struct ConnectionLimiter {
    limits: ConnectionLimits,
    connections: AtomicU32,
    turned_away: AtomicU32,
    addresses: Mutex<Addresses>,
}

/// The counted addresses. A connection keeps an index of four bytes and not an address of sixteen.
#[derive(Debug, Default)]
struct Addresses {
    index: HashMap<CountedAddress, u32>,
    entries: Vec<(CountedAddress, u32)>,
    free: Vec<u32>,
}

/// An address as it is counted: an IPv4 address, or a network of IPv6 addresses. A single customer
/// gets at least a /64 (RFC 6177), so one machine may use any of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CountedAddress(IpAddr);

impl From<IpAddr> for CountedAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(network.into())
            }
            address => address,
        })
    }
}

impl fmt::Display for CountedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(formatter),
            IpAddr::V6(network) => write!(formatter, "{network}/64"),
        }
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a client.
    Client,
    /// From one of the operator's proxies, whose clients count for themselves.
    Proxy,
}

/// The place of a counted connection, returned when the client leaves.
///
/// Four bytes of each connection: the index of the client's address, or `UNKNOWN`, and whether
/// the connection comes from a proxy.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(u32);

/// The bit of a connection that comes from a proxy.
const FROM_PROXY: u32 = 1 << 31;

/// Instead of an index: from a client that was not admitted, or from a proxy that serves no client.
const UNKNOWN: u32 = FROM_PROXY - 1;

impl Permit {
    /// Where its connection comes from.
    pub fn origin(&self) -> Origin {
        if self.0 & FROM_PROXY == 0 { Origin::Client } else { Origin::Proxy }
    }

    fn address(&self) -> Option<u32> {
        Some(self.0 & !FROM_PROXY).filter(|address| *address != UNKNOWN)
    }
}

impl ConnectionLimiter {
    /// A limiter without connections.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            connections: AtomicU32::new(0),
            turned_away: AtomicU32::new(0),
            addresses: Mutex::default(),
        }
    }

    /// The number of connections.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// A permit for a connection from `address`.
    ///
    /// # Errors
    /// [`Refusal::Full`] or [`Refusal::AddressFull`].
    pub fn admit(&self, address: IpAddr, origin: Origin) -> Result<Permit, Refusal> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.limits.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        if origin == Origin::Proxy {
            return Ok(Permit(FROM_PROXY | UNKNOWN));
        }
        let max = self.max_of(address);
        match self.addresses().count(address.into(), max) {
            Some(address) => Ok(Permit(address)),
            None => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                Err(Refusal::AddressFull)
            }
        }
    }

    /// A proxy's connection now serves the client at this address, and no other one.
    ///
    /// # Errors
    /// [`Refusal::AddressFull`]; the connection serves no client then.
    pub fn serve(&self, permit: &mut Permit, client: IpAddr) -> Result<(), Refusal> {
        self.end_serving(permit);
        let max = self.max_of(client);
        let address = self.addresses().count(client.into(), max).ok_or(Refusal::AddressFull)?;
        permit.0 = FROM_PROXY | address;
        Ok(())
    }

    /// A proxy's connection serves no client any more.
    pub fn end_serving(&self, permit: &mut Permit) {
        if let Some(address) = permit.address() {
            self.addresses().discount(address);
            permit.0 |= UNKNOWN;
        }
    }

    /// An extra permit for a client that was not admitted, so that it can read why; `None` if all
    /// of them are taken. Descriptors are reserved for twice as many (`TURNED_AWAY_MAX`).
    pub fn permit_outside(&self) -> Option<Permit> {
        if self.turned_away.fetch_add(1, Ordering::Relaxed) >= TURNED_AWAY_MAX {
            self.turned_away.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(UNKNOWN))
    }

    /// The address of the client, if it is counted.
    pub fn address(&self, permit: &Permit) -> Option<CountedAddress> {
        let index = permit.address()?;
        self.addresses().entries.get(index as usize).map(|entry| entry.0)
    }

    /// As [`Self::address`], unless any number of connections may come from there.
    pub fn bounded_address(&self, permit: &Permit) -> Option<CountedAddress> {
        self.address(permit).filter(|address| self.max_of(address.0) < u32::MAX)
    }

    /// The client has left.
    pub fn leave(&self, permit: Permit) {
        match (permit.address(), permit.origin()) {
            (None, Origin::Client) => {
                self.turned_away.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            (None, Origin::Proxy) => {}
            (Some(address), _) => self.addresses().discount(address),
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn max_of(&self, address: IpAddr) -> u32 {
        let address = address.to_canonical();
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(&address));
        if is_exempt { u32::MAX } else { self.limits.connections_per_address_max }
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addresses {
    fn count(&mut self, address: CountedAddress, max: u32) -> Option<u32> {
        if let Some(&index) = self.index.get(&address) {
            let count = &mut self.entries[index as usize].1;
            if *count >= max {
                return None;
            }
            *count += 1;
            return Some(index);
        }
        if max == 0 {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = (address, 1);
                index
            }
            None => {
                self.entries.push((address, 1));
                (self.entries.len() - 1) as u32
            }
        };
        self.index.insert(address, index);
        Some(index)
    }

    fn discount(&mut self, index: u32) {
        let (address, count) = &mut self.entries[index as usize];
        *count -= 1;
        if *count == 0 {
            self.index.remove(address);
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(connections_max: u32, connections_per_address_max: u32) -> ConnectionLimiter {
        ConnectionLimiter::new(ConnectionLimits {
            connections_max,
            connections_per_address_max,
            exempt: vec!["127.0.0.0/8".parse().unwrap()],
        })
    }

    const ANN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn one_address_cannot_take_all_permits() {
        let limiter = limiter(10, 2);
        let permit = limiter.admit(ANN, Origin::Client).unwrap();
        limiter.admit(ANN, Origin::Client).unwrap();
        assert_eq!(limiter.admit(ANN, Origin::Client), Err(Refusal::AddressFull));
        limiter.admit(BOB, Origin::Client).unwrap();
        limiter.leave(permit);
        limiter.admit(ANN, Origin::Client).unwrap();
        assert_eq!(limiter.connections(), 3);
    }

    #[test]
    fn an_address_in_both_families_counts_as_one() {
        let limiter = limiter(10, 1);
        limiter.admit(ANN, Origin::Client).unwrap();
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(limiter.admit(mapped, Origin::Client), Err(Refusal::AddressFull));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let limiter = limiter(10, 1);
        let permit = limiter.admit("2001:db8:0:1::1".parse().unwrap(), Origin::Client).unwrap();
        let shown = limiter.address(&permit).unwrap().to_string();
        assert_eq!(shown, "2001:db8:0:1::/64");
        let neighbour = "2001:db8:0:1:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(limiter.admit(neighbour, Origin::Client), Err(Refusal::AddressFull));
        limiter.admit("2001:db8:0:2::1".parse().unwrap(), Origin::Client).unwrap();
    }

    #[test]
    fn the_clients_of_a_proxy_count_for_themselves() {
        let limiter = limiter(4, 1);
        let mut first = limiter.admit(ANN, Origin::Proxy).unwrap();
        let mut second = limiter.admit(ANN, Origin::Proxy).unwrap();
        assert_eq!(limiter.address(&first), None);
        limiter.serve(&mut first, BOB).unwrap();
        limiter.serve(&mut first, BOB).unwrap();
        assert_eq!(limiter.address(&first), Some(BOB.into()));
        assert_eq!(limiter.serve(&mut second, BOB), Err(Refusal::AddressFull));
        assert_eq!(limiter.admit(BOB, Origin::Client), Err(Refusal::AddressFull));
        limiter.end_serving(&mut first);
        limiter.serve(&mut second, BOB).unwrap();
        assert_eq!(limiter.connections(), 2);
        limiter.leave(first);
        limiter.leave(second);
        let addresses = limiter.addresses();
        assert!(addresses.index.is_empty() && limiter.connections() == 0);
    }

    #[test]
    fn exempt_networks_are_bounded_only_by_the_total() {
        let limiter = limiter(3, 1);
        for _ in 0..3 {
            limiter.admit("127.0.0.1".parse().unwrap(), Origin::Client).unwrap();
        }
        assert_eq!(limiter.admit(BOB, Origin::Client), Err(Refusal::Full));
        assert_eq!(limiter.connections(), 3);
    }

    #[test]
    fn an_exempt_address_bounds_nobody() {
        let limiter = limiter(3, 1);
        let exempt = limiter.admit("127.0.0.1".parse().unwrap(), Origin::Client).unwrap();
        let bounded = limiter.admit(BOB, Origin::Client).unwrap();
        assert_eq!(limiter.bounded_address(&exempt), None);
        assert_eq!(limiter.bounded_address(&bounded), Some(BOB.into()));
    }

    #[test]
    fn permits_held_outside_are_bounded() {
        let limiter = limiter(1, 1);
        let mut permits: Vec<_> = (0..TURNED_AWAY_MAX).map(|_| limiter.permit_outside()).collect();
        assert_eq!(limiter.permit_outside(), None);
        limiter.leave(permits.pop().flatten().unwrap());
        assert!(limiter.permit_outside().is_some());
        assert_eq!(limiter.connections(), 0);
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let limiter = limiter(10, 1);
        for host in 0..1000u32 {
            let permit = limiter.admit(IpAddr::V4(host.into()), Origin::Client).unwrap();
            limiter.leave(permit);
        }
        let addresses = limiter.addresses.lock().unwrap();
        assert!(addresses.index.is_empty());
        assert_eq!(addresses.entries.len(), 1);
    }
}
