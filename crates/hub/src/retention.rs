//! How much of the log is kept, and how the log is divided into segments.
//!
//! Events leave in whole segments, so a segment is a small part of each bound: the log stays within
//! its bounds, and never exceeds one by more than a segment.

use std::time::Duration;

/// A segment holds at most this many events: enough that the cost per segment is negligible per
/// event, and few enough that an empty log and the allocation of a segment are small.
pub(crate) const SEGMENT_EVENTS_MAX: u64 = 512;

/// A segment may be one part in this many of each bound.
const SEGMENTS_PER_EVENTS_MAX: u64 = 16;
const SEGMENTS_PER_BYTES_MAX: u64 = 16;
const SEGMENTS_PER_AGE_MAX: u32 = 8;

/// How long events are kept: until the first of these bounds is reached. Count and bytes are exact
/// to within a sixteenth, the age to within an eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events_max: u64,
    /// Bytes of events with all their encodings, and of the index. It should be at least 16 times
    /// the largest event, or such events leave before all cores have read them.
    pub bytes_max: u64,
    /// Time since an event was appended.
    pub age_max: Duration,
}

/// How long the events of one topic are kept, if shorter than the log keeps them.
///
/// Events count as gone once the first of these bounds is reached. They leave memory with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRetention {
    /// The newest events, expired ones included.
    pub events_max: u64,
    /// Time since an event was appended.
    pub age_max: Duration,
}

impl Default for Retention {
    /// 100,000 events, 64 MiB, 10 minutes.
    fn default() -> Self {
        Self { events_max: 100_000, bytes_max: 64 << 20, age_max: Duration::from_secs(600) }
    }
}

impl Retention {
    /// The number of slots of a segment.
    pub(crate) fn segment_events(&self) -> u64 {
        (self.events_max / SEGMENTS_PER_EVENTS_MAX).clamp(1, SEGMENT_EVENTS_MAX)
    }

    /// A segment with this many bytes is closed.
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / SEGMENTS_PER_BYTES_MAX).max(1)
    }

    /// A segment that has been open for this long is closed.
    pub(crate) fn segment_age(&self) -> Duration {
        self.age_max / SEGMENTS_PER_AGE_MAX
    }

    /// The limit for closed segments, chosen so that the bounds hold while the open one fills.
    pub(crate) fn closed_events_max(&self) -> u64 {
        self.events_max.saturating_sub(self.segment_events())
    }

    /// As [`Retention::closed_events_max`], in bytes.
    pub(crate) fn closed_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.segment_bytes())
    }
}
