//! Clients that are visited before their turn in a long pass, because few are to get an event of a
//! topic with little pending: the subscribers of a busy topic do not delay those of others.
//!
//! It never visits anybody. A client that was visited stays marked in the round, where nothing is
//! pending for it any more.

use std::collections::VecDeque;

use crate::limits::{EARLY_AUDIENCE_MAX, EARLY_SLOTS_MAX};

/// The slots, in the order of their events.
#[derive(Debug, Default)]
pub struct Early {
    slots: VecDeque<u32>,
}

impl Early {
    /// Adds an audience, if it is small and there is room for all of it.
    pub fn add(&mut self, audience: impl Iterator<Item = u32>) {
        let before = self.slots.len();
        self.slots.extend(audience.take(EARLY_AUDIENCE_MAX + 1));
        let added = self.slots.len() - before;
        if added > EARLY_AUDIENCE_MAX || self.slots.len() > EARLY_SLOTS_MAX {
            self.slots.truncate(before);
        }
    }

    /// Takes the next slot.
    pub fn next(&mut self) -> Option<u32> {
        self.slots.pop_front()
    }

    /// Everybody has been visited.
    pub fn clear(&mut self) {
        self.slots.clear();
    }
}
