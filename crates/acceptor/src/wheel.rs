//! Deadlines of a core's connections: a lazy hashed timing wheel, in which postponing a deadline is
//! one store.
//!
//! A slot is in the bucket of the tick at which it is checked next, which is never later than its
//! deadline. Only at that tick does the wheel notice that a deadline has moved, and link the slot
//! again. The wheel never reads a clock: time is a `Duration` since any fixed start.

use std::time::Duration;

/// The wheel's resolution. A deadline is reported less than one tick late and never early.
pub const TICK: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND);

/// Deadlines further away than this are cut to it; ticks are compared modulo 2^32.
pub const AHEAD_MAX: Duration = Duration::from_secs(180 * 86_400);

/// Memory per slot, for all slots up to the highest one touched, in addition to 17 KiB per wheel.
pub const SLOT_BYTES: usize = size_of::<Entry>();

const TICKS_PER_SECOND: u64 = 125;
const TICK_NANOS: u32 = 1_000_000_000 / TICKS_PER_SECOND as u32;
const AHEAD_MAX_TICKS: u64 = AHEAD_MAX.as_secs() * TICKS_PER_SECOND;

/// One round takes 32.8 s: most deadlines are shorter, and a longer one costs a check per round.
const BUCKETS: usize = 4_096;
const WORDS: usize = BUCKETS / 64;
/// The list of slots whose bucket's tick has come.
const PENDING: u32 = BUCKETS as u32;
const CHUNK: usize = 512;

/// End of a list.
const NONE: u32 = u32::MAX;
/// `Entry::previous` of a slot in no list.
const UNLINKED: u32 = u32::MAX;
/// `Entry::previous` of a list's first slot: this bit, and the list's number.
const HEAD: u32 = 1 << 31;

const _: () = assert!(SLOT_BYTES == 16);
const _: () = assert!(WORDS == 64, "one word sums up all words of buckets");
const _: () = assert!(AHEAD_MAX_TICKS < 1 << 31, "ticks are compared modulo 2^32");
const _: () = assert!(TICK_NANOS as u128 == TICK.as_nanos());

/// The deadlines of one core, at most one per slot.
///
/// Call order: [`Wheel::touch`] and [`Wheel::cancel`] at any time; [`Wheel::expire`] until it
/// returns `None` in each turn; then sleep no longer than until [`Wheel::next_deadline`].
///
/// ```
/// use std::time::Duration;
/// let (mut wheel, second) = (ringway_acceptor::Wheel::default(), Duration::from_secs(1));
/// wheel.touch(7, second);
/// wheel.touch(7, 3 * second); // later: one store
/// assert_eq!(wheel.expire(2 * second), None);
/// assert_eq!(wheel.expire(3 * second), Some(7));
/// assert_eq!(wheel.expire(3 * second), None);
/// ```
#[derive(Debug)]
pub struct Wheel {
    chunks: Vec<Box<[Entry; CHUNK]>>,
    /// First slot of each bucket, and of the pending list.
    heads: Box<[u32; BUCKETS + 1]>,
    occupied: [u64; WORDS],
    /// Bit `w`: `occupied[w]` is not zero.
    occupied_words: u64,
    /// The bucket of this tick was the last one moved to the pending list.
    current: u64,
    /// The time of the latest `expire`.
    now: u64,
}

/// Invariant: `scheduled` is not after `deadline`, both modulo 2^32.
#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: u32,
    scheduled: u32,
    next: u32,
    previous: u32,
}

const VACANT: Entry = Entry { deadline: 0, scheduled: 0, next: NONE, previous: UNLINKED };

impl Default for Wheel {
    fn default() -> Self {
        Self::starting_at(0)
    }
}

impl Wheel {
    fn starting_at(tick: u64) -> Self {
        Self {
            chunks: Vec::new(),
            heads: Box::new([NONE; BUCKETS + 1]),
            occupied: [0; WORDS],
            occupied_words: 0,
            current: tick,
            now: tick,
        }
    }

    /// Sets the slot's deadline, in place of its earlier one. This is one store if the slot is
    /// checked before then anyway.
    ///
    /// # Panics
    /// `slot` is 2^31 or more.
    #[inline]
    pub fn touch(&mut self, slot: u32, deadline: Duration) {
        let deadline = ticks_ceil(deadline).min(self.now + AHEAD_MAX_TICKS);
        if let Some(entry) = self.entry_mut(slot)
            && entry.previous != UNLINKED
            && !is_before(deadline as u32, entry.scheduled)
        {
            entry.deadline = deadline as u32;
            return;
        }
        self.relink(slot, deadline);
    }

    /// Forgets the slot's deadline, if it has one.
    pub fn cancel(&mut self, slot: u32) {
        if self.is_linked(slot) {
            self.unlink(slot);
        }
    }

    /// Takes out a slot whose deadline is `now` or earlier, in no particular order among several.
    /// Its deadline is forgotten; any slot may be touched or cancelled between two calls.
    ///
    /// Amortised cost: one check per slot and 32 s, and one per tick in between.
    pub fn expire(&mut self, now: Duration) -> Option<u32> {
        self.now = self.now.max(ticks_floor(now));
        loop {
            let slot = self.heads[PENDING as usize];
            if slot == NONE {
                if !self.advance() {
                    return None;
                }
                continue;
            }
            self.unlink(slot);
            let entry = self.entry(slot);
            if !is_before(self.now as u32, entry.deadline) {
                return Some(slot);
            }
            let ahead = u64::from(entry.deadline.wrapping_sub(self.now as u32));
            self.link(slot, self.now + ahead);
        }
    }

    /// The latest time at which to call [`Wheel::expire`] next; `None` when nothing is scheduled.
    ///
    /// A lower bound of the earliest deadline (rounded up to a tick), which takes a few
    /// instructions. After `expire(now)` has returned `None` it is later than `now`, so sleeping
    /// until then never spins.
    pub fn next_deadline(&self) -> Option<Duration> {
        let tick =
            if self.heads[PENDING as usize] == NONE { self.next_occupied()? } else { self.current };
        Some(Duration::new(tick / TICKS_PER_SECOND, (tick % TICKS_PER_SECOND) as u32 * TICK_NANOS))
    }

    /// Makes the next occupied bucket pending; `false` when there is none up to `now`.
    fn advance(&mut self) -> bool {
        // After a gap of a whole round every bucket's tick has come: checking each bucket once is
        // enough.
        self.current = self.current.max(self.now.saturating_sub(BUCKETS as u64));
        match self.next_occupied() {
            Some(tick) if tick <= self.now => {
                self.current = tick;
                let bucket = tick as usize % BUCKETS;
                let first = std::mem::replace(&mut self.heads[bucket], NONE);
                self.clear_occupied(bucket);
                self.heads[PENDING as usize] = first;
                self.linked_mut(first).previous = HEAD | PENDING;
                true
            }
            _ => {
                self.current = self.now;
                false
            }
        }
    }

    /// The first tick after `current` whose bucket holds a slot.
    fn next_occupied(&self) -> Option<u64> {
        let first = (self.current as usize + 1) % BUCKETS;
        let rest = self.occupied[first / 64] & (u64::MAX << (first % 64));
        let bucket = if rest != 0 {
            first / 64 * 64 + rest.trailing_zeros() as usize
        } else {
            // Words after the first one in rotation; the first one itself comes last.
            let turn = (first / 64 + 1) as u32 % 64;
            let words = self.occupied_words.rotate_right(turn);
            if words == 0 {
                return None;
            }
            let word = (words.trailing_zeros() + turn) as usize % WORDS;
            word * 64 + self.occupied[word].trailing_zeros() as usize
        };
        let ahead = (bucket + BUCKETS - first) % BUCKETS;
        Some(self.current + 1 + ahead as u64)
    }

    fn relink(&mut self, slot: u32, deadline: u64) {
        assert!(slot < HEAD, "slots have 31 bits");
        while self.chunks.len() * CHUNK <= slot as usize {
            self.chunks.push(Box::new([VACANT; CHUNK]));
        }
        if self.is_linked(slot) {
            self.unlink(slot);
        }
        self.link(slot, deadline);
    }

    /// Links a slot into the bucket of its deadline, whose tick comes within a round.
    fn link(&mut self, slot: u32, deadline: u64) {
        let (list, scheduled) = if deadline <= self.now {
            (PENDING, deadline)
        } else {
            let ahead = (deadline - self.now - 1) % BUCKETS as u64;
            let bucket = deadline as usize % BUCKETS;
            self.occupied[bucket / 64] |= 1 << (bucket % 64);
            self.occupied_words |= 1 << (bucket / 64);
            (bucket as u32, self.now + 1 + ahead)
        };
        let next = std::mem::replace(&mut self.heads[list as usize], slot);
        if next != NONE {
            self.linked_mut(next).previous = slot;
        }
        *self.linked_mut(slot) = Entry {
            deadline: deadline as u32,
            scheduled: scheduled as u32,
            next,
            previous: HEAD | list,
        };
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { next, previous, .. } = self.entry(slot);
        if next != NONE {
            self.linked_mut(next).previous = previous;
        }
        if previous & HEAD == 0 {
            self.linked_mut(previous).next = next;
        } else {
            let list = previous & !HEAD;
            self.heads[list as usize] = next;
            if next == NONE && list != PENDING {
                self.clear_occupied(list as usize);
            }
        }
        self.linked_mut(slot).previous = UNLINKED;
    }

    fn clear_occupied(&mut self, bucket: usize) {
        let word = &mut self.occupied[bucket / 64];
        *word &= !(1 << (bucket % 64));
        if *word == 0 {
            self.occupied_words &= !(1 << (bucket / 64));
        }
    }

    fn is_linked(&mut self, slot: u32) -> bool {
        self.entry_mut(slot).is_some_and(|entry| entry.previous != UNLINKED)
    }

    #[inline]
    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        Some(&mut self.chunks.get_mut(slot as usize / CHUNK)?[slot as usize % CHUNK])
    }

    fn entry(&self, slot: u32) -> Entry {
        self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    fn linked_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }
}

/// Whether tick `a` is before tick `b`, both modulo 2^32.
#[inline]
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[inline]
fn ticks_floor(time: Duration) -> u64 {
    time.as_secs().saturating_mul(TICKS_PER_SECOND) + u64::from(time.subsec_nanos() / TICK_NANOS)
}

/// Rounds up, so that a deadline is never reported early.
#[inline]
fn ticks_ceil(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(TICKS_PER_SECOND)
        .saturating_add(u64::from(time.subsec_nanos().div_ceil(TICK_NANOS)))
}

#[cfg(test)]
mod tests;
