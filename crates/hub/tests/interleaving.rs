//! Many concurrent threads: under every interleaving all readers see one order, no event is lost
//! inside the window, and losses outside it are reported.

mod vocabulary;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use ringway_hub::{Appender, DedupCache, First, Gap, Log, Reader, Sequence};
use vocabulary::*;

/// What one reader received, in order.
#[derive(Debug, Default)]
struct Story {
    events: Vec<(Sequence, String)>,
    gaps: Vec<Gap>,
}

impl Story {
    /// Follows once, for at most `at_once` events; each step is the next event or a gap.
    fn go_on(&mut self, reader: &mut Reader, log: &Log, at_once: usize) {
        let mut expected = reader.position() + 1;
        let mut left = at_once;
        let followed = reader.follow(log, |event| {
            assert_eq!(event.sequence(), expected, "the next one in order");
            assert!(event.sequence() <= log.head());
            self.events.push((expected, text(event).to_owned()));
            expected += 1;
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Err(gap) = followed {
            assert_eq!(gap.from, expected - 1, "a gap begins where was read to");
            assert!(gap.to > gap.from);
            assert_eq!(reader.position(), gap.to);
            self.gaps.push(gap);
        }
    }
}

/// `writers` threads append `count` events each that name their writer, while `readers` follow.
/// Returns the appended events by sequence, and what each reader received.
fn run(
    log: &Log,
    writers: usize,
    readers: usize,
    count: usize,
    at_once: usize,
) -> (BTreeMap<Sequence, String>, Vec<Story>) {
    let writing = AtomicUsize::new(writers);
    thread::scope(|scope| {
        let followers: Vec<_> = (0..readers)
            .map(|number| {
                let (mut reader, mut story, writing) = (log.reader(), Story::default(), &writing);
                assert_eq!(reader.position(), 0);
                scope.spawn(move || {
                    loop {
                        let was_writing = writing.load(Ordering::Acquire) > 0;
                        story.go_on(&mut reader, log, at_once);
                        if number % 2 == 1 {
                            thread::yield_now();
                        }
                        if !was_writing && reader.position() == log.head() {
                            return story;
                        }
                    }
                })
            })
            .collect();
        let appenders: Vec<_> = (0..writers)
            .map(|writer| {
                let writing = &writing;
                scope.spawn(move || {
                    let (mut appender, mut own) = (Appender::default(), Vec::new());
                    for number in 0..count {
                        let text = format!("{writer}/{number}");
                        let sent = draft("t", &text);
                        own.push((log.append(&mut appender, sent, Duration::ZERO), text));
                        if number % 64 == writer {
                            thread::yield_now();
                        }
                    }
                    writing.fetch_sub(1, Ordering::Release);
                    own
                })
            })
            .collect();
        let appended = appenders.into_iter().flat_map(|one| one.join().expect("a writer"));
        let appended = appended.collect();
        (appended, followers.into_iter().map(|one| one.join().expect("a reader")).collect())
    })
}

#[track_caller]
fn is_one_order(appended: &BTreeMap<Sequence, String>, stories: &[Story]) {
    for story in stories {
        let lost: u64 = story.gaps.iter().map(|gap| gap.to - gap.from).sum();
        assert_eq!(story.events.len() as u64 + lost, appended.len() as u64);
        for (sequence, text) in &story.events {
            assert_eq!(appended.get(sequence), Some(text), "at {sequence}");
        }
    }
}

/// Each writer's own events are in the order in which it appended them.
#[track_caller]
fn keeps_each_writers_order(appended: &BTreeMap<Sequence, String>) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for text in appended.values() {
        let (writer, number) = text.split_once('/').expect("who wrote it");
        let next = next.entry(writer).or_default();
        assert_eq!(number, next.to_string());
        *next += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn inside_the_window_nothing_is_lost(
        writers in 1..5_usize,
        readers in 1..5_usize,
        count in 0..600_usize,
        at_once in 1..400_usize,
        // More than is appended in all, and 3 to 15 segments hold everything.
        events_max in 2_600..20_000_u64,
    ) {
        let log = log(events_max);
        let (appended, stories) = run(&log, writers, readers, count, at_once);
        prop_assert_eq!(appended.len(), writers * count);
        keeps_each_writers_order(&appended);
        prop_assert!(stories.iter().all(|story| story.gaps.is_empty()));
        is_one_order(&appended, &stories);
        prop_assert_eq!(replay(&log, &[topic("t", 0)]), Ok(appended.into_keys().collect()));
    }

    #[test]
    fn outside_the_window_every_loss_is_reported(
        writers in 1..5_usize,
        readers in 1..5_usize,
        count in 0..600_usize,
        at_once in 1..100_usize,
        events_max in 0..200_u64,
    ) {
        let log = log(events_max);
        let (appended, stories) = run(&log, writers, readers, count, at_once);
        is_one_order(&appended, &stories);
        let first = log.first();
        prop_assert!(log.head() + 1 - first <= events_max + 1 + events_max / 16);
        let kept: Vec<u64> = appended.into_keys().filter(|sequence| *sequence >= first).collect();
        prop_assert_eq!(replay(&log, &[topic("t", first - 1)]), Ok(kept));
    }
}

/// Replays delay retention; even so the log must not exceed its bounds by more than a segment.
#[test]
fn concurrent_replays_and_appends_stay_within_the_bounds() {
    const EVENTS_MAX: u64 = 320;
    let log = log(EVENTS_MAX);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let after = log.first() - 1;
                    let through = log.head();
                    let mut expected = after;
                    let replayed = log.replay(&[topic("t", after)], through, NEVER, |event| {
                        expected += 1;
                        assert_eq!(event.sequence(), expected);
                        ControlFlow::Continue(())
                    });
                    if let Err(gap) = replayed {
                        assert!(gap.to > after);
                    }
                    let size = log.size();
                    assert!(size.events <= EVENTS_MAX + EVENTS_MAX / 16, "{size:?}");
                }
            });
        }
        let writers: Vec<_> = (0..3).map(|_| scope.spawn(|| append_many(&log, 20_000))).collect();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.head(), 60_000);
    assert!(log.size().events <= EVENTS_MAX + EVENTS_MAX / 16);
}

#[test]
fn an_encoding_is_made_once_by_the_first_reader() {
    let log = log(100_000);
    append_many(&log, 2_000);
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let replayed = log.replay(&[topic("t", 0)], 2_000, NEVER, |event| {
                    event.encode(0, |text| {
                        made.fetch_add(1, Ordering::Relaxed);
                        Some(vec![0; text.len()].into())
                    });
                    ControlFlow::Continue(())
                });
                assert_eq!(replayed.map(|replayed| replayed.visited), Ok(2_000));
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 2_000);
    let (before, again) = (log.size().bytes, log.size().bytes);
    assert_eq!(before, again);
}

#[test]
fn a_request_that_many_threads_repeat_is_performed_once() {
    let dedup_cache = DedupCache::new(100_000, NEVER);
    let made = AtomicUsize::new(0);
    let firsts: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut firsts = 0;
                    for number in 0..2_000 {
                        let id = number.to_string();
                        let make = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            number
                        };
                        let (value, first) = dedup_cache.once("ann", &id, Duration::ZERO, make);
                        assert_eq!(value, number);
                        firsts += usize::from(first == First::Yes);
                    }
                    firsts
                })
            })
            .collect();
        threads.into_iter().map(|one| one.join().expect("a thread")).sum()
    });
    assert_eq!((made.load(Ordering::Relaxed), firsts), (2_000, 2_000));
}
