//! How long to wait before something is tried again. Pure: the caller brings the randomness.

use std::time::Duration;

/// Delays that double with each failure, up to a bound.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The longest first delay.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after this many failures in a row, counted from 1: at random between a half and the
    /// whole of its bound, so that what failed together is not repeated together, and nothing is
    /// repeated at once.
    pub fn delay(self, failures: u32, random: u32) -> Duration {
        let doubled = 1 << failures.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(doubled).min(self.longest);
        bound / 2 + (bound / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        let backoff = Backoff { first, longest };
        let seconds = |failures| {
            let [least, most] = [0, u32::MAX].map(|random| backoff.delay(failures, random));
            (least.as_secs_f64(), most.as_secs_f64())
        };
        assert_eq!(seconds(1), (0.25, 0.5));
        assert_eq!(seconds(2), (0.5, 1.0));
        assert_eq!(seconds(6), (8.0, 16.0));
        for failures in [7, 8, 40, u32::MAX] {
            assert_eq!(seconds(failures), (15.0, 30.0));
        }
        assert!(backoff.delay(3, 1 << 31) > Duration::from_millis(1_499));
        assert!(backoff.delay(3, 1 << 31) < Duration::from_millis(1_501));
    }
}
