//! The times of a draining core: until when it sends events, and when it stops waiting for its
//! clients.
//!
//! Pure: times in, times out. When each client is told is in `leaving`.

use std::time::Duration;

/// The longest wait before the first clients are told to leave: until no core takes events any more
/// and the last events have been sent. That takes a few turns, unless a core has died.
const GATHERING_MAX: Duration = Duration::from_millis(500);

/// A draining core: it sends the acknowledged events, and then tells its clients to leave.
#[derive(Debug)]
pub struct Drain {
    started: Duration,
    drain_time: Duration,
    /// Whether events are still being sent to clients.
    is_gathering: bool,
}

impl Drain {
    /// Begins at `now`.
    pub fn new(now: Duration, drain_time: Duration) -> Self {
        Self { started: now, drain_time, is_gathering: true }
    }

    /// Whether no client has been told to leave yet.
    pub fn is_gathering(&self) -> bool {
        self.is_gathering
    }

    /// Whether the time to wait for events is over.
    pub fn is_late(&self, now: Duration) -> bool {
        now >= self.gathering_end()
    }

    fn gathering_end(&self) -> Duration {
        self.started + GATHERING_MAX.min(self.drain_time / 4)
    }

    /// Clients are told from now on. Returns how long that may take: the other half of the time is for
    /// their answers.
    pub fn tell(&mut self, now: Duration) -> Duration {
        self.is_gathering = false;
        self.patience_end().saturating_sub(now)
    }

    /// The end of the time that a client has to catch up.
    pub fn patience_end(&self) -> Duration {
        self.started + self.drain_time / 2
    }

    /// When it has something to do next, whatever its clients do.
    pub fn next_deadline(&self) -> Duration {
        if self.is_gathering { self.gathering_end().min(self.end()) } else { self.end() }
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

    #[test]
    fn clients_are_told_in_the_first_half() {
        let mut drain = Drain::new(Duration::ZERO, Duration::from_secs(10));
        assert!(drain.is_gathering());
        assert_eq!(drain.tell(Duration::from_millis(500)), Duration::from_millis(4_500));
        assert!(!drain.is_gathering());
        assert_eq!(drain.next_deadline(), drain.end());
        assert!(drain.end() < Duration::from_secs(10));
    }

    #[test]
    fn events_are_awaited_within_the_drain_time() {
        for (drain_time, late) in [(0, 0), (1_000, 250), (20_000, 500)] {
            let drain = Drain::new(Duration::ZERO, Duration::from_millis(drain_time));
            let late = Duration::from_millis(late);
            assert!(drain.is_late(late), "{drain_time}");
            assert!(late.is_zero() || !drain.is_late(late - Duration::from_millis(1)));
            assert!(drain.next_deadline() <= late);
        }
    }
}
