//! Connections whose sockets do not take what they are sent. When all connections of a client are
//! among them, another one of the client begins where they stand, and not now: they may all be dead.
//!
//! Memory: 17 bytes per connection at a load of 7/8 at most. It holds hashes and no names.

use hashbrown::HashTable;

use crate::cursor::Sequence;

/// The stalled connections of one of the directory's shards.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    connections: HashTable<Stall>,
}

/// Two names with the same hash of 64 bits would be one client here.
#[derive(Debug)]
struct Stall {
    hash: u64,
    /// The socket has taken everything up to here.
    at: Sequence,
}

impl Stalls {
    /// A socket that has taken everything up to `at` takes no more.
    pub(super) fn add(&mut self, client: u64, at: Sequence) {
        self.connections.insert_unique(client, Stall { hash: client, at }, |stall| stall.hash);
    }

    /// One that had stalled at `at` takes more, or is gone.
    pub(super) fn remove(&mut self, client: u64, at: Sequence) {
        let same = |stall: &Stall| stall.hash == client && stall.at == at;
        if let Ok(entry) = self.connections.find_entry(client, same) {
            entry.remove();
        }
        if self.connections.len() * 8 < self.connections.capacity() {
            self.connections.shrink_to(self.connections.len() * 2, |stall| stall.hash);
        }
    }

    /// How many connections of a client have stalled, and where the furthest of them stands.
    pub(super) fn of(&self, client: u64) -> (usize, Sequence) {
        let stalls = self.connections.iter_hash(client).filter(|stall| stall.hash == client);
        stalls.fold((0, 0), |(count, furthest), stall| (count + 1, furthest.max(stall.at)))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.connections.allocation_size()
    }
}
