//! Answers to recent requests, so that a repeated request is answered without being executed again.
//!
//! Bounded by count, bytes and age. When it is full, the owner with the most answers forgets its
//! oldest one, so nobody can make it forget the answers of others; if even that owner has only a few,
//! the request is refused and not executed. Never knows what a request is.

mod shard;

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::shard::{Bounds, Shard};

const SHARDS: usize = 16;

/// With fewer entries per shard, the shards would fill too unevenly for their bounds to act as one.
const SHARD_ENTRIES_MIN: usize = 64;

/// Answers are counted in units of this many bytes, and each as one unit at least: that of a short
/// answer, with its place in the tables.
const UNIT_BYTES: usize = 256;

/// Whether a request came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Its answer was made now.
    Yes,
    /// It is a repeat, and gets the answer to the first request.
    No,
}

/// Why a request was not executed, or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnceError<E> {
    /// There is no room for another answer for about this long.
    Full(Duration),
    /// The request's own error.
    Failed(E),
}

/// Answers by sender and request id, shared by all threads.
///
/// ```
/// use std::time::Duration;
/// use ringway_hub::{First, DedupCache};
/// let (cache, now) = (DedupCache::new(1_000, Duration::from_secs(60)), Duration::ZERO);
/// assert_eq!(cache.once("ann", "7", now, || "done"), ("done", First::Yes));
/// assert_eq!(cache.once("ann", "7", now, || "done again"), ("done", First::No));
/// ```
#[derive(Debug)]
pub struct DedupCache<V> {
    hasher: RandomState,
    shards: Box<[Mutex<Shard<V>>]>,
    bounds: Bounds,
    /// The heap bytes of an answer.
    weigh: fn(&V) -> usize,
}

impl<V: Clone> DedupCache<V> {
    /// Remembers at most `entries_max` answers, each for `age_max`.
    #[must_use]
    pub fn new(entries_max: usize, age_max: Duration) -> Self {
        let shards = if entries_max < SHARDS * SHARD_ENTRIES_MIN { 1 } else { SHARDS };
        let entries_max = entries_max / shards;
        Self {
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Mutex::new(Shard::default())).collect(),
            bounds: Bounds { entries_max, units_max: usize::MAX, units_spared: 0, age_max },
            weigh: |_| 0,
        }
    }

    /// Also limits the answers to about `bytes_max` bytes; `weigh` returns the heap bytes of each.
    /// Use it for answers whose size the sender controls.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ringway_hub::{First, DedupCache};
    /// let cache = DedupCache::new(1_000, Duration::from_secs(60)).within(1 << 20, String::len);
    /// for id in 0..1_000 {
    ///     cache.once("ann", &id.to_string(), Duration::ZERO, || "x".repeat(1 << 16));
    /// }
    /// assert!(cache.len() < 16);
    /// ```
    #[must_use]
    pub fn within(mut self, bytes_max: usize, weigh: fn(&V) -> usize) -> Self {
        self.bounds.units_max = (bytes_max / self.shards.len() / UNIT_BYTES).max(1);
        self.weigh = weigh;
        self
    }

    /// Never forgets the latest `answers` short answers of an owner before their time: a request for
    /// which there is no room then is refused ([`OnceError::Full`]).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ringway_hub::{DedupCache, OnceError};
    /// let cache = DedupCache::new(2, Duration::from_secs(60)).sparing(1);
    /// let once = |owner, id| cache.try_once(owner, "ann", id, Duration::ZERO, || Ok::<_, ()>(id));
    /// assert!(once(1, "a").is_ok() && once(2, "b").is_ok());
    /// assert_eq!(once(3, "c"), Err(OnceError::Full(Duration::from_secs(60))));
    /// ```
    #[must_use]
    pub fn sparing(mut self, answers: usize) -> Self {
        self.bounds.units_spared = answers;
        self
    }

    /// The answer to the sender's request with this id. `make` makes it when the request comes for
    /// the first time. Only one thread at a time does so for an id; a repeat on another thread
    /// waits.
    ///
    /// `make` must not use this cache.
    ///
    /// # Panics
    /// There is no room, which only a cache that is [`sparing`](Self::sparing) may lack.
    pub fn once(
        &self,
        sender: &str,
        id: &str,
        now: Duration,
        make: impl FnOnce() -> V,
    ) -> (V, First) {
        let owner = self.hasher.hash_one(sender) as u32;
        match self.try_once(owner, sender, id, now, || Ok::<V, Infallible>(make())) {
            Ok(once) => once,
            Err(error) => panic!("{error:?}: there is room in a cache that spares nothing"),
        }
    }

    /// As [`once`](Self::once), for an answer that `owner` is responsible for, which may have many
    /// names as a sender. A failed request is not remembered and may be repeated.
    ///
    /// # Errors
    /// [`OnceError`]; nothing is remembered.
    pub fn try_once<E>(
        &self,
        owner: u32,
        sender: &str,
        id: &str,
        now: Duration,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<(V, First), OnceError<E>> {
        let hash = self.hasher.hash_one((sender, id));
        let mut shard = lock(self.shard(hash, sender));
        shard.expire(now, self.bounds.age_max);
        if let Some(found) = shard.find(hash, sender, id) {
            // An entry added with an older clock may be behind an entry that has not expired.
            if !found.is_over(now, self.bounds.age_max) {
                return Ok((found.value.clone(), First::No));
            }
        }
        // Before the request is executed: an answer must be remembered.
        if self.bounds.entries_max > 0 {
            shard.make_room(owner, now, &self.bounds).map_err(OnceError::Full)?;
        }
        let value = make().map_err(OnceError::Failed)?;
        if self.bounds.entries_max > 0 {
            let weight = sender.len() + id.len() + (self.weigh)(&value);
            let units = weight.div_ceil(UNIT_BYTES).max(1);
            shard.remember(owner, hash, (sender, id), now, (value.clone(), units));
            shard.give_way(&self.bounds);
        }
        Ok((value, First::Yes))
    }

    /// The answer to the sender's request with this id, if there was one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ringway_hub::DedupCache;
    /// let (cache, now) = (DedupCache::new(1_000, Duration::from_secs(60)), Duration::ZERO);
    /// cache.once("ann", "7", now, || "done");
    /// assert_eq!(cache.earlier("ann", "7", now), Some("done"));
    /// assert_eq!(cache.earlier("ann", "8", now), None);
    /// ```
    pub fn earlier(&self, sender: &str, id: &str, now: Duration) -> Option<V> {
        let hash = self.hasher.hash_one((sender, id));
        let shard = lock(self.shard(hash, sender));
        let found = shard.find(hash, sender, id)?;
        (!found.is_over(now, self.bounds.age_max)).then(|| found.value.clone())
    }

    /// Forgets the answer to the sender's request with this id if `is_it` returns true, so that the
    /// request can be executed again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ringway_hub::{First, DedupCache};
    /// let (cache, now) = (DedupCache::new(1_000, Duration::from_secs(60)), Duration::ZERO);
    /// cache.once("ann", "7", now, || "begun");
    /// cache.forget_if("ann", "7", |answer| *answer == "begun");
    /// assert_eq!(cache.once("ann", "7", now, || "done"), ("done", First::Yes));
    /// ```
    pub fn forget_if(&self, sender: &str, id: &str, is_it: impl FnOnce(&V) -> bool) {
        let hash = self.hasher.hash_one((sender, id));
        lock(self.shard(hash, sender)).forget_if(hash, sender, id, is_it);
    }

    /// Forgets expired answers; call it when no requests come.
    pub fn expire(&self, now: Duration) {
        for shard in &self.shards {
            lock(shard).expire(now, self.bounds.age_max);
        }
    }

    /// How many answers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Bytes of memory, including the heap bytes of each answer as `value_bytes` returns them.
    /// Visits every answer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ringway_hub::DedupCache;
    /// let cache = DedupCache::new(1_000, Duration::from_secs(60));
    /// let empty = cache.bytes(String::len);
    /// cache.once("ann", "7", Duration::ZERO, || "an answer".repeat(100));
    /// assert!(cache.bytes(String::len) >= empty + 900);
    /// ```
    #[must_use]
    pub fn bytes(&self, value_bytes: impl Fn(&V) -> usize) -> usize {
        let shards = self.shards.iter().map(|shard| lock(shard).bytes(&value_bytes));
        size_of::<Self>() + shards.sum::<usize>()
    }

    /// Whether no answer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where owners are spared, all answers to a sender are in one shard, so that it knows how many
    /// there are; elsewhere a single sender may use all shards.
    fn shard(&self, hash: u64, sender: &str) -> &Mutex<Shard<V>> {
        let hash = if self.bounds.units_spared > 0 { self.hasher.hash_one(sender) } else { hash };
        &self.shards[(hash >> 48) as usize % self.shards.len()]
    }
}

/// Locks even if `make` has panicked inside: `make` runs before anything is changed.
fn lock<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
