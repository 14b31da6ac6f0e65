//! The wheel against a naive twin, a map that is scanned whole, and its guarantees one by one.
//!
//! Time is simulated; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn at(tick: u64) -> Duration {
    Duration::new(tick / TICKS_PER_SECOND, (tick % TICKS_PER_SECOND) as u32 * TICK_NANOS)
}

#[test]
fn deadlines_round_up_and_the_current_time_rounds_down() {
    let mut wheel = Wheel::default();
    wheel.touch(0, TICK + Duration::from_nanos(1));
    assert_eq!(wheel.next_deadline(), Some(2 * TICK));
    assert_eq!(wheel.expire(2 * TICK - Duration::from_nanos(1)), None);
    assert_eq!(wheel.expire(2 * TICK), Some(0));
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = Wheel::default();
    assert_eq!(wheel.expire(at(10)), None);
    wheel.touch(3, at(4));
    assert_eq!(wheel.next_deadline(), Some(at(10)));
    assert_eq!(wheel.expire(at(10)), Some(3));
}

#[test]
fn an_hour_away_deadline_is_checked_once_a_round() {
    let mut wheel = Wheel::default();
    wheel.touch(1, Duration::from_secs(3_600));
    let mut turns = 0;
    let due = loop {
        let now = wheel.next_deadline().unwrap();
        turns += 1;
        if wheel.expire(now).is_some() {
            break now;
        }
    };
    assert_eq!(due, Duration::from_secs(3_600));
    assert!(turns <= 3_600 / 32, "{turns}");
}

#[test]
fn a_deadline_beyond_the_range_is_shortened() {
    let mut wheel = Wheel::default();
    wheel.touch(1, Duration::MAX);
    assert_eq!(wheel.expire(AHEAD_MAX - TICK), None);
    assert_eq!(wheel.expire(AHEAD_MAX), Some(1));
}

#[test]
fn postponing_a_deadline_relinks_nothing() {
    let mut wheel = Wheel::default();
    wheel.touch(0, at(100));
    let occupied = wheel.occupied;
    wheel.touch(0, at(5_000));
    assert_eq!(wheel.occupied, occupied);
    wheel.touch(0, at(50));
    assert_ne!(wheel.occupied, occupied);
    assert_eq!(wheel.next_deadline(), Some(at(50)));
}

#[derive(Debug, Clone)]
enum Step {
    Touch { slot: u32, ahead: i64 },
    Cancel { slot: u32 },
    Expire { later: u64 },
    ExpireOne { later: u64 },
    SleepUntilNext,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = || prop_oneof![0..8u32, 500..520u32];
    let ahead = prop_oneof![-20..200i64, 4_000..4_200i64, 0..1_000_000i64];
    let later = || prop_oneof![0..3u64, 0..300u64, 4_090..4_100u64, 0..100_000u64];
    proptest::collection::vec(
        prop_oneof![
            6 => (slot(), ahead).prop_map(|(slot, ahead)| Step::Touch { slot, ahead }),
            1 => slot().prop_map(|slot| Step::Cancel { slot }),
            2 => later().prop_map(|later| Step::Expire { later }),
            1 => later().prop_map(|later| Step::ExpireOne { later }),
            2 => Just(Step::SleepUntilNext),
        ],
        1..200,
    )
}

/// The naive twin: a map, scanned whole.
#[derive(Default)]
struct Naive(BTreeMap<u32, u64>);

impl Naive {
    fn due(&self, now: u64) -> BTreeSet<u32> {
        self.0.iter().filter(|(_, deadline)| **deadline <= now).map(|(slot, _)| *slot).collect()
    }
}

fn replay(start: u64, steps: &[Step]) {
    let (mut wheel, mut naive, mut now) = (Wheel::starting_at(start), Naive::default(), start);
    for step in steps {
        match *step {
            Step::Touch { slot, ahead } => {
                let deadline = now.saturating_add_signed(ahead);
                wheel.touch(slot, at(deadline));
                naive.0.insert(slot, deadline);
            }
            Step::Cancel { slot } => {
                wheel.cancel(slot);
                naive.0.remove(&slot);
            }
            Step::ExpireOne { later } => {
                now += later;
                if let Some(slot) = wheel.expire(at(now)) {
                    assert!(naive.0.remove(&slot).unwrap() <= now, "{slot} was early");
                } else {
                    assert!(naive.due(now).is_empty());
                }
            }
            Step::Expire { later } => {
                now += later;
                expire_all(&mut wheel, &mut naive, now);
            }
            Step::SleepUntilNext => {
                expire_all(&mut wheel, &mut naive, now);
                let earliest = naive.0.values().min().copied();
                let next = wheel.next_deadline();
                assert_eq!(next.is_none(), earliest.is_none());
                if let (Some(next), Some(earliest)) = (next, earliest) {
                    assert!(next > at(now), "a zero wait");
                    assert!(next <= at(earliest), "overslept");
                    now = ticks_floor(next);
                }
            }
        }
    }
    // No deadline was lost.
    expire_all(&mut wheel, &mut naive, now + 2_000_000);
    assert!(naive.0.is_empty());
    assert_eq!(wheel.next_deadline(), None);
}

fn expire_all(wheel: &mut Wheel, naive: &mut Naive, now: u64) {
    let due: BTreeSet<u32> = std::iter::from_fn(|| wheel.expire(at(now))).collect();
    assert_eq!(due, naive.due(now));
    naive.0.retain(|_, deadline| *deadline > now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_wheel_equals_its_naive_twin(
        start in prop_oneof![Just(0), (1u64 << 32) - 10_000..1 << 32, 0..1u64 << 40],
        steps in steps(),
    ) {
        replay(start, &steps);
    }
}
