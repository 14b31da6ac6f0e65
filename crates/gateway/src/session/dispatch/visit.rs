//! What is pending for the client that is being visited, as parts of the window.
//!
//! It never writes anything.

use ringway_hub::{Event, Sequence, TopicId};

use crate::{
    memory::OutOfMemory,
    session::dispatch::{Dispatch, own::Mention},
};

/// The client that is being visited; its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct Visit {
    own: Vec<(u32, Mention)>,
    merged: Vec<Merged>,
    left_out: Vec<u32>,
    parts: Vec<Part>,
    bytes: usize,
}

/// Events that lie side by side in the list of a topic, or one event for recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The list of the topic, or [`OWN`].
    pub(super) list: u32,
    /// The first event: its place in the list, or its number in the window.
    pub(super) from: u32,
    /// The number of events.
    pub count: u32,
    /// Their bytes as text frames.
    pub bytes: usize,
}

/// In the place of a list: an event for recipients.
pub(super) const OWN: u32 = u32::MAX;

/// An event of a client that is sent events of several lists, in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Merged {
    /// Its place in the window.
    place: u32,
    list: u32,
    /// As [`Part::from`].
    at: u32,
}

/// What is pending for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// These events, in [`Dispatch::parts`].
    Events {
        /// How many.
        count: usize,
        /// Their bytes as text frames.
        bytes: usize,
        /// The last event before them.
        before: Sequence,
    },
    /// Something that is only in the log.
    Lost,
}

impl Visit {
    /// Begins a visit; the client's own list goes where it says.
    pub(super) fn begin(&mut self) -> &mut Vec<(u32, Mention)> {
        self.parts.clear();
        self.bytes = 0;
        &mut self.own
    }
}

impl Dispatch {
    /// Finds what is pending for the client that is visited: it is subscribed to `topics`, and has
    /// been sent everything up to `after`.
    pub fn find(&mut self, topics: &[TopicId], after: Sequence) -> Due {
        if self.lost.is_some_and(|lost| after < lost.through) {
            return Due::Lost;
        }
        for list in topics.iter().filter_map(|topic| self.topics.of(*topic)) {
            let entries = self.topics.list(list);
            let from = entries.first_after(after);
            if from < entries.len() {
                let (count, bytes) = (entries.len() - from, entries.bytes_from(from));
                self.visit.parts.push(Part { list, from, count, bytes });
            }
        }
        let is_one = self.visit.own.is_empty() && self.visit.parts.len() <= 1;
        if !is_one && self.merge(after).is_err() {
            return Due::Lost;
        }
        let Some(first) = self.visit.parts.first() else { return Due::Nothing };
        let before = self.window.pending(self.number(*first, 0)).sequence - 1;
        let count = self.visit.parts.iter().map(|part| part.count as usize).sum();
        let bytes = self.visit.parts.iter().map(|part| part.bytes).sum();
        self.visit.bytes = bytes;
        Due::Events { count, bytes, before }
    }

    /// The bytes that were found for the client that is visited, as text frames.
    pub fn found_bytes(&self) -> usize {
        self.visit.bytes
    }

    /// The parts that were found, in the order of the log.
    pub fn parts(&self) -> &[Part] {
        &self.visit.parts
    }

    /// The events that were found, in the order of the log.
    pub fn found(&self) -> impl Iterator<Item = &Event> + Clone {
        self.visit.parts.iter().flat_map(|part| self.events(*part))
    }

    /// The events of a part.
    pub fn events(&self, part: Part) -> impl Iterator<Item = &Event> + Clone {
        (0..part.count).map(move |at| self.window.event(self.number(part, at)))
    }

    /// The number in the window of an event of a part.
    #[inline]
    pub(super) fn number(&self, part: Part, at: u32) -> u32 {
        match part.list {
            OWN => part.from,
            list => self.topics.list(list).event(part.from + at),
        }
    }

    /// Puts the events of all parts and of the client's own list in the order of the log, without
    /// those that it is left out of, and makes new parts of them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; there are no parts.
    fn merge(&mut self, after: Sequence) -> Result<(), OutOfMemory> {
        let Self { visit, window, topics, .. } = self;
        let Visit { own, merged, left_out, parts, .. } = visit;
        let count = parts.iter().map(|part| part.count as usize).sum::<usize>() + own.len();
        merged.clear();
        left_out.clear();
        merged.try_reserve(count).map_err(|_| OutOfMemory)?;
        left_out.try_reserve(own.len()).map_err(|_| OutOfMemory)?;
        for Part { list, from, count, .. } in parts.drain(..) {
            let events = topics.list(list);
            merged.extend((from..from + count).map(|at| {
                let place = window.place(events.event(at)) as u32;
                Merged { place, list, at }
            }));
        }
        for (number, mention) in own.drain(..) {
            let place = window.place(number) as u32;
            match mention {
                Mention::LeftOut => left_out.push(place),
                // The slot may have had another client.
                Mention::Recipient if window.pending(number).sequence <= after => {}
                Mention::Recipient => merged.push(Merged { place, list: OWN, at: number }),
            }
        }
        merged.sort_unstable();
        merged.dedup();
        left_out.sort_unstable();
        merged.retain(|event| left_out.binary_search(&event.place).is_err());
        parts.try_reserve(merged.len()).map_err(|_| OutOfMemory)?;
        for Merged { place, list, at } in merged.iter().copied() {
            let bytes = window.pending(window.first().wrapping_add(place)).bytes as usize;
            match parts.last_mut() {
                Some(last) if list != OWN && last.list == list && last.from + last.count == at => {
                    last.count += 1;
                    last.bytes += bytes;
                }
                _ => parts.push(Part { list, from: at, count: 1, bytes }),
            }
        }
        Ok(())
    }
}
