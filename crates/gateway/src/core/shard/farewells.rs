//! Tells clients to leave: those with old connections, and all of them while the core drains.
//!
//! When is decided in `core::leaving`; the connection tells its client in the way of its protocol.

use std::time::Duration;

use ringway_acceptor::Operations;

use crate::{
    connection::{ToLeave, log::EndReason},
    core::{drain::Drain, leaving::patience_at, shard::Shard},
    session::core_hub::CoreHub,
};

impl Shard {
    /// Tells the clients that are due; while draining, not before all acknowledged events were sent.
    pub(super) fn see_off(&mut self, now: Duration, operations: &mut Operations) {
        if self.is_gathering() {
            if !self.is_all_sent() && !self.drain.as_ref().is_some_and(|drain| drain.is_late(now)) {
                return;
            }
            // Events that are acknowledged later might not be sent any more.
            self.give_up_submissions(now, operations);
            let slots: Vec<u32> =
                self.peers.iter_mut().map(|peer| peer.connection().slot()).collect();
            let time = self.drain.as_mut().map_or(Duration::ZERO, |drain| drain.tell(now));
            self.leavers.tell_all(&slots, now, time);
        }
        while let Some(slot) = self.leavers.next(now) {
            self.tell_to_leave(slot, now, operations);
        }
    }

    fn tell_to_leave(&mut self, slot: u32, now: Duration, operations: &mut Operations) {
        let Some(peer) = self.peers.in_slot_mut(slot) else { return };
        let settings = &self.core.settings;
        let patience_end = match (peer.readiness_to_leave(), &self.drain) {
            (ToLeave::Ready, _) => now,
            (ToLeave::InRequest, Some(drain)) => drain.end(),
            (ToLeave::Behind, Some(drain)) => drain.patience_end(),
            (_, None) => now + patience_at(settings.server.max_connection_age),
        };
        if patience_end > now && self.leavers.postpone(slot, now, patience_end) {
            return;
        }
        let reason = match self.drain {
            Some(_) => EndReason::GoingAway,
            None => EndReason::MaxAge,
        };
        let absence = self.leavers.absence(settings.http.retry);
        self.with_slot(slot, now, operations, |peer, turn| peer.send_away(reason, absence, turn));
    }

    /// Whether it drains, and no client has been told to leave.
    pub(super) fn is_gathering(&self) -> bool {
        self.drain.as_ref().is_some_and(Drain::is_gathering)
    }

    /// Whether no more events can come, and the last one was sent to all clients that keep up.
    fn is_all_sent(&self) -> bool {
        let CoreHub { mailbox, broker, dispatch, reader, .. } = &self.core.hub;
        self.drain.is_some()
            && mailbox.is_log_final()
            && broker.pending() == 0
            && dispatch.is_empty()
            && reader.position() == broker.log.head()
    }
}
