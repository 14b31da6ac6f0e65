//! Telling the clients of one core to leave, a few at a time.
//!
//! All of them at once would come back to the next server all at once. Pure: times in, counts
//! out.

use std::time::Duration;

/// Nobody is made to wait when there are few: this many a second may leave.
const LEAVERS_PER_SECOND: u64 = 10_000;

/// How often the next few are told.
const STEP: Duration = Duration::from_millis(10);

/// A core on its way out.
#[derive(Debug)]
pub struct Drain {
    started: Duration,
    drain_time: Duration,
    /// The time over which clients are told to leave.
    telling: Duration,
    /// Slots to go through.
    slots: u32,
    /// Slots gone through.
    told: u32,
}

impl Drain {
    /// Begins at `now` to go through `slots` slots that hold `peers` clients.
    pub fn new(now: Duration, drain_time: Duration, slots: u32, peers: usize) -> Self {
        // Half of the time is for the clients' answers.
        let unhurried = Duration::from_micros(1_000_000 * peers as u64 / LEAVERS_PER_SECOND);
        Self { started: now, drain_time, telling: unhurried.min(drain_time / 2), slots, told: 0 }
    }

    /// The slots whose clients are to be told by `now`, each named once.
    pub fn due(&mut self, now: Duration) -> std::ops::Range<u32> {
        let elapsed = now.saturating_sub(self.started);
        let due = if elapsed >= self.telling {
            self.slots
        } else {
            let share = elapsed.as_micros() as u64 * u64::from(self.slots);
            (share / self.telling.as_micros() as u64) as u32
        };
        let range = self.told..due.max(self.told);
        self.told = range.end;
        range
    }

    /// When to look again.
    pub fn next_deadline(&self, now: Duration) -> Duration {
        let end = self.end();
        if self.told < self.slots { (now + STEP).min(end) } else { end }
    }

    /// When whoever is still there is left behind.
    pub fn end(&self) -> Duration {
        // A little before the promise is due, for the way out of the process.
        self.started + self.drain_time.mul_f32(0.95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_leave_at_once() {
        let mut drain = Drain::new(Duration::ZERO, Duration::from_secs(10), 256, 3);
        assert_eq!(drain.due(Duration::from_millis(1)), 0..256);
        assert_eq!(drain.due(Duration::from_millis(2)), 256..256);
    }

    #[test]
    fn many_clients_leave_in_the_first_half_each_once() {
        let mut drain = Drain::new(Duration::ZERO, Duration::from_secs(10), 100_000, 100_000);
        let (mut last, mut now) = (0, Duration::ZERO);
        while last < 100_000 {
            now = drain.next_deadline(now);
            let range = drain.due(now);
            assert_eq!(range.start, last);
            assert!(range.len() <= 1_000, "{range:?}");
            last = range.end;
        }
        assert!(now <= Duration::from_secs(6), "{now:?}");
        assert!(drain.next_deadline(now) < Duration::from_secs(10));
    }
}
