//! Counters of one core, written by it alone and read by the control thread.
//!
//! A count is a load and a store, without a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::{ErrorClass, Refusal};

/// A counter with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning core calls this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Takes one that was added away, of a counter that goes both ways. Only the owning core.
    pub fn subtract(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(count), Ordering::Relaxed);
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
    /// Clients turned away.
    pub refused: RefusedCounts,
    /// Requests refused, by what they were refused for.
    pub refused_requests: [Counter; ErrorClass::ALL.len()],
    /// Bytes received.
    pub received_bytes: Counter,
    /// Bytes handed to sockets, or to what waits for them.
    pub sent_bytes: Counter,
    /// Sends that the socket did not take whole.
    pub short_sends: Counter,
    /// Receives that found no buffer.
    pub buffer_shortages: Counter,
    /// Turns of the loop.
    pub turns: Counter,
    /// Clients of the hub now.
    pub sessions: SessionCounts,
    /// Events sent to clients.
    pub deliveries: Counter,
    /// How often a client had no room for an event, and read on from the log later.
    pub lagged: Counter,
    /// Gaps that clients were told of.
    pub gaps: Counter,
    /// Clients closed to free memory.
    pub closed_for_memory: Counter,
    /// Clients closed because a message took too long.
    pub messages_timed_out: Counter,
    /// Clients whose channel could not be read: a failed handshake, a broken record.
    pub channel_errors: Counter,
    /// Bytes buffered for clients.
    pub held_bytes: Counter,
}

impl CoreMetrics {
    /// A request was refused.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(class) = refusal.class() {
            self.refused_requests[class as usize].add(1);
        }
    }
}

/// Clients of the hub by how they are connected.
#[derive(Debug, Default)]
pub struct SessionCounts {
    /// On `/ws`.
    pub websocket: Counter,
    /// On `/sse`.
    pub sse: Counter,
    /// On `/stream`, by lines.
    pub stream: Counter,
    /// On `/stream`, by script blocks.
    pub iframe: Counter,
    /// On `/poll`, while their answer is held back.
    pub long_poll: Counter,
}

/// Clients that were turned away when they connected, by why they were.
#[derive(Debug, Default)]
pub struct RefusedCounts {
    /// The process has as many as it may have.
    pub full: Counter,
    /// Their address has as many as it may have.
    pub address_full: Counter,
    /// There was no descriptor for them.
    pub no_descriptor: Counter,
    /// What may be buffered for clients is used up.
    pub memory: Counter,
}

impl RefusedCounts {
    /// The counter of a refused connection.
    pub fn of(&self, refusal: Refusal) -> &Counter {
        match refusal {
            Refusal::AddressFull => &self.address_full,
            Refusal::Memory => &self.memory,
            _ => &self.full,
        }
    }
}
