//! Finds the events for a topic or a recipient, so that a replay costs only as much as it replays.
//! Never holds an event, only its sequence.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use hashbrown::{HashTable, hash_table::Entry};

use crate::address::Address;
use crate::cursor::Sequence;
use crate::event::{Event, Expiry};
use crate::postings::{Left, Postings};

/// The bytes charged for a key's entry: what it takes just after the table has grown.
pub(crate) const KEY_BYTES: u64 = 2 * 8 * (size_of::<KeyEntry>() as u64 + 1) / 7;

/// The postings of all topics and all recipients.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: Keys,
    recipients: Keys,
    /// Events that are not kept, for clients that were connected when they came. Separate, so that
    /// other replays do not search them.
    passing_topics: Keys,
    passing_recipients: Keys,
    /// The table that [`Index::shrink`] looks at next, counted over the tables of all four kinds.
    shrinks_next: usize,
}

impl Index {
    /// Adds an event that is newer than all before it.
    pub(crate) fn add(&mut self, event: &Event) {
        let (topics, recipients) = self.keys_of(event);
        match event.address() {
            Address::Topic(topic) => topics.add(topic, event.sequence()),
            Address::Recipients(names) => {
                names.iter().for_each(|name| recipients.add(name, event.sequence()));
            }
        }
    }

    /// Removes the postings up to `event` from some of its keys.
    pub(crate) fn remove(&mut self, event: &Event, part: Range<usize>) {
        let (topics, recipients) = self.keys_of(event);
        let end = event.sequence();
        match event.address() {
            Address::Topic(topic) => topics.remove(topic, end),
            Address::Recipients(names) => {
                let names = names.iter().skip(part.start).take(part.len());
                names.for_each(|name| recipients.remove(name, end));
            }
        }
    }

    /// The tables for the topic and for the recipients of an event.
    fn keys_of(&mut self, event: &Event) -> (&mut Keys, &mut Keys) {
        match event.keep() {
            Expiry::Never => (&mut self.passing_topics, &mut self.passing_recipients),
            Expiry::Window | Expiry::Until(_) => (&mut self.topics, &mut self.recipients),
        }
    }

    fn all(&self) -> [&Keys; 4] {
        [&self.topics, &self.recipients, &self.passing_topics, &self.passing_recipients]
    }

    /// Shrinks one table whose keys are mostly gone. Only one table per call, since all its
    /// remaining keys are moved; the next call continues with the next table.
    pub(crate) fn shrink(&mut self) {
        let Self { topics, recipients, passing_topics, passing_recipients, shrinks_next } = self;
        let all = [topics, recipients, passing_topics, passing_recipients];
        for _ in 0..all.len() * TABLES {
            let (kind, table) = (*shrinks_next / TABLES, *shrinks_next % TABLES);
            *shrinks_next = (*shrinks_next + 1) % (all.len() * TABLES);
            if all[kind].shrink(table) {
                return;
            }
        }
    }

    pub(crate) fn topic(&self, topic: &str) -> Option<&Postings> {
        self.topics.find(topic)
    }

    pub(crate) fn recipient(&self, name: &str) -> Option<&Postings> {
        self.recipients.find(name)
    }

    /// As [`Index::topic`], for events that are not kept.
    pub(crate) fn passing_topic(&self, topic: &str) -> Option<&Postings> {
        self.passing_topics.find(topic)
    }

    /// As [`Index::recipient`], for events that are not kept.
    pub(crate) fn passing_recipient(&self, name: &str) -> Option<&Postings> {
        self.passing_recipients.find(name)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.all().iter().map(|keys| keys.bytes() as u64).sum()
    }

    /// Bytes that depend only on what is in the index, not on when its tables grew.
    pub(crate) fn weight(&self) -> u64 {
        self.all().iter().map(|keys| keys.weight()).sum()
    }
}

/// Tables of one kind of key: each grows on its own, so that no event waits until all keys are
/// moved.
const TABLES: usize = 32;

#[derive(Debug, Default)]
struct Keys {
    tables: [HashTable<KeyEntry>; TABLES],
    hasher: RandomState,
    /// Bytes that the entries have outside the table.
    heap_bytes: usize,
}

#[derive(Debug)]
struct KeyEntry {
    key: Box<str>,
    postings: Postings,
}

const _: () = assert!(size_of::<KeyEntry>() == 48);

impl Keys {
    fn add(&mut self, key: &str, sequence: Sequence) {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(key);
        let same = |entry: &KeyEntry| *entry.key == *key;
        let table = &mut self.tables[table_of(hash)];
        match table.entry(hash, same, |entry| hasher.hash_one(&*entry.key)) {
            Entry::Occupied(mut entry) => {
                let postings = &mut entry.get_mut().postings;
                self.heap_bytes -= postings.bytes();
                postings.push(sequence);
                self.heap_bytes += postings.bytes();
            }
            Entry::Vacant(place) => {
                self.heap_bytes += key.len();
                place.insert(KeyEntry { key: key.into(), postings: Postings::One(sequence) });
            }
        }
    }

    fn remove(&mut self, key: &str, end: Sequence) {
        let hash = self.hasher.hash_one(key);
        let table = &mut self.tables[table_of(hash)];
        let Ok(mut entry) = table.find_entry(hash, |entry| *entry.key == *key) else {
            return;
        };
        let postings = &mut entry.get_mut().postings;
        self.heap_bytes -= postings.bytes();
        match postings.remove_through(end) {
            Left::Some => self.heap_bytes += postings.bytes(),
            Left::Nothing => {
                self.heap_bytes -= key.len();
                entry.remove();
            }
        }
    }

    fn find(&self, key: &str) -> Option<&Postings> {
        let hash = self.hasher.hash_one(key);
        let found = self.tables[table_of(hash)].find(hash, |entry| *entry.key == *key);
        found.map(|entry| &entry.postings)
    }

    /// Shrinks a table if it is mostly empty; returns whether it was.
    fn shrink(&mut self, table: usize) -> bool {
        let (hasher, table) = (&self.hasher, &mut self.tables[table]);
        // `capacity` would not count the places of removed keys.
        if table.allocation_size() <= 5 * table.len() * (size_of::<KeyEntry>() + 1) {
            return false;
        }
        table.shrink_to(table.len() * 2, |entry| hasher.hash_one(&*entry.key));
        true
    }

    fn bytes(&self) -> usize {
        let tables = self.tables.iter().map(HashTable::allocation_size).sum::<usize>();
        tables + self.heap_bytes
    }

    fn weight(&self) -> u64 {
        let keys = self.tables.iter().map(HashTable::len).sum::<usize>();
        keys as u64 * KEY_BYTES + self.heap_bytes as u64
    }
}

/// The table of a key, chosen by bits of its hash that no table uses itself.
fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_grows_beyond_its_share_of_the_keys() {
        let mut keys = Keys::default();
        (0..32_000).for_each(|number| keys.add(&format!("client-{number}"), 1));
        let largest = keys.tables.iter().map(HashTable::len).max();
        assert!(largest.is_some_and(|keys| keys < 2 * 32_000 / TABLES), "{largest:?}");
        for number in 0..32_000 {
            let key = format!("client-{number}");
            assert!(keys.find(&key).is_some());
            keys.remove(&key, 1);
        }
        assert_eq!(keys.weight(), 0);
        assert!((0..TABLES).all(|table| keys.shrink(table)));
        assert_eq!(keys.bytes(), 0);
    }

    #[test]
    fn each_call_shrinks_the_next_table() {
        let mut index = Index::default();
        for keys in [&mut index.topics, &mut index.passing_recipients] {
            let names: Vec<String> = (0..3_200).map(|number| format!("key-{number}")).collect();
            names.iter().for_each(|name| keys.add(name, 1));
            names.iter().skip(TABLES).for_each(|name| keys.remove(name, 1));
        }
        let shrunk = |index: &Index| {
            let tables = index.all().into_iter().flat_map(|keys| &keys.tables);
            tables.map(HashTable::capacity).collect::<Vec<_>>()
        };
        let mut before = shrunk(&index);
        for call in 0..2 * TABLES {
            index.shrink();
            let after = shrunk(&index);
            let changed: Vec<usize> =
                (0..after.len()).filter(|at| after[*at] != before[*at]).collect();
            let expected = if call < TABLES { call } else { 2 * TABLES + call };
            assert_eq!(changed, [expected]);
            before = after;
        }
        index.shrink();
        assert_eq!(shrunk(&index), before, "there is nothing to give back");
        assert!((0..TABLES).all(|number| index.topic(&format!("key-{number}")).is_some()));
    }
}
