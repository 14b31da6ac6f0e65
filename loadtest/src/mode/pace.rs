//! When messages are sent, events are published or connections are opened; it may change between
//! two measurements.
//!
//! It never reads a clock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::measure::arrivals::Pattern;

/// When to act.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// An open loop: at this rate over all threads, independent of replies.
    Open {
        /// Actions per second.
        rate: f64,
        /// How the actions are spread.
        pattern: Pattern,
    },
    /// A closed loop: when the previous action has been answered.
    Closed,
}

/// The pace of the next measurement, for all threads.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The bits of the rate; 0 in a closed loop.
    rate: Arc<AtomicU64>,
    pattern: Pattern,
}

impl Dial {
    /// An open loop if there is a rate, a closed one otherwise.
    pub fn new(rate: Option<f64>, pattern: Pattern) -> Self {
        let dial = Self { rate: Arc::default(), pattern };
        dial.set(rate);
        dial
    }

    /// Changes the rate. Threads that are told to measure later see the new rate, because the
    /// command on their channel comes after the store.
    pub fn set(&self, rate: Option<f64>) {
        self.rate.store(rate.unwrap_or(0.0).to_bits(), Ordering::Relaxed);
    }

    /// The current pace.
    pub fn pace(&self) -> Pace {
        match f64::from_bits(self.rate.load(Ordering::Relaxed)) {
            0.0 => Pace::Closed,
            rate => Pace::Open { rate, pattern: self.pattern },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_rate_applies_to_all_its_holders() {
        let dial = Dial::new(Some(2.5), Pattern::Poisson);
        let other = dial.clone();
        assert_eq!(other.pace(), Pace::Open { rate: 2.5, pattern: Pattern::Poisson });
        dial.set(None);
        assert_eq!(other.pace(), Pace::Closed);
    }
}
