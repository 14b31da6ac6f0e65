//! The errors of connections, for the few that make any.

use std::{collections::HashMap, time::Duration};

/// The errors of the connections of one core, by slot.
#[derive(Debug, Default)]
pub struct ErrorCounts(HashMap<u32, ErrorCount>);

#[derive(Debug, Clone, Copy)]
struct ErrorCount {
    since: Duration,
    count: u32,
}

impl ErrorCounts {
    /// Counts errors of a connection; whether there are now more than `max` within `window`.
    pub fn add(
        &mut self,
        slot: u32,
        errors: u32,
        (max, window): (u32, Duration),
        now: Duration,
    ) -> bool {
        let fresh = ErrorCount { since: now, count: 0 };
        let entry = self.0.entry(slot).or_insert(fresh);
        if now.saturating_sub(entry.since) >= window {
            *entry = fresh;
        }
        entry.count = entry.count.saturating_add(errors);
        entry.count > max
    }

    /// The connection in this slot has ended.
    pub fn forget(&mut self, slot: u32) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }

    /// Whether no errors are counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_within_a_window_and_for_one_connection() {
        let mut errors = ErrorCounts::default();
        let limit = (3, Duration::from_secs(10));
        let mut add =
            |slot, count, second| errors.add(slot, count, limit, Duration::from_secs(second));
        assert!(!add(1, 3, 0) && !add(2, 1, 0));
        assert!(!add(1, 3, 10), "the first window is over");
        assert!(add(1, 1, 19));
        errors.forget(1);
        errors.forget(2);
        assert!(errors.is_empty());
    }
}
