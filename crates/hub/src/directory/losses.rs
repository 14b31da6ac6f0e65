//! Clients for which an event left the log before they read it: remembered so that each of them is
//! told.
//!
//! Memory: 17 bytes per client at a load of at most 7/8. Beyond [`LOSSES_MAX`] clients the older
//! half is forgotten; from then on any client that is not in the table may have lost events up to
//! that point. A client may be told of a gap that does not exist, but never misses a real one. It
//! holds hashes and no names.

use hashbrown::{HashTable, hash_table::Entry};

use crate::cursor::Sequence;

/// The number of clients remembered in one of the directory's shards: 458,752 in all, which is 9
/// MiB.
pub(super) const LOSSES_MAX: usize = 7_168;

/// What the clients of one shard have lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    clients: HashTable<Loss>,
    /// Clients that are not in the table may have lost events up to this one.
    forgotten_to: Sequence,
}

/// Two names with the same 64-bit hash count as one client here.
#[derive(Debug)]
struct Loss {
    hash: u64,
    /// The last lost event for the client.
    last: Sequence,
}

impl Losses {
    /// Records that an event for the client has left the log.
    pub(super) fn add(&mut self, client: u64, sequence: Sequence) {
        let same = |loss: &Loss| loss.hash == client;
        if self.clients.len() >= LOSSES_MAX {
            self.forget_half();
        }
        match self.clients.entry(client, same, |loss| loss.hash) {
            Entry::Occupied(mut entry) => {
                let last = &mut entry.get_mut().last;
                *last = sequence.max(*last);
            }
            Entry::Vacant(place) => {
                place.insert(Loss { hash: client, last: sequence });
            }
        }
    }

    /// Records that the client has all events up to `served`, or was told of the gap.
    pub(super) fn settle(&mut self, client: u64, served: Sequence) {
        let is_over = |loss: &Loss| loss.hash == client && loss.last <= served;
        if let Ok(entry) = self.clients.find_entry(client, is_over) {
            entry.remove();
        }
    }

    /// Whether the client may have lost an event after `after`.
    pub(super) fn may_hold(&self, client: u64, after: Sequence) -> bool {
        let found = self.clients.find(client, |loss| loss.hash == client);
        self.forgotten_to > after || found.is_some_and(|loss| loss.last > after)
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.clients.allocation_size()
    }

    fn forget_half(&mut self) {
        let mut all: Vec<Sequence> = self.clients.iter().map(|loss| loss.last).collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        self.forgotten_to = self.forgotten_to.max(*median);
        let forgotten_to = self.forgotten_to;
        self.clients.retain(|loss| loss.last > forgotten_to);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn losses_beyond_the_limit_are_not_forgotten() {
        let mut losses = Losses::default();
        let many = 3 * LOSSES_MAX as u64;
        (1..=many).for_each(|client| losses.add(client, client));
        assert!(losses.clients.len() <= LOSSES_MAX);
        assert!(losses.bytes() <= 20 * LOSSES_MAX, "{}", losses.bytes());
        assert!((1..=many).all(|client| losses.may_hold(client, client - 1)));
        assert!(!losses.may_hold(many, many), "what it was told of is over");
        assert!(losses.may_hold(0, 0), "a stranger may have lost something");
        assert!(!losses.may_hold(0, many), "but nothing so new");
    }

    proptest! {
        /// Compared with a map that forgets nothing.
        #[test]
        fn a_loss_is_remembered_until_it_is_settled(
            steps in prop::collection::vec((0..3_u8, 0..6_u64, 0..50_u64), 0..200)
        ) {
            let (mut losses, mut naive) = (Losses::default(), HashMap::<u64, u64>::new());
            for (step, client, sequence) in steps {
                match step {
                    0 => {
                        losses.add(client, sequence);
                        let last = naive.entry(client).or_default();
                        *last = sequence.max(*last);
                    }
                    1 => {
                        losses.settle(client, sequence);
                        if naive.get(&client).is_some_and(|last| *last <= sequence) {
                            naive.remove(&client);
                        }
                    }
                    _ => prop_assert_eq!(
                        losses.may_hold(client, sequence),
                        naive.get(&client).is_some_and(|last| *last > sequence)
                    ),
                }
            }
        }
    }
}
