//! Counters of one core: only the core writes them, and the control thread reads them.
//!
//! A count is a load and a store, without a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

use ringway_tls::Reason;

use crate::{
    rates::PauseReason,
    refusal::{EndReason, ErrorClass, ErrorCode, Refusal},
};

/// A counter with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning core calls this.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Subtracts one from a gauge that `add` has raised. Only the owning core calls this.
    pub fn subtract(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(count), Ordering::Relaxed);
    }

    /// Copies the value of another counter.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The current value, which may be slightly old.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a core.
#[derive(Debug, Default)]
pub struct CoreMetrics {
    /// Connections now.
    pub connections: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Clients refused when they connected.
    pub refused: RefusedCounts,
    /// Refused requests by class.
    pub refused_requests: [Counter; ErrorClass::ALL.len()],
    /// Refused commands by code.
    pub refused_commands: Counters<{ ErrorCode::ALL.len() }>,
    /// Pauses in which nothing was read from a client, by reason.
    pub paused: [Counter; PauseReason::ALL.len()],
    /// Connections that have ended, by reason.
    pub ended: Counters<{ EndReason::ALL.len() }>,
    /// Bytes received.
    pub received_bytes: Counter,
    /// Bytes written to sockets or queued for them.
    pub sent_bytes: Counter,
    /// Sends that a socket accepted only in part.
    pub short_sends: Counter,
    /// Receives that found no buffer.
    pub buffer_shortages: Counter,
    /// Turns of the loop.
    pub turns: Counter,
    /// Connected clients of the hub.
    pub sessions: SessionCounts,
    /// Requests that were passed on to the servers of routes.
    pub proxied: Counter,
    /// Relayed WebSockets.
    pub relays: Counter,
    /// Requests that the server of a route has refused.
    pub relays_refused: Counter,
    /// Events sent to clients.
    pub deliveries: Counter,
    /// How often a client had no room for an event and had to read it from the log later.
    pub lagged: Counter,
    /// Gaps that were reported to clients.
    pub gaps: Counter,
    /// Clients closed to free memory.
    pub closed_for_memory: Counter,
    /// Clients closed because a message took too long.
    pub messages_timed_out: Counter,
    /// Clients whose record layer failed: a failed handshake, a broken record.
    pub channel_errors: Counter,
    /// Handshakes of record layers that were completed.
    pub handshakes: Counter,
    /// Handshakes of record layers that took too long, or had to make room for others.
    pub handshakes_given_up: Counter,
    /// Handshakes of record layers that were refused because as many as allowed had begun in that second.
    pub handshakes_over_rate: Counter,
    /// Failed handshakes of record layers, by the number of their reason.
    pub handshakes_failed: [Counter; Reason::WORDS.len()],
    /// Handshakes of record layers in progress.
    pub handshakes_in_progress: Counter,
    /// Bytes buffered for clients.
    pub held_bytes: Counter,
}

impl CoreMetrics {
    /// Counts a refused request.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(class) = refusal.class() {
            self.refused_requests[class as usize].add(1);
        }
    }
}

/// A counter for each of several kinds, in the order of their numbers.
#[derive(Debug)]
pub struct Counters<const KINDS: usize>(pub [Counter; KINDS]);

impl<const KINDS: usize> Default for Counters<KINDS> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// Clients of the hub by how they are connected.
#[derive(Debug, Default)]
pub struct SessionCounts {
    /// On `/ws`.
    pub websocket: Counter,
    /// On `/sse`.
    pub sse: Counter,
    /// On `/stream`, as lines.
    pub stream: Counter,
    /// On `/stream`, as script blocks.
    pub iframe: Counter,
    /// On `/poll`, while their answer is pending.
    pub long_poll: Counter,
}

/// Clients that were refused when they connected, by reason.
#[derive(Debug, Default)]
pub struct RefusedCounts {
    /// The process is at its limit of connections.
    pub full: Counter,
    /// Their address is at its limit of connections.
    pub address_full: Counter,
    /// There was no descriptor for them.
    pub no_descriptor: Counter,
    /// The memory for client buffers is used up.
    pub memory: Counter,
}

impl RefusedCounts {
    /// The counter of refused connections for this reason.
    pub fn of(&self, refusal: Refusal) -> &Counter {
        match refusal {
            Refusal::AddressFull => &self.address_full,
            Refusal::Memory => &self.memory,
            _ => &self.full,
        }
    }
}
