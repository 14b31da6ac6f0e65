//! A sequence of write-once slots, and the protocol to claim, fill, read and close them.
//!
//! The order of claims is the order of the events. A reader therefore waits at a slot that is
//! claimed and not yet filled, and leaves a segment only at the place where it was closed. Never
//! knows what is in a slot, or why a segment is closed.

use std::sync::Arc;

use crate::cursor::Sequence;
use crate::interest::{CoreSet, InterestFilter};
use crate::segment_size::{Nanos, SegmentSize};
use crate::sync::{AtomicU64, AtomicUsize, OnceLock, Ordering};

/// `capacity` slots from sequence `first` on, and the segment after them.
///
/// Invariant: slot `i` holds sequence `first + i`. Once closed at `end`, no slot from `end` on is
/// ever claimed, and `next.first == first + end`.
#[derive(Debug)]
pub struct Segment<T> {
    first: Sequence,
    slots: Box<[OnceLock<T>]>,
    /// The cores of each filled slot's item; 0 before. Apart from the slots, so that a core that
    /// passes eight items of other cores reads one cache line and not eight.
    cores: Box<[AtomicU64]>,
    next: OnceLock<Arc<Segment<T>>>,
    writing: Writing,
}

/// What writers change, kept apart from what readers read for each slot.
#[derive(Debug)]
#[repr(align(128))]
struct Writing {
    /// Claims so far; far too many once the segment is closed.
    claimed: AtomicUsize,
    segment_size: SegmentSize,
}

/// What a reader finds at a slot.
#[derive(Debug)]
pub enum Step<'s, T> {
    /// A filled slot.
    Item(&'s T),
    /// The segment ends before this slot; the next one begins with it.
    Next(&'s Arc<Segment<T>>),
    /// The slot is not claimed yet, or is claimed and not filled.
    Wait,
}

impl<T> Segment<T> {
    /// An open segment without claims.
    #[must_use]
    pub(crate) fn new(first: Sequence, capacity: usize, opened_at: Nanos) -> Self {
        let slots = (0..capacity).map(|_| OnceLock::new()).collect();
        let cores = (0..capacity).map(|_| AtomicU64::new(0)).collect();
        let writing =
            Writing { claimed: AtomicUsize::new(0), segment_size: SegmentSize::new(opened_at) };
        Self { first, slots, cores, next: OnceLock::new(), writing }
    }

    /// The sequence of the first slot.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    pub(crate) fn segment_size(&self) -> &SegmentSize {
        &self.writing.segment_size
    }

    /// Claims the next slot; `None` if the segment is full or closed.
    ///
    /// The caller must fill a claimed slot at once: every reader waits for it.
    #[must_use]
    pub fn claim(&self) -> Option<usize> {
        let index = self.writing.claimed.fetch_add(1, Ordering::Relaxed);
        (index < self.slots.len()).then_some(index)
    }

    /// Fills a slot that the caller has claimed, and so publishes it; the item is for these cores.
    pub fn fill(&self, index: usize, item: T, cores: CoreSet) {
        // Each claim is issued once, so the slot is empty.
        let _ = self.slots[index].set(item);
        // Release, and after the slot: who sees the cores knows that the slot is filled.
        self.cores[index].store(cores.stored(), Ordering::Release);
    }

    /// How many slots from `index` on, at most `count_max`, are filled with items for other cores
    /// only.
    #[inline]
    #[must_use]
    pub fn excluded(&self, index: usize, count_max: usize, filter: InterestFilter) -> usize {
        let cores = self.cores.iter().skip(index).take(count_max);
        cores.take_while(|cores| filter.excludes(cores.load(Ordering::Acquire))).count()
    }

    /// What a reader finds at slot `index`, which is at most the capacity.
    #[inline]
    #[must_use]
    pub fn step(&self, index: usize) -> Step<'_, T> {
        if let Some(item) = self.slots.get(index).and_then(OnceLock::get) {
            return Step::Item(item);
        }
        match self.next.get() {
            Some(next) if next.first == self.first + index as Sequence => Step::Next(next),
            _ => Step::Wait,
        }
    }

    /// Whether the segment is open and has no claims.
    pub(crate) fn is_untouched(&self) -> bool {
        self.writing.claimed.load(Ordering::Relaxed) == 0
    }

    /// The item in slot `index`, if it is filled.
    #[inline]
    pub(crate) fn item(&self, index: usize) -> Option<&T> {
        self.slots.get(index).and_then(OnceLock::get)
    }

    /// The next segment; `None` while this one is the last.
    pub(crate) fn next(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    /// Closes the segment after its last claim and appends an empty one. Claims fail from now on.
    /// The caller ensures that this is done only once.
    #[must_use]
    pub(crate) fn close(&self, now: Nanos) -> Arc<Self> {
        // Later claims find the capacity exceeded, so the claims before this one are all there are.
        let capacity = self.slots.len();
        let end = self.writing.claimed.fetch_add(capacity, Ordering::Relaxed).min(capacity);
        let next = Arc::new(Self::new(self.first + end as Sequence, capacity, now));
        let _ = self.next.set(Arc::clone(&next));
        next
    }
}

impl<T> Drop for Segment<T> {
    /// Without recursion: an old segment holds all newer ones, so a chain of any length may be
    /// dropped at once.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(segment) = next {
            next = Arc::into_inner(segment).and_then(|mut segment| segment.next.take());
        }
    }
}

#[cfg(test)]
mod tests;
