//! Which cores an event may concern, so that the other cores pass it without reading its names.
//!
//! One table for all cores: a name hashes to a bucket, and a bucket has a bit for each core with a
//! subscriber of such a topic, or a connection of such a client. An append looks up its addressees
//! and stores their bits beside the event. A bit too many costs a core a look-up; a missing bit
//! would lose an event, and the order of the operations on `head` excludes that. Never holds a name,
//! and never decides who gets an event.
//!
//! Memory: 512 KiB for the process, and 64 KiB for each core.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::address::Address;
use crate::cursor::Sequence;
use crate::sync::{Apart, AtomicU64, Mutex, Ordering, lock};

/// A core with 15,000 topics and clients (a million on 64 cores) then looks up one in five of the
/// events of other cores in vain; with 1,500, one in 44.
pub(crate) const BUCKETS: usize = 1 << 16;

/// Bits of a set that stand for cores. Core `c` has bit `c % CORE_BITS`, so with more cores some
/// share a bit, and each reads the events of the others with its bit.
const CORE_BITS: usize = 63;

/// In every stored set, so that it differs from that of a slot that is not filled.
const STORED: u64 = 1 << CORE_BITS;

/// The cores that an event may concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreSet(u64);

impl CoreSet {
    /// All cores.
    pub const ALL: Self = Self(u64::MAX);

    /// The set as a slot stores it; never 0.
    #[must_use]
    pub(crate) fn stored(self) -> u64 {
        self.0 | STORED
    }
}

/// Which events a core must visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterestFilter {
    bits: u64,
    /// Every event up to here is visited.
    all_through: Sequence,
}

impl InterestFilter {
    /// Every event is visited.
    pub const ALL: Self = Self { bits: u64::MAX, all_through: Sequence::MAX };

    /// Whether an event's set decides if it is visited.
    #[inline]
    #[must_use]
    pub fn applies_after(self, position: Sequence) -> bool {
        position >= self.all_through
    }

    /// Whether a slot is filled, and its event is for other cores only.
    #[inline]
    #[must_use]
    pub fn excludes(self, stored: u64) -> bool {
        stored & (STORED | self.bits) == STORED
    }
}

/// What a name is the name of. Topics and clients have separate hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A topic that has a subscriber.
    Topic,
    /// A client that has a connection.
    Client,
}

/// The interest of all cores. It also has the head of the log, because the order of the changes of
/// both decides which events a new subscriber gets.
#[derive(Debug)]
pub struct InterestTable {
    hasher: RandomState,
    buckets: Box<[AtomicU64]>,
    /// For each bit, how many names of its cores are in each bucket. Locked while a bit changes, so
    /// that a core does not clear a bit that another one has just set. A count that reaches its
    /// maximum stays there, and so does the bit.
    counts: [Mutex<Vec<u8>>; CORE_BITS],
    /// The bits that stand for a core.
    in_use: AtomicU64,
    /// Changed after a bit of a bucket is set.
    changes: Apart<AtomicU64>,
    /// The newest claimed sequence.
    head: Apart<AtomicU64>,
}

/// The cores of an event that has no place in the log yet.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    cores: u64,
    changes: u64,
}

impl InterestTable {
    /// A table without interest. `buckets` is a power of two.
    #[must_use]
    pub fn new(buckets: usize) -> Self {
        assert!(buckets.is_power_of_two(), "a bucket is found by a mask");
        Self {
            hasher: RandomState::new(),
            // Written now, so that memory does not depend on the number of clients.
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            counts: std::array::from_fn(|_| Mutex::new(Vec::new())),
            in_use: AtomicU64::new(0),
            changes: Apart(AtomicU64::new(0)),
            head: Apart(AtomicU64::new(0)),
        }
    }

    /// The newest claimed sequence.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Sequence {
        self.head.0.load(Ordering::Relaxed)
    }

    /// The cores that an event for these addressees may concern. To be called before the event's
    /// slot is claimed, since every reader waits for a claimed slot.
    #[must_use]
    pub fn estimate(&self, address: Address<'_>) -> Estimate {
        // Acquire: the bits that were set before these changes are seen.
        let changes = self.changes.0.load(Ordering::Acquire);
        let cores = match address {
            Address::Topic(topic) => self.cores(Domain::Topic, topic),
            Address::Recipients(recipients) => {
                let all = self.in_use.load(Ordering::Relaxed);
                let (mut names, mut cores) = (recipients.iter(), 0);
                while cores & all != all
                    && let Some(name) = names.next()
                {
                    cores |= self.cores(Domain::Client, name);
                }
                cores
            }
        };
        Estimate { cores, changes }
    }

    /// Moves the head to a slot that has been claimed, and returns the cores that its event may
    /// concern: all, if the interest of any core has grown since the estimate.
    ///
    /// Both this and [`CoreInterest::begin`] modify `head`, so one of them comes first. If this does,
    /// the core sees the claim in the head, and visits the event whatever its set says. Otherwise
    /// this sees the core's change: either the estimate has seen it too, and the bit with it, or the
    /// number of changes differs.
    #[inline]
    #[must_use]
    pub fn claimed(&self, sequence: Sequence, estimate: Estimate) -> CoreSet {
        self.head.0.fetch_max(sequence, Ordering::AcqRel);
        let is_same = self.changes.0.load(Ordering::Relaxed) == estimate.changes;
        if is_same { CoreSet(estimate.cores) } else { CoreSet::ALL }
    }

    fn cores(&self, domain: Domain, name: &str) -> u64 {
        let hash = self.hasher.hash_one(name);
        self.buckets[self.bucket(domain, hash)].load(Ordering::Relaxed)
    }

    fn bucket(&self, domain: Domain, hash: u64) -> usize {
        let hash = match domain {
            Domain::Topic => hash,
            Domain::Client => hash >> 32,
        };
        hash as usize & (self.buckets.len() - 1)
    }
}

/// The interest of one core.
#[derive(Debug)]
pub struct CoreInterest {
    table: Arc<InterestTable>,
    /// The number of its bit.
    bit: usize,
    all_through: Sequence,
}

impl CoreInterest {
    /// A core without interest.
    #[must_use]
    pub fn new(table: &Arc<InterestTable>, core: usize) -> Self {
        let bit = core % CORE_BITS;
        // The Release in `begin` publishes it together with this core's first bit of a bucket.
        table.in_use.fetch_or(1 << bit, Ordering::Relaxed);
        Self { table: Arc::clone(table), bit, all_through: 0 }
    }

    /// The hash of a name, for [`Self::begin`], [`Self::end`], and any table of names.
    #[inline]
    #[must_use]
    pub fn hash(&self, name: &str) -> u64 {
        self.table.hasher.hash_one(name)
    }

    /// Adds a name that this core did not have.
    pub fn begin(&mut self, domain: Domain, hash: u64) {
        let table = &*self.table;
        let bucket = table.bucket(domain, hash);
        {
            let mut counts = lock(&table.counts[self.bit]);
            if counts.is_empty() {
                *counts = vec![0; table.buckets.len()];
            }
            if counts[bucket] == 0 {
                table.buckets[bucket].fetch_or(1 << self.bit, Ordering::Relaxed);
                table.changes.0.fetch_add(1, Ordering::Release);
            }
            counts[bucket] = counts[bucket].saturating_add(1);
        }
        // A modification, although it changes nothing; see `InterestTable::claimed`. Needed for a
        // bit that was set already, too: it may have been set for another core.
        self.all_through = table.head.0.fetch_max(0, Ordering::AcqRel);
    }

    /// Removes a name that this core had. Events that were claimed before may still name this core.
    pub fn end(&mut self, domain: Domain, hash: u64) {
        let table = &*self.table;
        let bucket = table.bucket(domain, hash);
        let mut counts = lock(&table.counts[self.bit]);
        if counts[bucket] == u8::MAX {
            return;
        }
        counts[bucket] -= 1;
        if counts[bucket] == 0 {
            table.buckets[bucket].fetch_and(!(1 << self.bit), Ordering::Relaxed);
        }
    }

    /// The events that this core must visit.
    #[inline]
    #[must_use]
    pub fn filter(&self) -> InterestFilter {
        InterestFilter { bits: 1 << self.bit, all_through: self.all_through }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
