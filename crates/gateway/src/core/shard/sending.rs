//! From the log to a core's clients: how much a turn reads, and whom it visits.
//!
//! What is pending for a client is decided by `session::dispatch`.

use std::time::Duration;

use ringway_acceptor::Operations;

use crate::{
    core::shard::{Core, Reading, Shard},
    encoding::SharedDeflate,
    limits::{EARLY_BYTES_OF_TURN, TURN_EVENT_BYTES_MAX},
    session::{
        core_hub::CoreHub,
        dispatch::{Encoder, Room},
    },
};

impl Shard {
    /// Reads the log as far as there is room.
    pub(super) fn read_log(&mut self) {
        let Core { scratch, settings, hub, .. } = &mut self.core;
        let deflate = match settings.deflate_policy() {
            Some(policy) if hub.deflated > 0 => Some(SharedDeflate::new(&policy)),
            _ => None,
        };
        let CoreHub { broker, subscriptions, reader, dispatch, .. } = hub;
        let queue_bytes_max = settings.clients.queue_bytes_max;
        let slots = self.peers.slots();
        let mut encoder = Encoder { deflate, queue_bytes_max, slots, scratch };
        self.reading = match dispatch.read(&broker.log, reader, subscriptions, &mut encoder) {
            Ok(Room::Left) => Reading::Ended,
            Ok(Room::Full) => Reading::Halted,
            Err(gap) => {
                // This core has slept for longer than the history goes back. What is pending was
                // not sent to everybody.
                let settled = hub.dispatch.settled(gap.from);
                self.peers.iter_mut().for_each(|peer| peer.miss(settled, hub));
                hub.dispatch.clear();
                Reading::Halted
            }
        };
    }

    /// Visits clients and sends each of them all that is pending for it.
    pub(super) fn dispatch(&mut self, now: Duration, operations: &mut Operations) {
        let (mut visits, mut bytes) = (0, 0);
        while visits < self.core.settings.turn_sends_max
            && bytes < TURN_EVENT_BYTES_MAX
            && let Some(slot) = self.core.hub.dispatch.advance()
        {
            bytes += self.visit(slot, now, operations);
            visits += 1;
        }
        let mut early_bytes = 0;
        while early_bytes < EARLY_BYTES_OF_TURN
            && let Some(slot) = self.core.hub.dispatch.advance_early()
        {
            early_bytes += self.visit(slot, now, operations);
        }
    }

    /// Sends a client all that was found for it; returns the cost.
    #[inline]
    fn visit(&mut self, slot: u32, now: Duration, operations: &mut Operations) -> usize {
        if let Some(peer) = self.peers.in_slot_mut(slot) {
            peer.deliver(&mut self.core.turn(now, operations));
            peer.account(&mut self.core.memory, &self.core.settings);
        }
        self.core.hub.dispatch.found_bytes() + self.core.scratch.take_cost()
    }
}
