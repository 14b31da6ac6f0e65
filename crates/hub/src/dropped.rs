//! What a topic's own retention has dropped although the log still holds it.
//!
//! It says which part of a replay is a gap. It never takes anything out of the log: memory is
//! bounded by the log's own retention.

use std::time::Duration;

use crate::cursor::{Gap, Sequence};
use crate::history::History;
use crate::replay::{self, Interest, Key};
use crate::retention::TopicRetention;

/// Which retention a topic has; `None`: the log's.
pub(crate) type TopicRules = Box<dyn Fn(&str) -> Option<TopicRetention> + Send + Sync>;

/// What a replay must not visit.
#[derive(Debug)]
pub(crate) struct Dropped<'h, 'n> {
    /// The interests, each from behind what its topic has dropped.
    pub kept: Vec<Interest<'n>>,
    /// The first dropped event that some interest asks for.
    pub first: Option<Sequence>,
    /// What the interests ask for in vain.
    runs: Vec<[&'h [Sequence]; 2]>,
}

impl<'h, 'n> Dropped<'h, 'n> {
    /// Looks at what the rules have dropped of each topic.
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
            // An event whose time is over is no loss.
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

    /// The gap that begins with `first`, after all before it was visited. It ends before the next
    /// event that can be visited, so that its end is a cursor to go on from.
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

/// The newest event of a topic that its own retention has dropped, of those up to `counted_to`;
/// 0 when there is none.
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
