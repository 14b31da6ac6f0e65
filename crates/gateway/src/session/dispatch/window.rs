//! The events that a core has read and has not sent to everybody yet, in the order of the log.
//!
//! An event is in the log until the turn ends in which it was read, and then a copy. It knows
//! nothing of who is sent what.

use std::collections::VecDeque;

use ringway_hub::{Event, PinnedEvent, Pins, Sequence};

use crate::{memory::OutOfMemory, session::dispatch::round::Place};

/// The window.
#[derive(Debug, Default)]
pub struct Window {
    events: VecDeque<Pending>,
    /// The number of the first event. Numbers are consecutive modulo 2^32.
    first: u32,
    /// The weight of all events.
    bytes: usize,
    /// The events read in this turn.
    pub pins: Pins,
}

/// An event that is still to be sent to somebody.
#[derive(Debug)]
pub struct Pending {
    event: Held,
    pub sequence: Sequence,
    /// Its size as a text frame.
    pub bytes: u32,
    /// What it takes of the core's memory, with its entries in lists.
    pub weight: u32,
    /// The list of its topic.
    pub list: u32,
    /// Where the core was in visiting its clients when it read the event.
    pub read_at: Place,
}

#[derive(Debug)]
enum Held {
    /// In the turn in which it was read: its place in the log.
    Pinned(PinnedEvent),
    /// After that turn.
    Copied(Box<Event>),
}

/// Bytes of an event besides its frame.
pub const EVENT_BYTES: usize = size_of::<Pending>();

impl Pending {
    /// An event that was just read.
    pub fn new(event: &Event, pinned: PinnedEvent, bytes: usize, read_at: Place) -> Self {
        Self {
            event: Held::Pinned(pinned),
            sequence: event.sequence(),
            bytes: bytes as u32,
            weight: 0,
            list: super::topics::NONE,
            read_at,
        }
    }
}

impl Window {
    /// What its events take of the core's memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The oldest event.
    pub fn front(&self) -> Option<&Pending> {
        self.events.front()
    }

    /// The newest event.
    pub fn back(&self) -> Option<&Pending> {
        self.events.back()
    }

    /// The number of the oldest event, or of the next one if there is none.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number of the next event.
    pub fn next(&self) -> u32 {
        self.first.wrapping_add(self.events.len() as u32)
    }

    /// The place of an event among those that are there.
    #[inline]
    pub fn place(&self, number: u32) -> usize {
        number.wrapping_sub(self.first) as usize
    }

    /// An event by its number.
    #[inline]
    pub fn pending(&self, number: u32) -> &Pending {
        &self.events[self.place(number)]
    }

    /// The event itself.
    pub fn event(&self, number: u32) -> &Event {
        match &self.pending(number).event {
            Held::Pinned(pinned) => self.pins.event(*pinned),
            Held::Copied(event) => event,
        }
    }

    /// Makes room for an event.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed.
    pub fn make_room(&mut self) -> Result<(), OutOfMemory> {
        self.events.try_reserve(1).map_err(|_| OutOfMemory)
    }

    /// Adds an event.
    pub fn push(&mut self, pending: Pending) {
        self.bytes += pending.weight as usize;
        self.events.push_back(pending);
    }

    /// Removes the oldest event.
    pub fn pop(&mut self) -> Option<Pending> {
        let pending = self.events.pop_front()?;
        self.first = self.first.wrapping_add(1);
        self.bytes -= pending.weight as usize;
        Some(pending)
    }

    /// Removes all events.
    pub fn clear(&mut self) {
        self.first = self.next();
        self.events.clear();
        self.bytes = 0;
    }

    /// Copies the events that were read in this turn, since the log may release them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; some are not copied.
    pub fn copy_pinned(&mut self) -> Result<(), OutOfMemory> {
        let Self { events, pins, .. } = self;
        for pending in events.iter_mut().rev() {
            let Held::Pinned(pinned) = pending.event else { break };
            let copy = pins.event(pinned).try_copy().map_err(|_| OutOfMemory)?;
            pending.event = Held::Copied(Box::new(copy));
        }
        Ok(())
    }
}
