//! From the log to the clients of one core: sends the events that the core has read to their
//! subscribers and recipients, a bounded number of sends per turn.
//!
//! Successive events of a topic go out as one batch: written to the turn's buffer once for each
//! encoding, and sent from there to every subscriber. It never reads the log twice; a client that
//! cannot keep up falls behind and reads the log on its own (`delivery::read_on`).
//!
//! Invariant: between two turns no event is pinned. Events that are still to be sent then are
//! copies.

use std::{collections::VecDeque, ops::ControlFlow};

use bytes::Bytes;
use ringway_acceptor::{Operations, Staged};
use ringway_hub::{
    Address, Event, Gap, Log, PinnedEvent, Pins, Reader, Sequence, Subscriptions, TopicId,
};

use crate::{
    encoding::{
        Encoding, SHARED_ENCODINGS, SharedDeflate, bytes_max, frame_bytes, scratch::Scratch,
    },
    limits::{
        BATCH_BYTES_MAX, BATCH_EVENTS_MAX, DEFLATE_COST, LOOK_UP_BYTES, PENDING_BYTES_MAX,
        TURN_READING_COST_MAX,
    },
    memory::OutOfMemory,
    session::core_hub::CoreHub,
};

/// Events that were read and are not sent yet.
#[derive(Default)]
pub struct Dispatch {
    batches: VecDeque<Batch>,
    /// The events read in this turn.
    pins: Pins,
    bytes: usize,
    /// The cost of reading in this turn.
    cost: usize,
}

/// Successive events for the same clients.
pub struct Batch {
    audience: Audience,
    /// Everything up to here is older than the batch.
    pub before: Sequence,
    /// The last event of the batch.
    pub through: Sequence,
    /// The client that is left out.
    pub except: Option<Box<str>>,
    /// The events. Empty if there was no memory for them: the clients then read them from the log.
    events: Vec<PendingEvent>,
    bytes: usize,
    /// `bytes`, plus the size of the list of its clients.
    weight: usize,
    growth: Growth,
    /// The first slot, or the first entry of the list, that has not been served yet.
    next: u32,
    staged: [Option<Staged>; SHARED_ENCODINGS],
}

/// The initial capacity of a batch, in events.
const BATCH_EVENTS: usize = 8;

/// An event that is still to be sent.
enum PendingEvent {
    /// In the turn in which it was read: its place in the log.
    Pinned(PinnedEvent),
    /// After that turn.
    Copied(Box<Event>),
}

/// The clients that a batch is for. A client that connected after the batch was read is not one of
/// them, even if it has one of their slots: its cursor is past the batch.
#[derive(PartialEq, Eq)]
enum Audience {
    Topic(TopicId),
    Slots(Vec<u32>),
    /// All slots before this one, as there was no memory for the list of the batch's clients. They
    /// are sent nothing and read the log instead.
    Everyone(u32),
}

#[derive(PartialEq, Eq)]
enum Growth {
    Open,
    Ended,
}

impl Audience {
    fn bytes(&self) -> usize {
        match self {
            Self::Topic(_) | Self::Everyone(_) => 0,
            Self::Slots(slots) => size_of_val(&**slots),
        }
    }
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
        self.batches.is_empty()
    }

    /// Bytes of the events that were read and are not sent yet, and of their client lists.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last event that every client has been sent; `read` is the last event that was read.
    pub fn settled(&self, read: Sequence) -> Sequence {
        self.batches.front().map_or(read, |batch| batch.before)
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
        let (mut room, mut pins) = (Room::Left, std::mem::take(&mut self.pins));
        let followed =
            reader.follow_pinning(log, subscriptions.filter(), &mut pins, |event, pinned| {
                room = self.take(event, pinned, subscriptions, encoder);
                match room {
                    Room::Left => ControlFlow::Continue(()),
                    Room::Full => ControlFlow::Break(()),
                }
            });
        self.pins = pins;
        followed.map(|()| room)
    }

    /// The events read in this turn; a batch finds its own here.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Takes an event that was read, or drops it if no client here wants it.
    fn take(
        &mut self,
        event: &Event,
        pinned: PinnedEvent,
        subscriptions: &Subscriptions,
        encoder: &mut Encoder<'_>,
    ) -> Room {
        if encoder.deflate.is_some() && Encoding::Deflated.kept(event).is_none() {
            self.cost += event.text().len() * DEFLATE_COST;
        }
        let audience = match event.address() {
            Address::Topic(topic) => subscriptions.find(topic).map(Audience::Topic),
            Address::Recipients(recipients) => {
                self.cost += recipients.len() * LOOK_UP_BYTES;
                let names = recipients.iter();
                match list(names.flat_map(|name| subscriptions.connections(name))) {
                    Ok(slots) => (!slots.is_empty()).then_some(Audience::Slots(slots)),
                    Err(OutOfMemory) => Some(Audience::Everyone(encoder.slots)),
                }
            }
        };
        if let Some(audience) = audience {
            self.push(event, pinned, audience, encoder);
        }
        let has_room = self.bytes < PENDING_BYTES_MAX && self.cost < TURN_READING_COST_MAX;
        if has_room { Room::Left } else { Room::Full }
    }

    fn push(
        &mut self,
        event: &Event,
        pinned: PinnedEvent,
        audience: Audience,
        encoder: &mut Encoder<'_>,
    ) {
        let Encoder { deflate, queue_bytes_max, scratch, .. } = encoder;
        if matches!(audience, Audience::Everyone(_)) {
            return self.push_unread(event, audience);
        }
        if let Some(deflate) = deflate {
            deflate.compress(event, scratch);
        }
        let bytes = frame_bytes(event);
        if let Some(batch) = self.batches.back_mut()
            && batch.may_grow(&audience, bytes, *queue_bytes_max)
            && event.except().is_none()
        {
            batch.through = event.sequence();
            batch.bytes += bytes;
            batch.weight += bytes;
            self.bytes += bytes;
            batch.events.push(PendingEvent::Pinned(pinned));
            return;
        }
        // A client may have any number of connections, so their list may be larger than the event.
        let weight = bytes + audience.bytes();
        self.bytes += weight;
        let mut events = Vec::with_capacity(BATCH_EVENTS);
        events.push(PendingEvent::Pinned(pinned));
        self.batches.push_back(Batch {
            audience,
            before: event.sequence() - 1,
            through: event.sequence(),
            except: event.except().map(Into::into),
            events,
            bytes,
            weight,
            growth: Growth::Open,
            next: 0,
            staged: [None; SHARED_ENCODINGS],
        });
    }

    /// Adds a batch without events; its clients read on from the log.
    fn push_unread(&mut self, event: &Event, audience: Audience) {
        let weight = audience.bytes();
        self.bytes += weight;
        self.batches.push_back(Batch {
            audience,
            before: event.sequence() - 1,
            through: event.sequence(),
            except: None,
            events: Vec::new(),
            bytes: 0,
            weight,
            growth: Growth::Ended,
            next: 0,
            staged: [None; SHARED_ENCODINGS],
        });
    }

    /// Takes the oldest batch out to be served. It is gone unless it is put back.
    pub fn take_front(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.weight;
        Some(batch)
    }

    /// Puts a batch back that may not have been served completely.
    pub fn put_front(&mut self, batch: Batch) {
        self.bytes += batch.weight;
        self.batches.push_front(batch);
    }

    /// Ends a turn. Its buffer is gone, so an unfinished batch is staged again. The log may release
    /// the batch's events, so they are copied. The newest batch stops growing, since clients that
    /// connect from now on have cursors past it.
    pub fn end_turn(&mut self) {
        self.cost = 0;
        for batch in &mut self.batches {
            self.bytes -= batch.weight;
            batch.copy_events(&self.pins);
            self.bytes += batch.weight;
        }
        self.pins.clear();
        if let Some(batch) = self.batches.front_mut() {
            batch.staged = [None; SHARED_ENCODINGS];
        }
        if let Some(batch) = self.batches.back_mut() {
            batch.growth = Growth::Ended;
        }
    }
}

/// The slots of an event's recipients: a client may have any number of connections.
fn list(slots: impl Iterator<Item = u32>) -> Result<Vec<u32>, OutOfMemory> {
    let mut list = Vec::new();
    for slot in slots {
        if list.len() == list.capacity() {
            list.try_reserve(1).map_err(|_| OutOfMemory)?;
        }
        list.push(slot);
    }
    Ok(list)
}

impl Batch {
    /// Fills `slots` with the next slots to serve, at most `count`; if empty, all have been served.
    /// Subscribers may come and go between two calls.
    pub fn next(&mut self, subscriptions: &Subscriptions, count: usize, slots: &mut Vec<u32>) {
        slots.clear();
        match &self.audience {
            Audience::Topic(topic) => {
                slots.extend(subscriptions.subscribers(*topic, self.next).take(count));
                self.next = slots.last().map_or(self.next, |last| last + 1);
            }
            Audience::Slots(all) => {
                slots.extend(all.iter().skip(self.next as usize).take(count));
                self.next += slots.len() as u32;
            }
            Audience::Everyone(end) => {
                slots.extend((self.next..*end).take(count));
                self.next += slots.len() as u32;
            }
        }
    }

    /// Whether its clients read it from the log, because there was no memory for it here.
    pub fn is_unread(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events it has.
    pub fn count(&self) -> usize {
        self.events.len()
    }

    /// Its events; `pins` are those of its [`Dispatch`].
    pub fn events<'b>(&'b self, pins: &'b Pins) -> impl Iterator<Item = &'b Event> + Clone {
        self.events.iter().map(|event| match event {
            PendingEvent::Pinned(pinned) => pins.event(*pinned),
            PendingEvent::Copied(event) => event,
        })
    }

    /// Bytes of the events as text frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch in the turn's buffer, written when it is first needed.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    #[inline]
    pub fn staged(
        &mut self,
        encoding: Encoding,
        pins: &Pins,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        match self.staged[encoding as usize] {
            Some(staged) => Ok(staged),
            None => self.stage(encoding, pins, operations),
        }
    }

    /// The batch in a shared buffer that lives until the last client has taken it.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    pub fn encoded(&self, encoding: Encoding, hub: &CoreHub) -> Result<Bytes, OutOfMemory> {
        let (large, events) = (&hub.large_events, self.events(hub.dispatch.pins()));
        if let (1, Some(event)) = (self.count(), events.clone().next()) {
            return large.event(event, encoding);
        }
        let key = (self.before + 1, self.through, encoding);
        let bytes = events.clone().map(|event| bytes_max(event, encoding));
        large.run(key, || bytes.sum(), |out| events.for_each(|event| encoding.write(event, out)))
    }

    fn stage(
        &mut self,
        encoding: Encoding,
        pins: &Pins,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        let events = self.events(pins);
        let bytes = events.clone().map(|event| bytes_max(event, encoding)).sum();
        operations.try_reserve(bytes).map_err(|_| OutOfMemory)?;
        let staged = operations.stage(|out| events.for_each(|event| encoding.write(event, out)));
        self.staged[encoding as usize] = Some(staged);
        Ok(staged)
    }

    /// Copies the pinned events. If there is no memory, the clients read them from the log.
    fn copy_events(&mut self, pins: &Pins) {
        for event in &mut self.events {
            let PendingEvent::Pinned(pinned) = event else { continue };
            let Ok(copy) = pins.event(*pinned).try_copy() else {
                self.weight -= self.bytes;
                (self.events, self.bytes, self.growth) = (Vec::new(), 0, Growth::Ended);
                return;
            };
            *event = PendingEvent::Copied(Box::new(copy));
        }
    }

    fn may_grow(&self, audience: &Audience, bytes: usize, queue_bytes_max: usize) -> bool {
        self.growth == Growth::Open
            && self.except.is_none()
            && self.audience == *audience
            && self.events.len() < BATCH_EVENTS_MAX
            && self.bytes + bytes <= queue_bytes_max.min(BATCH_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests;
