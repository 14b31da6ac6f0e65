//! The events that a client missed: a merge of the postings of all its interests.
//!
//! Costs only what it returns: a posting is touched only when its event is visited. Never decides
//! whether the client may have an event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::cursor::Sequence;
use crate::event::{Event, UNKEPT_GRACE};
use crate::history::History;
use crate::postings::Postings;
use crate::segment::Segment;

/// One key whose events a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest<'n> {
    /// A topic, or the client itself.
    pub key: Key<'n>,
    /// The last event of this key that it has seen.
    pub after: Sequence,
    /// For events that are not kept ([`Expiry::Never`](crate::Expiry::Never)): events after this
    /// one came while the client was connected, and are visited. Earlier ones that were addressed
    /// to it as a recipient are visited for [`UNKEPT_GRACE`]. With `None`, no such event is
    /// visited.
    pub live_after: Option<Sequence>,
}

/// The key by which events are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'n> {
    /// Events for a topic.
    Topic(&'n str),
    /// Events for a recipient.
    Recipient(&'n str),
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Events that were visited.
    pub visited: u64,
    /// Postings that were looked at.
    pub touched: u64,
    /// Whether there may be more events.
    pub complete: Complete,
}

/// Whether a replay visited everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// Everything was visited.
    All,
    /// The visitor stopped it.
    Stopped,
}

/// The postings of one interest that have not been visited yet.
struct Lane<'h> {
    now: &'h [Sequence],
    then: &'h [Sequence],
    passing: Passing,
}

/// The events that are not kept which a lane may visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// None: the lane has only kept events.
    None,
    /// All of them.
    All,
    /// The events after this one, and those within the grace period.
    Graced(Sequence),
}

impl Passing {
    fn admits(self, event: &Event, now: Duration) -> bool {
        match self {
            Self::None | Self::All => true,
            Self::Graced(live_after) => {
                event.sequence() > live_after || event.at() + UNKEPT_GRACE > now
            }
        }
    }
}

impl Iterator for Lane<'_> {
    type Item = Sequence;

    fn next(&mut self) -> Option<Sequence> {
        if self.now.is_empty() {
            std::mem::swap(&mut self.now, &mut self.then);
        }
        self.now.split_off_first().copied()
    }
}

/// Visits the events that the interests find in the index, in order and once each.
pub(crate) fn merge(
    history: &History,
    interests: &[Interest<'_>],
    through: Sequence,
    now: Duration,
    mut visit: impl FnMut(&Segment<Event>, &Event) -> ControlFlow<()>,
) -> Replayed {
    let mut lanes: Vec<Lane<'_>> =
        interests.iter().flat_map(|interest| lanes_of(history, interest, through)).collect();
    let mut heads: BinaryHeap<_> = lanes
        .iter_mut()
        .enumerate()
        .filter_map(|(number, lane)| Some(Reverse((lane.next()?, number))))
        .collect();
    let mut touched = heads.len() as u64;
    let (mut visited, mut previous) = (0, 0);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((sequence, number)) = *head;
        let passing = lanes[number].passing;
        match lanes[number].next() {
            Some(next) => {
                touched += 1;
                *head = Reverse((next, number));
                drop(head);
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        // An interest may be given twice, and an event may have two of the recipients.
        if sequence == previous {
            continue;
        }
        previous = sequence;
        let Some((segment, event)) = history.indexed(sequence) else { continue };
        if event.has_expired(now) || !passing.admits(event, now) {
            continue;
        }
        visited += 1;
        if visit(segment, event).is_break() {
            return Replayed { visited, touched, complete: Complete::Stopped };
        }
    }
    Replayed { visited, touched, complete: Complete::All }
}

/// The next event after `after` and up to `through` that a merge may visit; one after `through` if
/// there is none.
pub(crate) fn next_after(
    history: &History,
    interests: &[Interest<'_>],
    after: Sequence,
    through: Sequence,
) -> Sequence {
    let first_of = |interest: &Interest<'_>| {
        let rest = Interest { after: interest.after.max(after), ..*interest };
        lanes_of(history, &rest, through).filter_map(|mut lane| lane.next()).min()
    };
    interests.iter().filter_map(first_of).min().unwrap_or(through.saturating_add(1))
}

fn lanes_of<'h>(
    history: &'h History,
    interest: &Interest<'_>,
    through: Sequence,
) -> impl Iterator<Item = Lane<'h>> + use<'h> {
    let &Interest { key, after, live_after } = interest;
    let index = history.index();
    let (kept, passing) = match key {
        Key::Topic(topic) => (index.topic(topic), index.passing_topic(topic)),
        Key::Recipient(name) => (index.recipient(name), index.passing_recipient(name)),
    };
    let lane = move |postings: Option<&'h Postings>, after, passing| {
        let [now, then] = postings?.between(after, through);
        Some(Lane { now, then, passing })
    };
    let passing = live_after.and_then(|live_after| match key {
        Key::Topic(_) => lane(passing, after.max(live_after), Passing::All),
        Key::Recipient(_) => lane(passing, after, Passing::Graced(live_after)),
    });
    lane(kept, after, Passing::None).into_iter().chain(passing)
}

/// The position just before the last events of a key after `after` and up to `through`: at most
/// `events_max` of them and at most `bytes_max` in all, but at least one. `through` if there are
/// none.
pub(crate) fn before_last(
    history: &History,
    key: Key<'_>,
    (after, through): (Sequence, Sequence),
    (events_max, bytes_max): (usize, usize),
    now: Duration,
) -> Sequence {
    let postings = match key {
        Key::Topic(topic) => history.index().topic(topic),
        Key::Recipient(name) => history.index().recipient(name),
    };
    let Some(postings) = postings else { return through };
    let [first, second] = postings.between(after.max(history.first() - 1), through);
    let (mut place, mut count, mut bytes) = (through, 0, 0);
    for &sequence in second.iter().rev().chain(first.iter().rev()) {
        let Some((_, event)) = history.indexed(sequence) else { continue };
        if event.has_expired(now) {
            continue;
        }
        count += 1;
        bytes += event.text().len();
        if count > events_max || (count > 1 && bytes > bytes_max) {
            break;
        }
        place = sequence - 1;
    }
    place
}
