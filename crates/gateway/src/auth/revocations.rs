//! Clients that may not connect until a time, on any core and any transport.
//!
//! The table is bounded and says when it is full. While it is empty a look-up is one comparison.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::limits::REVOCATIONS_MAX;

/// Shared by all cores and the private API.
#[derive(Debug, Default)]
pub struct Revocations {
    /// The time, since 1970, until which each client is refused.
    until: Mutex<HashMap<Box<str>, Duration>>,
    count: AtomicUsize,
}

/// The table has no room for another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationsFull;

impl Revocations {
    /// Refuses a client until a time; one that has passed ends an earlier refusal.
    ///
    /// # Errors
    /// [`RevocationsFull`]: nothing has changed.
    pub fn revoke(
        &self,
        client: &str,
        until: Duration,
        now: Duration,
    ) -> Result<(), RevocationsFull> {
        let mut table = self.lock();
        if until <= now {
            table.remove(client);
        } else if let Some(earlier) = table.get_mut(client) {
            *earlier = until;
        } else {
            if table.len() >= REVOCATIONS_MAX {
                table.retain(|_, until| *until > now);
            }
            if table.len() >= REVOCATIONS_MAX {
                return Err(RevocationsFull);
            }
            table.insert(client.into(), until);
        }
        self.count.store(table.len(), Ordering::Release);
        Ok(())
    }

    /// Whether a client is refused at this time.
    pub fn is_revoked(&self, client: &str, now: Duration) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.lock().get(client).is_some_and(|until| *until > now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Duration>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_is_refused_until_its_time() {
        let revocations = Revocations::default();
        assert!(!revocations.is_revoked("ann", seconds(1)));
        revocations.revoke("ann", seconds(10), seconds(1)).unwrap();
        assert!(revocations.is_revoked("ann", seconds(9)));
        assert!(!revocations.is_revoked("bob", seconds(9)));
        assert!(!revocations.is_revoked("ann", seconds(10)));
        // A later call replaces it, and a time that has passed ends it.
        revocations.revoke("ann", seconds(20), seconds(2)).unwrap();
        assert!(revocations.is_revoked("ann", seconds(19)));
        revocations.revoke("ann", seconds(2), seconds(2)).unwrap();
        assert!(!revocations.is_revoked("ann", seconds(3)));
    }

    #[test]
    fn a_full_table_says_so_and_makes_room_by_time_alone() {
        let revocations = Revocations::default();
        let name = |number: usize| format!("client-{number}");
        for number in 0..REVOCATIONS_MAX {
            let until = if number == 0 { seconds(5) } else { seconds(100) };
            revocations.revoke(&name(number), until, seconds(1)).unwrap();
        }
        assert_eq!(revocations.revoke("ann", seconds(100), seconds(1)), Err(RevocationsFull));
        assert!(revocations.is_revoked(&name(7), seconds(1)), "nobody was let in for it");
        revocations.revoke(&name(7), seconds(90), seconds(1)).unwrap();
        revocations.revoke("ann", seconds(100), seconds(5)).unwrap();
        assert!(revocations.is_revoked("ann", seconds(6)));
        assert_eq!(revocations.revoke("bob", seconds(100), seconds(6)), Err(RevocationsFull));
    }
}
