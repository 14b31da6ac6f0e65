//! Chooses the next rate: doubles it, then halves the interval, by ratio and not by difference.
//!
//! It never measures: the caller says which rates passed.

/// A search for the highest rate that passes.
#[derive(Debug, Clone)]
pub struct Search {
    from: f64,
    to: f64,
    precision: f64,
    passed: Option<f64>,
    failed: Option<f64>,
}

/// The lowest rate: below it, a step of some seconds has too few messages for a p99.
const RATE_MIN: f64 = 10.0;

/// Growth while nothing has failed.
const FACTOR: f64 = 2.0;

impl Search {
    /// Starts at `from` and never exceeds `to`; ends when the rates that passed and failed differ
    /// by no more than `precision`, from 0 to 1.
    ///
    /// ```
    /// use ringway_loadtest::mode::sweep::search::Search;
    /// let mut search = Search::new(100.0, None, 0.05);
    /// while let Some(rate) = search.next_rate() {
    ///     if rate <= 777.0 { search.pass(rate) } else { search.fail(rate) }
    /// }
    /// assert!((740.0..=777.0).contains(&search.highest().unwrap()));
    /// ```
    pub fn new(from: f64, to: Option<f64>, precision: f64) -> Self {
        let to = to.unwrap_or(f64::INFINITY);
        Self { from: from.min(to), to, precision, passed: None, failed: None }
    }

    /// The next rate to try; `None` when the search is over.
    pub fn next_rate(&self) -> Option<f64> {
        match (self.passed, self.failed) {
            (None, None) => Some(self.from),
            (Some(passed), None) => (passed < self.to).then(|| (passed * FACTOR).min(self.to)),
            (None, Some(failed)) => {
                let next = failed / FACTOR;
                (next >= RATE_MIN).then_some(next)
            }
            (Some(passed), Some(failed)) => {
                (failed > passed * (1.0 + self.precision)).then(|| (passed * failed).sqrt())
            }
        }
    }

    /// This rate passed.
    pub fn pass(&mut self, rate: f64) {
        self.passed = Some(self.passed.map_or(rate, |passed| passed.max(rate)));
    }

    /// This rate failed.
    pub fn fail(&mut self, rate: f64) {
        self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate)));
    }

    /// The highest rate that passed.
    pub fn highest(&self) -> Option<f64> {
        self.passed
    }

    /// Whether it is the bound that the user set, and not the server's limit.
    pub fn is_at_bound(&self) -> bool {
        self.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut search: Search, capacity: f64) -> (Option<f64>, u32, Search) {
        let mut steps = 0;
        while let Some(rate) = search.next_rate() {
            steps += 1;
            if rate <= capacity { search.pass(rate) } else { search.fail(rate) }
        }
        (search.highest(), steps, search)
    }

    #[test]
    fn the_result_is_within_the_precision_from_any_start() {
        for from in [10.0, 1000.0, 1e6] {
            for capacity in [30.0, 2000.0, 123_456.0] {
                let (found, steps, _) = run(Search::new(from, None, 0.05), capacity);
                let found = found.unwrap();
                assert!(found <= capacity && found * 1.05 >= capacity, "{from} {capacity} {found}");
                assert!(steps < 30, "{steps}");
            }
        }
    }

    #[test]
    fn a_bound_is_kept_and_distinguished_from_a_limit() {
        let (found, _, search) = run(Search::new(1000.0, Some(5000.0), 0.05), 1e9);
        assert_eq!((found, search.is_at_bound()), (Some(5000.0), true));
        let (found, steps, _) = run(Search::new(1000.0, Some(500.0), 0.05), 1e9);
        assert_eq!((found, steps), (Some(500.0), 1));
    }

    #[test]
    fn the_search_gives_up_on_a_server_that_never_passes() {
        let (found, steps, search) = run(Search::new(1000.0, None, 0.05), 0.0);
        assert_eq!((found, search.is_at_bound()), (None, false));
        assert!(steps < 10, "{steps}");
    }
}
