//! Who is there, on any core; and for those who are away, since when.
//!
//! Shared by all threads: shards with a mutex each, held for a look-up. Never holds an event, and
//! never decides what becomes of one.
//!
//! Memory: 33 bytes per client at a load of 7/8 at most (50 on average), and its name with the 16
//! bytes of an `Arc`.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{HashTable, hash_table::Entry};

use crate::cursor::Sequence;
use crate::name::Name;

const SHARDS: usize = 64;

/// The counters of an `Arc`.
const ARC_BYTES: usize = 2 * size_of::<usize>();

/// All clients that are there or that were.
///
/// ```
/// use ringway_hub::{Directory, Presence, Since};
/// let directory = Directory::default();
/// assert_eq!(directory.arrive("ann").since, Since::Unknown);
/// assert_eq!(directory.arrive("ann").since, Since::Live);
/// directory.leave("ann", 40);
/// directory.leave("ann", 42);
/// assert_eq!(directory.presence("ann"), Presence::Away);
/// assert_eq!(directory.arrive("ann").since, Since::Left(42));
/// ```
#[derive(Debug)]
pub struct Directory {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    clients: HashTable<Client>,
    /// Bytes of names with their counters.
    name_bytes: usize,
    /// Connections that lag.
    behind: usize,
}

/// Invariant: `behind <= live`.
#[derive(Debug)]
struct Client {
    name: Name,
    /// Connections.
    live: u32,
    /// Those of them that lag.
    behind: u32,
    /// The newest sequence at which a connection left.
    left: Sequence,
}

const _: () = assert!(size_of::<Client>() == 32);

/// A client that has just come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its name, one allocation for all connections.
    pub name: Name,
    /// What it may have missed.
    pub since: Since,
}

/// Where a client was before a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Here: it has another connection.
    Live,
    /// Away: it had been served up to this event.
    Left(Sequence),
    /// Nowhere, as far as is known.
    Unknown,
}

/// Whether a client is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It has a connection that keeps up.
    Live,
    /// It has connections, and all of them lag.
    Behind,
    /// It had a connection, and comes back to what was kept.
    Away,
    /// It was never here, or so long ago that nothing is kept.
    Unknown,
}

impl Default for Directory {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { hasher: RandomState::new(), shards }
    }
}

impl Directory {
    /// A connection has come.
    pub fn arrive(&self, client: &str) -> Arrival {
        let (hash, mut shard) = self.shard(client);
        let Shard { clients, name_bytes, .. } = &mut *shard;
        let same = |entry: &Client| *entry.name == *client;
        match clients.entry(hash, same, |entry| self.hasher.hash_one(&*entry.name)) {
            Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                entry.live += 1;
                let since = if entry.live > 1 { Since::Live } else { Since::Left(entry.left) };
                Arrival { name: Arc::clone(&entry.name), since }
            }
            Entry::Vacant(place) => {
                let name = Name::from(client);
                *name_bytes += ARC_BYTES + name.len();
                place.insert(Client { name: Arc::clone(&name), live: 1, behind: 0, left: 0 });
                Arrival { name, since: Since::Unknown }
            }
        }
    }

    /// A connection has gone, having been served up to `at`. With the last one the client is away,
    /// since the newest event that any of its connections was served.
    ///
    /// A connection that is behind catches up first, or the client stays behind.
    pub fn leave(&self, client: &str, at: Sequence) {
        self.change(client, |entry| {
            entry.live = entry.live.saturating_sub(1);
            entry.behind = entry.behind.min(entry.live);
            entry.left = entry.left.max(at);
        });
    }

    /// A connection that has gone turns out to have been served up to `at`.
    pub fn was_served(&self, client: &str, at: Sequence) {
        self.change(client, |entry| entry.left = entry.left.max(at));
    }

    /// A connection lags: until it catches up it does not count as present.
    pub fn fall_behind(&self, client: &str) {
        self.change(client, |entry| entry.behind = (entry.behind + 1).min(entry.live));
    }

    /// A connection lags no longer.
    pub fn catch_up(&self, client: &str) {
        self.change(client, |entry| entry.behind = entry.behind.saturating_sub(1));
    }

    /// Whether the client is there.
    #[must_use]
    pub fn presence(&self, client: &str) -> Presence {
        self.look_up(client, |entry| match entry {
            None => Presence::Unknown,
            Some(entry) if entry.live == 0 => Presence::Away,
            Some(entry) if entry.live == entry.behind => Presence::Behind,
            Some(_) => Presence::Live,
        })
    }

    /// How many connections the client has.
    #[must_use]
    pub fn connections(&self, client: &str) -> u32 {
        self.look_up(client, |entry| entry.map_or(0, |entry| entry.live))
    }

    /// How many connections lag.
    ///
    /// ```
    /// # use ringway_hub::Directory;
    /// # let directory = Directory::default();
    /// for client in ["ann", "ann", "bob"] {
    ///     directory.arrive(client);
    ///     directory.fall_behind(client);
    /// }
    /// directory.catch_up("ann");
    /// assert_eq!(directory.behind(), 2);
    /// directory.leave("ann", 0);
    /// directory.leave("ann", 0);
    /// assert_eq!(directory.behind(), 1);
    /// ```
    #[must_use]
    pub fn behind(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).behind).sum()
    }

    /// Clients that are known, live and away.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).clients.len()).sum()
    }

    /// Forgets who left so long ago that the log, which now begins with `first`, does not reach
    /// back to it. Returns how many are away and not forgotten.
    ///
    /// An event that came for the client since then may still be kept:
    /// [`Directory::forget_unless`] can spare those.
    pub fn forget_before(&self, first: Sequence) -> usize {
        self.forget_unless(first, |_| false)
    }

    /// As [`Directory::forget_before`], but `keeps` may spare a client, say because the log
    /// [holds](crate::Log::holds) an event for it. It is asked while a part of the directory is
    /// locked, and must not use the directory.
    ///
    /// ```
    /// # use ringway_hub::{Directory, Epoch, Key, Log, Retention};
    /// # let (directory, log) = (Directory::default(), Log::new(Epoch::new(1), Retention::default()));
    /// directory.forget_unless(log.first(), |client| log.holds(Key::Recipient(client)));
    /// ```
    pub fn forget_unless(&self, first: Sequence, mut keeps: impl FnMut(&str) -> bool) -> usize {
        let mut away = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { clients, name_bytes, .. } = &mut *shard;
            clients.retain(|entry| {
                let is_kept =
                    entry.live > 0 || entry.left.saturating_add(1) >= first || keeps(&entry.name);
                if !is_kept {
                    *name_bytes -= ARC_BYTES + entry.name.len();
                }
                away += usize::from(is_kept && entry.live == 0);
                is_kept
            });
            if clients.len() * 8 < clients.capacity() {
                let twice = clients.len() * 2;
                clients.shrink_to(twice, |entry| self.hasher.hash_one(&*entry.name));
            }
        }
        away
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |shard: &Mutex<Shard>| {
            let shard = lock(shard);
            shard.clients.allocation_size() + shard.name_bytes
        };
        size_of::<Self>() + self.shards.iter().map(bytes).sum::<usize>()
    }

    fn shard(&self, client: &str) -> (u64, MutexGuard<'_, Shard>) {
        let hash = self.hasher.hash_one(client);
        // Bits that the table uses neither for its places nor for its tags.
        (hash, lock(&self.shards[(hash >> 48) as usize % SHARDS]))
    }

    fn change(&self, client: &str, change: impl FnOnce(&mut Client)) {
        let (hash, mut shard) = self.shard(client);
        let Shard { clients, behind, .. } = &mut *shard;
        if let Some(entry) = clients.find_mut(hash, |entry| *entry.name == *client) {
            *behind -= entry.behind as usize;
            change(entry);
            *behind += entry.behind as usize;
        }
    }

    fn look_up<T>(&self, client: &str, look: impl FnOnce(Option<&Client>) -> T) -> T {
        let (hash, shard) = self.shard(client);
        look(shard.clients.find(hash, |entry| *entry.name == *client))
    }
}

/// Locks, though a thread may have panicked inside: foreign code runs only where a shard is whole.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
