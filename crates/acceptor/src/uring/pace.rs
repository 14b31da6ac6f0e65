//! How long to wait for more completions: one wake-up for many costs less than many wake-ups.
//!
//! Pure, except that it asks for the thread's CPU time: counts and times in, a plan out.

use std::{num::NonZeroU64, time::Duration};

use rustix::{
    thread::set_current_timer_slack,
    time::{ClockId, clock_gettime},
};

use crate::WaitMode;

/// How many completions one enter waits for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) want: u32,
    pub(super) min_wait_us: u32,
}

/// One completion wakes.
const AT_ONCE: Plan = Plan { want: 1, min_wait_us: 0 };

/// For a core that has little time to sleep: larger batches and short waits, because the next
/// completions arrive soon. Waiting longer would add latency and save nothing.
const BUSY: Plan = Plan { want: 64, min_wait_us: 50 };

/// The longest wait in throughput mode. Evenly spread messages need this long to gather; after
/// 100 us a wake-up still serves only a few of them.
const BATCHED: Plan = Plan { want: 128, min_wait_us: 400 };

/// A core is busy when it spends this percentage of the time on its CPU.
const BUSY_PERCENT: u64 = 75;

/// Throughput mode batches from this many completions per millisecond on.
const BATCHED_PER_MS: u64 = 16;

/// Rates are averaged over at least this long.
const WINDOW: Duration = Duration::from_millis(8);

/// Decides by the load and the mode.
#[derive(Debug)]
pub(super) struct Pace {
    mode: WaitMode,
    window_start: Duration,
    window_cpu: Duration,
    in_window: u64,
    is_loaded: bool,
}

impl Pace {
    pub(super) fn new(mode: WaitMode) -> Self {
        Self {
            mode,
            window_start: Duration::ZERO,
            window_cpu: Duration::ZERO,
            in_window: 0,
            is_loaded: false,
        }
    }

    /// Whether [`Self::observe`] needs the time; reading a clock is not free.
    pub(super) fn is_timed(&self) -> bool {
        self.mode != WaitMode::Latency
    }

    /// Counts the completions of a turn that ended at `now`. `cpu_time` returns how long this
    /// thread has been on its CPU; it is called once per window.
    pub(super) fn observe(
        &mut self,
        completions: usize,
        now: Duration,
        cpu_time: impl FnOnce() -> Duration,
    ) {
        self.in_window += completions as u64;
        let elapsed = now.saturating_sub(self.window_start);
        if elapsed < WINDOW {
            return;
        }
        let cpu = cpu_time();
        let (load, bound) = match self.mode {
            WaitMode::Latency | WaitMode::Adaptive => (
                cpu.saturating_sub(self.window_cpu).as_micros() as u64 * 100,
                elapsed.as_micros() as u64 * BUSY_PERCENT,
            ),
            WaitMode::Throughput => {
                (self.in_window * 1_000, elapsed.as_micros() as u64 * BATCHED_PER_MS)
            }
        };
        // Hysteresis: the core stays loaded until the load is well below the bound.
        self.is_loaded = load >= if self.is_loaded { bound / 3 * 2 } else { bound };
        (self.in_window, self.window_start, self.window_cpu) = (0, now, cpu);
    }

    /// The plan for the next wait.
    pub(super) fn plan(&self) -> Plan {
        match (self.mode, self.is_loaded) {
            (WaitMode::Latency, _) | (_, false) => AT_ONCE,
            (WaitMode::Adaptive, true) => BUSY,
            (WaitMode::Throughput, true) => BATCHED,
        }
    }
}

/// How long this thread has been on its CPU.
pub(super) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Lets this thread's waits end on time: the default slack of 50 us is as long as a wait.
pub(super) fn sharpen_timers() {
    // If the kernel refuses, waits are only a little longer.
    let _ = set_current_timer_slack(NonZeroU64::new(1_000));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan after one second with this load and this share of the CPU.
    fn after_a_second_of(mode: WaitMode, per_ms: usize, cpu_percent: u64) -> Plan {
        let mut pace = Pace::new(mode);
        for ms in 1..1000 {
            pace.observe(per_ms, Duration::from_millis(ms), || {
                Duration::from_micros(ms * 10 * cpu_percent)
            });
        }
        pace.plan()
    }

    #[test]
    fn light_load_wakes_at_once_in_every_mode() {
        for mode in [WaitMode::Latency, WaitMode::Adaptive, WaitMode::Throughput] {
            assert_eq!(after_a_second_of(mode, 1, 5), AT_ONCE, "{mode:?}");
        }
    }

    #[test]
    fn each_mode_has_its_own_measure_of_load() {
        for (mode, per_ms, cpu_percent, plan) in [
            (WaitMode::Latency, 200, 100, AT_ONCE),
            (WaitMode::Adaptive, 40, 50, AT_ONCE),
            (WaitMode::Adaptive, 40, 95, BUSY),
            (WaitMode::Throughput, 40, 50, BATCHED),
            (WaitMode::Throughput, 8, 95, AT_ONCE),
        ] {
            assert_eq!(after_a_second_of(mode, per_ms, cpu_percent), plan, "{mode:?} {per_ms}");
        }
    }

    #[test]
    fn a_load_that_ends_is_forgotten_within_two_windows() {
        let mut pace = Pace::new(WaitMode::Throughput);
        for ms in 1..100 {
            pace.observe(1000, Duration::from_millis(ms), || Duration::from_millis(ms));
        }
        pace.observe(0, Duration::from_millis(120), || Duration::from_millis(100));
        pace.observe(0, Duration::from_millis(140), || Duration::from_millis(100));
        assert_eq!(pace.plan(), AT_ONCE);
    }
}
