//! A core's own place in the log, from which it reads on without a lock.
//!
//! Between two calls it keeps nothing alive: a core that sleeps through a whole window finds a
//! gap, not all the memory of it. What a core still needs for its turn it has in
//! [`Pins`]. Never skips an event that was claimed before one it has read.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use crate::cursor::{Gap, Sequence};
use crate::event::Event;
use crate::log::Log;
use crate::pins::{PinnedEvent, Pins};
use crate::segment::{Segment, Step};

/// A place in a log. It belongs to the log that made it.
#[derive(Debug)]
pub struct Reader {
    /// Where the event after `position` is, or a segment before that.
    segment: Weak<Segment<Event>>,
    position: Sequence,
}

impl Log {
    /// A reader at the newest event that is published with all before it.
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
    /// A reader that has read on from `position` to what is newest. `segment` begins not after
    /// the event that follows `position`.
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

    /// Visits every published event after the position, in order, up to one that is claimed and
    /// not yet filled. A visitor that breaks stops after the event that it was given.
    ///
    /// Then takes part in indexing what it has read, if no other thread does.
    ///
    /// # Errors
    /// Events after the position have left the log. The position is now the gap's `to`; the next
    /// call reads on from there.
    pub fn follow(
        &mut self,
        log: &Log,
        mut visit: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        self.read(log, |_, _, event| visit(event))
    }

    /// As [`Reader::follow`], but the events can be read from `pins` after the visit, until these are
    /// cleared.
    ///
    /// # Errors
    /// As [`Reader::follow`].
    pub fn follow_pinning(
        &mut self,
        log: &Log,
        pins: &mut Pins,
        mut visit: impl FnMut(&Event, PinnedEvent) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        self.read(log, |segment, index, event| visit(event, pins.pin(segment, index)))
    }

    fn read(
        &mut self,
        log: &Log,
        mut visit: impl FnMut(&Arc<Segment<Event>>, usize, &Event) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        // Reading an unwritten slot would take its cache line from the thread about to write it. So
        // nothing beyond the head is touched, nor the segment when there is nothing new.
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
            match segment.step(index) {
                Step::Item(event) => {
                    self.position += 1;
                    let flow = visit(&segment, index, event);
                    log.charge_encodings(&segment, event);
                    if flow.is_break() {
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

    /// Finds the position again when its segment is gone. Nothing is lost if it was the end of
    /// that segment.
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
