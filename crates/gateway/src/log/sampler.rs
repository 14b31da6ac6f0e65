//! Limits log lines to the first event of each kind in each second.
//!
//! The other events are counted, and the next line gives their number. Pure: times in, counts out.

use std::time::Duration;

/// Counts `KINDS` kinds of events.
#[derive(Debug)]
pub struct Sampler<const KINDS: usize> {
    /// For each kind, the second of its last line, counted from 1.
    seconds: [u64; KINDS],
    suppressed: [u64; KINDS],
}

/// Whether an event is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// Log the event, with the number of events that were suppressed before it.
    Line {
        /// Events of its kind since the last line.
        suppressed: u64,
    },
    /// Do not log the event; it is counted.
    Suppressed,
}

impl<const KINDS: usize> Default for Sampler<KINDS> {
    fn default() -> Self {
        Self { seconds: [0; KINDS], suppressed: [0; KINDS] }
    }
}

impl<const KINDS: usize> Sampler<KINDS> {
    /// Decides whether to log an event of this kind.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringway::log::sampler::{Sampled, Sampler};
    /// let mut sampler = Sampler::<3>::default();
    /// assert_eq!(sampler.judge(2, Duration::ZERO), Sampled::Line { suppressed: 0 });
    /// assert_eq!(sampler.judge(2, Duration::ZERO), Sampled::Suppressed);
    /// let later = Duration::from_secs(1);
    /// assert_eq!(sampler.judge(2, later), Sampled::Line { suppressed: 1 });
    /// ```
    pub fn judge(&mut self, kind: usize, now: Duration) -> Sampled {
        let second = now.as_secs() + 1;
        if self.seconds[kind] == second {
            self.suppressed[kind] += 1;
            return Sampled::Suppressed;
        }
        self.seconds[kind] = second;
        Sampled::Line { suppressed: std::mem::take(&mut self.suppressed[kind]) }
    }

    /// A kind whose events were suppressed in an earlier second, and their number; each is reported
    /// once.
    pub fn overdue(&mut self, now: Duration) -> Option<(usize, u64)> {
        let second = now.as_secs() + 1;
        let kinds = self.seconds.iter().zip(&mut self.suppressed).enumerate();
        kinds
            .filter(|(_, (last, count))| **last < second && **count > 0)
            .map(|(kind, (_, count))| (kind, std::mem::take(count)))
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_separately_and_no_line_is_lost() {
        let mut sampler = Sampler::<2>::default();
        let mut accounted = [0, 0];
        for millisecond in 0..3_500 {
            let (kind, now) = (millisecond % 2, Duration::from_millis(millisecond as u64));
            if let Sampled::Line { suppressed } = sampler.judge(kind, now) {
                accounted[kind] += 1 + suppressed;
            }
        }
        assert_eq!(sampler.overdue(Duration::from_millis(3_999)), None);
        while let Some((kind, suppressed)) = sampler.overdue(Duration::from_secs(4)) {
            accounted[kind] += suppressed;
        }
        assert_eq!(accounted, [1_750, 1_750]);
    }
}
