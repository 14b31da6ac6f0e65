//! What a client missed: a merge of the postings of all that it is interested in.
//!
//! Costs what it returns: a posting is touched when its event is, and no other. Never judges
//! whether the client may have it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::cursor::Sequence;
use crate::event::Event;
use crate::history::History;
use crate::segment::Segment;

/// One thing that a client wants to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest<'n> {
    /// A topic, or itself.
    pub key: Key<'n>,
    /// The last event that it has seen of this.
    pub after: Sequence,
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
        interests.iter().filter_map(|interest| lane(history, interest, through)).collect();
    let mut heads: BinaryHeap<_> = lanes
        .iter_mut()
        .enumerate()
        .filter_map(|(number, lane)| Some(Reverse((lane.next()?, number))))
        .collect();
    let mut touched = heads.len() as u64;
    let (mut visited, mut previous) = (0, 0);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((sequence, number)) = *head;
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
        if event.has_expired(now) {
            continue;
        }
        visited += 1;
        if visit(segment, event).is_break() {
            return Replayed { visited, touched, complete: Complete::Stopped };
        }
    }
    Replayed { visited, touched, complete: Complete::All }
}

fn lane<'h>(history: &'h History, interest: &Interest<'_>, through: Sequence) -> Option<Lane<'h>> {
    let postings = match interest.key {
        Key::Topic(topic) => history.index().topic(topic),
        Key::Recipient(name) => history.index().recipient(name),
    };
    let [now, then] = postings?.between(interest.after, through);
    Some(Lane { now, then })
}
