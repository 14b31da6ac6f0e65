//! Events with many recipients leave in parts: the cost of each part is bounded, and no reader sees
//! a part of an event leave.

use std::cmp;
use std::ops::RangeInclusive;

use super::*;
use crate::UNKEPT_GRACE;
use crate::history::KEYS_LEFT_AT_ONCE;

const RECIPIENTS: u64 = 1_500;
const NAMES: u64 = 2 * RECIPIENTS;

/// A segment of this log has four events, and leaves in several parts.
const EVENTS_MAX: u64 = 64;
const SEGMENT: u64 = EVENTS_MAX / 16;
const EVENTS: u64 = 100;

/// The numbers of an event's recipients; the first one differs with each event.
fn numbers(sequence: Sequence) -> impl Iterator<Item = u64> {
    let start = sequence * 7_919;
    (0..RECIPIENTS).map(move |number| (start + number) % NAMES)
}

fn is_for(sequence: Sequence, number: u64) -> bool {
    (number + NAMES - sequence * 7_919 % NAMES) % NAMES < RECIPIENTS
}

fn draft_for_many(sequence: Sequence) -> Draft {
    let names: Vec<String> = numbers(sequence).map(|number| number.to_string()).collect();
    draft().to_recipients(names.iter().map(String::as_str))
}

/// How many recipients of each event were told that it had left.
type Told = Arc<Mutex<Vec<usize>>>;

fn log_and_told() -> (Log, Told) {
    let told = Told::new(Mutex::new(vec![0; EVENTS as usize + 1]));
    let tells = Arc::clone(&told);
    let retention =
        Retention { events_max: EVENTS_MAX, bytes_max: 1 << 40, age_max: Duration::from_secs(60) };
    let log = Log::new(Epoch::new(1), retention).telling(move |event, part| {
        let told = &mut tells.lock().expect("whole")[event.sequence() as usize];
        assert_eq!(*told, part.start, "each recipient once, in order");
        *told = part.end;
    });
    (log, told)
}

fn sum(told: &Told) -> usize {
    told.lock().expect("whole").iter().sum()
}

/// Everything visible from outside agrees on which events have left.
fn check(log: &Log, told: &Told, newest: Sequence) {
    let first = log.first();
    for (sequence, told) in told.lock().expect("whole").iter().enumerate().skip(1) {
        let is_told = match (sequence as Sequence).cmp(&first) {
            cmp::Ordering::Less => *told == RECIPIENTS as usize,
            cmp::Ordering::Equal => *told < RECIPIENTS as usize,
            cmp::Ordering::Greater => *told == 0,
        };
        assert!(is_told, "{told} recipients of {sequence}, the first is {first}");
    }
    for number in (0..NAMES).step_by(61) {
        let name = number.to_string();
        let key = Key::Recipient(&name);
        let replay = |after| {
            let mut found = Vec::new();
            let interest = Interest { key, after, live_after: None };
            log.replay(&[interest], newest, Duration::ZERO, |event| {
                found.push(event.sequence());
                ControlFlow::Continue(())
            })
            .map(|_| found)
        };
        let for_it = |range: RangeInclusive<Sequence>| -> Vec<Sequence> {
            range.filter(|sequence| is_for(*sequence, number)).collect()
        };
        // A replay continues the trim when it ends.
        let first = log.first();
        let kept = for_it(first..=newest);
        assert_eq!(replay(first - 1), Ok(kept.clone()));
        let first = log.first();
        if first > 1 {
            assert_eq!(replay(first - 2), Err(Gap { from: first - 2, to: first - 1 }));
        }
        let kept = for_it(first..=newest);
        assert_eq!(log.holds(key), !kept.is_empty());
        let place = log.before_last(key, newest, (usize::MAX, usize::MAX), Duration::ZERO);
        assert_eq!(place, kept.first().map_or(newest, |oldest| oldest - 1));
    }
}

#[test]
fn a_part_is_bounded() {
    let (log, told) = log_and_told();
    let (mut appender, mut reader) = (Appender::default(), log.reader());
    let mut partly = 0;
    for sequence in 1..=EVENTS {
        let before = sum(&told);
        log.append(&mut appender, draft_for_many(sequence), Duration::ZERO);
        let appended = sum(&told);
        let followed = reader.follow(&log, |_| ControlFlow::Continue(()));
        followed.expect("no gap");
        for told in [appended - before, sum(&told) - appended] {
            assert!(told <= 2 * KEYS_LEFT_AT_ONCE, "{told} at once");
        }
        assert!(log.size().events <= EVENTS_MAX + SEGMENT, "as before, but for a segment");
        partly += usize::from(!appended.is_multiple_of(RECIPIENTS as usize));
    }
    assert!(log.first() > EVENTS - EVENTS_MAX - SEGMENT);
    assert!(partly > 0, "no event was left in the middle");
}

#[test]
fn an_event_that_is_half_gone_is_gone() {
    let (log, told) = log_and_told();
    let (mut appender, mut reader) = (Appender::default(), log.reader());
    for sequence in 1..=EVENTS {
        log.append(&mut appender, draft_for_many(sequence), Duration::ZERO);
        reader.follow(&log, |_| ControlFlow::Continue(())).expect("no gap");
        if sequence > EVENTS_MAX - SEGMENT {
            check(&log, &told, sequence);
        }
    }
}

#[test]
fn a_writer_whom_nobody_reads_stays_within_the_bounds() {
    let (log, told) = log_and_told();
    let mut appender = Appender::default();
    for sequence in 1..=EVENTS {
        log.append(&mut appender, draft_for_many(sequence), Duration::ZERO);
        assert!(log.size().events <= EVENTS_MAX + SEGMENT, "as before, but for a segment");
    }
    log.expire(Duration::from_secs(3_600));
    assert_eq!(log.size().events, 0);
    assert_eq!(sum(&told), (EVENTS * RECIPIENTS) as usize);
    assert!(!(0..NAMES).any(|number| log.holds(Key::Recipient(&number.to_string()))));
    assert_eq!(log.read().index().weight(), 0);
}

/// Only clients that still wanted an event that has left are told.
#[test]
fn only_an_event_that_is_still_wanted_is_told_of() {
    let [early, late] = [UNKEPT_GRACE - Duration::from_secs(1), UNKEPT_GRACE];
    for (keep, left_at, is_told) in [
        (Expiry::Window, early, true),
        (Expiry::Window, late, true),
        (Expiry::Until(late), early, true),
        (Expiry::Until(late), late, false),
        (Expiry::Never, early, true),
        (Expiry::Never, late, false),
    ] {
        let (log, told) = log_and_told();
        let mut appender = Appender::default();
        log.append(&mut appender, Draft { keep, ..draft_for_many(1) }, Duration::ZERO);
        while log.first() == 1 {
            log.append(&mut appender, draft(), left_at);
        }
        assert_eq!(told.lock().expect("whole")[1] > 0, is_told, "{keep:?} at {left_at:?}");
    }
}
