//! The table compared with a naive one, and the properties that connections rely on.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::{Deadline::*, *};

const ALL: [Deadline; 9] =
    [Message, Request, Identity, KeepAlive, Ping, Pong, PollAnswer, Outcome, Close];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The deadlines that are due, in the order in which they come.
fn due(deadlines: &mut Deadlines, now: Duration) -> Vec<Deadline> {
    std::iter::from_fn(|| deadlines.take_due(now)).collect()
}

#[test]
fn the_earliest_deadline_fires_first_and_the_others_stay() {
    let mut deadlines = Deadlines::default();
    assert_eq!(deadlines.earliest(seconds(0)), None);
    deadlines.set(Ping, seconds(25), seconds(1));
    deadlines.set(Message, seconds(10), seconds(1));
    assert_eq!(deadlines.earliest(seconds(1)), Some(seconds(10)));
    assert_eq!(due(&mut deadlines, seconds(9)), []);
    assert_eq!(due(&mut deadlines, seconds(10)), [Message]);
    assert_eq!(deadlines.earliest(seconds(10)), Some(seconds(25)));
    assert_eq!(due(&mut deadlines, seconds(25)), [Ping]);
    assert_eq!(deadlines.earliest(seconds(25)), None);
}

#[test]
fn postponing_a_deadline_loses_no_other() {
    let mut deadlines = Deadlines::default();
    deadlines.set(Message, seconds(10), seconds(1));
    for second in 1..9 {
        deadlines.set(Ping, seconds(second + 1), seconds(second));
        assert_eq!(deadlines.earliest(seconds(second)), Some(seconds(second + 1)));
    }
    deadlines.set(Ping, seconds(30), seconds(9));
    assert_eq!(due(&mut deadlines, seconds(29)), [Message]);
    assert!(deadlines.is_set(Ping));
}

#[test]
fn a_cancelled_deadline_does_not_fire() {
    let mut deadlines = Deadlines::default();
    deadlines.set(Message, seconds(1), seconds(0));
    deadlines.set(Ping, seconds(2), seconds(0));
    deadlines.cancel(Message);
    deadlines.cancel(Message);
    assert_eq!(due(&mut deadlines, seconds(3)), [Ping]);
}

#[test]
fn of_two_deadlines_due_at_once_the_one_declared_first_fires_first() {
    for order in [[Message, Close], [Close, Message]] {
        let mut deadlines = Deadlines::default();
        order.iter().for_each(|deadline| deadlines.set(*deadline, seconds(5), seconds(0)));
        assert_eq!(due(&mut deadlines, seconds(5)), [Message, Close]);
    }
    let mut deadlines = Deadlines::default();
    deadlines.set(Close, Duration::from_millis(4999), seconds(0));
    deadlines.set(Message, seconds(5), seconds(0));
    assert_eq!(due(&mut deadlines, seconds(6)), [Close, Message], "it was due before");
}

#[test]
fn a_phase_cancels_the_deadlines_of_the_previous_one() {
    let mut deadlines = Deadlines::default();
    deadlines.set(Message, seconds(9), seconds(0));
    for phase in ALL.into_iter().filter(|deadline| deadline.place() == PHASE) {
        deadlines.set(phase, seconds(5), seconds(0));
        let set: Vec<_> = ALL.into_iter().filter(|deadline| deadlines.is_set(*deadline)).collect();
        assert_eq!(set, [Message, phase]);
    }
}

#[test]
fn a_due_deadline_is_kept_until_it_is_handled() {
    let mut deadlines = Deadlines::default();
    deadlines.set(Ping, seconds(1), seconds(0));
    assert_eq!(deadlines.take_due(seconds(1)), Some(Ping));
    assert_eq!(deadlines.suspended(), None);
    deadlines.suspend(Ping);
    assert_eq!((deadlines.suspended(), deadlines.is_set(Ping)), (Some(Ping), true));
    assert_eq!((deadlines.earliest(seconds(2)), deadlines.take_due(seconds(2))), (None, None));
    deadlines.set(Pong, seconds(3), seconds(2));
    assert_eq!(deadlines.suspended(), None);
}

/// The process may run for longer than 32 bits of milliseconds.
#[test]
fn times_wrap_around() {
    let round = Duration::from_millis(1 << 32);
    for start in [round - seconds(3), round - Duration::from_millis(1), round, 5 * round] {
        let mut deadlines = Deadlines::default();
        deadlines.set(Ping, start + seconds(5), start);
        deadlines.set(Message, start + Duration::from_micros(1), start);
        assert_eq!(due(&mut deadlines, start), []);
        // Two moments every 49 days are not due times.
        assert_eq!(due(&mut deadlines, start + Duration::from_millis(3)), [Message]);
        let earliest = deadlines.earliest(start + seconds(1)).unwrap();
        assert!(earliest.abs_diff(start + seconds(5)) <= Duration::from_millis(1), "{earliest:?}");
        deadlines.set(Close, Duration::MAX, start);
        assert_eq!(deadlines.earliest(start), Some(start + AHEAD_MAX));
    }
}

/// A table of all names.
#[derive(Default)]
struct Twin(BTreeMap<Deadline, Option<u64>>);

impl Twin {
    fn set(&mut self, deadline: Deadline, due: Option<u64>) {
        self.0.retain(|name, _| !(name.place() == PHASE && deadline.place() == PHASE));
        self.0.insert(deadline, due);
    }

    fn earliest(&self) -> Option<(u64, Deadline)> {
        self.0.iter().filter_map(|(name, due)| due.map(|due| (due, *name))).min()
    }
}

#[test]
fn deadlines_equal_a_naive_table() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let (mut deadlines, mut twin) = (Deadlines::default(), Twin::default());
        let mut now = rng.u64(1..1 << 33);
        for step in 0..200 {
            let (deadline, time) = (ALL[rng.usize(..ALL.len())], Duration::from_millis(now));
            match rng.u8(..6) {
                0..3 => {
                    let due = now + rng.u64(..20);
                    deadlines.set(deadline, Duration::from_millis(due), time);
                    twin.set(deadline, Some(due));
                }
                3 => {
                    deadlines.cancel(deadline);
                    twin.0.remove(&deadline);
                }
                4 => {
                    deadlines.suspend(deadline);
                    twin.set(deadline, None);
                }
                _ => {
                    let wanted = twin.earliest().filter(|(due, _)| *due <= now);
                    if let Some((_, name)) = wanted {
                        twin.0.remove(&name);
                    }
                    let taken = deadlines.take_due(time);
                    assert_eq!(taken, wanted.map(|(_, name)| name), "seed {seed}, step {step}");
                }
            }
            let earliest = twin.earliest().map(|(due, _)| if due > now { due } else { 0 });
            let time = Duration::from_millis(now);
            assert_eq!(
                deadlines.earliest(time),
                earliest.map(Duration::from_millis),
                "seed {seed}, step {step}"
            );
            for deadline in ALL {
                assert_eq!(deadlines.is_set(deadline), twin.0.contains_key(&deadline));
            }
            now += rng.u64(..8);
        }
    }
}
