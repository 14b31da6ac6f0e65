//! Latency against rate, drawn with characters; both axes are logarithmic.
//!
//! It shows the results of the steps and judges nothing.

use std::fmt::Write;

use crate::output::table::time;
use crate::report::Step;

const WIDTH: usize = 60;
const HEIGHT: usize = 16;

/// `o` is the p50 and `*` the p99 of a rate that passed; `x` is the p99 of a rate that failed;
/// dashes are the limit.
pub fn draw(steps: &[Step], p99_max_us: f64) -> String {
    let drawn = || steps.iter().filter(|step| step.p99_us > 0.0 && step.rate_asked > 0.0);
    let rates = Axis::of(drawn().map(|step| step.rate_asked), WIDTH);
    let latencies = drawn().flat_map(|step| [step.p50_us, step.p99_us]).chain([p99_max_us]);
    let latencies = Axis::of(latencies, HEIGHT);
    let (Some(rates), Some(latencies)) = (rates, latencies) else { return String::new() };
    let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
    rows[latencies.place(p99_max_us)].fill('-');
    for step in drawn() {
        let column = rates.place(step.rate_asked);
        rows[latencies.place(step.p50_us)][column] = 'o';
        rows[latencies.place(step.p99_us)][column] = if step.passed { '*' } else { 'x' };
    }
    let mut out = String::from("latency against rate: o p50, * p99, x p99 of too high a rate\n");
    for (index, row) in rows.iter().enumerate().rev() {
        let label = match index {
            _ if index == HEIGHT - 1 => time(latencies.high),
            0 => time(latencies.low),
            _ if index == latencies.place(p99_max_us) => time(p99_max_us),
            _ => String::new(),
        };
        let row: String = row.iter().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{label:>10} |{}", row.trim_end());
    }
    let (low, high) = (format!("{:.0}/s", rates.low), format!("{:.0}/s", rates.high));
    let _ = writeln!(out, "{:>10} +{}", "", "-".repeat(WIDTH));
    let _ = writeln!(out, "{:>12}{low}{high:>width$}", "", width = WIDTH - low.len());
    out
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    places: usize,
}

impl Axis {
    /// An axis from the least to the greatest of these values, which must all be above 0.
    fn of(values: impl Iterator<Item = f64>, places: usize) -> Option<Self> {
        let values = values.filter(|value| *value > 0.0);
        let (low, high) =
            values.fold((f64::INFINITY, 0.0f64), |(low, high), one| (low.min(one), high.max(one)));
        (low <= high).then_some(Self { low, high, places })
    }

    fn place(&self, value: f64) -> usize {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        (share * (self.places - 1) as f64).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::step::Limit;

    fn step(rate_asked: f64, p50_us: f64, p99_us: f64) -> Step {
        Step {
            rate_asked,
            rate: rate_asked,
            p50_us,
            p99_us,
            p99_9_us: p99_us,
            server_cpu_ns_per_message: None,
            server_busy: None,
            tester_busy: 0.0,
            elapsed_s: 1.0,
            confirms: false,
            passed: p99_us <= 5000.0,
            why: Vec::new(),
            limit: Limit::None,
        }
    }

    #[test]
    fn points_are_where_they_belong() {
        let steps = [step(1000.0, 100.0, 200.0), step(10_000.0, 150.0, 800.0), step(1e5, 4e3, 1e6)];
        let drawn = draw(&steps, 5000.0);
        let rows: Vec<&str> = drawn.lines().collect();
        assert_eq!(rows.len(), HEIGHT + 3);
        assert!(rows[1].starts_with("    1.00 s |") && rows[1].ends_with('x'), "{drawn}");
        assert_eq!(rows[HEIGHT].trim_start(), "100 us |o", "{drawn}");
        assert!(rows.iter().any(|row| row.starts_with("   5.00 ms |-----")), "{drawn}");
        let middle = |row: &&&str| row.chars().nth(12 + WIDTH / 2) == Some('*');
        assert_eq!(rows.iter().filter(middle).count(), 1, "{drawn}");
    }

    #[test]
    fn a_curve_of_one_step_or_none_can_be_drawn() {
        assert_eq!(draw(&[], 5000.0), "");
        assert!(draw(&[step(10.0, 5000.0, 5000.0)], 5000.0).contains('*'));
    }
}
