//! Connections whose sockets accept no more data. When all connections of a client have stalled,
//! they may all be dead: a new connection of the client then begins at their position, not at the
//! head of the log.
//!
//! Memory: 17 bytes per connection at a load of at most 7/8. It holds hashes and no names.

use hashbrown::HashTable;

use crate::cursor::Sequence;

/// The stalled connections of one of the directory's shards.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    connections: HashTable<Stall>,
}

/// Two names with the same 64-bit hash count as one client here.
#[derive(Debug)]
struct Stall {
    hash: u64,
    /// The socket has accepted all events up to this one.
    at: Sequence,
}

impl Stalls {
    /// Adds a connection whose socket accepts no more data after `at`.
    pub(super) fn add(&mut self, client: u64, at: Sequence) {
        self.connections.insert_unique(client, Stall { hash: client, at }, |stall| stall.hash);
    }

    /// Removes a connection that had stalled at `at`.
    pub(super) fn remove(&mut self, client: u64, at: Sequence) {
        let same = |stall: &Stall| stall.hash == client && stall.at == at;
        if let Ok(entry) = self.connections.find_entry(client, same) {
            entry.remove();
        }
        if self.connections.len() * 8 < self.connections.capacity() {
            self.connections.shrink_to(self.connections.len() * 2, |stall| stall.hash);
        }
    }

    /// How many connections of a client have stalled, and the highest position among them.
    pub(super) fn of(&self, client: u64) -> (usize, Sequence) {
        let stalls = self.connections.iter_hash(client).filter(|stall| stall.hash == client);
        stalls.fold((0, 0), |(count, furthest), stall| (count + 1, furthest.max(stall.at)))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.connections.allocation_size()
    }
}
