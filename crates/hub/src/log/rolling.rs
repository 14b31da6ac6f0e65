//! When the log's segments are closed, and which segments leave then.
//!
//! A segment is closed by count, bytes or age, before the next event; then the oldest ones are
//! released, in parts if their events have many recipients: the remaining parts follow when a
//! thread has read the log. Never waits for a replay and never releases more than a part, except
//! when the previous release is still incomplete: so the log may exceed its bounds by one segment,
//! but not by two.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockWriteGuard};
use std::time::Duration;

use super::Log;
use crate::event::Event;
use crate::history::{History, Pace, Trimmed};
use crate::segment::Segment;
use crate::segment_size::{Nanos, nanos};

impl Log {
    /// Releases expired segments while nothing is appended. Call it a few times per `age_max`.
    pub fn expire(&self, now: Duration) {
        let now = nanos(now);
        let appender = self.chain.appender();
        if !appender.is_untouched() && self.is_old(&appender, now) {
            self.roll(appender, now);
        }
        self.rolled_at.fetch_max(now, Ordering::Relaxed);
        loop {
            let Trimmed { retired, is_complete } = self.trim(self.write(), now, Pace::Steady);
            drop(retired);
            if is_complete {
                break;
            }
            // Lets a thread that waits for the history lock it now.
            std::thread::yield_now();
        }
    }

    /// Whether the segment must be closed before the next append. It is not closed sooner, so that
    /// the newest event is kept even if it alone exceeds a bound.
    pub(super) fn is_over(&self, segment: &Segment<Event>, now: Nanos) -> bool {
        self.is_old(segment, now) || segment.segment_size().weight() >= self.segment_bytes
    }

    fn is_old(&self, segment: &Segment<Event>, now: Nanos) -> bool {
        now.saturating_sub(segment.segment_size().opened_at()) > self.segment_age
    }

    /// Closes a full or old segment, unless another thread has done so, and releases the excess.
    /// Returns the newest segment.
    #[cold]
    pub(super) fn roll(&self, from: Arc<Segment<Event>>, now: Nanos) -> Arc<Segment<Event>> {
        if from.is_untouched() {
            from.segment_size().open_at(now);
            return from;
        }
        let rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        if from.next().is_some() {
            return self.chain.appender();
        }
        // The last segment was closed while a thread read the history: wait for the overdue trim
        // before a second one is closed.
        let waited =
            if self.trim_is_due.load(Ordering::Relaxed) { Some(self.write()) } else { None };
        let Some(next) = self.chain.roll(&from, now) else { return self.chain.appender() };
        // No event is written into a segment that is old.
        let newest_at = now.min(from.segment_size().opened_at().saturating_add(self.segment_age));
        from.segment_size().close(newest_at, &self.closed_bytes);
        self.rolled_at.fetch_max(now, Ordering::Relaxed);
        let retired = match waited.or_else(|| self.try_write()) {
            // A segment that is still leaving leaves completely before the next one begins to.
            Some(history) => Some(self.trim(history, now, Pace::Hurried).retired),
            None => {
                self.trim_is_due.store(true, Ordering::Relaxed);
                None
            }
        };
        drop(rolling);
        drop(from);
        if retired.is_none() {
            // The reader trims when it is done, unless it finished before the mark was set.
            self.trim_if_due();
        }
        next
    }

    /// Releases the excess, or a part of it if that has many keys. The caller drops the released
    /// segments without holding a lock.
    fn trim(&self, mut history: RwLockWriteGuard<'_, History>, now: Nanos, pace: Pace) -> Trimmed {
        self.trim_is_due.store(false, Ordering::Relaxed);
        self.late_bytes.store(0, Ordering::Relaxed);
        let evicted = |event: &Event, part: Range<usize>| {
            if let Some(sharing) = &self.sharing {
                sharing.shares.discount(event, part.clone());
            }
            self.tell_evicted(event, part, now);
        };
        let trimmed = history.trim(&self.retention, &self.closed_bytes, now, pace, evicted);
        if !trimmed.is_complete {
            self.trim_is_due.store(true, Ordering::Relaxed);
        }
        self.index_bytes.store(history.index().weight(), Ordering::Relaxed);
        self.first.store(history.first(), Ordering::Release);
        self.indexed_to.0.store(history.indexed_to(), Ordering::Relaxed);
        trimmed
    }

    /// Tells a part of its recipients that an event has left, unless it had expired anyway.
    #[cold]
    pub(super) fn tell_evicted(&self, event: &Event, part: Range<usize>, now: Nanos) {
        if let Some(evicted) = &self.evicted
            && event.is_wanted(Duration::from_nanos(now))
        {
            evicted(event, part);
        }
    }

    /// Makes up for a trim that was not possible before, once the history has been read or charged.
    pub(crate) fn trim_if_due(&self) {
        let is_due = self.trim_is_due.load(Ordering::Relaxed)
            || self.late_bytes.load(Ordering::Relaxed) > self.segment_bytes;
        if is_due && let Some(history) = self.try_write() {
            let now = self.rolled_at.load(Ordering::Relaxed);
            drop(self.trim(history, now, Pace::Steady).retired);
        }
    }
}
