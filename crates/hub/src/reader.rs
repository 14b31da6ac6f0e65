//! A core's own place in the log, from which it reads without a lock.
//!
//! Between two calls it keeps no segment alive: a core that sleeps through a whole window finds a
//! gap, and does not hold that window's memory. Events that a core still needs in its turn are in
//! [`Pins`]. Never skips an event that was claimed before one that it has read.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use crate::cursor::{Gap, Sequence};
use crate::event::Event;
use crate::interest::InterestFilter;
use crate::log::Log;
use crate::pins::{PinnedEvent, Pins};
use crate::segment::{Segment, Step};

/// A place in a log. Use it only with the log that made it.
#[derive(Debug)]
pub struct Reader {
    /// The segment of the event after `position`, or an earlier one.
    segment: Weak<Segment<Event>>,
    position: Sequence,
}

/// What a visitor has done with an event.
#[derive(PartialEq, Eq)]
enum Visited {
    GoOn,
    /// Reading stops after it.
    Stop,
    /// It is not read yet.
    Refused,
}

impl Log {
    /// A reader at the newest event such that it and all earlier ones are published.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let history = self.read();
        let position = history.indexed_to();
        let segment = Arc::clone(history.segment_of(position + 1));
        drop(history);
        Reader::at_newest(segment, position)
    }
}

impl Reader {
    /// A reader that has advanced from `position` to the newest event. `segment` begins no later
    /// than the event after `position`.
    pub(crate) fn at_newest(mut segment: Arc<Segment<Event>>, mut position: Sequence) -> Self {
        loop {
            match segment.step(index_after(&segment, position)) {
                Step::Item(_) => position += 1,
                Step::Next(next) => segment = Arc::clone(next),
                Step::Wait => break,
            }
        }
        Self { segment: Arc::downgrade(&segment), position }
    }

    /// The last event that was read.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.position
    }

    /// Visits every published event after the position, in order, up to a slot that is claimed and
    /// not yet filled. If the visitor breaks, reading stops after that event.
    ///
    /// Then helps to index the events that it has read, unless another thread does.
    ///
    /// # Errors
    /// Events after the position have left the log. The position is now the gap's `to`; the next
    /// call continues from there.
    pub fn follow(
        &mut self,
        log: &Log,
        mut visit: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        self.read(log, InterestFilter::ALL, |_, _, event| match visit(event) {
            ControlFlow::Continue(()) => Visited::GoOn,
            ControlFlow::Break(()) => Visited::Stop,
        })
    }

    /// As [`Reader::follow`], but only the events that may concern a core are visited, and they stay
    /// readable in `pins` after the visit, until the pins are cleared. If the visitor breaks, it has
    /// refused the event, which is the first that the next call visits.
    ///
    /// # Errors
    /// As [`Reader::follow`].
    pub fn follow_pinning(
        &mut self,
        log: &Log,
        filter: InterestFilter,
        pins: &mut Pins,
        mut visit: impl FnMut(&Event, PinnedEvent) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        self.read(log, filter, |segment, index, event| {
            match visit(event, pins.pin(segment, index)) {
                ControlFlow::Continue(()) => Visited::GoOn,
                ControlFlow::Break(()) => Visited::Refused,
            }
        })
    }

    fn read(
        &mut self,
        log: &Log,
        filter: InterestFilter,
        mut visit: impl FnMut(&Arc<Segment<Event>>, usize, &Event) -> Visited,
    ) -> Result<(), Gap> {
        // Reading an unwritten slot would take its cache line from the thread about to write it. So
        // nothing beyond the head is read, and not even the segment if there is nothing new.
        let mut head = log.head();
        if head <= self.position {
            log.index_after(self.position, 0);
            return Ok(());
        }
        let mut segment = match self.segment.upgrade() {
            Some(segment) => segment,
            None => self.relocate(log)?,
        };
        let start = self.position;
        loop {
            if self.position >= head {
                head = log.head();
                if self.position >= head {
                    break;
                }
            }
            let index = index_after(&segment, self.position);
            if filter.applies_after(self.position) {
                let count_max = (head - self.position) as usize;
                let excluded = segment.excluded(index, count_max, filter);
                if excluded > 0 {
                    self.position += excluded as Sequence;
                    continue;
                }
            }
            match segment.step(index) {
                Step::Item(event) => {
                    self.position += 1;
                    let visited = visit(&segment, index, event);
                    if visited == Visited::Refused {
                        self.position -= 1;
                        break;
                    }
                    log.charge_encodings(&segment, event);
                    if visited == Visited::Stop {
                        break;
                    }
                }
                Step::Next(next) => {
                    segment = Arc::clone(next);
                    self.segment = Arc::downgrade(&segment);
                }
                Step::Wait => break,
            }
        }
        drop(segment);
        log.index_after(self.position, self.position - start);
        Ok(())
    }

    /// Finds the position again after its segment has gone. Nothing is lost if the position was the
    /// end of that segment.
    #[cold]
    fn relocate(&mut self, log: &Log) -> Result<Arc<Segment<Event>>, Gap> {
        let history = log.read();
        let gap = Gap { from: self.position, to: history.first() - 1 };
        self.position = gap.to.max(gap.from);
        let segment = Arc::clone(history.segment_of(self.position + 1));
        self.segment = Arc::downgrade(&segment);
        if gap.from < gap.to { Err(gap) } else { Ok(segment) }
    }
}

/// The slot after `position`.
#[inline]
fn index_after(segment: &Segment<Event>, position: Sequence) -> usize {
    (position + 1 - segment.first()) as usize
}
