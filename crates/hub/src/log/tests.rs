//! What the log keeps alive, and for whom: tested inside the crate, where segments can be watched.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::cursor::Cursor;
use crate::event::Expiry;
use crate::interest::{CoreSet, InterestFilter};
use crate::pins::Pins;

fn log(events_max: u64) -> Log {
    let age_max = Duration::from_secs(1 << 40);
    Log::new(Epoch::new(1), Retention { events_max, bytes_max: 1 << 40, age_max })
}

fn draft() -> Draft {
    Draft::new("0".repeat(Cursor::TEXT_BYTES), 0).to_topic("t")
}

fn append_many(log: &Log, appender: &mut Appender, count: usize) {
    for _ in 0..count {
        log.append(appender, draft(), Duration::ZERO);
    }
}

fn last_segment(log: &Log) -> Weak<Segment<Event>> {
    Arc::downgrade(&log.chain.appender())
}

#[test]
fn neither_an_idle_writer_nor_a_sleeping_reader_keeps_a_segment() {
    let log = log(32);
    let (mut idle, mut busy, mut sleeping) =
        (Appender::default(), Appender::default(), log.reader());
    append_many(&log, &mut idle, 1);
    sleeping.follow(&log, |_| ControlFlow::Continue(())).expect("no gap");
    let segment = last_segment(&log);
    append_many(&log, &mut busy, 100);
    assert!(segment.upgrade().is_none());
    assert!(
        idle.segment.upgrade().is_none()
            && sleeping.follow(&log, |_| ControlFlow::Continue(())).is_err()
    );
    assert_eq!(log.append(&mut idle, draft(), Duration::ZERO), 102);
}

#[test]
fn a_segment_is_free_as_soon_as_it_is_retired() {
    let log = log(16);
    let mut appender = Appender::default();
    let mut seen = Vec::new();
    for _ in 0..100 {
        append_many(&log, &mut appender, 1);
        seen.push(last_segment(&log));
        assert!(seen.iter().filter(|segment| segment.strong_count() > 0).count() <= 17);
    }
}

#[test]
fn a_reader_holds_back_memory_only_while_it_visits() {
    let log = Arc::new(log(16));
    append_many(&log, &mut Appender::default(), 1);
    let mut reader = crate::Reader::at_newest(log.chain.appender(), 0);
    assert_eq!(reader.position(), 1);
    append_many(&log, &mut Appender::default(), 1);
    let mut held = Weak::new();
    reader
        .follow(&log, |event| {
            if event.sequence() == 2 {
                held = Arc::downgrade(log.read().segment_of(2));
                append_many(&log, &mut Appender::default(), 100);
                // The segment is retired, but stays whole for the visitor that is reading it.
                assert!(log.first() > 2 && held.upgrade().is_some());
            }
            assert_eq!(event.text().len(), Cursor::TEXT_BYTES);
            ControlFlow::Continue(())
        })
        .expect("no gap");
    assert_eq!(reader.position(), 102);
    assert!(held.upgrade().is_none());
}

#[test]
fn a_core_holds_back_memory_only_until_its_turn_ends() {
    let log = log(16);
    let (mut reader, mut pins) = (log.reader(), Pins::default());
    append_many(&log, &mut Appender::default(), 1);
    let segment = last_segment(&log);
    let mut pinned = None;
    reader
        .follow_pinning(&log, InterestFilter::ALL, &mut pins, |_, event| {
            pinned = Some(event);
            ControlFlow::Continue(())
        })
        .expect("no gap");
    append_many(&log, &mut Appender::default(), 100);
    assert!(log.first() > 1 && segment.upgrade().is_some());
    assert_eq!(pins.event(pinned.expect("an event")).sequence(), 1);
    pins.clear();
    assert!(segment.upgrade().is_none());
}

/// The claim order is the event order: a reader waits at a slot that is claimed and not filled.
#[test]
fn nobody_passes_a_slot_that_is_claimed_and_not_filled() {
    let log = log(1_600);
    let mut appender = Appender::default();
    let mut reader = log.reader();
    append_many(&log, &mut appender, 3);
    let segment = log.chain.appender();
    let index = segment.claim().expect("room");
    append_many(&log, &mut appender, 200);
    reader.follow(&log, |_| ControlFlow::Continue(())).expect("no gap");
    assert_eq!(reader.position(), 3);
    assert_eq!(log.reader().position(), 3);
    let all = [Interest { key: Key::Topic("t"), after: 0, live_after: None }];
    let replayed = |through| {
        let visit = |_: &Event| ControlFlow::Continue(());
        log.replay(&all, through, Duration::ZERO, visit).expect("no gap").visited
    };
    assert_eq!(replayed(3), 3);
    assert_eq!(replayed(204), 3, "what is not published is not waited for");
    let mut late = Event::new(draft(), Duration::ZERO);
    late.stamp(log.epoch(), 4);
    segment.fill(index, late, CoreSet::ALL);
    reader.follow(&log, |_| ControlFlow::Continue(())).expect("no gap");
    assert_eq!((reader.position(), log.reader().position(), replayed(204)), (204, 204, 204));
}

/// The kernel has suspended a writer for a whole window: its slot is retired unfilled, and the
/// readers that waited at it are told.
#[test]
fn a_slot_that_is_retired_unfilled_is_a_gap() {
    let log = log(16);
    let mut appender = Appender::default();
    let mut reader = log.reader();
    append_many(&log, &mut appender, 1);
    append_many(&log, &mut appender, 1);
    let full = log.chain.appender();
    let segment = log.roll(full, 0);
    let index = segment.claim().expect("room");
    append_many(&log, &mut appender, 100);
    drop(segment);
    assert_eq!(index, 0);
    let gap = reader.follow(&log, |_| ControlFlow::Continue(())).expect_err("a gap");
    assert_eq!(gap, Gap { from: 0, to: log.first() - 1 });
    reader.follow(&log, |_| ControlFlow::Continue(())).expect("no gap");
    assert_eq!((reader.position(), log.size().events), (103, 16));
}

/// During a replay the log may exceed its bound by one segment, but not by two: appends wait.
#[test]
fn a_replay_that_takes_long_does_not_let_the_log_grow() {
    let log = log(160);
    append_many(&log, &mut Appender::default(), 1_000);
    let (sender, receiver) = mpsc::channel();
    let history = log.read();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (sender, log) = (sender.clone(), &log);
            scope.spawn(move || {
                append_many(log, &mut Appender::default(), 100);
                sender.send(()).expect("the test waits");
            });
        }
        let waited = receiver.recv_timeout(Duration::from_millis(200));
        assert!(waited.is_err(), "no writer gets 100 events in");
        assert!(log.head() + 1 - log.first() <= 170, "{} {}", log.first(), log.head());
        drop(history);
        (0..4).for_each(|_| receiver.recv().expect("a writer"));
    });
    assert_eq!(log.head(), 1_400);
    assert!(log.size().events <= 160);
}

#[test]
fn closed_bytes_do_not_drift() {
    let log = log(64);
    let mut appender = Appender::default();
    let mut reader = log.reader();
    for round in 0..2_000 {
        append_many(&log, &mut appender, round % 7);
        let _ = reader.follow(&log, |event| {
            event.encode(0, |_| Some(vec![0; 10].into()));
            ControlFlow::Continue(())
        });
        let mut history = log.write();
        history.extend();
        let closed = history.closed_bytes();
        drop(history);
        assert_eq!(log.closed_bytes.sum(), closed);
    }
}

mod interest;
mod leaving;
