//! Tells the clients of one core to leave, a few at a time.
//!
//! If all left at once, they would all reconnect to the next server at once. Pure: times in, counts
//! out.

use std::time::Duration;

/// This many clients per second may leave, so that a small number leaves without delay.
const LEAVERS_PER_SECOND: u64 = 10_000;

/// The interval between groups of clients that are told to leave.
const STEP: Duration = Duration::from_millis(10);

/// The longest wait before the first clients are told to leave: until no core takes events any more
/// and the last events have been sent. That takes a few turns, unless a core has died.
const GATHERING_MAX: Duration = Duration::from_millis(500);

/// A draining core: it sends the acknowledged events, and then tells its clients to leave.
#[derive(Debug)]
pub struct Drain {
    started: Duration,
    drain_time: Duration,
    stage: DrainStage,
}

#[derive(Debug)]
enum DrainStage {
    /// Events are still being sent to clients.
    Gathering,
    Telling(Telling),
}

#[derive(Debug)]
struct Telling {
    started: Duration,
    /// The time over which clients are told to leave.
    time: Duration,
    /// The number of slots to go through.
    slots: u32,
    /// The number of slots gone through.
    told: u32,
    /// Slots already visited whose clients were not ready to leave.
    postponed: Vec<u32>,
}

impl Drain {
    /// Begins at `now`.
    pub fn new(now: Duration, drain_time: Duration) -> Self {
        Self { started: now, drain_time, stage: DrainStage::Gathering }
    }

    /// Whether no client has been told to leave yet.
    pub fn is_gathering(&self) -> bool {
        matches!(self.stage, DrainStage::Gathering)
    }

    /// Whether the time to wait for events is over.
    pub fn is_late(&self, now: Duration) -> bool {
        now >= self.gathering_end()
    }

    fn gathering_end(&self) -> Duration {
        self.started + GATHERING_MAX.min(self.drain_time / 4)
    }

    /// Starts telling the `peers` clients in the first `slots` slots to leave.
    pub fn tell(&mut self, now: Duration, slots: u32, peers: usize) {
        // The other half of the time is for the clients' answers.
        let unhurried = Duration::from_micros(1_000_000 * peers as u64 / LEAVERS_PER_SECOND);
        let time = unhurried.min(self.patience_end().saturating_sub(now));
        let postponed = Vec::new();
        self.stage = DrainStage::Telling(Telling { started: now, time, slots, told: 0, postponed });
    }

    /// The slots whose clients must be told by `now`. Each is returned once, and again if it was
    /// postponed.
    pub fn due(&mut self, now: Duration) -> Vec<u32> {
        let DrainStage::Telling(telling) = &mut self.stage else { return Vec::new() };
        let elapsed = now.saturating_sub(telling.started);
        let due = if elapsed >= telling.time {
            telling.slots
        } else {
            let share = elapsed.as_micros() as u64 * u64::from(telling.slots);
            (share / telling.time.as_micros() as u64) as u32
        };
        let range = telling.told..due.max(telling.told);
        telling.told = range.end;
        std::mem::take(&mut telling.postponed).into_iter().chain(range).collect()
    }

    /// Returns a slot again later: its client must still be sent something.
    pub fn postpone(&mut self, slot: u32) {
        if let DrainStage::Telling(telling) = &mut self.stage {
            telling.postponed.push(slot);
        }
    }

    /// The end of the time that a client has to catch up.
    pub fn patience_end(&self) -> Duration {
        self.started + self.drain_time / 2
    }

    /// The next time to call [`Self::due`].
    pub fn next_deadline(&self, now: Duration) -> Duration {
        let end = self.end();
        match &self.stage {
            DrainStage::Gathering => self.gathering_end().min(end),
            DrainStage::Telling(telling)
                if telling.told < telling.slots || !telling.postponed.is_empty() =>
            {
                (now + STEP).min(end)
            }
            DrainStage::Telling(_) => end,
        }
    }

    /// The time at which the core stops waiting for the remaining clients.
    pub fn end(&self) -> Duration {
        // A little before `drain_time` ends, so that the process can end within it.
        self.started + self.drain_time.mul_f32(0.95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(drain_time: Duration, slots: u32, peers: usize) -> Drain {
        let mut drain = Drain::new(Duration::ZERO, drain_time);
        assert!(drain.is_gathering() && drain.due(Duration::ZERO).is_empty());
        drain.tell(Duration::ZERO, slots, peers);
        drain
    }

    #[test]
    fn a_small_number_of_clients_leaves_immediately() {
        let mut drain = telling(Duration::from_secs(10), 256, 3);
        assert_eq!(drain.due(Duration::from_millis(1)), Vec::from_iter(0..256));
        assert!(drain.due(Duration::from_millis(2)).is_empty());
    }

    #[test]
    fn many_clients_leave_over_the_first_half_each_once() {
        let mut drain = telling(Duration::from_secs(10), 100_000, 100_000);
        let (mut last, mut now) = (0, Duration::ZERO);
        while last < 100_000 {
            now = drain.next_deadline(now);
            let due = drain.due(now);
            assert_eq!(due.first().copied().unwrap_or(last), last);
            assert!(due.len() <= 1_000, "{}", due.len());
            last += due.len() as u32;
        }
        assert!(now <= Duration::from_secs(6), "{now:?}");
        assert!(drain.next_deadline(now) < Duration::from_secs(10));
    }

    #[test]
    fn a_client_that_was_not_ready_is_returned_again() {
        let mut drain = telling(Duration::from_secs(10), 3, 3);
        let now = Duration::from_millis(1);
        assert_eq!(drain.due(now), [0, 1, 2]);
        assert_eq!(drain.next_deadline(now), drain.end());
        drain.postpone(1);
        assert!(drain.next_deadline(now) <= now + STEP);
        assert_eq!(drain.due(now + STEP), [1]);
        assert!(drain.due(now + STEP).is_empty());
    }

    #[test]
    fn events_are_awaited_within_the_drain_time() {
        for (drain_time, late) in [(0, 0), (1_000, 250), (20_000, 500)] {
            let drain = Drain::new(Duration::ZERO, Duration::from_millis(drain_time));
            let late = Duration::from_millis(late);
            assert!(drain.is_late(late), "{drain_time}");
            assert!(late.is_zero() || !drain.is_late(late - Duration::from_millis(1)));
            assert!(drain.next_deadline(Duration::ZERO) <= late);
        }
    }
}
