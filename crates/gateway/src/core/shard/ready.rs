//! Serves connections that have work to do although no completion arrived for them, a bounded
//! amount in each turn.
//!
//! Connections that cost little come first, and leave a share of the turn to the expensive ones and
//! to handshakes.

use std::time::Duration;

use ringway_acceptor::Operations;

use crate::{
    connection::ClientConnection,
    core::shard::Shard,
    limits::{TURN_EVENT_BYTES_MAX, TURN_HANDSHAKE_SHARE, TURN_HEAVY_SHARE, TURN_SLICE_BYTES},
    session::ready::{Effort, ReadyQueue},
};

impl Shard {
    /// Serves as many connections as the turn has room for.
    pub(super) fn serve_ready(&mut self, now: Duration, operations: &mut Operations) {
        self.admit_large_message();
        self.core.hub.spent.set(0);
        let share = |ready: &ReadyQueue, effort, bytes| match ready.len(effort) {
            0 => 0,
            _ => bytes,
        };
        let ready = &self.core.hub.ready;
        let handshakes = share(ready, Effort::Handshake, TURN_HANDSHAKE_SHARE);
        let heavy = share(ready, Effort::Heavy, TURN_HEAVY_SHARE);
        let cost_max = TURN_EVENT_BYTES_MAX - handshakes;
        self.serve_all(Effort::Light, cost_max - heavy, now, operations);
        // Some may have cost more than expected.
        let heavy = self.core.hub.ready.len(Effort::Heavy);
        let left = cost_max.saturating_sub(self.core.hub.spent.get());
        self.core.hub.slice.set((left / heavy.max(1)).max(TURN_SLICE_BYTES));
        self.serve_all(Effort::Heavy, cost_max, now, operations);
        self.core.hub.slice.set(TURN_SLICE_BYTES);
        self.serve_all(Effort::Handshake, TURN_EVENT_BYTES_MAX, now, operations);
    }

    /// Serves each connection at most once, until the turn has cost `cost_max`.
    fn serve_all(
        &mut self,
        effort: Effort,
        cost_max: usize,
        now: Duration,
        operations: &mut Operations,
    ) {
        for _ in 0..self.core.hub.ready.len(effort) {
            if self.core.hub.spent.get() >= cost_max {
                break;
            }
            if let Some(connection) = self.core.hub.ready.pop(effort) {
                self.with(connection, now, operations, ClientConnection::resume);
            }
        }
    }

    /// Admits the next large message once the last one is complete or its connection is closed.
    fn admit_large_message(&mut self) {
        if let Some(connection) = self.core.hub.ready.inflating() {
            let peer = self.peers.lookup_mut(connection);
            if !peer.is_some_and(|peer| peer.is_in_large_message()) {
                self.core.hub.ready.end_inflating(connection);
            }
        }
        self.core.hub.ready.admit();
    }
}
