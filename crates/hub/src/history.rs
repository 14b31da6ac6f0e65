//! The segments that are kept, and the index of what is in them.
//!
//! Segments are appended elsewhere; the history finds them by following the chain. It decides what
//! leaves (retention) and takes it out of the index. Never waits for a slot to be filled.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::cursor::Sequence;
use crate::event::Event;
use crate::index::Index;
use crate::ledger::{ClosedBytes, Nanos, nanos};
use crate::retention::Retention;
use crate::segment::{Segment, Step};

/// The window of the log that can be replayed.
///
/// Invariants: `kept` is never empty, is in order without holes, and its segments but the last are
/// closed. Every event of a kept segment up to `indexed_to` is in the index, and nothing else is;
/// `kept[indexing]` is where the event after it is or will be.
#[derive(Debug)]
pub(crate) struct History {
    kept: VecDeque<Kept>,
    index: Index,
    indexed_to: Sequence,
    indexing: usize,
}

/// A segment, with its first sequence beside it so that a search touches no segment.
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

/// Segments that have left, to be dropped when no lock is held: freeing a thousand events takes
/// longer than anything that is done under it.
pub(crate) type Retired = Vec<Arc<Segment<Event>>>;

impl History {
    pub(crate) fn new(segment: Arc<Segment<Event>>) -> Self {
        let indexed_to = segment.first() - 1;
        let kept = VecDeque::from([Kept::new(segment)]);
        Self { kept, index: Index::default(), indexed_to, indexing: 0 }
    }

    /// The oldest sequence that is kept, or will be.
    pub(crate) fn first(&self) -> Sequence {
        self.kept[0].first
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// All events up to this one are published and in the index.
    pub(crate) fn indexed_to(&self) -> Sequence {
        self.indexed_to
    }

    /// The segment in which `sequence` is or will be, or an earlier one when that is not known
    /// here yet; the oldest when it has left.
    pub(crate) fn segment_of(&self, sequence: Sequence) -> &Arc<Segment<Event>> {
        let after = self.kept.partition_point(|kept| kept.first <= sequence);
        &self.kept[after.saturating_sub(1)].segment
    }

    /// An event that is in the index.
    pub(crate) fn indexed(&self, sequence: Sequence) -> Option<(&Segment<Event>, &Event)> {
        let segment = self.segment_of(sequence);
        let event = segment.item(usize::try_from(sequence.checked_sub(segment.first())?).ok()?)?;
        Some((segment, event))
    }

    /// Takes what is published into the index, up to `through` or `count_max` events.
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

    /// Lets go of the oldest segments while what is closed exceeds its share of the bounds. Each
    /// event is told to `evicted` before.
    pub(crate) fn trim(
        &mut self,
        bounds: &Retention,
        closed: &ClosedBytes,
        now: Nanos,
        mut evicted: impl FnMut(&Event),
    ) -> Retired {
        self.extend();
        let age_max = nanos(bounds.age_max);
        let mut retired = Vec::new();
        while self.kept.len() > 1 {
            let oldest = &self.kept[0].segment;
            let events = self.kept[self.kept.len() - 1].first - oldest.first();
            let bytes = closed.sum() + self.index.weight();
            let is_over = events > bounds.closed_events_max()
                || bytes > bounds.closed_bytes_max()
                || oldest.ledger().closed_at().saturating_add(age_max) <= now;
            if !is_over {
                break;
            }
            // First, so that a slot that is filled too late for this is told by its writer.
            oldest.ledger().retire(closed);
            retired.extend(self.retire(&mut evicted));
        }
        if !retired.is_empty() {
            self.index.shrink();
        }
        retired
    }

    /// Takes the oldest segment out, and its events out of the index.
    fn retire(&mut self, evicted: &mut impl FnMut(&Event)) -> Option<Arc<Segment<Event>>> {
        let Kept { first, segment } = self.kept.pop_front()?;
        let end = self.first() - 1;
        for sequence in first..=end {
            let Some(event) = segment.item((sequence - first) as usize) else { continue };
            if sequence <= self.indexed_to {
                self.index.remove(event, end);
            }
            evicted(event);
        }
        self.indexed_to = self.indexed_to.max(end);
        self.indexing = self.indexing.saturating_sub(1);
        Some(segment)
    }

    /// Follows the chain to its end.
    pub(crate) fn extend(&mut self) {
        while let Some(next) = self.newest().next().cloned() {
            self.kept.push_back(Kept::new(next));
        }
    }

    /// How many segments are kept.
    pub(crate) fn segments(&self) -> usize {
        let unseen = std::iter::successors(self.newest().next(), |segment| segment.next());
        self.kept.len() + unseen.count()
    }

    /// The sum that the log keeps of them, counted.
    #[cfg(test)]
    pub(crate) fn closed_bytes(&self) -> u64 {
        let closed = self.kept.iter().take(self.kept.len() - 1);
        closed.map(|kept| kept.segment.ledger().bytes()).sum()
    }

    fn newest(&self) -> &Segment<Event> {
        &self.kept[self.kept.len() - 1].segment
    }
}
