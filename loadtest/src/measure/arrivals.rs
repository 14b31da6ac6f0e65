//! When messages are to be sent, independent of replies: an open loop.
//!
//! It never reads a clock. Times do not drift: the time of a message does not depend on when the
//! previous one was really sent.

use std::time::Duration;

/// How arrivals are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pattern {
    /// Evenly.
    #[default]
    Constant,
    /// At random, independent of each other: the gaps are distributed exponentially.
    Poisson,
}

/// The due times of one thread's messages.
#[derive(Debug, Clone)]
pub struct Arrivals {
    pattern: Pattern,
    interval_s: f64,
    offset_s: f64,
    count: u64,
    elapsed_s: f64,
    random: fastrand::Rng,
}

/// One thread's share: the threads' arrivals interleave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The thread's index.
    pub index: u32,
    /// The number of threads.
    pub of: u32,
}

impl Arrivals {
    /// One thread's share of a total of `rate` messages per second.
    pub fn new(pattern: Pattern, rate: f64, share: Share, seed: u64) -> Self {
        let of = f64::from(share.of);
        Self {
            pattern,
            interval_s: of / rate,
            offset_s: f64::from(share.index) / rate,
            count: 0,
            elapsed_s: 0.0,
            random: fastrand::Rng::with_seed(seed ^ u64::from(share.index) << 32),
        }
    }

    /// The time since the start at which the next message is due; each call advances by one
    /// message.
    pub fn next_due(&mut self) -> Duration {
        let due_s = match self.pattern {
            Pattern::Constant => self.offset_s + self.count as f64 * self.interval_s,
            Pattern::Poisson => {
                // 1 - [0, 1) is never 0, so its logarithm is finite.
                self.elapsed_s -= (1.0 - self.random.f64()).ln() * self.interval_s;
                self.elapsed_s
            }
        };
        self.count += 1;
        // At a very low rate the next time may exceed the range.
        Duration::try_from_secs_f64(due_s).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn within_a_second(mut arrivals: Arrivals) -> Vec<Duration> {
        std::iter::repeat_with(|| arrivals.next_due()).take_while(|due| *due < SECOND).collect()
    }

    #[test]
    fn threads_share_a_constant_rate_and_interleave() {
        let mut all = Vec::new();
        for index in 0..4 {
            let share = Share { index, of: 4 };
            let mine = within_a_second(Arrivals::new(Pattern::Constant, 1000.0, share, 0));
            assert_eq!(mine.len(), 250);
            all.extend(mine);
        }
        all.sort();
        for (index, due) in all.iter().enumerate() {
            let expected = Duration::from_millis(index as u64);
            assert!(due.abs_diff(expected) < Duration::from_nanos(10), "{due:?} {expected:?}");
        }
    }

    #[test]
    fn a_rate_may_be_arbitrarily_low() {
        for pattern in [Pattern::Constant, Pattern::Poisson] {
            let share = Share { index: 1, of: 2 };
            let mut arrivals = Arrivals::new(pattern, 1e-300, share, 1);
            assert_eq!(arrivals.next_due(), Duration::MAX);
        }
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let share = Share { index: 0, of: 1 };
        let times = within_a_second(Arrivals::new(Pattern::Poisson, 100_000.0, share, 7));
        assert!((98_500..101_500).contains(&times.len()), "{}", times.len());
        let longer = times.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_micros(10));
        let share = longer.count() as f64 / times.len() as f64;
        assert!((share - (-1.0f64).exp()).abs() < 0.01, "{share} of the gaps are above the mean");
    }
}
