//! Histograms of times, and the figures that are reported from them.
//!
//! Times are recorded in nanoseconds to three digits and reported in microseconds.

use std::time::Duration;

use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

/// The longest time that a histogram can hold: one hour.
const TIME_MAX_NS: u64 = 3_600_000_000_000;

/// A histogram of nanoseconds.
pub type Times<C = u64> = Histogram<C>;

/// An empty histogram from 1 ns to one hour, with `digits` significant digits.
pub fn times<C: Counter>(digits: u8) -> Times<C> {
    Histogram::new_with_bounds(1, TIME_MAX_NS, digits).expect("1 to 5 digits, and two bounds")
}

/// Digits of latencies.
pub const LATENCY_DIGITS: u8 = 3;

/// Records a time; times above one hour count as one hour.
#[inline]
pub fn record<C: Counter>(times: &mut Times<C>, time: Duration) {
    times.saturating_record((time.as_nanos() as u64).max(1));
}

/// Records a time that was seen this often.
#[inline]
pub fn record_n(times: &mut Times<u32>, time: Duration, count: u32) {
    if count > 0 {
        times.saturating_record_n((time.as_nanos() as u64).max(1), count);
    }
}

/// Clears the counts. There are tens of thousands, so it first checks whether any was recorded.
pub fn clear<C: Counter>(times: &mut Times<C>) {
    if !times.is_empty() {
        times.reset();
    }
}

/// Adds the counts of `part` to those of the whole run.
pub fn add<C: Counter>(sum: &mut Times, part: &Times<C>) {
    // Adding an empty histogram would scan tens of thousands of counts.
    if part.is_empty() {
        return;
    }
    for step in part.iter_recorded() {
        sum.saturating_record_n(step.value_iterated_to(), step.count_at_value().as_u64());
    }
}

/// The usual figures of a histogram, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many times were recorded.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// The figures of these times; all zero if there are none.
    pub fn of<C: Counter>(times: &Times<C>) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        let at = |quantile| micros(times.value_at_quantile(quantile));
        Self {
            count: times.len(),
            min: micros(times.min()),
            mean: times.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(times.max()),
        }
    }
}

/// Converts nanoseconds to microseconds.
pub fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// One point of a percentile curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The quantile, from 0 to 1.
    pub quantile: f64,
    /// Its time in microseconds.
    pub us: f64,
}

/// The percentile curve: five points for each halving of the rest above.
pub fn curve<C: Counter>(times: &Times<C>) -> Vec<Percentile> {
    times
        .iter_quantiles(5)
        .map(|step| Percentile { quantile: step.quantile(), us: micros(step.value_iterated_to()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_microseconds() {
        let mut recorded: Times = times(3);
        assert_eq!(Quantiles::of(&recorded), Quantiles::default());
        for micros in 1..=1000 {
            record(&mut recorded, Duration::from_micros(micros));
        }
        record(&mut recorded, Duration::from_secs(7200));
        let quantiles = Quantiles::of(&recorded);
        assert_eq!(quantiles.count, 1001);
        assert!((quantiles.p50 - 501.0).abs() < 2.0, "{quantiles:?}");
        assert!((quantiles.p99 - 991.0).abs() < 2.0, "{quantiles:?}");
        assert!(quantiles.max >= 3.599e9, "{quantiles:?}");
        let curve = curve(&recorded);
        assert_eq!(curve.last().unwrap().quantile, 1.0);
        assert!(curve.windows(2).all(|pair| pair[0].us <= pair[1].us));
    }
}
