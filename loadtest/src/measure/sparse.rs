//! A histogram of times that keeps only the buckets that were hit, as most are empty.
//!
//! It keeps all digits of a histogram of latencies.

use hdrhistogram::Counter;

use super::quantiles::{LATENCY_DIGITS, Times, times};

/// Values in ascending order, each with its count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sparse(Vec<(u64, u64)>);

impl Sparse {
    /// Adds the counts of a histogram.
    pub fn add_times<C: Counter>(&mut self, times: &Times<C>) {
        let steps = times.iter_recorded();
        self.merge(steps.map(|step| (step.value_iterated_to(), step.count_at_value().as_u64())));
    }

    /// Adds the counts of another one.
    pub fn add(&mut self, other: &Self) {
        self.merge(other.0.iter().copied());
    }

    /// Merges counts; `more` must be in ascending order.
    fn merge(&mut self, more: impl Iterator<Item = (u64, u64)>) {
        let mut more = more.peekable();
        if more.peek().is_none() {
            return;
        }
        let mut merged = Vec::with_capacity(self.0.len());
        let mut own = self.0.iter().copied().peekable();
        loop {
            let next = match (own.peek(), more.peek()) {
                (Some((left, _)), Some((right, _))) if left == right => {
                    let sum = own.next().zip(more.next());
                    sum.map(|(left, right)| (left.0, left.1.saturating_add(right.1)))
                }
                (Some((left, _)), Some((right, _))) if left < right => own.next(),
                (_, Some(_)) => more.next(),
                (_, None) => own.next(),
            };
            match next {
                Some(one) => merged.push(one),
                None => break,
            }
        }
        merged.shrink_to_fit();
        self.0 = merged;
    }

    /// Converts to a histogram.
    pub fn to_times(&self) -> Times {
        let mut times = times(LATENCY_DIGITS);
        self.add_to(&mut times);
        times
    }

    /// Adds these counts to a histogram.
    pub fn add_to(&self, times: &mut Times) {
        for (value, count) in &self.0 {
            times.saturating_record_n(*value, *count);
        }
    }

    /// Whether no time was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::quantiles::record;

    #[test]
    fn sums_equal_those_of_full_histograms() {
        let (mut sparse, mut whole) = (Sparse::default(), times::<u64>(LATENCY_DIGITS));
        let mut random = fastrand::Rng::with_seed(8);
        for round in 0..20 {
            let mut part: Times<u32> = times(LATENCY_DIGITS);
            for _ in 0..round * 10 {
                let time = Duration::from_nanos(random.u64(..) >> random.u32(20..60));
                record(&mut part, time);
                record(&mut whole, time);
            }
            match round % 2 {
                0 => sparse.add_times(&part),
                _ => {
                    let mut other = Sparse::default();
                    other.add_times(&part);
                    sparse.add(&other);
                }
            }
        }
        assert_eq!(sparse.to_times(), whole);
        assert!(sparse.0.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(Sparse::default().is_empty() && !sparse.is_empty());
    }
}
