//! A poll: one answer with the events since a cursor, held back until there are some.
//!
//! While it is held it has a session like any other client. The events of a turn are collected and
//! sent at the end of the turn; events that it has missed are then read from the log.

use crate::{encoding::pieces::Pieces, memory::OutOfMemory};

use std::{ops::ControlFlow, time::Duration};

use crate::{
    broker::Missed,
    encoding::poll::Body,
    memory::make_room,
    metrics::CoreMetrics,
    session::{
        Pace, Session, Settled,
        core_hub::CoreHub,
        delivery::{DeliveryProgress, ServerMessage},
        dispatch::Due,
    },
};

/// The bytes in addition to an event: the comma before it, and the end of the answer.
const ITEM_BYTES: usize = 256;

/// A poll that waits for its answer.
pub struct LongPoll {
    /// The client's place in the hub.
    pub session: Box<Session>,
    /// Objects, with commas between them, that precede the events read from the log. Boxed, as it
    /// is present for one turn at most.
    pub collected: Option<Box<Pieces>>,
}

/// Whether there is something to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There are events or a gap.
    Something,
    /// There is nothing yet.
    Nothing,
    /// There is no memory for the answer. The events read for it are discarded; the client has not
    /// seen them.
    NoMemory,
}

impl LongPoll {
    /// Bytes kept for the collected events.
    pub fn held_bytes(&self) -> usize {
        self.collected.as_ref().map_or(0, |collected| collected.text.capacity())
    }

    /// Collects the events that are pending for the client. An event that is not kept cannot be read
    /// again.
    pub fn collect(
        &mut self,
        hub: &mut CoreHub,
        bytes_max: usize,
        metrics: &CoreMetrics,
    ) -> DeliveryProgress {
        let session = &mut self.session;
        if session.pace() != Pace::Live {
            return DeliveryProgress::Idle;
        }
        let after = session.served_live(hub);
        let (due, through) = (session.find(after, hub), hub.position());
        if due == Due::Nothing {
            session.pass(through);
            return DeliveryProgress::Idle;
        }
        let collected = self.collected.get_or_insert_default();
        match due {
            Due::Events { count, bytes, before }
                if (collected.is_empty() || collected.len() + bytes <= bytes_max)
                    && collect(collected, count, hub).is_ok() =>
            {
                metrics.deliveries.add(count as u64);
                session.sent(before, through, Settled::No);
            }
            _ => {
                session.fall_behind(after, hub);
                self.collected.take_if(|collected| collected.is_empty());
            }
        }
        DeliveryProgress::More
    }

    /// Adds a gap to the answer.
    pub fn note(&mut self, (from, to): Missed) {
        let mut text = Vec::new();
        ServerMessage::Gap { from, to }.write_json(&mut text);
        let collected = self.collected.get_or_insert_default();
        separate(collected);
        collected.text.extend_from_slice(&text);
    }

    /// Reads the available events into `body`, up to about `bytes_max`.
    pub fn read(
        &mut self,
        hub: &CoreHub,
        now: Duration,
        bytes_max: usize,
        metrics: &CoreMetrics,
        body: &mut Pieces,
    ) -> Found {
        let mut answer = Body::begin(&mut body.text);
        let mut found = Found::Nothing;
        if let Some(objects) = self.collected.take() {
            answer.next(&mut body.text);
            if body.append(*objects).is_err() || make_room(&mut body.text, ITEM_BYTES).is_err() {
                return Found::NoMemory;
            }
            found = Found::Something;
        }
        while self.session.pace() != Pace::Live {
            let client = self.session.client().clone();
            let mut full = ControlFlow::Continue(());
            let missed = self.session.take_gap().map_or(Ok(()), Err);
            let read = missed.and_then(|()| {
                self.session.read_on(hub, now, |event| {
                    if event.except() != Some(&*client) {
                        answer.next(&mut body.text);
                        let written = body.object(event, &hub.large_events);
                        if written.is_err() || make_room(&mut body.text, ITEM_BYTES).is_err() {
                            found = Found::NoMemory;
                            full = ControlFlow::Break(());
                            return full;
                        }
                        metrics.deliveries.add(1);
                        found = Found::Something;
                    }
                    if body.len() > bytes_max {
                        full = ControlFlow::Break(());
                    }
                    full
                })
            });
            if found == Found::NoMemory {
                return found;
            }
            match read {
                Ok(()) => break,
                Err(gap) => {
                    metrics.gaps.add(1);
                    let [from, to] = [gap.from, gap.to].map(|place| hub.broker.cursor(place));
                    let mut text = Vec::new();
                    ServerMessage::Gap { from, to }.write_json(&mut text);
                    answer.next(&mut body.text);
                    body.text.extend_from_slice(&text);
                    found = Found::Something;
                }
            }
        }
        answer.end(&mut body.text, &self.session.cursor(hub).to_string());
        found
    }
}

/// Appends the pending events, with commas between them; all of them or nothing.
fn collect(collected: &mut Pieces, count: usize, hub: &CoreHub) -> Result<(), OutOfMemory> {
    let (text, large) = (collected.text.len(), collected.large_events());
    make_room(&mut collected.text, count)?;
    for event in hub.dispatch.found() {
        separate(collected);
        if let Err(error) = collected.object(event, &hub.large_events) {
            collected.truncate(text, large);
            return Err(error);
        }
    }
    Ok(())
}

fn separate(objects: &mut Pieces) {
    if !objects.is_empty() {
        objects.text.push(b',');
    }
}
