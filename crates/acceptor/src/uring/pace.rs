//! How long to wait for more completions: one wake-up for many of them costs less than many.
//!
//! Pure: completions and times in, a plan out.

use std::time::Duration;

use crate::WaitMode;

/// What one enter should wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) want: u32,
    pub(super) min_wait_us: u32,
}

/// One completion wakes.
const AT_ONCE: Plan = Plan { want: 1, min_wait_us: 0 };

/// Under load: 0.56 of the CPU per message at 40,000 messages a second, for 50 us of latency.
const LOADED: Plan = Plan { want: 16, min_wait_us: 50 };

/// The most that throughput mode holds back.
const BATCHED: Plan = Plan { want: 64, min_wait_us: 100 };

/// Light load is below this many completions per millisecond of wall time.
const LOADED_PER_MS: u64 = 16;

/// The rate is averaged over about this long.
const WINDOW: Duration = Duration::from_millis(8);

/// Decides from the rate of completions, by a mode.
#[derive(Debug)]
pub(super) struct Pace {
    mode: WaitMode,
    window_start: Duration,
    in_window: u64,
    is_loaded: bool,
}

impl Pace {
    pub(super) fn new(mode: WaitMode) -> Self {
        Self { mode, window_start: Duration::ZERO, in_window: 0, is_loaded: false }
    }

    /// Whether [`Self::observe`] wants the time; reading a clock is not free.
    pub(super) fn is_timed(&self) -> bool {
        self.mode != WaitMode::Latency
    }

    /// Counts the completions of a turn that ended at `now`.
    pub(super) fn observe(&mut self, completions: usize, now: Duration) {
        self.in_window += completions as u64;
        let elapsed = now.saturating_sub(self.window_start);
        if elapsed >= WINDOW {
            let per_window = LOADED_PER_MS * elapsed.as_millis() as u64;
            // Hysteresis: what has begun goes on until the rate has halved.
            self.is_loaded =
                self.in_window >= if self.is_loaded { per_window / 2 } else { per_window };
            self.in_window = 0;
            self.window_start = now;
        }
    }

    /// The plan for the next wait.
    pub(super) fn plan(&self) -> Plan {
        match (self.mode, self.is_loaded) {
            (WaitMode::Latency, _) | (_, false) => AT_ONCE,
            (WaitMode::Adaptive, true) => LOADED,
            (WaitMode::Throughput, true) => BATCHED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_a_second_of(mode: WaitMode, per_ms: usize) -> Plan {
        let mut pace = Pace::new(mode);
        for ms in 1..1000 {
            pace.observe(per_ms, Duration::from_millis(ms));
        }
        pace.plan()
    }

    #[test]
    fn light_load_wakes_at_once_in_every_mode() {
        for mode in [WaitMode::Latency, WaitMode::Adaptive, WaitMode::Throughput] {
            assert_eq!(after_a_second_of(mode, 1), AT_ONCE, "{mode:?}");
        }
    }

    #[test]
    fn load_is_batched_but_for_latency_mode() {
        assert_eq!(after_a_second_of(WaitMode::Latency, 40), AT_ONCE);
        assert_eq!(after_a_second_of(WaitMode::Adaptive, 40), LOADED);
        assert_eq!(after_a_second_of(WaitMode::Throughput, 40), BATCHED);
    }

    #[test]
    fn a_load_that_ends_is_forgotten_within_two_windows() {
        let mut pace = Pace::new(WaitMode::Throughput);
        for ms in 1..100 {
            pace.observe(1000, Duration::from_millis(ms));
        }
        pace.observe(0, Duration::from_millis(120));
        pace.observe(0, Duration::from_millis(140));
        assert_eq!(pace.plan(), AT_ONCE);
    }
}
