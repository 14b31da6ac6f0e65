//! When each client of one core is told to leave: because its connection is old, or because the
//! core drains.
//!
//! Clients leave one by one, since those that leave together also come back together, to one
//! server. Pure: times in, slots out.

use std::{collections::HashMap, time::Duration};

use fastrand::Rng;
use ringway_acceptor::{Wheel, wheel::TICK};

/// This many clients per second may leave a draining core, so that a small number leaves without
/// delay.
const LEAVERS_PER_SECOND: u64 = 1_000;

/// How soon a client that could not be told is looked at again.
const STEP: Duration = Duration::from_millis(10);

/// Of its greatest age, the last tenth is for a client that is busy when it is to be told; when it
/// is told varies by the tenth before.
const TENTHS: u32 = 10;

/// The clients of one core that are to be told, by slot.
#[derive(Debug)]
pub struct Leavers {
    /// Present once a client has a time to leave.
    wheel: Option<Box<Wheel>>,
    /// Until when each postponed client may be busy.
    patience: HashMap<u32, Duration>,
    /// It spreads clients, and keeps no secret.
    rng: Rng,
}

impl Leavers {
    /// No clients. The seed decides how they are spread.
    pub fn new(seed: u64) -> Self {
        Self { wheel: None, patience: HashMap::new(), rng: Rng::with_seed(seed) }
    }

    /// A client has connected that is to be told before its connection is `age_max` old; zero is no
    /// bound.
    pub fn comes(&mut self, slot: u32, now: Duration, age_max: Duration) {
        if age_max > Duration::ZERO {
            let tenth = age_max / TENTHS;
            let jitter = tenth.mul_f64(self.rng.f64());
            self.wheel(now).touch(slot, now + age_max - 2 * tenth + jitter);
        }
    }

    /// A connection has ended.
    pub fn goes(&mut self, slot: u32) {
        if let Some(wheel) = &mut self.wheel {
            wheel.cancel(slot);
            self.patience.remove(&slot);
        }
    }

    /// These clients are to be told one after the other, within `time_max`.
    pub fn tell_all(&mut self, slots: &[u32], now: Duration, time_max: Duration) {
        let count = slots.len() as u64;
        let time = Duration::from_micros(1_000_000 * count / LEAVERS_PER_SECOND).min(time_max);
        self.patience.clear();
        let wheel = self.wheel(now);
        for (slot, place) in slots.iter().zip(0_u32..) {
            let at = now + time.mul_f64(f64::from(place) / count as f64);
            // The wheel is never early: otherwise the first would have to wait for the next tick.
            wheel.touch(*slot, at.saturating_sub(TICK));
        }
    }

    /// A client that is to be told by now; each once, and again if it was postponed.
    pub fn next(&mut self, now: Duration) -> Option<u32> {
        self.wheel.as_mut()?.expire(now)
    }

    /// Puts off a client that is busy, if it may be busy until then. Returns whether it may.
    pub fn postpone(&mut self, slot: u32, now: Duration, until: Duration) -> bool {
        let until = *self.patience.entry(slot).or_insert(until);
        let may_be_busy = now < until;
        if may_be_busy {
            self.wheel(now).touch(slot, (now + STEP).min(until));
        }
        may_be_busy
    }

    /// How long a client waits before it comes back, about `retry`.
    pub fn absence(&mut self, retry: Duration) -> Duration {
        retry.mul_f64(0.5 + self.rng.f64())
    }

    /// The next time to call [`Self::next`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.wheel.as_ref()?.next_deadline()
    }

    fn wheel(&mut self, now: Duration) -> &mut Wheel {
        self.wheel.get_or_insert_with(|| {
            let mut wheel = Box::<Wheel>::default();
            // Deadlines are cut relative to the time that it knows.
            wheel.expire(now);
            wheel
        })
    }
}

/// How long a client may be busy once its connection is nearly `age_max` old.
pub fn patience_at(age_max: Duration) -> Duration {
    age_max / TENTHS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn telling(clients: u32, time_max: Duration) -> Leavers {
        let mut leavers = Leavers::new(1);
        assert!(leavers.next(NOW).is_none() && leavers.next_deadline().is_none());
        leavers.tell_all(&Vec::from_iter(0..clients), NOW, time_max);
        leavers
    }

    fn due(leavers: &mut Leavers, now: Duration) -> Vec<u32> {
        let mut due = Vec::from_iter(std::iter::from_fn(|| leavers.next(now)));
        due.sort_unstable();
        due
    }

    #[test]
    fn a_small_number_of_clients_leaves_immediately() {
        let mut leavers = telling(3, Duration::from_secs(10));
        assert_eq!(due(&mut leavers, NOW + ms(10)), [0, 1, 2]);
        assert!(due(&mut leavers, NOW + ms(20)).is_empty());
        assert_eq!(leavers.next_deadline(), None);
    }

    #[test]
    fn many_clients_leave_evenly_in_the_time_that_there_is_each_once() {
        let mut leavers = telling(50_000, Duration::from_secs(5));
        let (mut told, mut now) = (Vec::new(), NOW);
        while told.len() < 50_000 {
            now = leavers.next_deadline().expect("there are more");
            let due = due(&mut leavers, now);
            assert!(due.len() <= 90, "{} at {now:?}", due.len());
            told.extend(due);
            let even = 10 * (now - NOW).as_millis() as usize;
            assert!(told.len().abs_diff(even) <= 100, "{} at {now:?}", told.len());
        }
        assert!(now <= NOW + ms(5_010), "{now:?}");
        assert!(told.iter().copied().eq(0..50_000));
    }

    #[test]
    fn a_busy_client_is_returned_again_until_its_patience_ends() {
        let mut leavers = telling(3, Duration::from_secs(10));
        assert_eq!(due(&mut leavers, NOW + ms(10)), [0, 1, 2]);
        let end = NOW + ms(100);
        let mut now = NOW + ms(10);
        let mut looks = 0;
        while leavers.postpone(1, now, end) {
            now = leavers.next_deadline().expect("it is looked at again");
            assert_eq!(due(&mut leavers, now), [1]);
            looks += 1;
        }
        assert!((5..20).contains(&looks), "{looks}");
        assert!(now >= end && now < end + ms(10), "{now:?}");
        leavers.goes(1);
        assert!(leavers.postpone(1, now, now + ms(50)), "another client has its own patience");
    }

    #[test]
    fn old_connections_leave_in_time_and_not_together() {
        let (age_max, second) = (Duration::from_secs(100), Duration::from_secs(1));
        let mut leavers = Leavers::new(7);
        (0..1_000).for_each(|slot| leavers.comes(slot, NOW, age_max));
        leavers.comes(1_000, NOW, Duration::ZERO);
        leavers.goes(3);
        assert!(due(&mut leavers, NOW + 79 * second).is_empty());
        let mut seconds = Vec::new();
        for second in (80..=90).map(|number| NOW + number * second + ms(8)) {
            seconds.push(due(&mut leavers, second).len());
        }
        assert_eq!(seconds.iter().sum::<usize>(), 999, "{seconds:?}");
        assert!(seconds[1..].iter().all(|count| (60..140).contains(count)), "{seconds:?}");
        assert!(90 * second + patience_at(age_max) <= age_max);
    }
}
