//! Counts connections, in all and from each address; shared by all cores.
//!
//! It is used once when a client connects and once when it leaves, never on the path of a message.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
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
    index: HashMap<IpAddr, u32>,
    entries: Vec<(IpAddr, u32)>,
    free: Vec<u32>,
}

/// The place of a counted connection, returned when the client leaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// Index of the address; [`OUTSIDE`] for a client that was not admitted.
    address: u32,
}

const OUTSIDE: u32 = u32::MAX;

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

    /// A permit for a client from `address`.
    ///
    /// # Errors
    /// [`Refusal::Full`] or [`Refusal::AddressFull`].
    pub fn admit(&self, address: IpAddr) -> Result<Permit, Refusal> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.limits.connections_max {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        let address = address.to_canonical();
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(&address));
        let max = if is_exempt { u32::MAX } else { self.limits.connections_per_address_max };
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match addresses.count(address, max) {
            Some(address) => Ok(Permit { address }),
            None => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                Err(Refusal::AddressFull)
            }
        }
    }

    /// An extra permit for a client that was not admitted, so that it can read why; `None` if all
    /// of them are taken. Descriptors are reserved for twice as many (`TURNED_AWAY_MAX`).
    pub fn permit_outside(&self) -> Option<Permit> {
        if self.turned_away.fetch_add(1, Ordering::Relaxed) >= TURNED_AWAY_MAX {
            self.turned_away.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { address: OUTSIDE })
    }

    /// The address that a permit is counted for, if it is counted.
    pub fn address(&self, permit: &Permit) -> Option<IpAddr> {
        if permit.address == OUTSIDE {
            return None;
        }
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.entries.get(permit.address as usize).map(|entry| entry.0)
    }

    /// The client has left.
    pub fn leave(&self, permit: Permit) {
        if permit.address == OUTSIDE {
            self.turned_away.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.discount(permit.address);
    }
}

impl Addresses {
    fn count(&mut self, address: IpAddr, max: u32) -> Option<u32> {
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
        let permit = limiter.admit(ANN).unwrap();
        limiter.admit(ANN).unwrap();
        assert_eq!(limiter.admit(ANN), Err(Refusal::AddressFull));
        limiter.admit(BOB).unwrap();
        limiter.leave(permit);
        limiter.admit(ANN).unwrap();
        assert_eq!(limiter.connections(), 3);
    }

    #[test]
    fn an_address_in_both_families_counts_as_one() {
        let limiter = limiter(10, 1);
        limiter.admit(ANN).unwrap();
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(limiter.admit(mapped), Err(Refusal::AddressFull));
    }

    #[test]
    fn exempt_networks_are_bounded_only_by_the_total() {
        let limiter = limiter(3, 1);
        for _ in 0..3 {
            limiter.admit("127.0.0.1".parse().unwrap()).unwrap();
        }
        assert_eq!(limiter.admit(BOB), Err(Refusal::Full));
        assert_eq!(limiter.connections(), 3);
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
            let permit = limiter.admit(IpAddr::V4(host.into())).unwrap();
            limiter.leave(permit);
        }
        let addresses = limiter.addresses.lock().unwrap();
        assert!(addresses.index.is_empty());
        assert_eq!(addresses.entries.len(), 1);
    }
}
