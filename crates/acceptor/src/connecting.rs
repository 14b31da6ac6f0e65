//! Attempts to connect that have not been answered, by token and by name.
//!
//! Invariant: each name in it holds a slot of the driver, so `connections_max` bounds it.

use std::collections::HashMap;

use crate::{ConnectToken, ConnectionId};

/// An empty table with more capacity than this is freed, so that one burst of attempts does not
/// stay resident.
const CAPACITY_KEPT: usize = 256;

/// The attempts of one driver.
#[derive(Debug, Default)]
pub(crate) struct Connecting {
    names: HashMap<ConnectToken, ConnectionId>,
    tokens: HashMap<ConnectionId, ConnectToken>,
}

impl Connecting {
    /// Records an attempt. `false`: an earlier attempt has its token and can no longer be
    /// cancelled.
    pub(crate) fn insert(&mut self, token: ConnectToken, connection: ConnectionId) -> bool {
        self.tokens.insert(connection, token);
        self.names.insert(token, connection).is_none()
    }

    /// The connection that an attempt would become; `None` for a stale token.
    pub(crate) fn name(&self, token: ConnectToken) -> Option<ConnectionId> {
        self.names.get(&token).copied()
    }

    /// Removes an answered attempt; `None` if the connection was established before, or accepted.
    pub(crate) fn remove(&mut self, connection: ConnectionId) -> Option<ConnectToken> {
        let token = self.tokens.remove(&connection)?;
        if self.names.get(&token) == Some(&connection) {
            self.names.remove(&token);
        }
        if self.tokens.is_empty() && self.tokens.capacity() > CAPACITY_KEPT {
            *self = Self::default();
        }
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_found_until_it_has_an_outcome() {
        let mut connecting = Connecting::default();
        let (one, two) = (ConnectionId::new(1, 0), ConnectionId::new(2, 0));
        assert!(connecting.insert(ConnectToken(7), one));
        assert_eq!(connecting.name(ConnectToken(7)), Some(one));
        assert!(!connecting.insert(ConnectToken(7), two));
        assert_eq!(connecting.remove(one), Some(ConnectToken(7)));
        assert_eq!(connecting.name(ConnectToken(7)), Some(two));
        assert_eq!(connecting.remove(two), Some(ConnectToken(7)));
        assert_eq!((connecting.name(ConnectToken(7)), connecting.remove(two)), (None, None));
    }

    #[test]
    fn a_burst_does_not_stay_resident() {
        let mut connecting = Connecting::default();
        let names: Vec<_> = (0..5_000).map(|slot| ConnectionId::new(slot, 3)).collect();
        for name in &names {
            connecting.insert(ConnectToken(name.slot().into()), *name);
        }
        for name in names {
            assert!(connecting.remove(name).is_some());
        }
        assert_eq!((connecting.tokens.capacity(), connecting.names.capacity()), (0, 0));
    }
}
