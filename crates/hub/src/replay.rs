//! What a client missed: a merge of the postings of all that it is interested in.
//!
//! Costs what it returns: a posting is touched when its event is, and no other. Never judges
//! whether the client may have it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::cursor::Sequence;
use crate::event::{Event, UNKEPT_GRACE};
use crate::history::History;
use crate::postings::Postings;
use crate::segment::Segment;

/// One thing that a client wants to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest<'n> {
    /// A topic, or itself.
    pub key: Key<'n>,
    /// The last event that it has seen of this.
    pub after: Sequence,
    /// Events that are not kept ([`Expiry::Never`](crate::Expiry::Never)): those after this one came
    /// while the client was here, and are visited. Those that were addressed to it as a recipient
    /// before are visited for [`UNKEPT_GRACE`]. `None`: no such event is.
    pub live_after: Option<Sequence>,
}

/// What events are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'n> {
    /// Events for a topic.
    Topic(&'n str),
    /// Events for a recipient.
    Recipient(&'n str),
}

/// What a replay has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Events that were visited.
    pub visited: u64,
    /// Postings that were looked at.
    pub touched: u64,
    /// Whether there may be more.
    pub complete: Complete,
}

/// Whether a replay came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// Everything was visited.
    All,
    /// The visitor stopped it.
    Stopped,
}

/// The postings of one interest that are still to come.
struct Lane<'h> {
    now: &'h [Sequence],
    then: &'h [Sequence],
    passing: Passing,
}

/// Which events that are not kept a lane is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// The lane is of events that are kept.
    None,
    /// All.
    All,
    /// Those after this one, and those that are not older than the grace.
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

/// Visits in order what the interests find in the index, each event once.
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
        // An interest may be given twice, and an event have two recipients.
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

/// The next event after `after` and up to `through` that a merge may visit; one after `through`
/// when there is none.
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

/// The place just before the last events of a key after `after` and up to `through`: as many as
/// `events_max`, and at least one but no more than `bytes_max` in all. `through` when there are
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
