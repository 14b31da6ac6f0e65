//! The rules of the queue, alone and in random histories.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn bounds() -> Bounds {
    Bounds {
        entries_max: 100,
        bytes_max: 1_000,
        batch_max: 1,
        batch_bytes_max: 100,
        in_flight_max: 4,
        age_max: 60 * SECOND,
        backoff: Backoff { first: SECOND, longest: 16 * SECOND },
    }
}

fn queue(entries: &[(&str, u32)], bounds: Bounds) -> Queue<u32> {
    let mut queue = Queue::new(bounds);
    for (client, item) in entries {
        queue.push(client, *item, 1, Duration::ZERO).unwrap();
    }
    queue
}

/// Delays are the longest possible.
fn end(queue: &mut Queue<u32>, batch: Batch<u32>, outcome: Outcome, now: Duration) -> Left {
    queue.complete(batch, outcome, now, || u32::MAX)
}

#[test]
fn a_clients_events_wait_for_each_other_and_those_of_others_do_not() {
    let mut queue = queue(&[("ann", 1), ("ann", 2), ("bob", 3), ("bob", 4)], bounds());
    let now = Duration::ZERO;
    let [ann, bob] = [(); 2].map(|()| queue.next(now).unwrap());
    assert_eq!((&ann.items, &bob.items), (&vec![1], &vec![3]));
    assert!(queue.next(now).is_none());
    assert_eq!(end(&mut queue, ann, Outcome::Failed, now), Left::default());
    assert_eq!(end(&mut queue, bob, Outcome::Taken, now).taken, 1);
    let bob = queue.next(now).unwrap();
    assert_eq!(bob.items, [4]);
    end(&mut queue, bob, Outcome::Taken, now);
    assert!(queue.next(now).is_none());
    assert_eq!(queue.next_time(now), Some(SECOND));
    let ann = queue.next(SECOND).unwrap();
    assert_eq!(ann.items, [1], "it is still the first one");
    end(&mut queue, ann, Outcome::Failed, SECOND);
    assert_eq!(queue.next_time(SECOND), Some(3 * SECOND), "the delay doubles");
    assert_eq!(queue.len(), 2);
}

#[test]
fn what_does_not_fit_is_rejected_and_displaces_nothing() {
    let mut queue = Queue::new(Bounds { entries_max: 3, ..bounds() });
    let now = Duration::ZERO;
    queue.push("ann", 1, 5_000, now).expect("it is the only one");
    assert_eq!(queue.push("bob", 2, 1, now), Err(Full));
    let large = queue.next(now).unwrap();
    assert_eq!(queue.push("bob", 2, 1, now), Err(Full), "what is in flight counts");
    end(&mut queue, large, Outcome::Taken, now);
    for item in 2..5 {
        queue.push("bob", item, 1, now).unwrap();
    }
    assert_eq!(queue.push("carl", 5, 1, now), Err(Full));
    assert_eq!(queue.next(now).unwrap().items, [2]);
}

#[test]
fn a_batch_takes_many_clients_and_splits_when_it_is_refused() {
    let entries = [("ann", 1), ("bob", 2), ("ann", 3), ("carl", 4)];
    let mut queue = queue(&entries, Bounds { batch_max: 10, ..bounds() });
    let now = Duration::ZERO;
    let batch = queue.next(now).unwrap();
    assert_eq!(batch.items, [1, 3, 2, 4]);
    queue.push("ann", 5, 1, now).unwrap();
    assert!(queue.next(now).is_none(), "ann has events in flight");
    assert_eq!(end(&mut queue, batch, Outcome::Refused, now), Left::default());
    let mut seen = Vec::new();
    while let Some(batch) = queue.next(now) {
        seen.push(batch.items.clone());
        let is_bad = batch.items == [2];
        let outcome = if is_bad { Outcome::Refused } else { Outcome::Taken };
        let left = end(&mut queue, batch, outcome, now);
        assert_eq!(left.refused, u64::from(is_bad));
    }
    assert_eq!(seen, [vec![1], vec![2], vec![4], vec![3], vec![5]]);
    assert!(queue.is_empty());
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let mut queue = Queue::new(Bounds { batch_max: 10, ..bounds() });
    for (item, bytes) in [(1, 60), (2, 40), (3, 1), (4, 200), (5, 1)] {
        queue.push("ann", item, bytes, Duration::ZERO).unwrap();
    }
    for expected in [vec![1, 2], vec![3], vec![4], vec![5]] {
        let batch = queue.next(Duration::ZERO).unwrap();
        assert_eq!(batch.items, expected);
        end(&mut queue, batch, Outcome::Taken, Duration::ZERO);
    }
}

#[test]
fn an_application_that_is_down_gets_one_request_at_a_time_until_it_takes_one() {
    let entries: Vec<_> = (0..10).map(|number| ["a", "b", "c", "d", "e"][number % 5]).collect();
    let entries: Vec<_> = entries.iter().zip(0..).map(|(client, item)| (*client, item)).collect();
    let mut queue = queue(&entries, bounds());
    let mut now = Duration::ZERO;
    let wave: Vec<_> = std::iter::from_fn(|| queue.next(now)).collect();
    assert_eq!(wave.len(), 4);
    for batch in wave {
        end(&mut queue, batch, Outcome::Unavailable(None), now);
    }
    // Four failures of one wave are one.
    assert_eq!(queue.next_time(now), Some(SECOND));
    for delay in [2, 4, 8, 16, 16] {
        now = queue.next_time(now).unwrap();
        let probe = queue.next(now).unwrap();
        assert!(queue.next(now).is_none(), "one at a time");
        end(&mut queue, probe, Outcome::Unavailable(None), now);
        assert_eq!(queue.next_time(now), Some(now + delay * SECOND));
    }
    now = queue.next_time(now).unwrap();
    let probe = queue.next(now).unwrap();
    end(&mut queue, probe, Outcome::Taken, now);
    assert!(queue.next(now).is_some() && queue.next(now).is_some());
}

#[test]
fn an_application_says_when_it_wants_to_be_asked_again() {
    let mut queue = queue(&[("ann", 1), ("bob", 2)], bounds());
    let batch = queue.next(Duration::ZERO).unwrap();
    end(&mut queue, batch, Outcome::Unavailable(Some(5 * SECOND)), Duration::ZERO);
    assert_eq!(queue.next_time(Duration::ZERO), Some(5 * SECOND));
    let batch = queue.next(5 * SECOND).unwrap();
    end(&mut queue, batch, Outcome::Unavailable(Some(900 * SECOND)), 5 * SECOND);
    assert_eq!(queue.next_time(5 * SECOND), Some(21 * SECOND), "but not for ever");
}

#[test]
fn many_errors_in_a_row_are_an_application_that_is_down() {
    let clients: Vec<_> = (0..20).map(|number| format!("client {number}")).collect();
    let mut queue = Queue::new(bounds());
    for (item, client) in clients.iter().enumerate() {
        queue.push(client, item as u32, 1, Duration::ZERO).unwrap();
    }
    for _ in 0..ERRORS_IN_A_ROW {
        let batch = queue.next(Duration::ZERO).unwrap();
        end(&mut queue, batch, Outcome::Failed, Duration::ZERO);
    }
    assert!(queue.next(Duration::ZERO).is_none());
    assert_eq!(queue.next_time(Duration::ZERO), Some(SECOND));
}

#[test]
fn old_events_are_given_up_and_counted() {
    let mut queue = queue(&[("ann", 1), ("bob", 2), ("bob", 3)], bounds());
    let now = 59 * SECOND;
    let batch = queue.next(now).unwrap();
    queue.push("bob", 4, 1, now).unwrap();
    assert_eq!(end(&mut queue, batch, Outcome::Failed, now).expired, 0);
    let batch = queue.next(60 * SECOND).unwrap();
    let left = end(&mut queue, batch, Outcome::Failed, 60 * SECOND);
    assert_eq!((left.expired, queue.len()), (3, 1));
    assert_eq!(queue.next(80 * SECOND).unwrap().items, [4]);
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Send,
    Complete(u8, Outcome),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Taken),
        1 => Just(Outcome::Refused),
        2 => Just(Outcome::Failed),
        2 => Just(Outcome::Unavailable(None)),
        1 => (0..20_u64).prop_map(|time| Outcome::Unavailable(Some(Duration::from_secs(time)))),
    ];
    prop_oneof![
        4 => (0..6_u8).prop_map(Step::Push),
        4 => Just(Step::Send),
        3 => (any::<u8>(), outcome).prop_map(|(which, outcome)| Step::Complete(which, outcome)),
        1 => (0..5_u8).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: at most one request has entries of a client, and they are its oldest ones;
    /// an entry that was taken is never sent again; the bounds hold; and once the application
    /// is well, everything that was added and not refused arrives.
    #[test]
    fn nothing_is_lost_overtaken_or_sent_again(
        steps in prop::collection::vec(step(), 0..200),
        batch_max in 1..6_usize,
        seed in any::<u64>(),
    ) {
        let bounds = Bounds { entries_max: 12, batch_max, in_flight_max: 3, ..bounds() };
        let bounds = Bounds { age_max: Duration::MAX / 4, ..bounds };
        let mut queue = Queue::new(bounds);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = Duration::ZERO;
        // By client, what was added and has not left; and what is in flight.
        let mut model: HashMap<String, Vec<u32>> = HashMap::new();
        let mut in_flight: Vec<Batch<u32>> = Vec::new();
        let (mut next, mut settled) = (0, HashSet::new());
        let recovery = std::iter::repeat_n(0..3, 400).flatten().map(|kind| match kind {
            0 => Step::Wait(1),
            1 => Step::Send,
            _ => Step::Complete(0, Outcome::Taken),
        });
        for step in steps.into_iter().chain(recovery) {
            match step {
                Step::Push(client) => {
                    let client = format!("client {client}");
                    let held: usize = model.values().map(Vec::len).sum();
                    let pushed = queue.push(&client, next, 1, now);
                    prop_assert_eq!(pushed.is_ok(), held < bounds.entries_max);
                    if pushed.is_ok() {
                        model.entry(client).or_default().push(next);
                    }
                    next += 1;
                }
                Step::Send => {
                    let is_due = queue.next_time(now).is_some_and(|at| at <= now);
                    let batch = queue.next(now);
                    prop_assert_eq!(batch.is_some(), is_due);
                    let Some(batch) = batch else { continue };
                    prop_assert!(in_flight.len() < bounds.in_flight_max);
                    prop_assert!((1..=batch_max).contains(&batch.items.len()));
                    let mut rest = batch.items.as_slice();
                    for (client, count) in &batch.lanes {
                        let (own, others) = rest.split_at(*count);
                        rest = others;
                        prop_assert_eq!(own, &model[&**client][..*count]);
                        let is_theirs = |other: &Batch<u32>| {
                            other.lanes.iter().any(|(one, _)| one == client)
                        };
                        prop_assert!(!in_flight.iter().any(is_theirs));
                    }
                    prop_assert!(batch.items.iter().all(|item| !settled.contains(item)));
                    in_flight.push(batch);
                }
                Step::Complete(_, _) if in_flight.is_empty() => {}
                Step::Complete(which, outcome) => {
                    let batch = in_flight.swap_remove(usize::from(which) % in_flight.len());
                    let is_over = outcome == Outcome::Taken
                        || outcome == Outcome::Refused && batch.items.len() == 1;
                    if is_over {
                        settled.extend(batch.items.iter().copied());
                        for own in model.values_mut() {
                            own.retain(|item| !settled.contains(item));
                        }
                    }
                    let count = batch.items.len() as u64;
                    let left = queue.complete(batch, outcome, now, || random.u32(..));
                    prop_assert_eq!(left.taken + left.refused, if is_over { count } else { 0 });
                }
                Step::Wait(seconds) => now += u32::from(seconds) * SECOND,
            }
            let held: usize = model.values().map(Vec::len).sum();
            prop_assert_eq!(queue.len(), held);
        }
        prop_assert!(queue.is_empty() && queue.lanes.is_empty() && queue.resting.is_empty());
    }
}
