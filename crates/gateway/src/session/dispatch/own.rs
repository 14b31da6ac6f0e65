//! Which pending events concern a client by its name: those that it is a recipient of, and those of
//! its topics that it is not to get.
//!
//! Each slot has a list, which is taken when the slot is visited. It knows events by their numbers
//! in the window.

use crate::memory::OutOfMemory;

/// Why an event is in the list of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mention {
    /// The client is a recipient.
    Recipient,
    /// The client sent the event and is left out.
    LeftOut,
}

/// The lists of all slots.
#[derive(Debug, Default)]
pub struct OwnLists {
    /// The newest entry of each slot.
    newest: Vec<u32>,
    entries: Vec<Entry>,
    /// The first entry that is free.
    free: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    event: u32,
    mention: Mention,
    /// The entry before it in its list, or in that of the free ones.
    older: u32,
}

const NONE: u32 = u32::MAX;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

impl OwnLists {
    /// Adds an event, the newest one, to the list of a slot.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was added.
    pub fn add(&mut self, slot: u32, event: u32, mention: Mention) -> Result<(), OutOfMemory> {
        let slot = slot as usize;
        if slot >= self.newest.len() {
            let more = slot + 1 - self.newest.len();
            self.newest.try_reserve(more).map_err(|_| OutOfMemory)?;
            self.newest.resize(slot + 1, NONE);
        }
        let entry = Entry { event, mention, older: self.newest[slot] };
        let at = if (self.free as usize) < self.entries.len() {
            let at = self.free;
            self.free = std::mem::replace(&mut self.entries[at as usize], entry).older;
            at
        } else {
            self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
            self.entries.push(entry);
            self.free = NONE;
            (self.entries.len() - 1) as u32
        };
        self.newest[slot] = at;
        Ok(())
    }

    /// Moves the list of a slot to `list`, in place of what that holds; the newest event comes
    /// first.
    #[inline]
    pub fn take(&mut self, slot: u32, list: &mut Vec<(u32, Mention)>) {
        list.clear();
        let Some(newest) = self.newest.get_mut(slot as usize) else { return };
        let mut at = std::mem::replace(newest, NONE);
        while let Some(entry) = self.entries.get_mut(at as usize) {
            list.push((entry.event, entry.mention));
            let older = std::mem::replace(&mut entry.older, self.free);
            self.free = at;
            at = older;
        }
    }

    /// Empties all lists.
    pub fn clear(&mut self) {
        self.newest.fill(NONE);
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Mention::*, *};

    fn taken(lists: &mut OwnLists, slot: u32) -> Vec<(u32, Mention)> {
        let mut list = vec![(99, LeftOut)];
        lists.take(slot, &mut list);
        list
    }

    #[test]
    fn each_slot_has_its_events_once_and_entries_are_used_again() {
        let mut lists = OwnLists::default();
        for _ in 0..3 {
            lists.add(7, 1, Recipient).unwrap();
            lists.add(2, 1, Recipient).unwrap();
            lists.add(7, 2, LeftOut).unwrap();
            assert_eq!(taken(&mut lists, 7), [(2, LeftOut), (1, Recipient)]);
            lists.add(7, 3, Recipient).unwrap();
            assert_eq!(taken(&mut lists, 2), [(1, Recipient)]);
            assert_eq!(taken(&mut lists, 7), [(3, Recipient)]);
            assert_eq!([taken(&mut lists, 7), taken(&mut lists, 1_000)], [[], []]);
        }
        assert_eq!(lists.entries.len(), 3);
        lists.add(7, 4, Recipient).unwrap();
        lists.clear();
        assert_eq!(taken(&mut lists, 7), []);
        lists.add(7, 5, Recipient).unwrap();
        lists.add(8, 5, Recipient).unwrap();
        assert_eq!(taken(&mut lists, 8), [(5, Recipient)]);
    }
}
