//! A live session: what its core has to send it, and what it was sent.
//!
//! It never writes.

use ringway_hub::Sequence;

use crate::session::{Session, Settled, core_hub::CoreHub, dispatch::Due};

impl Session {
    /// What is pending for it; it was sent everything up to `after`.
    #[inline]
    pub fn find(&self, after: Sequence, hub: &mut CoreHub) -> Due {
        hub.dispatch.find(&self.topics, after)
    }

    /// A live session was sent everything up to here.
    #[inline]
    pub fn served_live(&self, hub: &CoreHub) -> Sequence {
        self.cursor.max(hub.settled())
    }

    /// Nothing up to here is for it that it was not sent.
    #[inline]
    pub fn pass(&mut self, through: Sequence) {
        self.cursor = through;
    }

    /// All events after `before` and up to `through` that are for it were written. `settled` says
    /// whether the socket had taken everything before them.
    #[inline]
    pub fn sent(&mut self, before: Sequence, through: Sequence, settled: Settled) {
        if settled == Settled::Yes {
            self.settled = before.max(self.cursor);
        }
        self.cursor = through;
    }
}
