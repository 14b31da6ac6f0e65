//! A token bucket in four bytes: the moment at which everything that was taken is paid for.

use std::time::Duration;

/// Moments are counted in units of 2^-18 s, some 4 us, modulo 2^32: more than four hours.
const UNITS_PER_SECOND: u64 = 1 << 18;

/// The debt is never greater, so that a bucket that was not used for long is not taken for one in
/// debt: among idle times of many hours, one minute in 270 is misjudged, and costs a pause.
const AHEAD_MAX: u64 = 60 * UNITS_PER_SECOND;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Bucket(u32);

impl Bucket {
    /// A full bucket.
    pub fn new(now: Duration) -> Self {
        Self(units(now) as u32)
    }

    /// Takes `count` tokens of a bucket that gets `per_second`. Returns how long it takes until they
    /// are paid for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringway::rates::Bucket;
    /// let mut bucket = Bucket::new(Duration::ZERO);
    /// assert_eq!(bucket.take(5, 10, Duration::ZERO), Duration::from_millis(500));
    /// assert_eq!(bucket.take(5, 10, Duration::from_millis(250)), Duration::from_millis(750));
    /// ```
    #[inline]
    pub fn take(&mut self, count: u64, per_second: u64, now: Duration) -> Duration {
        let now = units(now) as u32;
        let ahead = u64::from(self.0.wrapping_sub(now));
        let ahead = if ahead > AHEAD_MAX { 0 } else { ahead };
        let ahead = (ahead + cost(count, per_second)).min(AHEAD_MAX);
        self.0 = now.wrapping_add(ahead as u32);
        time(ahead)
    }
}

/// A time in units.
#[inline]
pub(super) fn units(time: Duration) -> u64 {
    // A unit is 3814.7 ns, rounded; the seconds are exact.
    let fraction = u64::from(time.subsec_nanos()) * UNITS_PER_SECOND / 1_000_000_000;
    time.as_secs() * UNITS_PER_SECOND + fraction
}

/// Units as a time, rounded down.
#[inline]
pub(super) fn time(units: u64) -> Duration {
    let nanoseconds = units % UNITS_PER_SECOND * 1_000_000_000 / UNITS_PER_SECOND;
    Duration::new(units / UNITS_PER_SECOND, nanoseconds as u32)
}

/// How long it takes until this many tokens are paid for: rounded, and at least one unit.
#[inline]
pub(super) fn cost(count: u64, per_second: u64) -> u64 {
    match count {
        0 => 0,
        _ => ((count * UNITS_PER_SECOND + per_second / 2) / per_second).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes one token whenever the debt allows it; returns how many in ten seconds.
    fn taken(per_second: u64, start: Duration, step: Duration) -> u64 {
        let (mut bucket, mut taken, mut debt, mut now) =
            (Bucket::new(start), 0, Duration::ZERO, start);
        while now < start + 10 * SECOND {
            if debt <= Duration::from_millis(100) {
                debt = bucket.take(1, per_second, now);
                taken += 1;
            }
            now += step;
            debt = debt.saturating_sub(step);
        }
        taken
    }

    #[test]
    fn a_client_that_sends_all_the_time_gets_its_rate_and_one_burst() {
        for per_second in [10, 1_000, 7_000] {
            let expected = per_second * 10 + per_second / 10;
            let taken = taken(per_second, SECOND, Duration::from_micros(53));
            let error = taken.abs_diff(expected) as f64 / expected as f64;
            assert!(error < 0.02, "{taken} of {expected}");
        }
    }

    #[test]
    fn no_debt_appears_when_the_count_of_units_wraps() {
        let wrap = Duration::from_secs((1 << 32) / UNITS_PER_SECOND);
        let before = wrap - SECOND;
        assert_eq!(taken(1_000, before, Duration::from_millis(1)), 10_000);
        let mut bucket = Bucket::new(before);
        bucket.take(1, 10, before);
        for hours in [1, 3, 24, 24 * 30] {
            let debt = bucket.take(1, 10, before + hours * 3600 * SECOND);
            assert!(debt <= Duration::from_millis(100), "{debt:?} after {hours} h");
        }
    }

    #[test]
    fn a_debt_is_bounded() {
        let mut bucket = Bucket::new(SECOND);
        assert_eq!(bucket.take(1 << 40, 1, SECOND), 60 * SECOND);
        assert_eq!(bucket.take(1, 1, 61 * SECOND), SECOND);
    }
}
