//! From the log to the clients of one core: which client is sent which events, a bounded number of
//! clients per turn.
//!
//! Clients are visited in passes. A visit sends a client all that is pending for it at once, so
//! that events of many publishers cost it one send in each pass. An event that is read in the
//! middle of a pass goes to the rest of its audience in this pass, and to the others in the next
//! one. It never reads the log twice; a client that cannot keep up falls behind and reads the log
//! on its own (`delivery::read_on`).
//!
//! Invariants: each client that a pending event is for, and that was not visited since the event
//! was read, is marked to be visited. Between two turns no event is pinned.

mod early;
mod own;
mod round;
mod staging;
mod topics;
mod visit;
mod window;

use std::ops::ControlFlow;

use ringway_hub::{
    Address, Event, Gap, Log, PinnedEvent, Reader, Sequence, Subscriptions, TopicId,
};

pub use self::round::Place;
pub use self::visit::{Due, Part};
use crate::{
    encoding::{Encoding, SharedDeflate, frame_bytes, scratch::Scratch},
    limits::{
        DEFLATE_COST, EARLY_AUDIENCE_MAX, EARLY_BYTES_MAX, LOOK_UP_BYTES, PENDING_BYTES_MAX,
        TOPIC_PENDING_BYTES_MAX, TURN_READING_COST_MAX,
    },
    memory::OutOfMemory,
    session::dispatch::{
        early::Early,
        own::{Mention, OwnLists},
        round::Round,
        staging::StagedEvents,
        topics::TopicLists,
        visit::Visit,
        window::{Pending, Window},
    },
};

/// Events that were read and are not sent to everybody yet.
#[derive(Debug, Default)]
pub struct Dispatch {
    window: Window,
    topics: TopicLists,
    own: OwnLists,
    round: Round,
    early: Early,
    lost: Option<Lost>,
    visit: Visit,
    staged: StagedEvents,
    /// The cost of reading in this turn.
    cost: usize,
}

/// Events for which there was no memory: who has not been sent them reads them from the log.
#[derive(Debug, Clone, Copy)]
struct Lost {
    /// The last event before them.
    after: Sequence,
    through: Sequence,
    /// As [`Pending::read_at`].
    lost_at: Place,
}

/// What encoding an event needs.
pub struct Encoder<'a> {
    /// How events are compressed, if any client here wants that.
    pub deflate: Option<SharedDeflate>,
    /// How many bytes of events a client may be sent at once, unless it is a single event.
    pub queue_bytes_max: usize,
    /// All clients of this core are in slots before this one.
    pub slots: u32,
    /// Borrowed memory.
    pub scratch: &'a mut Scratch,
}

/// Whether to read on in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is room for more events.
    Left,
    /// The events that were read must be sent first.
    Full,
}

impl Dispatch {
    /// Whether everything that was read has been sent.
    pub fn is_empty(&self) -> bool {
        self.window.len() == 0 && self.lost.is_none()
    }

    /// Bytes that the events take that were read and are not sent to everybody yet.
    pub fn bytes(&self) -> usize {
        self.window.bytes()
    }

    /// The last event that every client has been sent; `read` is the last event that was read.
    #[inline]
    pub fn settled(&self, read: Sequence) -> Sequence {
        let pending = self.window.front().map_or(read, |first| first.sequence - 1);
        self.lost.map_or(pending, |lost| lost.after)
    }

    /// How far it has come in visiting clients.
    pub fn place(&self) -> Place {
        self.round.place()
    }

    /// A client has subscribed to a topic. If events of the topic are pending, others may be marked
    /// for them already, and it has to be marked, too.
    pub fn join(&mut self, slot: u32) {
        if !self.is_empty() {
            self.round.mark(slot);
        }
    }

    /// Reads on in the log as far as there is room, and takes the events that clients here want.
    ///
    /// # Errors
    /// As [`Reader::follow`].
    pub fn read(
        &mut self,
        log: &Log,
        reader: &mut Reader,
        subscriptions: &Subscriptions,
        encoder: &mut Encoder<'_>,
    ) -> Result<Room, Gap> {
        self.round.cover(encoder.slots as usize);
        let (mut room, mut pins) = (Room::Left, std::mem::take(&mut self.window.pins));
        let followed =
            reader.follow_pinning(log, subscriptions.filter(), &mut pins, |event, pinned| {
                room = self.take(event, pinned, subscriptions, encoder);
                match room {
                    Room::Left => ControlFlow::Continue(()),
                    Room::Full => ControlFlow::Break(()),
                }
            });
        self.window.pins = pins;
        followed.map(|()| room)
    }

    /// Takes an event, unless there is no room for it yet. It is dropped if no client here wants it.
    fn take(
        &mut self,
        event: &Event,
        pinned: PinnedEvent,
        subscriptions: &Subscriptions,
        encoder: &mut Encoder<'_>,
    ) -> Room {
        if self.cost >= TURN_READING_COST_MAX || self.window.bytes() >= PENDING_BYTES_MAX {
            return Room::Full;
        }
        let pending = Pending::new(event, pinned, frame_bytes(event), self.round.place());
        let taken = match event.address() {
            Address::Topic(topic) => {
                let Some(topic) = subscriptions.find(topic) else { return Room::Left };
                if !self.has_room(topic, pending.bytes as usize, encoder.queue_bytes_max) {
                    return Room::Full;
                }
                self.compress(event, encoder);
                self.take_for_topic(event, pending, topic, subscriptions)
            }
            Address::Recipients(recipients) => {
                self.cost += recipients.len() * LOOK_UP_BYTES;
                let names = recipients.iter().filter(|name| event.except() != Some(*name));
                let slots = names.flat_map(|name| subscriptions.connections(name));
                let taken = self.take_for_slots(pending, slots);
                if taken != Ok(Wanted::No) {
                    self.compress(event, encoder);
                }
                taken
            }
        };
        if let Err(OutOfMemory) = taken {
            self.lose(event.sequence());
        }
        Room::Left
    }

    /// Whether the pending events of a topic have room for another one. More than the queue of a
    /// client takes would only make all of its subscribers fall behind.
    fn has_room(&self, topic: TopicId, bytes: usize, queue_bytes_max: usize) -> bool {
        self.topics.of(topic).is_none_or(|list| {
            let pending = self.topics.list(list).bytes();
            pending + bytes <= queue_bytes_max.min(TOPIC_PENDING_BYTES_MAX)
        })
    }

    fn compress(&mut self, event: &Event, encoder: &mut Encoder<'_>) {
        if let Some(deflate) = encoder.deflate
            && Encoding::Deflated.kept(event).is_none()
        {
            self.cost += event.text().len() * DEFLATE_COST;
            deflate.compress(event, encoder.scratch);
        }
    }

    fn take_for_topic(
        &mut self,
        event: &Event,
        mut pending: Pending,
        topic: TopicId,
        subscriptions: &Subscriptions,
    ) -> Result<Wanted, OutOfMemory> {
        self.window.make_room()?;
        let number = self.window.next();
        let mut entries = 0;
        if let Some(client) = event.except() {
            for slot in subscriptions.connections(client) {
                self.own.add(slot, number, Mention::LeftOut)?;
                self.round.mark(slot);
                entries += 1;
            }
        }
        let begun = self.topics.of(topic).is_none();
        let list = self.topics.add(topic, number, pending.sequence, pending.bytes)?;
        self.mark(list, topic, subscriptions);
        if self.is_pass_long() && self.topics.list(list).bytes() <= EARLY_BYTES_MAX {
            self.early.add(subscriptions.subscribers(topic, 0));
        }
        pending.list = list;
        let list_bytes = if begun { topics::LIST_BYTES } else { 0 };
        let weight = pending.bytes as usize + window::EVENT_BYTES + topics::ENTRY_BYTES;
        pending.weight = (weight + list_bytes + entries * own::ENTRY_BYTES) as u32;
        self.window.push(pending);
        Ok(Wanted::Yes)
    }

    /// Marks the subscribers of a list for its newest event: all, or if it is not the first one,
    /// those that were visited since the last one was read.
    fn mark(&mut self, list: u32, topic: TopicId, subscriptions: &Subscriptions) {
        let now = self.round.place();
        let mut mark = |from: u32, to: u32| {
            let subscribers = subscriptions.subscribers(topic, from);
            subscribers.take_while(|slot| *slot < to).for_each(|slot| self.round.mark(slot));
        };
        match self.topics.mark(list, now) {
            Some(then) if then.pass == now.pass => mark(then.slot, now.slot),
            Some(then) if then.one_pass_on() > now => {
                mark(0, now.slot);
                mark(then.slot, u32::MAX);
            }
            _ => mark(0, u32::MAX),
        }
    }

    fn take_for_slots(
        &mut self,
        mut pending: Pending,
        slots: impl Iterator<Item = u32>,
    ) -> Result<Wanted, OutOfMemory> {
        let number = self.window.next();
        let (mut entries, is_pass_long) = (0, self.is_pass_long());
        for slot in slots {
            if is_pass_long {
                self.early.add(std::iter::once(slot));
            }
            self.own.add(slot, number, Mention::Recipient)?;
            self.round.mark(slot);
            entries += 1;
        }
        if entries == 0 {
            return Ok(Wanted::No);
        }
        self.window.make_room()?;
        // A client may have any number of connections, so the entries may be larger than the event.
        let weight = pending.bytes as usize + window::EVENT_BYTES + entries * own::ENTRY_BYTES;
        pending.weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.window.push(pending);
        Ok(Wanted::Yes)
    }

    /// Whether so many are to be visited that a pass may take several turns.
    fn is_pass_long(&self) -> bool {
        self.round.len() > EARLY_AUDIENCE_MAX
    }

    /// There was no memory for an event, or to keep those that were read. Clients that were not
    /// sent all of them read them from the log.
    fn lose(&mut self, through: Sequence) {
        let after = self.settled(through - 1);
        self.window.clear();
        self.topics.clear();
        self.own.clear();
        self.round.mark_all();
        self.lost = Some(Lost { after, through, lost_at: self.round.place() });
    }

    /// Drops all that is pending: the clients have been told to read it from the log.
    pub fn clear(&mut self) {
        self.window.clear();
        self.topics.clear();
        self.own.clear();
        self.round.unmark_all();
        self.lost = None;
    }

    /// Goes to the next client that is to be visited; what is pending for it is in
    /// [`Self::find`]. `None`: everybody has been sent everything.
    pub fn advance(&mut self) -> Option<u32> {
        let Some(slot) = self.round.advance() else {
            self.end_pass();
            return None;
        };
        self.release();
        self.round.leave();
        self.own.take(slot, self.visit.begin());
        Some(slot)
    }

    /// As [`Self::advance`], for the next client that should not wait for the rest of a long pass
    /// (`early`).
    pub fn advance_early(&mut self) -> Option<u32> {
        loop {
            let slot = self.early.next()?;
            if self.round.is_marked(slot) {
                self.own.take(slot, self.visit.begin());
                return Some(slot);
            }
        }
    }

    /// Releases the events that were read a whole pass ago.
    fn release(&mut self) {
        let place = self.round.place();
        let is_through = |read_at: Place| read_at.one_pass_on() <= place;
        while self.window.front().is_some_and(|oldest| is_through(oldest.read_at)) {
            self.pop();
        }
        self.lost.take_if(|lost| is_through(lost.lost_at));
    }

    fn pop(&mut self) {
        if let Some(pending) = self.window.pop()
            && pending.list != topics::NONE
        {
            self.topics.remove_oldest(pending.list);
        }
    }

    /// Everybody has been sent everything.
    fn end_pass(&mut self) {
        if !self.is_empty() {
            while self.window.len() > 0 {
                self.pop();
            }
            self.lost = None;
            self.early.clear();
            self.topics.shrink();
            self.round.restart();
        }
    }

    /// Ends a turn: its buffer is gone, and the log may release the events, so they are copied.
    pub fn end_turn(&mut self) {
        self.cost = 0;
        if self.round.is_done() {
            self.end_pass();
        } else if let Some(newest) = self.window.back().map(|newest| newest.sequence)
            && self.window.copy_pinned().is_err()
        {
            self.lose(newest);
        }
        self.window.pins.clear();
        self.staged.clear(self.window.first());
    }
}

/// Whether an event is for a client here.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

#[cfg(test)]
mod tests;
