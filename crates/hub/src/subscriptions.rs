//! Which of a core's connections an event is for: topics and clients, each with its connections.
//!
//! One per core, so nothing is locked. Knows connections only by their slots, and never sees an
//! event.
//!
//! Memory: a client takes 33 bytes at a load of at most 7/8, so 38 to 75 as the table grows (50 on
//! average); its name belongs to the directory. A topic with one subscriber takes 32 bytes, about 8
//! in the table, and its name.

use hashbrown::{HashTable, hash_table::Entry};

use crate::interest::{CoreInterest, Domain, InterestFilter};
use crate::log::Log;
use crate::name::Name;
use crate::slots::Slots;

/// A topic that has a subscriber on this core. Reused for another topic once it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(u32);

impl TopicId {
    /// Its place in a table of all topics of the core, which are numbered from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The subscriptions and clients of one core's connections, which are identified by their slots.
///
/// ```
/// use ringway_hub::{Epoch, Log, Retention, Subscriptions};
/// let log = Log::new(Epoch::new(1), Retention::default());
/// let mut subscriptions = Subscriptions::new(&log, 0);
/// let news = subscriptions.subscribe("news", 7);
/// subscriptions.subscribe("news", 3);
/// assert_eq!(subscriptions.find("news"), Some(news));
/// assert_eq!(subscriptions.subscribers(news, 0).collect::<Vec<_>>(), [3, 7]);
/// assert_eq!(subscriptions.subscribers(news, 4).collect::<Vec<_>>(), [7]);
/// ```
#[derive(Debug)]
pub struct Subscriptions {
    /// Invariant: it has the topics and clients that are here.
    interest: CoreInterest,
    topics: Vec<Topic>,
    /// Free places in `topics`.
    free: Vec<TopicId>,
    by_name: HashTable<TopicId>,
    clients: HashTable<Client>,
}

/// Invariant: a topic with subscribers is in `by_name`; without, its place is free and its name
/// empty.
#[derive(Debug, Default)]
struct Topic {
    name: Box<str>,
    slots: Slots,
}

/// Invariant: it has at least one connection.
#[derive(Debug)]
struct Client {
    name: Name,
    slots: Slots,
}

const _: () = assert!(size_of::<Topic>() == 32);
const _: () = assert!(size_of::<Client>() == 32);

impl Subscriptions {
    /// Those of a core that follows this log.
    #[must_use]
    pub fn new(log: &Log, core: usize) -> Self {
        Self {
            interest: log.interest_of(core),
            topics: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            clients: HashTable::new(),
        }
    }

    /// The events of the log that the core must visit to serve its connections.
    #[must_use]
    pub fn filter(&self) -> InterestFilter {
        self.interest.filter()
    }

    /// Subscribes a connection; doing so again has no effect. The id is valid while the topic has
    /// subscribers.
    ///
    /// # Panics
    /// There are 2^32 topics.
    pub fn subscribe(&mut self, topic: &str, slot: u32) -> TopicId {
        let Self { interest, topics, free, by_name, .. } = self;
        let hash = interest.hash(topic);
        let same = |id: &TopicId| *topics[id.0 as usize].name == *topic;
        let rehash = |id: &TopicId| interest.hash(&topics[id.0 as usize].name);
        let id = match by_name.entry(hash, same, rehash) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(place) => {
                let id = free.pop().unwrap_or_else(|| {
                    TopicId(u32::try_from(topics.len()).expect("fewer than 2^32 topics"))
                });
                place.insert(id);
                if id.0 as usize == topics.len() {
                    topics.push(Topic::default());
                }
                topics[id.0 as usize].name = topic.into();
                interest.begin(Domain::Topic, hash);
                id
            }
        };
        topics[id.0 as usize].slots.insert(slot);
        id
    }

    /// Ends a subscription, if there is one. A topic without subscribers is forgotten.
    pub fn unsubscribe(&mut self, topic: TopicId, slot: u32) {
        let entry = &mut self.topics[topic.0 as usize];
        if entry.slots.is_empty() {
            return;
        }
        entry.slots.remove(slot);
        if !entry.slots.is_empty() {
            return;
        }
        let hash = self.interest.hash(&entry.name);
        if let Ok(found) = self.by_name.find_entry(hash, |id| *id == topic) {
            found.remove();
            self.interest.end(Domain::Topic, hash);
        }
        *entry = Topic::default();
        self.free.push(topic);
        let (topics, interest) = (&self.topics, &self.interest);
        shrink(&mut self.by_name, |id| interest.hash(&topics[id.0 as usize].name));
    }

    /// The topic's name; empty when it has no subscribers.
    #[must_use]
    pub fn topic_name(&self, topic: TopicId) -> &str {
        &self.topics[topic.0 as usize].name
    }

    /// The topic of that name, if it has a subscriber.
    #[must_use]
    pub fn find(&self, topic: &str) -> Option<TopicId> {
        let hash = self.interest.hash(topic);
        self.by_name.find(hash, |id| *self.topics[id.0 as usize].name == *topic).copied()
    }

    /// The subscribers from `from_slot` on, ascending.
    pub fn subscribers(&self, topic: TopicId, from_slot: u32) -> impl Iterator<Item = u32> {
        self.topics[topic.0 as usize].slots.from(from_slot)
    }

    /// The number of topics with a subscriber.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.by_name.len()
    }

    /// The number of clients with a connection.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Adds a connection of the client.
    pub fn arrive(&mut self, client: Name, slot: u32) {
        let Self { interest, clients, .. } = self;
        let hash = interest.hash(&client);
        let same = |entry: &Client| entry.name == client;
        match clients.entry(hash, same, |entry| interest.hash(&entry.name)) {
            Entry::Occupied(mut entry) => entry.get_mut().slots.insert(slot),
            Entry::Vacant(place) => {
                place.insert(Client { name: client, slots: Slots::One(slot) });
                interest.begin(Domain::Client, hash);
            }
        }
    }

    /// Removes a connection of the client.
    pub fn leave(&mut self, client: &str, slot: u32) {
        let interest = &mut self.interest;
        let hash = interest.hash(client);
        let Ok(mut entry) = self.clients.find_entry(hash, |entry| *entry.name == *client) else {
            return;
        };
        entry.get_mut().slots.remove(slot);
        if entry.get().slots.is_empty() {
            entry.remove();
            interest.end(Domain::Client, hash);
            shrink(&mut self.clients, |entry| interest.hash(&entry.name));
        }
    }

    /// The client's connections, ascending.
    pub fn connections(&self, client: &str) -> impl Iterator<Item = u32> {
        let hash = self.interest.hash(client);
        let found = self.clients.find(hash, |entry| *entry.name == *client);
        found.into_iter().flat_map(|entry| entry.slots.from(0))
    }
}

/// Shrinks a table that has become mostly empty, so rarely that the cost per removal is negligible.
fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.len() * 8 < table.capacity() {
        table.shrink_to(table.len() * 2, hash);
    }
}

#[cfg(test)]
mod tests;
