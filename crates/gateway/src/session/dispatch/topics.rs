//! The pending events of each topic, in the order of the log.
//!
//! It knows events by their numbers in the window, and nothing of who is sent them.

use std::collections::VecDeque;

use ringway_hub::{Sequence, TopicId};

use crate::{memory::OutOfMemory, session::dispatch::round::Place};

/// The topics with pending events.
#[derive(Debug, Default)]
pub struct TopicLists {
    lists: Vec<TopicList>,
    /// Lists that no topic has.
    free: Vec<u32>,
    /// The list of each topic.
    by_topic: Vec<u32>,
}

/// The pending events of a topic.
#[derive(Debug)]
pub struct TopicList {
    topic: TopicId,
    entries: VecDeque<Entry>,
    /// The sizes of all its events so far, modulo 2^32.
    end: u32,
    /// All subscribers that were visited since, at this place or after it, have to be marked for
    /// the next event; the others are marked already.
    pub marked: Option<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: Sequence,
    event: u32,
    /// [`TopicList::end`] before it.
    start: u32,
}

/// No list.
pub const NONE: u32 = u32::MAX;

/// Lists that are kept for later events when none are pending.
const LISTS_KEPT: usize = 256;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// Bytes of a list.
pub const LIST_BYTES: usize = size_of::<TopicList>();

impl TopicLists {
    /// The list of a topic that has pending events.
    #[inline]
    pub fn of(&self, topic: TopicId) -> Option<u32> {
        self.by_topic.get(topic.index()).copied().filter(|list| *list != NONE)
    }

    /// A list.
    #[inline]
    pub fn list(&self, list: u32) -> &TopicList {
        &self.lists[list as usize]
    }

    /// Adds an event to the list of its topic. Returns the list.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was added.
    pub fn add(
        &mut self,
        topic: TopicId,
        event: u32,
        sequence: Sequence,
        bytes: u32,
    ) -> Result<u32, OutOfMemory> {
        let at = match self.of(topic) {
            Some(list) => list,
            None => self.begin(topic)?,
        };
        let list = &mut self.lists[at as usize];
        list.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        list.entries.push_back(Entry { sequence, event, start: list.end });
        list.end = list.end.wrapping_add(bytes);
        Ok(at)
    }

    fn begin(&mut self, topic: TopicId) -> Result<u32, OutOfMemory> {
        let index = topic.index();
        if index >= self.by_topic.len() {
            let more = index + 1 - self.by_topic.len();
            self.by_topic.try_reserve(more).map_err(|_| OutOfMemory)?;
            self.by_topic.resize(index + 1, NONE);
        }
        let at = match self.free.pop() {
            Some(at) => {
                let list = &mut self.lists[at as usize];
                (list.topic, list.marked) = (topic, None);
                at
            }
            None => {
                self.lists.try_reserve(1).map_err(|_| OutOfMemory)?;
                // So that giving a list back needs no memory.
                let lists = self.lists.len() + 1;
                self.free.try_reserve(lists).map_err(|_| OutOfMemory)?;
                let entries = VecDeque::new();
                self.lists.push(TopicList { topic, entries, end: 0, marked: None });
                self.lists.len() as u32 - 1
            }
        };
        self.by_topic[index] = at;
        Ok(at)
    }

    /// Sets up to where the subscribers of a list are marked; returns where that was.
    pub fn mark(&mut self, list: u32, place: Place) -> Option<Place> {
        self.lists[list as usize].marked.replace(place)
    }

    /// Removes the oldest event of a list.
    pub fn remove_oldest(&mut self, at: u32) {
        let list = &mut self.lists[at as usize];
        list.entries.pop_front();
        if list.entries.is_empty() {
            self.by_topic[list.topic.index()] = NONE;
            self.free.push(at);
        }
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.by_topic.fill(NONE);
        self.lists.clear();
        self.free.clear();
    }

    /// Frees the memory of many lists if none has an event.
    pub fn shrink(&mut self) {
        if self.lists.len() > LISTS_KEPT && self.lists.len() == self.free.len() {
            self.lists.truncate(LISTS_KEPT);
            self.free.clear();
            self.free.extend(0..LISTS_KEPT as u32);
        }
    }
}

impl TopicList {
    /// The number of its events.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The size of its events.
    pub fn bytes(&self) -> usize {
        self.bytes_from(0)
    }

    /// The size of its events from this one on.
    #[inline]
    pub fn bytes_from(&self, from: u32) -> usize {
        let start = self.entries.get(from as usize).map_or(self.end, |entry| entry.start);
        self.end.wrapping_sub(start) as usize
    }

    /// The number of an event in the window.
    #[inline]
    pub fn event(&self, at: u32) -> u32 {
        self.entries[at as usize].event
    }

    /// The first event after a place in the log.
    #[inline]
    pub fn first_after(&self, sequence: Sequence) -> u32 {
        match self.entries.front() {
            Some(first) if first.sequence <= sequence => {
                self.entries.partition_point(|entry| entry.sequence <= sequence) as u32
            }
            _ => 0,
        }
    }
}
