//! How much of the log is kept, and how that is cut into segments.
//!
//! Events leave by whole segments, so a segment is a small part of each bound: what is kept stays
//! within the bounds, and never exceeds one by more than a segment.

use std::time::Duration;

/// A segment holds at most this many events: enough that what is done once per segment costs an
/// event nothing, and little enough that an empty log is small, and so is the allocation for one.
pub(crate) const SEGMENT_EVENTS_MAX: u64 = 512;

/// The part of each bound that a segment may be.
const SEGMENTS_PER_EVENTS_MAX: u64 = 16;
const SEGMENTS_PER_BYTES_MAX: u64 = 16;
const SEGMENTS_PER_AGE_MAX: u32 = 8;

/// How long events are kept: until the first of these bounds is reached. Each is kept to within a
/// sixteenth, the age to within an eighth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events.
    pub events_max: u64,
    /// Bytes of events with all their encodings, and of the index. Less than 16 times the largest
    /// event is too little: such events leave before all cores have read them.
    pub bytes_max: u64,
    /// Time since an event was appended.
    pub age_max: Duration,
}

/// How long the events of one topic are kept, where that is shorter than the log keeps them.
///
/// They count as gone once the first of these bounds is reached, and leave memory with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRetention {
    /// The newest events, whether or not their own time is over.
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
    /// Slots of a segment.
    pub(crate) fn segment_events(&self) -> u64 {
        (self.events_max / SEGMENTS_PER_EVENTS_MAX).clamp(1, SEGMENT_EVENTS_MAX)
    }

    /// A segment with this many bytes is closed.
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.bytes_max / SEGMENTS_PER_BYTES_MAX).max(1)
    }

    /// A segment that has been open for so long is closed.
    pub(crate) fn segment_age(&self) -> Duration {
        self.age_max / SEGMENTS_PER_AGE_MAX
    }

    /// What closed segments may hold, so that the bounds hold while the open one fills.
    pub(crate) fn closed_events_max(&self) -> u64 {
        self.events_max.saturating_sub(self.segment_events())
    }

    /// As [`Retention::closed_events_max`], in bytes.
    pub(crate) fn closed_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.segment_bytes())
    }
}
