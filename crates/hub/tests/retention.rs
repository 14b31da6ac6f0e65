//! What is kept: up to each bound, never more than a segment beyond it, and nothing for ever.

mod vocabulary;

use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;
use ringway_hub::{Appender, Gap, Key, Log, Retention};
use vocabulary::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_bound_of_ten_events_keeps_ten() {
    let log = log(10);
    append_many(&log, 10);
    assert_eq!((log.first(), log.size().events), (1, 10));
    append_many(&log, 1);
    assert_eq!((log.first(), log.size().events), (2, 10));
}

#[test]
fn a_log_of_no_events_still_delivers() {
    let log = log(0);
    let mut reader = log.reader();
    append_many(&log, 1);
    assert_eq!(follow(&mut reader, &log), Ok(vec![1]));
    append_many(&log, 5);
    assert!(log.size().events <= 1);
    assert_eq!(follow(&mut reader, &log), Err(Gap { from: 1, to: 5 }));
    assert_eq!(follow(&mut reader, &log), Ok(vec![6]));
}

#[test]
fn bytes_are_bounded() {
    let bytes_max = 1 << 20;
    let log = Log::new(EPOCH, Retention { events_max: 1 << 40, bytes_max, age_max: NEVER });
    let text = "x".repeat(1_000);
    for number in 0..10_000 {
        append(&log, draft("t", &text));
        let size = log.size();
        assert!(size.bytes + size.index_bytes <= bytes_max + bytes_max / 16, "{size:?}");
        if number > 2_000 {
            assert!(size.bytes > bytes_max / 16 * 13, "{size:?}");
        }
    }
}

#[test]
fn an_event_larger_than_the_bound_is_delivered_and_then_dropped() {
    let retention = Retention { events_max: 1_000, bytes_max: 10_000, age_max: NEVER };
    let log = Log::new(EPOCH, retention);
    let mut reader = log.reader();
    append(&log, draft("t", &"x".repeat(100_000)));
    assert_eq!(follow(&mut reader, &log), Ok(vec![1]));
    append_many(&log, 1);
    assert_eq!(follow(&mut reader, &log), Ok(vec![2]));
    assert!(log.size().bytes < 1_000);
}

#[test]
fn encodings_count() {
    let bytes_max = 1 << 20;
    let retention = Retention { events_max: 1_000_000, bytes_max, age_max: NEVER };
    let log = Log::new(EPOCH, retention);
    let (mut reader, mut appender) = (log.reader(), Appender::default());
    for _ in 0..100 {
        // Encodings are made while the events are in the open segment, and after it was closed.
        for _ in 0..10 {
            log.append(&mut appender, to_topic("t"), SECOND);
        }
        reader
            .follow(&log, |event| {
                event.encode(0, |_| Some(vec![0; 10_000].into()));
                ControlFlow::Continue(())
            })
            .expect("no gap");
        let size = log.size();
        assert!(size.bytes + size.index_bytes <= bytes_max + 100_000 + bytes_max / 16, "{size:?}");
    }
    assert!(log.first() > 800);
}

#[test]
fn an_encoding_that_a_replay_makes_counts() {
    let log = log(1_000);
    append_many(&log, 100);
    let before = log.size().bytes;
    for _ in 0..2 {
        log.replay(&[topic("t", 0)], log.head(), SECOND, |event| {
            event.encode(0, |_| Some(vec![0; 1_000].into()));
            ControlFlow::Continue(())
        })
        .expect("no gap");
        assert_eq!(log.size().bytes, before + 100_000);
    }
}

#[test]
fn the_index_counts_towards_the_bytes() {
    let bytes_max = 1 << 20;
    let retention = Retention { events_max: 1 << 40, bytes_max, age_max: NEVER };
    let log = Log::new(EPOCH, retention);
    let mut reader = log.reader();
    for number in 0..200 {
        let names: Vec<String> = (0..200).map(|other| format!("{number}-{other}")).collect();
        append(&log, to_recipients(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        follow(&mut reader, &log).expect("no gap");
        let size = log.size();
        assert!(size.bytes + size.index_bytes <= 2 * bytes_max, "{size:?}");
        assert!(number < 50 || size.events > 35, "{size:?}");
        assert!(number < 50 || size.index_bytes > 3 * size.bytes, "{size:?}");
    }
}

#[test]
fn events_expire_by_age_while_others_arrive() {
    let log = Log::new(EPOCH, Retention { age_max: 80 * SECOND, ..retention(1_000_000) });
    let mut appender = Appender::default();
    for second in 0..1_000 {
        log.append(&mut appender, to_topic("t"), second * SECOND);
        log.expire(second * SECOND);
        let oldest = u64::from(second + 1).saturating_sub(80 + 10 + 1);
        assert!(log.first() > oldest, "{second}: {}", log.first());
        assert!(log.first() <= u64::from(second + 1).saturating_sub(80) + 1, "{second}");
    }
}

#[test]
fn events_expire_by_age_when_nothing_is_appended() {
    let log = Log::new(EPOCH, Retention { age_max: 80 * SECOND, ..retention(1_000) });
    let mut appender = Appender::default();
    let mut reader = log.reader();
    for _ in 0..5 {
        log.append(&mut appender, to_topic("t"), 100 * SECOND);
    }
    assert_eq!(follow(&mut reader, &log), Ok((1..=5).collect()));
    log.expire(179 * SECOND);
    assert_eq!(replay(&log, &[topic("t", 0)]), Ok((1..=5).collect()));
    log.expire(191 * SECOND);
    assert_eq!((log.first(), log.head()), (6, 5));
    assert_eq!(replay(&log, &[topic("t", 4)]), Err(Gap { from: 4, to: 5 }));
    assert_eq!(replay(&log, &[topic("t", 5)]), Ok(vec![]));
    assert_eq!(follow(&mut reader, &log), Ok(vec![]), "it had read every event that was dropped");
    let size = log.size();
    assert_eq!((size.events, size.bytes, size.segments), (0, 0, 1));
}

#[test]
fn a_long_idle_time_does_not_age_later_events() {
    let log = Log::new(EPOCH, Retention { age_max: 80 * SECOND, ..retention(1_000) });
    let mut appender = Appender::default();
    for hour in 1..10 {
        let now = hour * 3_600 * SECOND;
        log.append(&mut appender, to_topic("t"), now);
        log.expire(now + 79 * SECOND);
        assert_eq!(log.size().events, 1, "{hour}");
    }
}

#[test]
fn an_age_of_zero_keeps_nothing_that_is_closed() {
    let log = Log::new(EPOCH, Retention { age_max: Duration::ZERO, ..retention(1_000) });
    let mut appender = Appender::default();
    for second in 1..20 {
        log.append(&mut appender, to_topic("t"), second * SECOND);
        assert_eq!(log.size().events, 1);
    }
    log.expire(20 * SECOND);
    assert_eq!(log.size().events, 0);
}

#[test]
fn a_clock_that_goes_back_is_tolerated() {
    let log = Log::new(EPOCH, Retention { age_max: 80 * SECOND, ..retention(100) });
    let mut appender = Appender::default();
    for number in 0..1_000_u64 {
        log.append(
            &mut appender,
            to_topic("t"),
            Duration::from_secs(1_000_000 - number * 977 % 5_000),
        );
        log.expire(Duration::from_secs(number));
    }
    log.append(&mut appender, to_topic("t"), Duration::MAX);
    log.expire(Duration::MAX);
    assert!(log.size().events <= 100);
}

#[test]
fn index_entries_are_removed_with_their_events() {
    let log = log(160);
    let mut reader = log.reader();
    for number in 0..100_000 {
        append(&log, to_recipients(&[&format!("client-{number}"), "all"]));
        if number % 100 == 0 {
            follow(&mut reader, &log).expect("no gap");
        }
    }
    assert!(!log.holds(Key::Recipient("client-17")));
    assert!(log.holds(Key::Recipient("client-99999")));
    let size = log.size();
    assert!(size.index_bytes < 100 * 1_024, "{size:?}");
    let kept = (log.first()..=log.head()).collect::<Vec<_>>();
    assert_eq!(replay(&log, &[recipient("all", log.first() - 1)]), Ok(kept));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bound_is_exceeded_by_more_than_a_segment(
        events_max in 0..300_u64,
        bytes_max in 1_000..200_000_u64,
        age_max in 1..100_u32,
        steps in prop::collection::vec((0..40_u32, 0..2_000_usize), 1..400),
    ) {
        let retention = Retention { events_max, bytes_max, age_max: age_max * SECOND };
        let log = Log::new(EPOCH, retention);
        let (mut appender, mut reader, mut now) = (Appender::default(), log.reader(), Duration::ZERO);
        let mut appended_at = vec![Duration::ZERO];
        for (tenths, length) in steps {
            now += tenths * SECOND / 10;
            let sent = draft("t", &"x".repeat(length));
            let sequence = log.append(&mut appender, sent, now);
            appended_at.push(now);
            log.expire(now);
            let size = log.size();
            prop_assert_eq!(sequence, log.head());
            prop_assert_eq!(size.events, sequence + 1 - log.first());
            prop_assert!(size.events <= events_max.max(1));
            // The event that closes a segment may take it over its share.
            prop_assert!(size.bytes <= bytes_max + bytes_max / 16 + 2_300, "{:?}", size);
            if log.first() <= sequence {
                let age = now - appended_at[log.first() as usize];
                prop_assert!(age <= retention.age_max + retention.age_max / 8);
            }
            let before = reader.position();
            match follow(&mut reader, &log) {
                Ok(visited) => prop_assert_eq!(visited, (before + 1..=sequence).collect::<Vec<_>>()),
                Err(gap) => prop_assert_eq!(gap, Gap { from: before, to: log.first() - 1 }),
            }
        }
        log.expire(now + 2 * retention.age_max);
        prop_assert_eq!((log.size().events, log.size().bytes), (0, 0));
        prop_assert_eq!(log.first(), log.head() + 1);
    }
}
