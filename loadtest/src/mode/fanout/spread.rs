//! When each event reached its first and its last subscriber.
//!
//! Each thread keeps its own table, which grows by blocks; the tables are combined at the end.

use std::time::Duration;

use crate::measure::quantiles::{LATENCY_DIGITS, Times, record, times};

/// The arrivals of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrivals {
    first_ns: u64,
    last_ns: u64,
    count: u32,
}

const NONE: Arrivals = Arrivals { first_ns: u64::MAX, last_ns: 0, count: 0 };

/// Events in a block: 12 KiB.
const BLOCK_EVENTS: usize = 512;

/// The most events per thread, some 400 MB. The spread of further events is not measured.
const EVENTS_MAX: usize = 1 << 24;

/// When events arrived, by publisher and number since the start.
#[derive(Debug)]
pub struct Spread {
    publishers: Vec<Vec<Box<[Arrivals; BLOCK_EVENTS]>>>,
    blocks_max: usize,
}

/// The spread of the events of a run.
#[derive(Debug)]
pub struct Spreads {
    /// From the first subscriber to the last, for each event that reached all subscribers to which
    /// it was owed.
    pub times: Times,
    /// Events that reached all of them.
    pub complete: u64,
    /// Events that did not.
    pub incomplete: u64,
}

impl Spread {
    /// An empty table.
    pub fn new(publishers: usize) -> Self {
        let blocks_max = (EVENTS_MAX / BLOCK_EVENTS / publishers.max(1)).max(1);
        Self { publishers: (0..publishers).map(|_| Vec::new()).collect(), blocks_max }
    }

    /// Records that an event has reached a subscriber. Times do not go back.
    #[inline]
    pub fn note(&mut self, publisher: usize, event: u32, now: Duration) {
        let (block, index) = (event as usize / BLOCK_EVENTS, event as usize % BLOCK_EVENTS);
        let blocks = &mut self.publishers[publisher];
        if block >= blocks.len() {
            if block >= self.blocks_max {
                return;
            }
            blocks.resize_with(block + 1, || Box::new([NONE; BLOCK_EVENTS]));
        }
        let arrivals = &mut blocks[block][index];
        let now = now.as_nanos() as u64;
        arrivals.first_ns = arrivals.first_ns.min(now);
        arrivals.last_ns = now;
        arrivals.count += 1;
    }

    fn at(&self, publisher: usize, event: usize) -> Arrivals {
        let block = self.publishers[publisher].get(event / BLOCK_EVENTS);
        block.map_or(NONE, |block| block[event % BLOCK_EVENTS])
    }

    /// Combines the tables of all threads. `owed` has for each publisher how many deliveries each
    /// of its events owed.
    pub fn together(threads: &[&Self], owed: &[Vec<u32>]) -> Spreads {
        let mut spreads = Spreads { times: times(LATENCY_DIGITS), complete: 0, incomplete: 0 };
        let known =
            threads.iter().map(|thread| thread.blocks_max).min().unwrap_or(0) * BLOCK_EVENTS;
        for (publisher, owed) in owed.iter().enumerate() {
            for (event, &owed) in owed.iter().enumerate().take(known) {
                let all = threads.iter().map(|thread| thread.at(publisher, event));
                let seen = all.fold(NONE, |sum, one| Arrivals {
                    first_ns: sum.first_ns.min(one.first_ns),
                    last_ns: sum.last_ns.max(one.last_ns),
                    count: sum.count + one.count,
                });
                if seen.count < owed {
                    spreads.incomplete += 1;
                    continue;
                }
                spreads.complete += 1;
                if seen.count > 0 {
                    let spread = Duration::from_nanos(seen.last_ns - seen.first_ns);
                    record(&mut spreads.times, spread);
                }
            }
        }
        spreads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_threads_are_merged() {
        let at = Duration::from_micros;
        let (mut one, mut other) = (Spread::new(2), Spread::new(2));
        one.note(0, 0, at(100));
        one.note(0, 0, at(150));
        other.note(0, 0, at(90));
        other.note(1, 5000, at(7));
        let mut owed = vec![vec![3, 1], vec![0; 5000]];
        owed[1].push(1);
        let spreads = Spread::together(&[&one, &other], &owed);
        assert_eq!((spreads.complete, spreads.incomplete), (5002, 1));
        assert_eq!(spreads.times.len(), 2, "an event without subscribers has no spread");
        assert!((59_900..60_100).contains(&spreads.times.max()), "{}", spreads.times.max());
    }
}
