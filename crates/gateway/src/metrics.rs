//! Counters of one core, written by it alone and read by the control thread.
//!
//! A count is a load and a store, without a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning core calls this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Sets the value that another counter has reached.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value, as of a moment ago.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a core counts.
#[derive(Debug, Default)]
pub struct CoreMetrics {
    /// Connections now.
    pub connections: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Clients turned away, for want of a descriptor or by a limit.
    pub refused: Counter,
    /// Bytes received.
    pub received_bytes: Counter,
    /// Sends that the socket did not take whole.
    pub short_sends: Counter,
    /// Receives that found no buffer.
    pub buffer_shortages: Counter,
    /// Turns of the loop.
    pub turns: Counter,
}
