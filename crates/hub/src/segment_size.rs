//! The bytes of a segment's events and when it was opened: the figures that retention uses.
//!
//! Bytes are charged when an event is written and again when an encoding of it is made, by any
//! thread and at any time of the segment's life. The phase is kept in the same word, so the sum
//! over the closed segments cannot drift. Never decides anything.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::index::KEY_BYTES;

/// Set when the bytes are part of the sum over closed segments.
const CLOSED: u64 = 1 << 63;
/// Set when they are no longer part of it.
const RETIRED: u64 = 1 << 62;
const BYTES: u64 = RETIRED - 1;

/// Time since the clock's start, as an atomic holds it.
pub(crate) type Nanos = u64;

/// The size of one segment.
#[derive(Debug)]
pub(crate) struct SegmentSize {
    /// Bytes charged, with the flags [`CLOSED`] and [`RETIRED`].
    word: AtomicU64,
    /// What the index will take for the events, assuming that every key is new to it.
    index_bytes: AtomicU64,
    opened_at: AtomicU64,
    closed_at: AtomicU64,
}

/// The bytes of all closed segments that are kept.
#[derive(Debug, Default)]
pub(crate) struct ClosedBytes(AtomicI64);

impl ClosedBytes {
    pub(crate) fn sum(&self) -> u64 {
        // Below zero for a moment if a segment is retired while it is being closed.
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
    }

    fn subtract(&self, bytes: u64) {
        self.0.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
    }
}

/// Whether a segment is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// It has left the log.
    No,
}

impl SegmentSize {
    pub(crate) fn new(opened_at: Nanos) -> Self {
        Self {
            word: AtomicU64::new(0),
            index_bytes: AtomicU64::new(0),
            opened_at: AtomicU64::new(opened_at),
            closed_at: AtomicU64::new(Nanos::MAX),
        }
    }

    /// Adds to the segment's bytes and returns whether it is still kept. If a slot was filled
    /// before this call, either this call or [`SegmentSize::retire`] sees the other: at least one
    /// of the two callers accounts for the slot.
    pub(crate) fn charge(&self, bytes: u64, closed: &ClosedBytes) -> Kept {
        let before = self.word.fetch_add(bytes, Ordering::AcqRel);
        if before & (CLOSED | RETIRED) == CLOSED {
            closed.add(bytes);
        }
        if before & RETIRED == 0 { Kept::Yes } else { Kept::No }
    }

    /// Adds the keys of a written event.
    pub(crate) fn expect_keys(&self, keys: u64) {
        self.index_bytes.fetch_add(keys * KEY_BYTES, Ordering::Relaxed);
    }

    /// Closes the segment: it accepts no more claims, and no event in it is newer than `at`.
    pub(crate) fn close(&self, at: Nanos, closed: &ClosedBytes) {
        self.closed_at.store(at, Ordering::Relaxed);
        let before = self.word.fetch_or(CLOSED, Ordering::Relaxed);
        if before & (CLOSED | RETIRED) == 0 {
            closed.add(before & BYTES);
        }
    }

    /// Marks the segment as no longer kept.
    pub(crate) fn retire(&self, closed: &ClosedBytes) {
        let before = self.word.fetch_or(RETIRED, Ordering::AcqRel);
        if before & (CLOSED | RETIRED) == CLOSED {
            closed.subtract(before & BYTES);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & BYTES
    }

    /// The bytes that the segment may take; it is closed when they reach a segment's share of the
    /// bound.
    pub(crate) fn weight(&self) -> u64 {
        self.bytes() + self.index_bytes.load(Ordering::Relaxed)
    }

    /// Reopens an empty segment, so that it is not older than its first event.
    pub(crate) fn open_at(&self, at: Nanos) {
        self.opened_at.store(at, Ordering::Relaxed);
    }

    pub(crate) fn opened_at(&self) -> Nanos {
        self.opened_at.load(Ordering::Relaxed)
    }

    /// When it was closed; [`Nanos::MAX`] before that.
    pub(crate) fn closed_at(&self) -> Nanos {
        self.closed_at.load(Ordering::Relaxed)
    }
}

/// Saturates after 584 years.
pub(crate) fn nanos(time: Duration) -> Nanos {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}
