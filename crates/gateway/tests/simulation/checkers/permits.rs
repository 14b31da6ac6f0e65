//! Property: permits are granted up to the limits, over all cores, and released.

use std::{collections::HashMap, net::IpAddr};

use ringway::edge::limiter::{ConnectionLimiter, ConnectionLimits};

use super::{Key, check, check_eq};

const PROPERTY: &str = "permits are granted up to the limits, over all cores, and returned";

/// A naive model of the limiter.
pub struct Permits {
    limits: ConnectionLimits,
    holders: HashMap<Key, IpAddr>,
}

impl Permits {
    /// A model without connections.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, holders: HashMap::new() }
    }

    /// Notes that a core has accepted a connection. Returns the status with which it must be
    /// rejected.
    pub fn accept(&mut self, key: Key, address: IpAddr) -> Option<u16> {
        if self.holders.len() >= self.limits.connections_max as usize {
            return Some(503);
        }
        let sharers = self.holders.values().filter(|holder| **holder == address).count();
        if sharers >= self.limits.connections_per_address_max as usize {
            return Some(429);
        }
        let earlier = self.holders.insert(key, address);
        check!(earlier.is_none(), "{key:?} was accepted twice");
        None
    }

    /// Notes that a connection is closed.
    pub fn close(&mut self, key: Key) {
        self.holders.remove(&key);
    }

    /// Compares the limiter with the model.
    pub fn check(&self, limiter: &ConnectionLimiter) {
        check_eq!(limiter.connections() as usize, self.holders.len(), "permits taken");
    }
}
