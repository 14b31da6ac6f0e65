//! Topics that keep less than the log: their dropped events are a gap, and all other events are
//! visited once and in order.

mod vocabulary;

use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;
use ringway_hub::{Appender, Complete, Expiry, Gap, Interest, Key, Log, Sequence, TopicRetention};
use vocabulary::*;

const SECOND: Duration = Duration::from_secs(1);

/// A log in which some topics keep this many events, for this many seconds.
fn keeping(rules: &[(&'static str, u64, u32)]) -> Log {
    let rules = rules.to_vec();
    log(1 << 20).keeping_topics(move |topic| {
        let rule = rules.iter().find(|rule| rule.0 == topic)?;
        Some(TopicRetention { events_max: rule.1, age_max: rule.2 * SECOND })
    })
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Told {
    Event(Sequence),
    Gap(Sequence, Sequence),
}

/// Everything that a client receives when it reads to the end, `batch` events at a time.
fn read_all(log: &Log, interests: &[Interest<'_>], now: Duration, batch: usize) -> Vec<Told> {
    let (mut told, mut interests) = (Vec::new(), interests.to_vec());
    let advance = |interests: &mut Vec<Interest<'_>>, to: Sequence| {
        interests.iter_mut().for_each(|interest| interest.after = interest.after.max(to));
    };
    loop {
        let mut count = 0;
        let replayed = log.replay(&interests, log.head(), now, |event| {
            told.push(Told::Event(event.sequence()));
            count += 1;
            if count == batch { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match replayed {
            Ok(replayed) if replayed.complete == Complete::All => return told,
            Ok(_) => {
                let Some(Told::Event(last)) = told.last().copied() else { panic!("it stopped") };
                advance(&mut interests, last);
            }
            Err(Gap { from, to }) => {
                told.push(Told::Gap(from, to));
                advance(&mut interests, to);
            }
        }
    }
}

#[test]
fn a_topic_keeps_its_last_events_and_says_what_it_dropped() {
    let log = keeping(&[("t", 3, u32::MAX)]);
    append_many(&log, 10);
    let all = |after| read_all(&log, &[topic("t", after)], Duration::ZERO, usize::MAX);
    let kept = [8, 9, 10].map(Told::Event);
    assert_eq!(all(0), [&[Told::Gap(0, 7)], &kept[..]].concat());
    assert_eq!(all(6), [&[Told::Gap(6, 7)], &kept[..]].concat());
    assert_eq!(all(7), kept);
    assert_eq!(all(9), [Told::Event(10)]);
    let before_last = |most| log.before_last(Key::Topic("t"), 10, (most, 1 << 20), Duration::ZERO);
    assert_eq!([1, 2, 3, 4, 100].map(before_last), [9, 8, 7, 7, 7]);
}

#[test]
fn other_topics_are_read_between_the_dropped_events_of_one() {
    let log = keeping(&[("t", 1, u32::MAX)]);
    for name in ["t", "t", "u", "t", "v", "t", "u", "t"] {
        append(&log, to_topic(name));
    }
    let told = read_all(&log, &[topic("t", 0), topic("u", 0)], Duration::ZERO, usize::MAX);
    let expected =
        [Told::Gap(0, 2), Told::Event(3), Told::Gap(3, 6), Told::Event(7), Told::Event(8)];
    assert_eq!(told, expected);
}

#[test]
fn events_from_while_the_client_was_connected_are_not_dropped_for_it() {
    let log = keeping(&[("t", 2, u32::MAX)]);
    append_many(&log, 10);
    let came_at_5 = Interest { live_after: Some(5), ..topic("t", 3) };
    let told = read_all(&log, &[came_at_5], Duration::ZERO, usize::MAX);
    assert_eq!(told, (4..=10).map(Told::Event).collect::<Vec<_>>());
}

#[test]
fn an_expired_event_is_no_loss() {
    let log = keeping(&[("t", 1, u32::MAX)]);
    append(&log, ringway_hub::Draft { keep: Expiry::Until(SECOND), ..to_topic("t") });
    append_many(&log, 1);
    let told = |now| read_all(&log, &[topic("t", 0)], now, usize::MAX);
    assert_eq!(told(Duration::ZERO), [Told::Gap(0, 1), Told::Event(2)]);
    assert_eq!(told(SECOND), [Told::Event(2)]);
}

const NAMES: [&str; 3] = ["a", "b", "c"];

proptest! {
    #[test]
    fn reported_losses_equal_a_naive_model(
        events_max in 1..12_u64,
        age_max in 1..40_u32,
        sent in prop::collection::vec((0..NAMES.len(), 0..2_u32), 0..80),
        wanted in prop::collection::btree_map(
            0..NAMES.len(), (0..80_u64, prop::option::of(0..80_u64)), 1..4),
        batch in 1..20_usize,
        later in 0..20_u32,
    ) {
        // The last topic keeps what the log keeps.
        let log = keeping(&[("a", events_max, u32::MAX), ("b", u64::MAX, age_max)]);
        let (mut appender, mut seconds, mut all) = (Appender::default(), 0, Vec::new());
        for (name, pause) in &sent {
            seconds += pause;
            log.append(&mut appender, to_topic(NAMES[*name]), seconds * SECOND);
            all.push((all.len() as u64 + 1, *name, seconds));
        }
        let now = seconds + later;
        let is_dropped = |sequence: u64, name: usize, at: u32, live_after: Option<u64>| {
            let counted_to = live_after.unwrap_or(u64::MAX);
            let newer = all.iter().filter(|one| {
                one.1 == name && one.0 > sequence && one.0 <= counted_to
            });
            sequence <= counted_to && match name {
                0 => newer.count() as u64 >= events_max,
                1 => at + age_max <= now,
                _ => false,
            }
        };
        let mut expected: Vec<Told> = Vec::new();
        let mut seen = wanted.values().map(|wanted| wanted.0).min().expect("not empty");
        for (sequence, name, at) in &all {
            let Some((after, live_after)) = wanted.get(name) else { continue };
            if sequence <= after {
                continue;
            }
            if !is_dropped(*sequence, *name, *at, *live_after) {
                expected.push(Told::Event(*sequence));
            } else if let Some(Told::Gap(_, to)) = expected.last_mut() {
                *to = *sequence;
            } else {
                expected.push(Told::Gap(seen, *sequence));
            }
            seen = *sequence;
        }
        let interests: Vec<_> = wanted.iter().map(|(name, (after, live_after))| Interest {
            live_after: *live_after,
            ..topic(NAMES[*name], *after)
        }).collect();
        prop_assert_eq!(read_all(&log, &interests, now * SECOND, batch), expected);
    }
}
