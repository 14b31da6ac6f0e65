//! The median of some values and how far they are apart.
//!
//! It never averages: one disturbed value among many moves neither the median nor a quartile far.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter of the values are below.
    pub low: f64,
    /// Half of the values are below.
    pub median: f64,
    /// A quarter of the values are above.
    pub high: f64,
}

impl Spread {
    /// The spread of these values, ignoring those that are not finite; `None` if there are no
    /// others.
    ///
    /// ```
    /// use ringway_loadtest::measure::spread::Spread;
    /// let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
    /// assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25 });
    /// ```
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Self { low: at(0.25), median: at(0.5), high: at(0.75) })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3} {:.3}]", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_are_ignored() {
        let spread = Spread::of([f64::NAN, 7.0, f64::INFINITY]).unwrap();
        assert_eq!(spread.to_string(), "7.000 [7.000 7.000]");
        assert_eq!(Spread::of([f64::NAN]), None);
        assert_eq!(Spread::of([]), None);
    }
}
