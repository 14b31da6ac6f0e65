//! The segments that are kept, and the index of their events.
//!
//! Segments are appended elsewhere; the history finds them by following the chain. It decides which
//! segments leave (retention) and removes their events from the index, a bounded number of keys at
//! a time. Never waits for a slot to be filled.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::cursor::Sequence;
use crate::event::Event;
use crate::index::Index;
use crate::postings::Postings;
use crate::retention::{Retention, SEGMENT_EVENTS_MAX};
use crate::segment::{Segment, Step};
use crate::segment_size::{ClosedBytes, Nanos, nanos};

/// The window of the log that can be replayed.
///
/// Invariants: `kept` is never empty and is in order without holes; all its segments but the last
/// are closed. The index holds every event from `first` to `indexed_to`, and besides these only
/// some keys of the event before `first`; `kept[indexing]` has or will have the next event to
/// index. `first` is in `kept[0]`, and is its first event unless that segment is leaving.
#[derive(Debug)]
pub(crate) struct History {
    kept: VecDeque<Kept>,
    /// The oldest event that can be replayed.
    first: Sequence,
    leaving: Option<Leaving>,
    index: Index,
    indexed_to: Sequence,
    indexing: usize,
}

/// A segment, stored with its first sequence so that a search touches no segment.
#[derive(Debug)]
struct Kept {
    first: Sequence,
    segment: Arc<Segment<Event>>,
}

impl Kept {
    fn new(segment: Arc<Segment<Event>>) -> Self {
        Self { first: segment.first(), segment }
    }
}

/// Segments that have left. The caller drops them without holding a lock: freeing a thousand events
/// takes longer than anything done under the lock.
pub(crate) type Retired = Vec<Arc<Segment<Event>>>;

/// The progress of the oldest event of a segment that leaves.
///
/// The event's recipients are told, then `first` moves past the event, then its keys are removed: a
/// replay never finds only some of its keys, and a client that finds it gone has been told.
#[derive(Debug)]
struct Leaving {
    /// The event: `first` while its recipients are told, afterwards the event before `first`.
    sequence: Sequence,
    step: LeavingStep,
    /// How many of its keys have completed this step.
    keys: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeavingStep {
    Telling,
    Removing,
}

/// How much may leave in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A bounded number of keys, so that other threads do not wait long, see [`KEYS_LEFT_AT_ONCE`].
    Steady,
    /// Also the rest of a segment that has begun to leave.
    Hurried,
}

/// Keys removed while the history is locked: about as many as a core adds in a turn, so that a
/// segment has left before the next one is closed. For events with one key, this is a whole
/// segment.
pub(crate) const KEYS_LEFT_AT_ONCE: usize = 2_048;

/// Each key goes through two steps.
const STEPS_AT_ONCE: usize = 2 * KEYS_LEFT_AT_ONCE;

const _: () = assert!(KEYS_LEFT_AT_ONCE as u64 > SEGMENT_EVENTS_MAX);

/// The result of [`History::trim`].
#[must_use]
pub(crate) struct Trimmed {
    /// The segments that have left.
    pub(crate) retired: Retired,
    /// Whether nothing more is due to leave.
    pub(crate) is_complete: bool,
}

impl History {
    pub(crate) fn new(segment: Arc<Segment<Event>>) -> Self {
        let first = segment.first();
        let kept = VecDeque::from([Kept::new(segment)]);
        let (indexed_to, indexing) = (first - 1, 0);
        Self { kept, first, leaving: None, index: Index::default(), indexed_to, indexing }
    }

    /// The oldest sequence that is kept or will be.
    pub(crate) fn first(&self) -> Sequence {
        self.first
    }

    /// Whether any of these postings is of an event that can be replayed.
    pub(crate) fn holds(&self, postings: Option<&Postings>) -> bool {
        postings.is_some_and(|postings| postings.newest() >= self.first)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// All events up to this one are published and in the index.
    pub(crate) fn indexed_to(&self) -> Sequence {
        self.indexed_to
    }

    /// The segment that has or will have `sequence`; an earlier one if that is not known here yet;
    /// the oldest one if the event has left.
    pub(crate) fn segment_of(&self, sequence: Sequence) -> &Arc<Segment<Event>> {
        let after = self.kept.partition_point(|kept| kept.first <= sequence);
        &self.kept[after.saturating_sub(1)].segment
    }

    /// A sequence before which the events take half of the bytes of all, or somewhat more.
    pub(crate) fn half_of_bytes(&self) -> Sequence {
        let bytes = |kept: &Kept| kept.segment.segment_size().bytes();
        let half = self.kept.iter().map(bytes).sum::<u64>() / 2;
        let mut sum = 0;
        let before = self.kept.iter().take_while(|kept| {
            let is_before = sum < half;
            sum += bytes(kept);
            is_before
        });
        self.kept.get(before.count()).map_or(Sequence::MAX, |next| next.first)
    }

    /// An event that is in the index and has not left.
    pub(crate) fn indexed(&self, sequence: Sequence) -> Option<(&Segment<Event>, &Event)> {
        if sequence < self.first {
            return None;
        }
        let segment = self.segment_of(sequence);
        let event = segment.item(usize::try_from(sequence.checked_sub(segment.first())?).ok()?)?;
        Some((segment, event))
    }

    /// Adds published events to the index, up to `through` and at most `count_max` of them.
    pub(crate) fn index_published(&mut self, through: Sequence, count_max: u64) {
        let end = through.min(self.indexed_to.saturating_add(count_max));
        while self.indexed_to < end {
            let segment = &self.kept[self.indexing].segment;
            match segment.step((self.indexed_to + 1 - segment.first()) as usize) {
                Step::Item(event) => {
                    self.index.add(event);
                    self.indexed_to += 1;
                }
                Step::Next(_) => {
                    self.extend();
                    self.indexing += 1;
                }
                Step::Wait => break,
            }
        }
    }

    /// Releases the oldest segments while the closed ones exceed their share of the bounds, and at
    /// most as many keys in this call as `pace` allows. `evicted` is called for each event first,
    /// with a part of its recipients at a time.
    pub(crate) fn trim(
        &mut self,
        bounds: &Retention,
        closed: &ClosedBytes,
        now: Nanos,
        pace: Pace,
        mut evicted: impl FnMut(&Event, Range<usize>),
    ) -> Trimmed {
        self.extend();
        let mut retired = Vec::new();
        let mut steps_left = match (pace, &self.leaving) {
            (Pace::Hurried, Some(_)) => usize::MAX,
            _ => STEPS_AT_ONCE,
        };
        let is_complete = loop {
            if self.leaving.is_none() {
                if !self.is_over(bounds, closed, now) {
                    break true;
                }
                // Retired first, so that the writer of a slot that is filled too late reports its
                // event as lost.
                self.kept[0].segment.segment_size().retire(closed);
                let (sequence, step) = (self.first, LeavingStep::Telling);
                self.leaving = Some(Leaving { sequence, step, keys: 0 });
            }
            match self.leave(&mut steps_left, &mut evicted) {
                Some(segment) => {
                    retired.push(segment);
                    steps_left = steps_left.min(STEPS_AT_ONCE);
                }
                None => break false,
            }
        };
        self.index.shrink();
        Trimmed { retired, is_complete }
    }

    /// Whether the oldest segment must leave.
    fn is_over(&self, bounds: &Retention, closed: &ClosedBytes, now: Nanos) -> bool {
        if self.kept.len() == 1 {
            return false;
        }
        let events = self.kept[self.kept.len() - 1].first - self.first;
        let bytes = closed.sum() + self.index.weight();
        events > bounds.closed_events_max()
            || bytes > bounds.closed_bytes_max()
            || self.kept[0].segment.segment_size().closed_at().saturating_add(nanos(bounds.age_max))
                <= now
    }

    /// Removes events from the segment that is leaving, until `steps_left` is used up; then the
    /// segment itself, once it is empty.
    fn leave(
        &mut self,
        steps_left: &mut usize,
        evicted: &mut impl FnMut(&Event, Range<usize>),
    ) -> Option<Arc<Segment<Event>>> {
        let leaving = self.leaving.as_mut()?;
        let end = self.kept[1].first;
        let segment = &self.kept[0].segment;
        while leaving.sequence < end {
            if *steps_left == 0 {
                return None;
            }
            let event = segment.item((leaving.sequence - segment.first()) as usize);
            let keys = event.map_or(0, |event| event.keys() as usize);
            let part = leaving.keys..keys.min(leaving.keys.saturating_add(*steps_left));
            *steps_left = steps_left.saturating_sub(part.len().max(1));
            leaving.keys = part.end;
            match (leaving.step, event) {
                (LeavingStep::Telling, Some(event)) => evicted(event, part),
                (LeavingStep::Removing, Some(event)) => self.index.remove(event, part),
                (_, None) => {}
            }
            if leaving.keys < keys {
                continue;
            }
            leaving.keys = 0;
            match leaving.step {
                LeavingStep::Telling => {
                    self.first = leaving.sequence + 1;
                    self.indexed_to = self.indexed_to.max(leaving.sequence);
                    leaving.step = LeavingStep::Removing;
                }
                LeavingStep::Removing => {
                    leaving.sequence += 1;
                    leaving.step = LeavingStep::Telling;
                }
            }
        }
        self.leaving = None;
        self.indexing = self.indexing.saturating_sub(1);
        self.kept.pop_front().map(|kept| kept.segment)
    }

    /// Follows the chain to its end.
    pub(crate) fn extend(&mut self) {
        while let Some(next) = self.newest().next().cloned() {
            self.kept.push_back(Kept::new(next));
        }
    }

    /// The number of kept segments.
    pub(crate) fn segments(&self) -> usize {
        let unseen = std::iter::successors(self.newest().next(), |segment| segment.next());
        self.kept.len() + unseen.count()
    }

    /// The log's sum of closed bytes, recomputed.
    #[cfg(test)]
    pub(crate) fn closed_bytes(&self) -> u64 {
        let closed =
            self.kept.iter().take(self.kept.len() - 1).skip(usize::from(self.leaving.is_some()));
        closed.map(|kept| kept.segment.segment_size().bytes()).sum()
    }

    fn newest(&self) -> &Segment<Event> {
        &self.kept[self.kept.len() - 1].segment
    }
}
