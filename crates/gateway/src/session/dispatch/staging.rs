//! Where pending events are in the turn's buffer. They are written there once in each encoding, and
//! sent from there to all clients.
//!
//! It never knows a client.

use bytes::Bytes;
use ringway_acceptor::{Operations, Staged};

use crate::{
    encoding::{
        Encoding, SHARED_ENCODINGS, bytes_max,
        large_events::{LargeEvents, is_large},
    },
    memory::OutOfMemory,
    session::dispatch::{
        Dispatch,
        visit::{OWN, Part},
    },
};

/// The events in the turn's buffer.
#[derive(Debug, Default)]
pub struct StagedEvents {
    /// The place of each event by its number, counted from `first`; an event of no bytes is not
    /// staged. The events of a topic lie side by side.
    events: [Vec<Staged>; SHARED_ENCODINGS],
    first: u32,
    /// A part of a topic that is too long to be staged as a whole. The next client needs the same
    /// part in most cases.
    last: Option<(Key, Staged)>,
}

/// The first and the last event of a part, and their encoding.
type Key = (u32, u32, Encoding);

impl StagedEvents {
    /// Forgets everything: the turn's buffer is gone. `first` is the number of the first event in
    /// the window.
    pub fn clear(&mut self, first: u32) {
        self.events.iter_mut().for_each(Vec::clear);
        self.first = first;
        self.last = None;
    }

    #[inline]
    fn get(&self, event: u32, encoding: Encoding) -> Option<Staged> {
        let place = event.wrapping_sub(self.first) as usize;
        self.events[encoding as usize].get(place).copied().filter(|staged| !staged.is_empty())
    }
}

impl Dispatch {
    /// A part in the turn's buffer, written when it is first needed.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    #[inline]
    pub fn staged(
        &mut self,
        part: Part,
        encoding: Encoding,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        let (first, last) = (self.number(part, 0), self.number(part, part.count - 1));
        if part.list != OWN && is_large(self.topics.list(part.list).bytes()) {
            return self.stage_alone(part, (first, last, encoding), operations);
        }
        let known = self.staged.get(first, encoding).zip(self.staged.get(last, encoding));
        match known {
            Some((first, last)) => Ok(first.through(last)),
            None => self.stage(part, (first, last, encoding), operations),
        }
    }

    /// Stages all events of the part's topic.
    fn stage(
        &mut self,
        part: Part,
        (first, last, encoding): Key,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        let whole = match part.list {
            OWN => part,
            list => Part { from: 0, count: self.topics.list(list).len(), ..part },
        };
        let bytes = self.events(whole).map(|event| bytes_max(event, encoding)).sum();
        operations.try_reserve(bytes).map_err(|_| OutOfMemory)?;
        let mut places = std::mem::take(&mut self.staged.events[encoding as usize]);
        let count = self.window.next().wrapping_sub(self.staged.first) as usize;
        let room = places.try_reserve(count.saturating_sub(places.len()));
        if room.is_ok() {
            places.resize(count, Staged::default());
            for at in 0..whole.count {
                let number = self.number(whole, at);
                let event = self.window.event(number);
                let staged = operations.stage(|out| encoding.write(event, out));
                places[number.wrapping_sub(self.staged.first) as usize] = staged;
            }
        }
        self.staged.events[encoding as usize] = places;
        let staged = self.staged.get(first, encoding).zip(self.staged.get(last, encoding));
        staged.map(|(first, last)| first.through(last)).ok_or(OutOfMemory)
    }

    /// Stages one part.
    fn stage_alone(
        &mut self,
        part: Part,
        key: Key,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        if let Some((known, staged)) = self.staged.last
            && known == key
        {
            return Ok(staged);
        }
        let (_, _, encoding) = key;
        let events = self.events(part);
        let bytes = events.clone().map(|event| bytes_max(event, encoding)).sum();
        operations.try_reserve(bytes).map_err(|_| OutOfMemory)?;
        let staged = operations.stage(|out| events.for_each(|event| encoding.write(event, out)));
        self.staged.last = Some((key, staged));
        Ok(staged)
    }

    /// A part in a shared buffer that lives until the last client has taken it.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    pub fn encoded(
        &self,
        part: Part,
        encoding: Encoding,
        large: &LargeEvents,
    ) -> Result<Bytes, OutOfMemory> {
        let events = self.events(part);
        let [first, last] = [0, part.count - 1].map(|at| self.window.event(self.number(part, at)));
        if part.count == 1 {
            return large.event(first, encoding);
        }
        let key = (first.sequence(), last.sequence(), encoding);
        let bytes = events.clone().map(|event| bytes_max(event, encoding));
        large.run(key, || bytes.sum(), |out| events.for_each(|event| encoding.write(event, out)))
    }
}
