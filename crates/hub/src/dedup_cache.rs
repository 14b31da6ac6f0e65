//! Answers to recent requests, so that a repeated request is answered without being executed again.
//!
//! Bounded by count, bytes and age: a repeat that comes later counts as a new request. Never knows
//! what a request is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::{HashTable, hash_table::Entry};

const SHARDS: usize = 16;

/// With fewer entries per shard, the shards would fill too unevenly for their bounds to act as one.
const SHARD_ENTRIES_MIN: usize = 64;

/// Whether a request came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Its answer was made now.
    Yes,
    /// It is a repeat, and gets the answer to the first request.
    No,
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
    shard_entries_max: usize,
    shard_bytes_max: usize,
    /// The heap bytes of an answer.
    weigh: fn(&V) -> usize,
    age_max: Duration,
}

/// Invariant: `places` holds the number of every entry that can be found; `entries[i]` has the
/// number `first + i`. Entries are in order of arrival, and `bytes` is the sum of their weights.
#[derive(Debug)]
struct Shard<V> {
    places: HashTable<u64>,
    entries: VecDeque<Receipt<V>>,
    first: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Receipt<V> {
    /// The sender, followed by the id at `sender_bytes`.
    key: Box<str>,
    sender_bytes: usize,
    /// Bytes of the key and of the answer's heap memory.
    weight: usize,
    hash: u64,
    at: Duration,
    value: V,
}

impl<V: Clone> DedupCache<V> {
    /// Remembers at most `entries_max` answers, each for `age_max`.
    #[must_use]
    pub fn new(entries_max: usize, age_max: Duration) -> Self {
        let shards = if entries_max < SHARDS * SHARD_ENTRIES_MIN { 1 } else { SHARDS };
        Self {
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Mutex::new(Shard::default())).collect(),
            shard_entries_max: entries_max / shards,
            shard_bytes_max: usize::MAX,
            weigh: |_| 0,
            age_max,
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
        self.shard_bytes_max = bytes_max / self.shards.len();
        self.weigh = weigh;
        self
    }

    /// The answer to the sender's request with this id. `make` makes it when the request comes for
    /// the first time. Only one thread at a time does so for an id; a repeat on another thread
    /// waits.
    ///
    /// `make` must not use this cache.
    /// `make` must not use these cache.
    pub fn once(
        &self,
        sender: &str,
        id: &str,
        now: Duration,
        make: impl FnOnce() -> V,
    ) -> (V, First) {
        let Ok(once) = self.try_once(sender, id, now, || Ok::<V, Infallible>(make()));
        once
    }

    /// As [`once`](Self::once), but a failed request is not remembered and may be repeated.
    ///
    /// # Errors
    /// The error of `make`.
    pub fn try_once<E>(
        &self,
        sender: &str,
        id: &str,
        now: Duration,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<(V, First), E> {
        let hash = self.hasher.hash_one((sender, id));
        let mut shard = lock(&self.shards[(hash >> 48) as usize % self.shards.len()]);
        shard.expire(now, self.age_max);
        if let Some(found) = shard.find(hash, sender, id) {
            // An entry added with an older clock may be behind an entry that has not expired.
            if !found.is_over(now, self.age_max) {
                return Ok((found.value.clone(), First::No));
            }
        }
        let value = make()?;
        if self.shard_entries_max > 0 {
            while shard.entries.len() >= self.shard_entries_max {
                shard.forget_oldest();
            }
            let key = format!("{sender}{id}").into_boxed_str();
            let weight = key.len() + (self.weigh)(&value);
            // An entry that alone exceeds the bound is still remembered, as the only one.
            while shard.bytes + weight > self.shard_bytes_max && !shard.entries.is_empty() {
                shard.forget_oldest();
            }
            let (sender_bytes, value) = (sender.len(), value.clone());
            shard.remember(Receipt { key, sender_bytes, weight, hash, at: now, value });
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
        let shard = lock(&self.shards[(hash >> 48) as usize % self.shards.len()]);
        let found = shard.find(hash, sender, id)?;
        (!found.is_over(now, self.age_max)).then(|| found.value.clone())
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
        lock(&self.shards[(hash >> 48) as usize % self.shards.len()])
            .forget_if(hash, sender, id, is_it);
    }

    /// Forgets expired answers; call it when no requests come.
    pub fn expire(&self, now: Duration) {
        for shard in &self.shards {
            lock(shard).expire(now, self.age_max);
        }
    }

    /// How many answers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
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
        let bytes = |shard: &Mutex<Shard<V>>| {
            let Shard { places, entries, .. } = &*lock(shard);
            let heap = entries.iter().map(|entry| entry.key.len() + value_bytes(&entry.value));
            let table = places.allocation_size() + entries.capacity() * size_of::<Receipt<V>>();
            size_of::<Mutex<Shard<V>>>() + table + heap.sum::<usize>()
        };
        size_of::<Self>() + self.shards.iter().map(bytes).sum::<usize>()
    }

    /// Whether no answer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { places: HashTable::new(), entries: VecDeque::new(), first: 0, bytes: 0 }
    }
}

impl<V> Shard<V> {
    fn find(&self, hash: u64, sender: &str, id: &str) -> Option<&Receipt<V>> {
        let is_it = |number: &u64| self.entry(*number).is_for(sender, id);
        self.places.find(hash, is_it).map(|number| self.entry(*number))
    }

    /// The entry stays until it is the oldest, but can no longer be found.
    fn forget_if(&mut self, hash: u64, sender: &str, id: &str, is_it: impl FnOnce(&V) -> bool) {
        if !self.find(hash, sender, id).is_some_and(|found| is_it(&found.value)) {
            return;
        }
        let (entries, first) = (&self.entries, self.first);
        let is_for = |number: &u64| entries[(number - first) as usize].is_for(sender, id);
        if let Ok(place) = self.places.find_entry(hash, is_for) {
            place.remove();
        }
    }

    /// Replaces the receipt for the same request, if there is one.
    fn remember(&mut self, receipt: Receipt<V>) {
        let number = self.first + self.entries.len() as u64;
        let (entries, first) = (&self.entries, self.first);
        let entry = |number: u64| &entries[(number - first) as usize];
        let same = |number: &u64| {
            let one = entry(*number);
            one.key == receipt.key && one.sender_bytes == receipt.sender_bytes
        };
        match self.places.entry(receipt.hash, same, |number| entry(*number).hash) {
            Entry::Occupied(mut place) => *place.get_mut() = number,
            Entry::Vacant(place) => {
                place.insert(number);
            }
        }
        self.bytes += receipt.weight;
        self.entries.push_back(receipt);
    }

    fn expire(&mut self, now: Duration, age_max: Duration) {
        while self.entries.front().is_some_and(|oldest| oldest.is_over(now, age_max)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        if let Ok(place) = self.places.find_entry(oldest.hash, |number| *number == self.first) {
            place.remove();
        }
        self.bytes -= oldest.weight;
        self.first += 1;
    }

    fn entry(&self, number: u64) -> &Receipt<V> {
        &self.entries[(number - self.first) as usize]
    }
}

impl<V> Receipt<V> {
    fn is_for(&self, sender: &str, id: &str) -> bool {
        self.sender_bytes == sender.len()
            && self.key.len() == sender.len() + id.len()
            && self.key.starts_with(sender)
            && self.key.ends_with(id)
    }

    fn is_over(&self, now: Duration, age_max: Duration) -> bool {
        now.saturating_sub(self.at) >= age_max
    }
}

/// Locks even if `make` has panicked inside: `make` runs before anything is changed.
fn lock<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
