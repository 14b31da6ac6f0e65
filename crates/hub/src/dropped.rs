//! Events that a topic's own retention has dropped although the log still holds them.
//!
//! It decides which part of a replay is a gap. It never removes an event from the log: the log's
//! own retention bounds memory.

use std::time::Duration;

use crate::cursor::{Gap, Sequence};
use crate::history::History;
use crate::replay::{self, Interest, Key};
use crate::retention::TopicRetention;

/// The retention of a topic; `None` means that of the log.
pub(crate) type TopicRules = Box<dyn Fn(&str) -> Option<TopicRetention> + Send + Sync>;

/// The events that a replay must not visit.
#[derive(Debug)]
pub(crate) struct Dropped<'h, 'n> {
    /// The interests, each starting after the events that its topic has dropped.
    pub kept: Vec<Interest<'n>>,
    /// The first dropped event that matches an interest.
    pub first: Option<Sequence>,
    /// The dropped events that match the interests.
    runs: Vec<[&'h [Sequence]; 2]>,
}

impl<'h, 'n> Dropped<'h, 'n> {
    /// Finds the events that the rules have dropped of each topic.
    ///
    /// Only events before `live_after` can be dropped: a client that was connected then reads the
    /// later ones as long as the log holds them, however slowly.
    pub(crate) fn find(
        history: &'h History,
        rules: &TopicRules,
        interests: &[Interest<'n>],
        through: Sequence,
        now: Duration,
    ) -> Self {
        let mut dropped = Self { kept: interests.to_vec(), first: None, runs: Vec::new() };
        for interest in &mut dropped.kept {
            let Key::Topic(topic) = interest.key else { continue };
            let counted_to = interest.live_after.unwrap_or(Sequence::MAX);
            let to = dropped_through(history, rules, topic, counted_to, now);
            if to <= interest.after {
                continue;
            }
            let run = history
                .index()
                .topic(topic)
                .map_or([&[][..]; 2], |postings| postings.between(interest.after, to.min(through)));
            interest.after = to;
            // An expired event is not a loss.
            let first = run.iter().copied().flatten().copied().find(|sequence| {
                history.indexed(*sequence).is_some_and(|(_, event)| !event.has_expired(now))
            });
            if let Some(first) = first {
                dropped.first = Some(dropped.first.map_or(first, |other| first.min(other)));
                dropped.runs.push(run);
            }
        }
        dropped
    }

    /// The gap that begins with `first`, once all earlier events were visited. It ends before the
    /// next event that can be visited, so that a reader can continue from its end.
    pub(crate) fn gap(
        &self,
        history: &History,
        from: Sequence,
        first: Sequence,
        through: Sequence,
    ) -> Gap {
        let next = replay::next_after(history, &self.kept, first, through);
        let ends = self.runs.iter().flat_map(|run| {
            run.iter().filter_map(|part| {
                let before = part.partition_point(|sequence| *sequence < next);
                part[..before].last().copied()
            })
        });
        Gap { from, to: ends.fold(first, Sequence::max) }
    }
}

/// The newest event of a topic that its own retention has dropped, up to `counted_to`; 0 if there
/// is none.
pub(crate) fn dropped_through(
    history: &History,
    rules: &TopicRules,
    topic: &str,
    counted_to: Sequence,
    now: Duration,
) -> Sequence {
    let Some(postings) = history.index().topic(topic) else { return 0 };
    let Some(retention) = rules(topic) else { return 0 };
    let runs @ [first, second] = postings.between(history.first() - 1, counted_to);
    let count = first.len() + second.len();
    let by_count =
        count.saturating_sub(usize::try_from(retention.events_max).unwrap_or(usize::MAX));
    let is_old = |sequence: &Sequence| {
        history
            .indexed(*sequence)
            .is_none_or(|(_, event)| event.at().saturating_add(retention.age_max) <= now)
    };
    let by_age: usize = runs.iter().map(|run| run.partition_point(is_old)).sum();
    match by_count.max(by_age) {
        0 => 0,
        dropped if dropped <= first.len() => first[dropped - 1],
        dropped => second[dropped - 1 - first.len()],
    }
}
