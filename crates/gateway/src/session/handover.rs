//! What a session does when another connection of its client has left without taking everything that
//! it was sent: the client is sent a gap.
//!
//! It is not sent the events. It may already have a cursor past them, and would then discard them as
//! events that it has had.

use std::time::Duration;

use ringway_hub::{Gap, Handover, Interest, Key, Sequence};

use crate::{
    auth::Grants,
    limits::LOOK_UP_BYTES,
    session::{Pace, Session, Uncommon, core_hub::CoreHub},
};

impl Session {
    /// Other connections of the client have left. If an event for the client lies between what they were
    /// served and the position at which this one began, the client is sent a gap up to its cursor.
    pub fn take_over(&mut self, handover: Handover, now: Duration, hub: &CoreHub) {
        let Handover { seat, after, through } = handover;
        if !hub.broker.directory.take_over(&self.client, seat) {
            return;
        }
        let interest =
            Interest { key: Key::Recipient(&self.client), after, live_after: Some(after) };
        let (first, touched) = hub.broker.before_first(interest, through, now);
        hub.spend(touched as usize * LOOK_UP_BYTES);
        if first >= through {
            return;
        }
        // The directory knows a stalled connection by where it is settled.
        let was_stalled = self.is_stalled;
        self.end_stall(hub);
        self.settled = self.settled.min(first);
        if was_stalled {
            self.stall(hub);
        }
        if self.pace == Pace::Live {
            self.cursor = self.served_live(hub);
            self.live_after = self.cursor;
            self.read_from_log(Pace::Replaying, hub);
        }
        self.change_uncommon(|uncommon| uncommon.missed_after = Some(first));
    }

    /// As [`Session::settle`], up to where its core is.
    #[inline]
    pub fn settle_at(&mut self, hub: &CoreHub) {
        self.settle();
        if self.pace == Pace::Live {
            self.settled = self.settled.max(hub.settled());
        }
    }

    /// The gap that is to be sent to the client now, if there is one.
    pub fn take_gap(&mut self) -> Option<Gap> {
        let from = self.missed_after().filter(|_| self.late_parts().is_empty())?;
        self.change_uncommon(|uncommon| uncommon.missed_after = None);
        Some(Gap { from, to: self.cursor })
    }

    /// The connection is closed without sending this gap. When the client returns, it counts as served
    /// up to the beginning of the gap and no further.
    pub fn leave_untold(&mut self, gap: Gap) {
        self.change_uncommon(|uncommon| uncommon.missed_after = Some(gap.from));
    }

    /// As [`Session::seen`], but no further than the beginning of a gap that was not sent yet.
    pub(super) fn served(&self) -> Sequence {
        self.missed_after().map_or(self.seen(), |after| after.min(self.seen()))
    }

    pub(super) fn missed_after(&self) -> Option<Sequence> {
        self.uncommon.as_ref().and_then(|uncommon| uncommon.missed_after)
    }

    pub(super) fn change_uncommon(&mut self, change: impl FnOnce(&mut Uncommon)) {
        let uncommon = &mut **self.uncommon.get_or_insert_default();
        change(uncommon);
        let Uncommon { late, missed_after, grants, expires_at, .. } = uncommon;
        let has_identity = *grants != Grants::BySettings || expires_at.is_some();
        if late.is_empty() && missed_after.is_none() && !has_identity {
            self.uncommon = None;
        }
    }
}
