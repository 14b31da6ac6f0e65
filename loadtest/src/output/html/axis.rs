//! One axis of a chart: the place of a value on it, and its marks.
//!
//! Places are from 0 to 1. It draws nothing.

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear, from 0.
    Linear,
    /// Logarithmic; values are positive.
    Log,
    /// Quantiles from 0 to 1: each additional nine takes as much room as the one before.
    Percentile,
}

/// An axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// The title of the axis.
    pub name: &'static str,
    /// The scale of the axis.
    pub scale: Scale,
    /// Formats a mark.
    pub format: fn(f64) -> String,
}

/// An axis that is fitted to its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    scale: Scale,
    low: f64,
    high: f64,
    marks: Vec<f64>,
}

/// The most nines of a percentile axis: one in a million.
const NINES_MAX: f64 = 6.0;

impl Range {
    /// An axis that is wide enough for `values`, with marks at round numbers.
    pub fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() || !high.is_finite() {
            return Self { scale, low: 0.0, high: 1.0, marks: Vec::new() };
        }
        match scale {
            Scale::Linear => Self::linear(high.max(f64::MIN_POSITIVE)),
            Scale::Log => Self::logarithmic(low.max(1e-9), high.max(1e-9)),
            Scale::Percentile => Self::percentile(high),
        }
    }

    fn linear(high: f64) -> Self {
        // 1, 2 or 5 times a power of ten, so that there are four to ten marks.
        let rough = high / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let count = (high / step).ceil();
        let marks = (0..=count as u32).map(|mark| f64::from(mark) * step).collect();
        Self { scale: Scale::Linear, low: 0.0, high: count * step, marks }
    }

    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor(), high.log10().ceil());
        let last = if last <= first { first + 1.0 } else { last };
        let marks = (first as i32..=last as i32).map(|power| 10f64.powi(power)).collect();
        Self { scale: Scale::Log, low: first, high: last, marks }
    }

    fn percentile(high: f64) -> Self {
        // A little less, because 0.9999 has slightly fewer than four nines.
        let nines = (nines(high) - 1e-9).ceil().clamp(2.0, NINES_MAX);
        let whole = (1..=nines as i32).map(|count| 1.0 - 10f64.powi(-count));
        let marks = [0.0, 0.5].into_iter().chain(whole).collect();
        Self { scale: Scale::Percentile, low: 0.0, high: nines, marks }
    }

    /// The place of `value`, from 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
            Scale::Percentile => nines(value),
        };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The values to mark.
    pub fn marks(&self) -> &[f64] {
        &self.marks
    }
}

/// How many nines a quantile has: 1 for 0.9, 2 for 0.99.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(10f64.powf(-NINES_MAX)).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_marks_are_round_and_reach_the_top() {
        let range = Range::of(Scale::Linear, [3.0, 47_312.0].into_iter());
        assert_eq!(range.marks(), [0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0]);
        assert_eq!((range.place(0.0), range.place(50_000.0)), (0.0, 1.0));
        assert!(Range::of(Scale::Linear, [0.0].into_iter()).place(0.0) == 0.0);
    }

    #[test]
    fn logarithmic_marks_are_powers_of_ten() {
        let range = Range::of(Scale::Log, [30.0, 4_000.0].into_iter());
        assert_eq!(range.marks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert!((range.place(100.0) - 1.0 / 3.0).abs() < 1e-9);
        let flat = Range::of(Scale::Log, [10.0, 10.0].into_iter());
        assert_eq!((flat.place(10.0), flat.place(100.0)), (0.0, 1.0));
    }

    #[test]
    fn each_nine_has_the_same_width() {
        let range = Range::of(Scale::Percentile, [0.0, 0.9999].into_iter());
        let places: Vec<f64> = [0.0, 0.9, 0.99, 0.999, 0.9999].map(|q| range.place(q)).into();
        for (place, expected) in places.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]) {
            assert!((place - expected).abs() < 1e-6, "{places:?}");
        }
        assert_eq!(range.place(1.0), 1.0);
    }

    #[test]
    fn an_empty_axis_does_not_panic() {
        let range = Range::of(Scale::Log, std::iter::empty());
        assert!(range.marks().is_empty());
        assert!(range.place(5.0).is_finite());
    }
}
