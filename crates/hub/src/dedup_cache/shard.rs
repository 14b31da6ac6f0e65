//! The answers of some senders, in the order of their arrival, and how many each owner has.
//!
//! Owners are ranked by the units of their answers, so that the largest is found at once. Nothing
//! here is executed while the state is inconsistent.

use std::time::Duration;

use hashbrown::{HashTable, hash_table::Entry as Place};

/// No entry.
const NONE: u32 = u32::MAX;

/// Below this many units each number has a rank of its own; above it, each quarter of a power of two.
const EXACT_RANKS: u32 = 64;

/// What a shard may hold.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) entries_max: usize,
    pub(super) units_max: usize,
    /// An owner with no more than this many units forgets nothing before its time.
    pub(super) units_spared: usize,
    pub(super) age_max: Duration,
}

/// Invariants: `places` holds the number of every entry that can be found; all entries are in one
/// list in order of arrival, and those of each owner in another; `ranks[rank(owner.units)]` lists
/// each owner once, at `owner.place`, and no rank above `largest` lists any.
#[derive(Debug)]
pub(super) struct Shard<V> {
    places: HashTable<u32>,
    entries: Vec<Option<Entry<V>>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    by_key: HashTable<u32>,
    owners: Vec<Owner>,
    free_owners: Vec<u32>,
    ranks: Vec<Vec<u32>>,
    largest: usize,
    units: usize,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Entry<V> {
    /// The sender, followed by the id at `sender_bytes`.
    key: Box<str>,
    sender_bytes: u32,
    units: u32,
    owner: u32,
    /// Neighbours in the order of arrival.
    older: u32,
    newer: u32,
    next_of_owner: u32,
    hash: u64,
    at: Duration,
    pub(super) value: V,
}

#[derive(Debug)]
struct Owner {
    key: u32,
    oldest: u32,
    newest: u32,
    units: u32,
    place: u32,
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self {
            places: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            by_key: HashTable::new(),
            owners: Vec::new(),
            free_owners: Vec::new(),
            ranks: Vec::new(),
            largest: 0,
            units: 0,
        }
    }
}

impl<V> Shard<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn bytes(&self, value_bytes: impl Fn(&V) -> usize) -> usize {
        let heap = self.entries.iter().flatten().map(|one| one.key.len() + value_bytes(&one.value));
        let ranks = self.ranks.iter().map(|rank| rank.capacity() * size_of::<u32>());
        size_of::<Self>()
            + self.places.allocation_size()
            + self.by_key.allocation_size()
            + self.entries.capacity() * size_of::<Option<Entry<V>>>()
            + self.owners.capacity() * size_of::<Owner>()
            + (self.free.capacity() + self.free_owners.capacity()) * size_of::<u32>()
            + self.ranks.capacity() * size_of::<Vec<u32>>()
            + ranks.sum::<usize>()
            + heap.sum::<usize>()
    }

    pub(super) fn find(&self, hash: u64, sender: &str, id: &str) -> Option<&Entry<V>> {
        let is_it = |number: &u32| self.entry(*number).is_for(sender, id);
        self.places.find(hash, is_it).map(|number| self.entry(*number))
    }

    /// The entry stays until it is its owner's oldest, but can no longer be found.
    pub(super) fn forget_if(
        &mut self,
        hash: u64,
        sender: &str,
        id: &str,
        is_it: impl FnOnce(&V) -> bool,
    ) {
        if !self.find(hash, sender, id).is_some_and(|found| is_it(&found.value)) {
            return;
        }
        let entries = &self.entries;
        let is_for = |number: &u32| at(entries, *number).is_for(sender, id);
        if let Ok(place) = self.places.find_entry(hash, is_for) {
            place.remove();
        }
    }

    pub(super) fn expire(&mut self, now: Duration, age_max: Duration) {
        while self.oldest != NONE && self.entry(self.oldest).is_over(now, age_max) {
            self.forget_oldest_of(self.entry(self.oldest).owner);
        }
    }

    /// Makes room for another entry of `owner`: the owner with the most units forgets its oldest
    /// entry; `owner` itself, if nobody has more.
    ///
    /// # Errors
    /// Every owner is spared; the time until the oldest entry expires.
    pub(super) fn make_room(
        &mut self,
        owner: u32,
        now: Duration,
        bounds: &Bounds,
    ) -> Result<(), Duration> {
        while self.len() >= bounds.entries_max || self.units >= bounds.units_max {
            let Some(&first) = self.ranks.get(self.largest).and_then(|rank| rank.first()) else {
                return Ok(());
            };
            let own =
                self.by_key.find(hash_of(owner), |one| self.owners[*one as usize].key == owner);
            let is_largest = |one: &&u32| rank(self.owners[**one as usize].units) == self.largest;
            let victim = own.filter(is_largest).copied().unwrap_or(first);
            if self.owners[victim as usize].units as usize <= bounds.units_spared {
                let age = now.saturating_sub(self.entry(self.oldest).at);
                return Err(bounds.age_max.saturating_sub(age));
            }
            self.forget_oldest_of(victim);
        }
        Ok(())
    }

    /// Forgets entries of owners that are not spared while there are too many bytes, but not the
    /// newest entry.
    pub(super) fn give_way(&mut self, bounds: &Bounds) {
        while self.units > bounds.units_max
            && let Some(&victim) = self.ranks.get(self.largest).and_then(|rank| rank.first())
        {
            let owner = &self.owners[victim as usize];
            if owner.units as usize <= bounds.units_spared || owner.oldest == self.newest {
                break;
            }
            self.forget_oldest_of(victim);
        }
    }

    /// Replaces the entry for the same request, if there is one.
    pub(super) fn remember(
        &mut self,
        owner: u32,
        hash: u64,
        (sender, id): (&str, &str),
        at_time: Duration,
        (value, units): (V, usize),
    ) {
        let units = u32::try_from(units).unwrap_or(u32::MAX / 2);
        let owner = self.owner(owner);
        let entry = Entry {
            key: [sender, id].concat().into_boxed_str(),
            sender_bytes: sender.len() as u32,
            units,
            owner,
            older: self.newest,
            newer: NONE,
            next_of_owner: NONE,
            hash,
            at: at_time,
            value,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = Some(entry);
                number
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as u32
            }
        };
        match self.newest {
            NONE => self.oldest = number,
            newest => self.entry_mut(newest).newer = number,
        }
        self.newest = number;
        match std::mem::replace(&mut self.owners[owner as usize].newest, number) {
            NONE => self.owners[owner as usize].oldest = number,
            newest => self.entry_mut(newest).next_of_owner = number,
        }
        let entries = &self.entries;
        let same = |one: &u32| at(entries, *one).is_for(sender, id);
        match self.places.entry(hash, same, |one| at(entries, *one).hash) {
            Place::Occupied(mut place) => *place.get_mut() = number,
            Place::Vacant(place) => {
                place.insert(number);
            }
        }
        self.units += units as usize;
        self.weigh(owner, self.owners[owner as usize].units.saturating_add(units));
    }

    /// Forgets an owner's oldest entry, and the owner with its last one.
    fn forget_oldest_of(&mut self, owner: u32) {
        let number = self.owners[owner as usize].oldest;
        let entry = self.entries[number as usize].take().expect("an owner has entries");
        self.free.push(number);
        if let Ok(place) = self.places.find_entry(entry.hash, |one| *one == number) {
            place.remove();
        }
        match entry.older {
            NONE => self.oldest = entry.newer,
            older => self.entry_mut(older).newer = entry.newer,
        }
        match entry.newer {
            NONE => self.newest = entry.older,
            newer => self.entry_mut(newer).older = entry.older,
        }
        self.units -= entry.units as usize;
        self.owners[owner as usize].oldest = entry.next_of_owner;
        self.weigh(owner, self.owners[owner as usize].units - entry.units);
        if entry.next_of_owner == NONE {
            self.unrank(owner);
            let key = self.owners[owner as usize].key;
            if let Ok(place) = self.by_key.find_entry(hash_of(key), |one| *one == owner) {
                place.remove();
            }
            self.free_owners.push(owner);
        }
    }

    /// The owner with this key, which may have no entry yet.
    fn owner(&mut self, key: u32) -> u32 {
        let owners = &mut self.owners;
        let is_it = |one: &u32| owners[*one as usize].key == key;
        if let Some(known) = self.by_key.find(hash_of(key), is_it) {
            return *known;
        }
        let owner = Owner { key, oldest: NONE, newest: NONE, units: 0, place: 0 };
        let number = match self.free_owners.pop() {
            Some(number) => {
                owners[number as usize] = owner;
                number
            }
            None => {
                owners.push(owner);
                (owners.len() - 1) as u32
            }
        };
        self.by_key.insert_unique(hash_of(key), number, |one| hash_of(owners[*one as usize].key));
        self.enrank(number);
        number
    }

    fn weigh(&mut self, owner: u32, units: u32) {
        let before = rank(self.owners[owner as usize].units);
        if before == rank(units) {
            self.owners[owner as usize].units = units;
            return;
        }
        self.unrank(owner);
        self.owners[owner as usize].units = units;
        self.enrank(owner);
    }

    fn unrank(&mut self, owner: u32) {
        let Owner { units, place, .. } = self.owners[owner as usize];
        let list = &mut self.ranks[rank(units)];
        list.swap_remove(place as usize);
        if let Some(&moved) = list.get(place as usize) {
            self.owners[moved as usize].place = place;
        }
        while self.largest > 0 && self.ranks[self.largest].is_empty() {
            self.largest -= 1;
        }
    }

    fn enrank(&mut self, owner: u32) {
        let rank = rank(self.owners[owner as usize].units);
        if self.ranks.len() <= rank {
            self.ranks.resize_with(rank + 1, Vec::new);
        }
        self.owners[owner as usize].place = self.ranks[rank].len() as u32;
        self.ranks[rank].push(owner);
        self.largest = self.largest.max(rank);
    }

    fn entry(&self, number: u32) -> &Entry<V> {
        at(&self.entries, number)
    }

    fn entry_mut(&mut self, number: u32) -> &mut Entry<V> {
        self.entries[number as usize].as_mut().expect(LISTED)
    }
}

const LISTED: &str = "a number in a list is that of an entry";

fn at<V>(entries: &[Option<Entry<V>>], number: u32) -> &Entry<V> {
    entries[number as usize].as_ref().expect(LISTED)
}

impl<V> Entry<V> {
    fn is_for(&self, sender: &str, id: &str) -> bool {
        self.sender_bytes as usize == sender.len()
            && self.key.len() == sender.len() + id.len()
            && self.key.starts_with(sender)
            && self.key.ends_with(id)
    }

    pub(super) fn is_over(&self, now: Duration, age_max: Duration) -> bool {
        now.saturating_sub(self.at) >= age_max
    }
}

/// The rank of an owner with this many units.
fn rank(units: u32) -> usize {
    if units < EXACT_RANKS {
        return units as usize;
    }
    let power = units.ilog2();
    let quarter = units >> (power - 2) & 3;
    (EXACT_RANKS + (power - EXACT_RANKS.ilog2()) * 4 + quarter) as usize
}

/// Keys are hashes already; the table takes its tags from the upper bits.
fn hash_of(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_grows_with_the_units_and_is_never_a_quarter_off() {
        for units in 1..100_000_u32 {
            assert!(rank(units) >= rank(units - 1), "{units}");
        }
        assert!(rank(79) < rank(80) && rank(64) == rank(79));
        assert!(rank(u32::MAX) < 200);
    }
}
