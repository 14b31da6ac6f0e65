//! What a client that was away gets: the same as a naive search through the log finds, at a cost in
//! proportion to the result.

mod vocabulary;

use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;
use ringway_hub::{Appender, Complete, Draft, Expiry, Gap, Interest, Key, Replayed, UNKEPT_GRACE};
use vocabulary::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_replay_merges_its_interests_in_order() {
    let log = log(1_000);
    for number in 0..30 {
        append(
            &log,
            match number % 3 {
                0 => to_topic("news"),
                1 => to_topic("sport"),
                _ => to_recipients(&["bob", "ann"]),
            },
        );
    }
    let interests = [topic("sport", 20), recipient("ann", 0), topic("news", 25)];
    let expected = (1..=30)
        .filter(|sequence| match (sequence - 1) % 3 {
            0 => *sequence > 25,
            1 => *sequence > 20,
            _ => true,
        })
        .collect();
    assert_eq!(replay(&log, &interests), Ok(expected));
}

#[test]
fn no_interest_and_unknown_interests_find_nothing() {
    let log = log(16);
    let nothing = Replayed { visited: 0, touched: 0, complete: Complete::All };
    assert_eq!(replay_at(&log, &[], SECOND), Ok((vec![], nothing)));
    append_many(&log, 100);
    assert_eq!(replay_at(&log, &[], SECOND), Ok((vec![], nothing)));
    assert_eq!(replay(&log, &[topic("other", 99), recipient("t", 99)]), Ok(vec![]));
    assert_eq!(replay(&log, &[topic("t", u64::MAX)]), Ok(vec![]));
}

#[test]
fn a_repeated_interest_gives_each_event_once() {
    let log = log(1_000);
    append_many(&log, 10);
    append(&log, to_recipients(&["ann", "bob"]));
    let interests = [topic("t", 5), topic("t", 2), topic("t", 5), topic("t", 9)];
    assert_eq!(replay(&log, &interests), Ok((3..=10).collect()));
    assert_eq!(replay(&log, &[recipient("ann", 0), recipient("bob", 0)]), Ok(vec![11]));
}

#[test]
fn a_thousand_interests_are_merged() {
    let log = log(100_000);
    let names: Vec<String> = (0..1_000).map(|number| format!("topic-{number}")).collect();
    for number in 0..5_000 {
        append(&log, to_topic(&names[number * 7 % 1_000]));
    }
    let interests: Vec<_> = names.iter().map(|name| topic(name, 0)).collect();
    assert_eq!(replay(&log, &interests), Ok((1..=5_000).collect()));
}

#[test]
fn a_replay_ends_with_through() {
    let log = log(1_000);
    append_many(&log, 20);
    let mut visited = Vec::new();
    let replayed = log.replay(&[topic("t", 3)], 12, SECOND, |event| {
        visited.push(event.sequence());
        ControlFlow::Continue(())
    });
    assert_eq!(replayed, Ok(Replayed { visited: 9, touched: 9, complete: Complete::All }));
    assert_eq!(visited, (4..=12).collect::<Vec<_>>());
}

#[test]
fn a_visitor_that_breaks_stops_after_the_event() {
    let log = log(1_000);
    append_many(&log, 20);
    let (mut after, mut visited) = (0, Vec::new());
    loop {
        let mut room = 3;
        let replayed = log.replay(&[topic("t", after)], 20, SECOND, |event| {
            visited.push(event.sequence());
            room -= 1;
            if room == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        after = *visited.last().expect("events");
        if replayed.expect("no gap").complete == Complete::All {
            break;
        }
    }
    assert_eq!(visited, (1..=20).collect::<Vec<_>>());
}

#[test]
fn events_that_left_the_log_are_a_gap_and_are_not_visited() {
    let log = log(16);
    append_many(&log, 100);
    let to = log.first() - 1;
    let interests = [topic("t", to), topic("other", 4)];
    assert_eq!(replay(&log, &interests), Err(Gap { from: 4, to }));
    assert_eq!(replay(&log, &[topic("t", to - 1)]), Err(Gap { from: to - 1, to }));
    assert_eq!(replay(&log, &[topic("t", to)]), Ok((to + 1..=100).collect()));
}

#[test]
fn events_are_kept_for_their_ttl() {
    let log = log(1_000);
    let mut reader = log.reader();
    for keep in
        [Expiry::Window, Expiry::Until(10 * SECOND), Expiry::Never, Expiry::Until(20 * SECOND)]
    {
        append(&log, Draft { keep, ..to_topic("t") });
        append(&log, Draft { keep, ..to_recipients(&["ann"]) });
    }
    let interests = [topic("t", 0), recipient("ann", 0)];
    let visited = |now| replay_at(&log, &interests, now).map(|(visited, _)| visited);
    assert_eq!(visited(9 * SECOND), Ok(vec![1, 2, 3, 4, 7, 8]));
    assert_eq!(visited(10 * SECOND), Ok(vec![1, 2, 7, 8]));
    assert_eq!(visited(30 * SECOND), Ok(vec![1, 2]));
    assert_eq!(
        follow(&mut reader, &log),
        Ok((1..=8).collect()),
        "a connected client gets every event"
    );
}

/// An event that is not kept is for clients that state that they were connected when it came, and
/// for its recipients for a short time. Others neither get nor touch such an event of a topic.
#[test]
fn unkept_events_are_only_for_clients_that_were_connected() {
    let log = log(1_000);
    for _ in 0..50 {
        append(&log, Draft { keep: Expiry::Never, ..to_topic("t") });
        append(&log, Draft { keep: Expiry::Never, ..to_recipients(&["ann"]) });
    }
    let later = UNKEPT_GRACE;
    let own = |live_after| Interest { live_after, ..recipient("ann", 90) };
    let of_topic = |live_after| Interest { live_after, ..topic("t", 90) };
    for (interest, now, expected) in [
        (own(None), Duration::ZERO, vec![]),
        (own(Some(100)), Duration::ZERO, vec![92, 94, 96, 98, 100]),
        (own(Some(100)), later, vec![]),
        (own(Some(96)), later, vec![98, 100]),
        (own(Some(0)), later, vec![92, 94, 96, 98, 100]),
        (of_topic(None), Duration::ZERO, vec![]),
        (of_topic(Some(100)), Duration::ZERO, vec![]),
        (of_topic(Some(95)), later, vec![97, 99]),
        (of_topic(Some(0)), later, vec![91, 93, 95, 97, 99]),
    ] {
        let (visited, replayed) = replay_at(&log, &[interest], now).expect("no gap");
        assert_eq!(visited, expected, "{interest:?} at {now:?}");
        assert!(replayed.touched <= 5, "{replayed:?}");
    }
    assert!(!log.holds(Key::Recipient("ann")), "nothing is kept");
}

#[test]
fn a_replay_needs_no_follower() {
    let log = log(1_000_000);
    append_many(&log, 5_000);
    assert_eq!(replay(&log, &[topic("t", 4_990)]), Ok((4_991..=5_000).collect()));
    append_many(&log, 5_000);
    assert_eq!(replay(&log, &[topic("t", 9_990)]), Ok((9_991..=10_000).collect()));
}

/// The reconnect storm: 10,000 clients that each missed 100 of 1,000,000 events.
#[test]
fn a_replay_touches_what_it_returns_and_nothing_else() {
    const CLIENTS: u64 = 10_000;
    const MISSED: u64 = 100;
    let log = log(2 * CLIENTS * MISSED);
    let names: Vec<String> = (0..CLIENTS).map(|number| format!("client-{number}")).collect();
    let (mut appender, mut reader) = (Appender::default(), log.reader());
    for number in 0..CLIENTS * MISSED {
        let name = names[(number % CLIENTS) as usize].as_str();
        log.append(&mut appender, to_recipients(&[name]), SECOND);
        if number % 4_096 == 0 {
            follow(&mut reader, &log).expect("no gap");
        }
    }
    let before = log.postings_touched();
    for name in &names {
        let interests = [recipient(name, 0), topic("news", 0)];
        let mut visited = 0;
        let replayed = log.replay(&interests, log.head(), SECOND, |_| {
            visited += 1;
            ControlFlow::Continue(())
        });
        let all = Replayed { visited: MISSED, touched: MISSED, complete: Complete::All };
        assert_eq!(replayed, Ok(all));
        assert_eq!(visited, MISSED);
    }
    assert_eq!(log.postings_touched() - before, CLIENTS * MISSED);
    // A client that has seen most of it costs only the rest.
    let before = log.postings_touched();
    let seen = CLIENTS * (MISSED - 1);
    assert_eq!(replay(&log, &[recipient(&names[5], seen)]), Ok(vec![seen + 6]));
    assert_eq!(log.postings_touched() - before, 1);
}

/// An event in the naive log.
#[derive(Debug, Clone)]
struct Sent {
    topic: Option<usize>,
    recipients: Vec<usize>,
    keep: Expiry,
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "", "名前"];

impl Sent {
    fn draft(&self) -> Draft {
        let names = self.recipients.iter().map(|number| NAMES[*number]);
        let draft = match self.topic {
            Some(topic) => draft(NAMES[topic], ""),
            None => to_recipients(&names.collect::<Vec<_>>()),
        };
        Draft { keep: self.keep, ..draft }
    }

    fn is_for(&self, interest: &Interest<'_>) -> bool {
        match interest.key {
            Key::Topic(topic) => self.topic.is_some_and(|own| NAMES[own] == topic),
            Key::Recipient(name) => {
                self.topic.is_none() && self.recipients.iter().any(|own| NAMES[*own] == name)
            }
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let keep = prop_oneof![
        4 => Just(Expiry::Window),
        2 => (0..20_u32).prop_map(|seconds| Expiry::Until(seconds * SECOND)),
        1 => Just(Expiry::Never),
    ];
    let names = prop::sample::subsequence((0..NAMES.len()).collect::<Vec<_>>(), 0..=NAMES.len());
    (prop::option::of(0..NAMES.len()), names, keep).prop_map(|(topic, recipients, keep)| Sent {
        topic,
        recipients,
        keep,
    })
}

proptest! {
    #[test]
    fn a_replay_equals_a_naive_search(
        events_max in 1..200_u64,
        all in prop::collection::vec(sent(), 0..300),
        follow_every in 1..100_usize,
        wanted in prop::collection::vec((0..2, 0..NAMES.len(), 0..300_u64), 0..8),
        through in 0..300_u64,
        now in 0..20_u32,
    ) {
        let (log, mut appender) = (log(events_max), Appender::default());
        let mut reader = log.reader();
        for (number, sent) in all.iter().enumerate() {
            log.append(&mut appender, sent.draft(), Duration::ZERO);
            if number % follow_every == 0 {
                let _ = follow(&mut reader, &log);
            }
        }
        let interests: Vec<_> = wanted
            .iter()
            .map(|(kind, name, after)| match kind {
                0 => topic(NAMES[*name], *after),
                _ => recipient(NAMES[*name], *after),
            })
            .collect();
        let mut visited = Vec::new();
        let replayed = log.replay(&interests, through, now * SECOND, |event| {
            visited.push(event.sequence());
            ControlFlow::Continue(())
        });
        let from = interests.iter().map(|interest| interest.after).min();
        if let Some(from) = from && from + 1 < log.first() {
            prop_assert_eq!(replayed, Err(Gap { from, to: log.first() - 1 }));
            prop_assert!(visited.is_empty());
            return Ok(());
        }
        let has_time = |keep| match keep {
            Expiry::Window => true,
            Expiry::Until(end) => end > now * SECOND,
            Expiry::Never => false,
        };
        let naive: Vec<u64> = (1..)
            .zip(&all)
            .filter(|(sequence, sent)| {
                *sequence <= through
                    && has_time(sent.keep)
                    && interests.iter().any(|one| *sequence > one.after && sent.is_for(one))
            })
            .map(|(sequence, _)| sequence)
            .collect();
        let replayed = replayed.map(|all| (all.visited, all.complete));
        prop_assert_eq!(replayed, Ok((naive.len() as u64, Complete::All)));
        prop_assert_eq!(visited, naive);
    }
}
