//! Which clients are connected, on any core; and for clients that are away, since when.
//!
//! Shared by all threads: shards with one mutex each, locked for one look-up. Never holds an event,
//! and never decides what happens to an event.
//!
//! Memory: 33 bytes per client at a load of at most 7/8 (50 on average), its name with the 16 bytes
//! of an `Arc`, and the memory that `losses`, `stalls` and `besides`
//! state.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{HashTable, hash_table::Entry};

use self::{besides::Besides, losses::Losses, stalls::Stalls};
pub use self::{
    besides::{Handover, Seat},
    departures::{Departed, Fate},
};
use crate::cursor::Sequence;
use crate::name::Name;

const SHARDS: usize = 64;

/// The counters of an `Arc`.
const ARC_BYTES: usize = 2 * size_of::<usize>();

/// All clients that are or were connected.
///
/// ```
/// use ringway_hub::{Directory, Liveness, Since};
/// let directory = Directory::default();
/// assert_eq!(directory.arrive("ann").since, Since::Unknown);
/// assert_eq!(directory.arrive("ann").since, Since::Live);
/// directory.leave("ann", 40);
/// directory.leave("ann", 42);
/// assert_eq!(directory.liveness("ann"), Liveness::Away);
/// assert_eq!(directory.arrive("ann").since, Since::Left(42));
/// ```
#[derive(Debug)]
pub struct Directory {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// The last event that any client may have lost.
    lost_to: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    clients: HashTable<Client>,
    /// Bytes of names with their `Arc` counters.
    name_bytes: usize,
    /// The number of connections that lag.
    behind: usize,
    losses: Losses,
    stalls: Stalls,
    besides: Besides,
}

/// Invariant: `behind <= live`.
#[derive(Debug)]
struct Client {
    name: Name,
    /// The number of connections.
    live: u32,
    /// The number of connections that lag.
    behind: u32,
    /// The highest sequence at which one of its connections left.
    left: Sequence,
}

const _: () = assert!(size_of::<Client>() == 32);

/// What [`Directory::arrive`] returns for a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its name, one allocation for all connections.
    pub name: Name,
    /// What the client may have missed.
    pub since: Since,
}

/// The state of a client before a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// It has another connection.
    Live,
    /// It has connections, but no socket of theirs accepts more data: it has been served up to this
    /// event.
    Stalled(Sequence),
    /// It was away, after having been served up to this event.
    Left(Sequence),
    /// Unknown: the directory has no entry for the client.
    Unknown,
}

/// What is known about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Whether it is connected.
    pub liveness: Liveness,
    /// The number of its connections.
    pub connections: u32,
    /// The position at which it left, if it has no connection; 0 for a client that never connected.
    pub left: Sequence,
}

/// Whether a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It has a connection that does not lag.
    Live,
    /// It has connections, and all of them lag.
    Behind,
    /// It had a connection, and gets its kept events when it returns.
    Away,
    /// It was never connected, or so long ago that nothing is kept for it.
    Unknown,
}

impl Default for Directory {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { hasher: RandomState::new(), shards, lost_to: AtomicU64::new(0) }
    }
}

impl Directory {
    /// A connection begins with its own cursor.
    pub fn arrive(&self, client: &str) -> Arrival {
        self.enter(client, None)
    }

    /// A connection begins without a cursor, on a core that has read the log up to `position`. If
    /// the client has other connections, it begins after events that were sent only to those; if
    /// they end without having been served these events, [`Directory::leave_seat`] reports it.
    pub fn arrive_now(&self, client: &str, seat: Seat, position: Sequence) -> Arrival {
        self.enter(client, Some((seat, position)))
    }

    fn enter(&self, client: &str, now: Option<(Seat, Sequence)>) -> Arrival {
        let (hash, mut shard) = self.shard(client);
        let Shard { clients, name_bytes, stalls, besides, .. } = &mut *shard;
        let same = |entry: &Client| *entry.name == *client;
        match clients.entry(hash, same, |entry| self.hasher.hash_one(&*entry.name)) {
            Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                entry.live += 1;
                let (stalled, furthest) = stalls.of(hash);
                let since = match entry.live {
                    1 => Since::Left(entry.left),
                    live if stalled >= live as usize - 1 => {
                        Since::Stalled(entry.left.max(furthest))
                    }
                    _ => Since::Live,
                };
                if let Some((seat, position)) = now {
                    let began = match since {
                        Since::Live => position,
                        Since::Stalled(sequence) => sequence.min(position),
                        Since::Left(_) | Since::Unknown => 0,
                    };
                    if began > entry.left {
                        besides.add(hash, seat, began);
                    }
                }
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

    /// Records that an event for the client leaves the log. Unless the client is connected or has
    /// had the event, it is told when it returns. Call this before the log reports that the event
    /// has left.
    ///
    /// ```
    /// # use ringway_hub::Directory;
    /// # let directory = Directory::default();
    /// directory.lose("dora", 7);
    /// assert!(directory.may_miss("dora", 0) && !directory.may_miss("carl", 0));
    /// directory.arrive("dora");
    /// directory.leave("dora", 7);
    /// assert!(!directory.may_miss("dora", 0));
    /// ```
    pub fn lose(&self, client: &str, sequence: Sequence) {
        // Stored before the client is looked up, so that a connection that leaves later sees it.
        self.lost_to.fetch_max(sequence, Ordering::Relaxed);
        let (hash, mut shard) = self.shard(client);
        let found = shard.clients.find(hash, |entry| *entry.name == *client);
        if found.is_none_or(|entry| entry.live == 0 && entry.left < sequence) {
            shard.losses.add(hash, sequence);
        }
    }

    /// Whether the log may have lost an event for the client that it has not had, given that it has
    /// had all up to `after`. May be true without a loss, but is never false after one.
    #[must_use]
    pub fn may_miss(&self, client: &str, after: Sequence) -> bool {
        let (hash, shard) = self.shard(client);
        shard.losses.may_hold(hash, after)
    }

    /// Records that a connection's socket accepts no more data, after all events up to `at`.
    ///
    /// ```
    /// # use ringway_hub::{Directory, Since};
    /// # let directory = Directory::default();
    /// directory.arrive("ann");
    /// directory.stall("ann", 4);
    /// assert_eq!(directory.arrive("ann").since, Since::Stalled(4));
    /// assert_eq!(directory.arrive("ann").since, Since::Live);
    /// directory.end_stall("ann", 4);
    /// ```
    pub fn stall(&self, client: &str, at: Sequence) {
        let (hash, mut shard) = self.shard(client);
        shard.stalls.add(hash, at);
    }

    /// Records that a connection that stalled at `at` accepts data again, or has left.
    pub fn end_stall(&self, client: &str, at: Sequence) {
        let (hash, mut shard) = self.shard(client);
        shard.stalls.remove(hash, at);
    }

    /// Records that a connection lags: it does not count as present until it catches up.
    pub fn fall_behind(&self, client: &str) {
        self.change(client, |entry| entry.behind = (entry.behind + 1).min(entry.live));
    }

    /// Records that a connection no longer lags.
    pub fn catch_up(&self, client: &str) {
        self.change(client, |entry| entry.behind = entry.behind.saturating_sub(1));
    }

    /// What is known about a client, at one moment.
    #[must_use]
    pub fn sight(&self, client: &str) -> Sighting {
        let (hash, shard) = self.shard(client);
        let found = shard.clients.find(hash, |entry| *entry.name == *client);
        let liveness = match found {
            None => Liveness::Unknown,
            Some(entry) if entry.live == 0 => Liveness::Away,
            Some(entry) if entry.live == entry.behind => Liveness::Behind,
            Some(_) => Liveness::Live,
        };
        let (connections, left) = found.map_or((0, 0), |entry| (entry.live, entry.left));
        Sighting { liveness, connections, left }
    }

    /// Whether the client is connected.
    #[must_use]
    pub fn liveness(&self, client: &str) -> Liveness {
        self.sight(client).liveness
    }

    /// The number of the client's connections.
    #[must_use]
    pub fn connections(&self, client: &str) -> u32 {
        self.sight(client).connections
    }

    /// The number of connections that lag.
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

    /// The number of known clients, connected and away.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).clients.len()).sum()
    }

    /// Forgets clients that left before `first`, the oldest event of the log. Returns how many
    /// clients are away and not forgotten.
    ///
    /// The log may still keep an event that came for such a client after that: use
    /// [`Directory::forget_unless`] to spare these clients.
    pub fn forget_before(&self, first: Sequence) -> usize {
        self.forget_unless(first, |_| false)
    }

    /// As [`Directory::forget_before`], but spares a client if `keeps` returns true, for example
    /// because the log [holds](crate::Log::holds) an event for it. No lock is held during that
    /// call.
    ///
    /// ```
    /// # use ringway_hub::{Directory, Epoch, Key, Log, Retention};
    /// # let (directory, log) = (Directory::default(), Log::new(Epoch::new(1), Retention::default()));
    /// directory.forget_unless(log.first(), |client| log.holds(Key::Recipient(client)));
    /// ```
    pub fn forget_unless(&self, first: Sequence, mut keeps: impl FnMut(&str) -> bool) -> usize {
        let is_gone = |entry: &Client| entry.live == 0 && entry.left.saturating_add(1) < first;
        let mut away = 0;
        for shard in &self.shards {
            let mut gone: HashSet<Name> = {
                let shard = lock(shard);
                let gone = shard.clients.iter().filter(|entry| is_gone(entry));
                gone.map(|entry| Arc::clone(&entry.name)).collect()
            };
            gone.retain(|name| !keeps(name));
            let mut shard = lock(shard);
            let Shard { clients, name_bytes, .. } = &mut *shard;
            clients.retain(|entry| {
                // The client may have returned in the meantime.
                let is_kept = !is_gone(entry) || !gone.contains(&entry.name);
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
            shard.clients.allocation_size()
                + shard.name_bytes
                + shard.losses.bytes()
                + shard.stalls.bytes()
                + shard.besides.bytes()
        };
        size_of::<Self>() + self.shards.iter().map(bytes).sum::<usize>()
    }

    fn shard(&self, client: &str) -> (u64, MutexGuard<'_, Shard>) {
        let hash = self.hasher.hash_one(client);
        // Bits of the hash that the table uses neither for places nor for tags.
        (hash, lock(&self.shards[(hash >> 48) as usize % SHARDS]))
    }

    fn change(&self, client: &str, change: impl FnOnce(&mut Client)) {
        let (hash, mut shard) = self.shard(client);
        shard.change(hash, client, change);
    }
}

impl Shard {
    /// Changes the entry of a client, if there is one.
    fn change<T>(
        &mut self,
        hash: u64,
        client: &str,
        change: impl FnOnce(&mut Client) -> T,
    ) -> Option<T> {
        let entry = self.clients.find_mut(hash, |entry| *entry.name == *client)?;
        self.behind -= entry.behind as usize;
        let changed = change(entry);
        self.behind += entry.behind as usize;
        Some(changed)
    }
}

/// Locks even if a thread has panicked inside: foreign code runs only while a shard is consistent.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

mod besides;
mod departures;
mod losses;
mod stalls;
#[cfg(test)]
mod tests;
