//! From the log to the clients of one core: events that the core has read are sent to their
//! subscribers and recipients, a bounded number of sends a turn.
//!
//! Successive events of a topic go out as one batch: written to the turn's buffer once for each
//! encoding, and sent from there to every subscriber. It never reads the log twice; a client that
//! cannot keep up falls behind and reads the log on its own (`delivery::read_on`).

use crate::encoding::large_events::LargeEvents;

use std::collections::VecDeque;

use bytes::Bytes;
use ringway_acceptor::{Operations, Staged};
use ringway_hub::{Address, Epoch, Event, Sequence, Subscriptions, TopicId};

use crate::{
    encoding::{Encoded, Encoding, SHARED_ENCODINGS, SharedDeflate, scratch::Scratch},
    limits::{
        BATCH_BYTES_MAX, BATCH_EVENTS_MAX, DEFLATE_COST, LOOK_UP_BYTES, PENDING_BYTES_MAX,
        TURN_READING_COST_MAX,
    },
    memory::OutOfMemory,
};

/// Events that were read and are not sent yet.
#[derive(Default)]
pub struct Dispatch {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// What reading has cost in this turn.
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
    /// The events. None: there was no memory for them here, so its clients read them from the log.
    pub events: Vec<Encoded>,
    bytes: usize,
    /// With the list of its clients.
    weight: usize,
    growth: Growth,
    /// The first slot, or the first entry of the list, that was not served yet.
    next: u32,
    staged: [Option<Staged>; SHARED_ENCODINGS],
}

/// The clients that a batch is for. A client that came after the batch was read is not one of them,
/// even if it has one of their slots: its cursor is past the batch.
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

/// What an event is encoded with.
pub struct Encoder<'a> {
    /// The log's epoch.
    pub epoch: Epoch,
    /// How events are compressed, if anybody here wants that.
    pub deflate: Option<SharedDeflate>,
    /// Bytes of events that a client may be sent at once, when it is not one event alone.
    pub queue_bytes_max: usize,
    /// All clients of this core are in slots before this one.
    pub slots: u32,
    /// Memory lent.
    pub scratch: &'a mut Scratch,
}

/// Whether the log is to be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is room for more events.
    Left,
    /// What was read is to be sent first.
    Full,
}

impl Dispatch {
    /// Whether all that was read has been sent.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Bytes of the events that were read and not sent yet, and of the lists of their clients.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last event that every client has been sent, given the last one that was read.
    pub fn settled(&self, read: Sequence) -> Sequence {
        self.batches.front().map_or(read, |batch| batch.before)
    }

    /// Takes an event that was read; drops it when nobody here wants it.
    pub fn take(
        &mut self,
        event: &Event,
        subscriptions: &Subscriptions,
        encoder: &mut Encoder<'_>,
    ) -> Room {
        if encoder.deflate.is_some() && event.second().is_none() {
            self.cost += event.bytes().len() * DEFLATE_COST;
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
            self.push(event, audience, encoder);
        }
        let has_room = self.bytes < PENDING_BYTES_MAX && self.cost < TURN_READING_COST_MAX;
        if has_room { Room::Left } else { Room::Full }
    }

    fn push(&mut self, event: &Event, audience: Audience, encoder: &mut Encoder<'_>) {
        let Encoder { epoch, deflate, queue_bytes_max, scratch, .. } = encoder;
        let encoded = match audience {
            Audience::Everyone(_) => Err(OutOfMemory),
            _ => Encoded::new(event, *epoch, *deflate, scratch),
        };
        let Ok(encoded) = encoded else { return self.push_unread(event, audience) };
        let bytes = encoded.bytes();
        if let Some(batch) = self.batches.back_mut()
            && batch.may_grow(&audience, bytes, *queue_bytes_max)
            && event.except().is_none()
        {
            batch.through = event.sequence();
            batch.bytes += bytes;
            batch.weight += bytes;
            self.bytes += bytes;
            batch.events.push(encoded);
            return;
        }
        // A client may have any number of connections, so their list may be the larger part.
        let weight = bytes + audience.bytes();
        self.bytes += weight;
        self.batches.push_back(Batch {
            audience,
            before: event.sequence() - 1,
            through: event.sequence(),
            except: event.except().map(Into::into),
            events: vec![encoded],
            bytes,
            weight,
            growth: Growth::Open,
            next: 0,
            staged: [None; SHARED_ENCODINGS],
        });
    }

    /// A batch without events, whose clients read on from the log by themselves.
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

    /// Takes the oldest batch out, to be served and put back; without that it is over.
    pub fn take_front(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.weight;
        Some(batch)
    }

    /// Puts a batch back: perhaps not all have been served.
    pub fn put_front(&mut self, batch: Batch) {
        self.bytes += batch.weight;
        self.batches.push_front(batch);
    }

    /// Ends a turn: its buffer is gone, so a batch that is sent further is staged again. The newest
    /// batch grows no more, since clients that come from now on have cursors past it.
    pub fn end_turn(&mut self) {
        self.cost = 0;
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
    /// The slots to serve next, at most `count`, in `slots`; none: all have been served.
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

    /// Whether its clients read it from the log, as there was no memory for it here.
    pub fn is_unread(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes of the events as text frames.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch in the turn's buffer, written there when it is first asked for.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    #[inline]
    pub fn staged(
        &mut self,
        encoding: Encoding,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        match self.staged[encoding as usize] {
            Some(staged) => Ok(staged),
            None => self.stage(encoding, operations),
        }
    }

    /// The batch in a buffer that its clients share for as long as it takes them.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written.
    pub fn encoded(&self, encoding: Encoding, large: &LargeEvents) -> Result<Bytes, OutOfMemory> {
        if let [event] = &self.events[..] {
            return large.event(&event.frame(), encoding);
        }
        let key = (self.before + 1, self.through, encoding);
        let bytes_max = || self.events.iter().map(|event| event.frame().bytes_max(encoding)).sum();
        large.run(key, bytes_max, |out| {
            self.events.iter().for_each(|event| event.write(encoding, out));
        })
    }

    fn stage(
        &mut self,
        encoding: Encoding,
        operations: &mut Operations,
    ) -> Result<Staged, OutOfMemory> {
        let bytes = self.events.iter().map(|event| event.frame().bytes_max(encoding)).sum();
        operations.try_reserve(bytes).map_err(|_| OutOfMemory)?;
        let staged =
            operations.stage(|out| self.events.iter().for_each(|event| event.write(encoding, out)));
        self.staged[encoding as usize] = Some(staged);
        Ok(staged)
    }

    fn may_grow(&self, audience: &Audience, bytes: usize, queue_bytes_max: usize) -> bool {
        self.growth == Growth::Open
            && self.except.is_none()
            && self.audience == *audience
            && self.events.len() < BATCH_EVENTS_MAX
            && self.bytes + bytes <= queue_bytes_max.min(BATCH_BYTES_MAX)
    }
}
