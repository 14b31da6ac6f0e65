//! The ordered log of all events: the mailbox between cores, the order, the history and the resume
//! point.
//!
//! Any thread appends, and no append blocks a reader that follows. Retention is by count, bytes and
//! age, in whole segments. Never reads a clock, and never knows who receives an event.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, Weak,
};
use std::time::Duration;

use crate::chain::Chain;
use crate::cursor::{Epoch, Gap, Sequence};
use crate::dropped::{self, Dropped, TopicRules};
use crate::event::{Draft, Event};
use crate::history::History;
use crate::interest::{BUCKETS, CoreInterest, InterestTable};
use crate::replay::{self, Complete, Interest, Key, Replayed};
use crate::retention::{Retention, TopicRetention};
use crate::segment::Segment;
use crate::segment_size::{ClosedBytes, Kept, Nanos, nanos};
use crate::sync::Apart;
use sharing::Sharing;

const _: () = assert!(size_of::<Segment<Event>>() <= 256);

/// A reader indexes this many more events than it has read, so that the index catches up with
/// events that others read while the lock was taken.
const INDEXED_BEYOND: u64 = 256;

/// The log, shared by all cores and the control thread.
///
/// ```
/// use std::{ops::ControlFlow, time::Duration};
/// use ringway_hub::{Appender, Draft, Epoch, Log, Retention};
///
/// let log = Log::new(Epoch::new(1), Retention::default());
/// let (mut appender, mut reader) = (Appender::default(), log.reader());
/// let draft = Draft::new("hello .............................", 6).to_topic("news");
/// assert_eq!(log.append(&mut appender, draft, Duration::ZERO), 1);
/// reader.follow(&log, |event| {
///     assert_eq!(event.text(), "hello 000000000001-0000000000000001");
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), ringway_hub::Gap>(())
/// ```
pub struct Log {
    epoch: Epoch,
    retention: Retention,
    /// Parts of `retention` that each append needs.
    segment_bytes: u64,
    segment_age: Nanos,
    chain: Chain<Event>,
    history: Apart<RwLock<History>>,
    /// State of the history that is read without its lock.
    first: AtomicU64,
    indexed_to: Apart<AtomicU64>,
    closed_bytes: ClosedBytes,
    /// Bytes of encodings made since the last trim.
    late_bytes: AtomicU64,
    /// A segment was closed while a thread read the history, so no old segment was dropped.
    trim_is_due: AtomicBool,
    /// Locked while a segment is closed and old ones are released.
    rolling: Mutex<()>,
    rolled_at: AtomicU64,
    postings_touched: AtomicU64,
    evicted: Option<Evicted>,
    topic_rules: Option<TopicRules>,
    sharing: Option<Sharing>,
    /// What the index took when the history was last trimmed.
    index_bytes: AtomicU64,
    interest: Arc<InterestTable>,
}

/// Called for events that leave.
type Evicted = Box<dyn Fn(&Event, Range<usize>) + Send + Sync>;

/// A writer's place in the log. It keeps no segment alive, however long the writer is idle.
///
/// Use it with one log only.
#[derive(Debug, Default)]
pub struct Appender {
    segment: Weak<Segment<Event>>,
}

/// What the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSize {
    /// Events.
    pub events: u64,
    /// Bytes of events, including all their encodings.
    pub bytes: u64,
    /// Bytes of the index by topic and recipient, including the spare capacity of its tables.
    pub index_bytes: u64,
    /// Segments.
    pub segments: usize,
}

impl Log {
    /// An empty log, whose first event will be 1.
    #[must_use]
    pub fn new(epoch: Epoch, retention: Retention) -> Self {
        let capacity = usize::try_from(retention.segment_events()).unwrap_or(usize::MAX);
        let chain = Chain::new(1, capacity);
        let history = Apart(RwLock::new(History::new(chain.appender())));
        Self {
            epoch,
            retention,
            segment_bytes: retention.segment_bytes(),
            segment_age: nanos(retention.segment_age()),
            chain,
            history,
            first: AtomicU64::new(1),
            indexed_to: Apart::default(),
            closed_bytes: ClosedBytes::default(),
            late_bytes: AtomicU64::new(0),
            trim_is_due: AtomicBool::new(false),
            rolling: Mutex::new(()),
            rolled_at: AtomicU64::new(0),
            postings_touched: AtomicU64::new(0),
            evicted: None,
            topic_rules: None,
            sharing: None,
            index_bytes: AtomicU64::new(0),
            interest: Arc::new(InterestTable::new(BUCKETS)),
        }
    }

    /// This log, which calls `evicted` for each event that leaves before it expires; an event
    /// without an expiry always counts. [`Log::first`] and a [`Gap`] show the loss only after that.
    /// For an event with many recipients it is called several times, each time with the next range
    /// of them.
    ///
    /// The history is locked during the call: `evicted` must not use the log.
    #[must_use]
    pub fn telling(self, evicted: impl Fn(&Event, Range<usize>) + Send + Sync + 'static) -> Self {
        Self { evicted: Some(Box::new(evicted)), ..self }
    }

    /// This log, which keeps the events of a topic only as long as `retention` says, if it says
    /// anything, and never longer than the log keeps all others.
    ///
    /// The history is locked during the call: `retention` must not use the log.
    #[must_use]
    pub fn keeping_topics(
        self,
        retention: impl Fn(&str) -> Option<TopicRetention> + Send + Sync + 'static,
    ) -> Self {
        Self { topic_rules: Some(Box::new(retention)), ..self }
    }

    /// The life of the log.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Puts an event at the end of the order, and its cursor into its encoding.
    ///
    /// Never blocks a reader that follows. Once per segment it releases old segments and may then
    /// wait for a replay, so do not call it from a replay's visitor.
    ///
    /// # Panics
    /// The draft has no room for a cursor, or a field outside its text. Nothing is appended then.
    pub fn append(&self, appender: &mut Appender, draft: Draft, now: Duration) -> Sequence {
        let (mut event, now) = (Event::new(draft, now), nanos(now));
        let (bytes, keys) = (event.size(), event.keys());
        let estimate = self.interest.estimate(event.address());
        let cached = appender.segment.upgrade();
        let mut has_moved = cached.is_none();
        let mut segment = cached.unwrap_or_else(|| self.chain.appender());
        let index = loop {
            let claim = if self.is_over(&segment, now) { None } else { segment.claim() };
            if let Some(index) = claim {
                break index;
            }
            segment = self.roll(segment, now);
            has_moved = true;
        };
        let sequence = segment.first() + index as Sequence;
        // Done before the slot is filled, so that a reader that sees the event finds it below the
        // head.
        let cores = self.interest.claimed(sequence, estimate);
        event.stamp(self.epoch, sequence);
        segment.fill(index, event, cores);
        let kept = segment.segment_size().charge(bytes, &self.closed_bytes);
        match (kept, segment.item(index), &self.sharing) {
            (Kept::No, Some(event), _) => self.tell_evicted(event, 0..keys as usize, now),
            (Kept::Yes, Some(event), Some(sharing)) => sharing.shares.count(event),
            _ => {}
        }
        if keys > 1 {
            segment.segment_size().expect_keys(keys);
        }
        if has_moved {
            appender.segment = Arc::downgrade(&segment);
        }
        sequence
    }

    /// The interest of a core in the events that are appended from now on.
    pub(crate) fn interest_of(&self, core: usize) -> CoreInterest {
        CoreInterest::new(&self.interest, core)
    }

    /// The oldest sequence that is kept; one after the head if the log is empty.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first.load(Ordering::Acquire)
    }

    /// The newest claimed sequence; the last few below it may not be readable yet. No cursor beyond
    /// it has been issued.
    #[must_use]
    pub fn head(&self) -> Sequence {
        self.interest.head()
    }

    /// Visits the kept events after each interest's `after` and up to `through`, in order and once
    /// each. Expired events are left out. If the visitor breaks, the replay stops after that event.
    ///
    /// `through` is the position of a reader, so that the replay does not wait for claimed events
    /// that are not yet published. The visitor must not append to this log or replay it.
    ///
    /// # Errors
    /// Some event after the smallest `after` has left the log, or was dropped by its topic's own
    /// retention. All events before the gap were visited; continue from the gap's `to`.
    pub fn replay(
        &self,
        interests: &[Interest<'_>],
        through: Sequence,
        now: Duration,
        mut visit: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Replayed, Gap> {
        let Some(from) = interests.iter().map(|interest| interest.after).min() else {
            return Ok(Replayed { visited: 0, touched: 0, complete: Complete::All });
        };
        let history = self.read_indexed(through);
        let to = history.first() - 1;
        if from < to {
            return Err(Gap { from, to });
        }
        let mut last = from;
        let visit = |segment: &Segment<Event>, event: &Event| {
            last = event.sequence();
            let flow = visit(event);
            self.charge_encodings(segment, event);
            flow
        };
        let dropped = self
            .topic_rules
            .as_ref()
            .map(|rules| Dropped::find(&history, rules, interests, through, now));
        let interests = dropped.as_ref().map_or(interests, |dropped| &dropped.kept);
        let first_dropped = dropped.as_ref().and_then(|dropped| Some((dropped, dropped.first?)));
        let until = first_dropped.map_or(through, |(_, first)| first - 1);
        let replayed = replay::merge(&history, interests, until, now, visit);
        let gap = first_dropped
            .filter(|_| replayed.complete == Complete::All)
            .map(|(dropped, first)| dropped.gap(&history, last, first, through));
        drop(history);
        self.postings_touched.fetch_add(replayed.touched, Ordering::Relaxed);
        self.trim_if_due();
        gap.map_or(Ok(replayed), Err)
    }

    /// The position just before the last events of a key up to `through`: at most `events_max` of
    /// them and at most `bytes_max` in all, but at least one. `through` if there are none.
    #[must_use]
    pub fn before_last(
        &self,
        key: Key<'_>,
        through: Sequence,
        (events_max, bytes_max): (usize, usize),
        now: Duration,
    ) -> Sequence {
        let history = self.read_indexed(through);
        let dropped = match (key, &self.topic_rules) {
            (Key::Topic(topic), Some(rules)) => {
                dropped::dropped_through(&history, rules, topic, Sequence::MAX, now)
            }
            _ => 0,
        };
        replay::before_last(&history, key, (dropped, through), (events_max, bytes_max), now)
    }

    /// Whether the log keeps an event for this key, expired or not.
    #[must_use]
    pub fn holds(&self, key: Key<'_>) -> bool {
        let history = self.read_indexed(self.head());
        match key {
            Key::Topic(topic) => history.holds(history.index().topic(topic)),
            Key::Recipient(name) => history.holds(history.index().recipient(name)),
        }
    }

    /// What the log holds.
    #[must_use]
    pub fn size(&self) -> LogSize {
        let tail_bytes = self.chain.appender().segment_size().bytes();
        let history = self.read();
        LogSize {
            events: (self.head() + 1).saturating_sub(history.first()),
            bytes: self.closed_bytes.sum() + tail_bytes,
            index_bytes: history.index().bytes(),
            segments: history.segments(),
        }
    }

    /// The number of postings that all replays have looked at.
    #[must_use]
    pub fn postings_touched(&self) -> u64 {
        self.postings_touched.load(Ordering::Relaxed)
    }

    fn try_write(&self) -> Option<RwLockWriteGuard<'_, History>> {
        match self.history.0.try_write() {
            Ok(history) => Some(history),
            Err(TryLockError::Poisoned(history)) => Some(history.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Helps with indexing after having read `count` events up to `position`: indexes as many and a
    /// few more, unless another thread is indexing.
    pub(crate) fn index_after(&self, position: Sequence, count: u64) {
        if self.indexed_to.0.load(Ordering::Relaxed) < position
            && let Some(mut history) = self.try_write()
        {
            history.index_published(Sequence::MAX, count + INDEXED_BEYOND);
            self.indexed_to.0.store(history.indexed_to(), Ordering::Relaxed);
        }
        self.trim_if_due();
    }

    /// Charges new encodings to the event's segment.
    #[inline]
    pub(crate) fn charge_encodings(&self, segment: &Segment<Event>, event: &Event) {
        if let Some(bytes) = event.uncharged() {
            segment.segment_size().charge(bytes, &self.closed_bytes);
            self.late_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, History> {
        self.history.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, History> {
        self.history.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the history for reading, with all published events up to `through` in its index.
    fn read_indexed(&self, through: Sequence) -> RwLockReadGuard<'_, History> {
        let history = self.read();
        if history.indexed_to() >= through {
            return history;
        }
        drop(history);
        let mut history = self.write();
        history.index_published(through, u64::MAX);
        self.indexed_to.0.store(history.indexed_to(), Ordering::Relaxed);
        RwLockWriteGuard::downgrade(history)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("epoch", &self.epoch)
            .field("first", &self.first())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

mod rolling;
mod sharing;

pub use sharing::Crowded;

#[cfg(test)]
mod tests;
