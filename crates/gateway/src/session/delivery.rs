//! What a client with a session is sent, whatever its transport: batches while it keeps up, the log
//! when it does not, and a message about every gap.
//!
//! Back-pressure is by cursor: nothing is written to a socket that has a backlog, and the client
//! reads on from the log when the backlog has drained. It never decides what a form looks like.

use ringway_http::{Framing, chunk};

use crate::{encoding::large_events::is_large, memory::MemoryBudget};

use std::{ops::ControlFlow, time::Duration};

use ringway_hub::{Cursor, Event, Sequence};

use crate::{
    config::{SlowReader, settings::Settings},
    encoding::{
        Encoding, SharedDeflate, bytes_max, frame_bytes, native as write, scratch::Scratch,
    },
    memory::OutOfMemory,
    metrics::CoreMetrics,
    outbox::Outbox,
    session::{Pace, Session, Settled, core_hub::CoreHub, dispatch::Batch},
};

/// How a transport writes what a session is sent.
pub trait EventWriter {
    /// The form that it shares with others; `None`: each event is written for it alone.
    fn shared(&self) -> Option<Encoding>;

    /// The form of a large event, which is shared also where small ones are written for this client
    /// alone; `None`: it is written for it alone, too.
    fn large(&self, memory: &MemoryBudget) -> Option<LargeEncoding>;

    /// Writes one event, for which there is room in the outbox.
    ///
    /// # Errors
    /// [`OutOfMemory`] for what it is written with; nothing was written.
    fn event(
        &mut self,
        event: &Event,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory>;

    /// Writes a message of the gateway's own, with the cursor that it takes the client to.
    fn server_message(
        &mut self,
        server_message: ServerMessage<'_>,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    );
}

/// How a client is sent a large event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeEncoding {
    /// The encoding.
    pub encoding: Encoding,
    /// Whether it is sent the chunks of encodings that have them.
    pub framing: Framing,
}

/// A message of the gateway's own.
#[derive(Debug, Clone, Copy)]
pub enum ServerMessage<'a> {
    /// The first one: who the client is, and on which connection.
    Welcome {
        /// Its name.
        client: &'a str,
        /// The name of its connection.
        connection: &'a str,
        /// Where it begins to read.
        cursor: Cursor,
    },
    /// Events that the client can never read.
    Gap {
        /// The last event that it has read.
        from: Cursor,
        /// The last event that is gone.
        to: Cursor,
    },
    /// Nothing has happened, and this is where the log stands.
    Heartbeat {
        /// The place.
        cursor: Cursor,
    },
}

impl ServerMessage<'_> {
    /// The message as a JSON object of the subprotocol.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome { client, connection, cursor } => {
                write::welcome(out, client, connection, &cursor.to_string());
            }
            Self::Gap { from, to } => write::gap(out, &from.to_string(), &to.to_string()),
            Self::Heartbeat { cursor } => write::pong(out, &cursor.to_string(), None),
        }
    }

    /// Where the client stands once it has read it.
    pub fn cursor(self) -> Option<Cursor> {
        match self {
            Self::Welcome { cursor, .. } | Self::Heartbeat { cursor } => Some(cursor),
            Self::Gap { to, .. } => Some(to),
        }
    }

    /// What an event stream calls it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Welcome { .. } => Some("welcome"),
            Self::Gap { .. } => Some("gap"),
            Self::Heartbeat { .. } => Some("pong"),
        }
    }
}

/// What a core lends to the session that it serves. The core's side of the hub is passed beside it:
/// delivering reads it, carrying out a command changes it.
pub struct DeliveryContext<'a> {
    /// Time since the process started.
    pub now: Duration,
    /// The settings of all connections.
    pub settings: &'a Settings,
    /// Memory lent.
    pub scratch: &'a mut Scratch,
    /// What the process may buffer.
    pub memory: &'a MemoryBudget,
    /// What is counted.
    pub metrics: &'a CoreMetrics,
}

/// What remains to be done for a client after a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryProgress {
    /// All is sent.
    Idle,
    /// There may be more to send in the next turn.
    More,
    /// It was too slow, and the policy is to end it; it may resume from here.
    TooSlow(Sequence),
    /// There is no memory for what it is to be sent, and the client has not seen it.
    NoMemory,
}

/// Sends a batch to a live session, or lets it fall behind; says whether it was sent.
#[inline]
pub fn deliver(
    session: &mut Session,
    writer: &mut impl EventWriter,
    batch: &mut Batch,
    hub: &CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> DeliveryProgress {
    if session.pace() != Pace::Live || session.has_seen(batch.through) {
        return DeliveryProgress::Idle;
    }
    if batch.except.as_deref() == Some(session.client()) {
        return DeliveryProgress::Idle;
    }
    let settled = if outbox.is_settled() { Settled::Yes } else { Settled::No };
    let written = outbox.bytes_of_turn();
    let batch_bytes = outbox.sealed_bytes_max(batch.bytes());
    let is_full = written > 0 && written + batch_bytes > context.settings.clients.queue_bytes_max;
    if outbox.is_backlogged() || is_full || batch.is_unread() {
        context.metrics.lagged.add(1);
        session.fall_behind(batch.before, hub);
        // A backlog tells when it is gone; a turn that was full does not, nor does memory.
        return if outbox.is_backlogged() {
            DeliveryProgress::Idle
        } else {
            DeliveryProgress::More
        };
    }
    let mut through = batch.before;
    let sent = match writer.shared() {
        Some(encoding) if is_large(batch.bytes()) => {
            batch.encoded(encoding, hub).and_then(|batch| outbox.write_shared(&batch))
        }
        Some(encoding) => outbox
            .write_staged(|operations| batch.staged(encoding, hub.dispatch.pins(), operations)),
        None => write_alone(writer, batch, &mut through, hub, context, outbox),
    };
    if let Err(OutOfMemory) = sent {
        // It reads on by itself when this turn's buffer is free.
        session.fall_behind(through, hub);
        return DeliveryProgress::More;
    }
    context.metrics.deliveries.add(batch.count() as u64);
    session.sent(batch.before, batch.through, settled);
    DeliveryProgress::Idle
}

/// Writes a batch in a form that is not shared, and says up to which event that came.
fn write_alone(
    writer: &mut impl EventWriter,
    batch: &Batch,
    through: &mut Sequence,
    hub: &CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    // A large event is a batch of its own.
    let mut events = batch.events(hub.dispatch.pins());
    if let (1, Some(event)) = (batch.count(), events.clone().next()) {
        return write_event(event, writer, hub, context, outbox);
    }
    outbox.make_room(events.clone().map(|event| bytes_max(event, None)).sum())?;
    events.try_for_each(|event| {
        writer.event(event, context.scratch, outbox)?;
        *through = event.sequence();
        Ok(())
    })
}

/// Writes an event; one that is large without a copy of its own, where the form allows it.
fn write_event(
    event: &Event,
    writer: &mut impl EventWriter,
    hub: &CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    if is_large(frame_bytes(event))
        && let Some(LargeEncoding { encoding, framing }) = writer.large(context.memory)
    {
        let chunk = match (encoding, encoding.kept(event), context.settings.deflate_policy()) {
            // Nobody was connected who wanted it compressed when it came.
            (Encoding::Deflated, None, Some(policy)) => {
                let deflate = SharedDeflate::new(&policy);
                hub.large_events.compressed(event, deflate, context.scratch)?
            }
            _ => hub.large_events.event(event, encoding)?,
        };
        return outbox.write_shared(&match framing {
            Framing::Chunked => chunk,
            Framing::UntilClose => chunk.slice(chunk::data_of(chunk.len())),
        });
    }
    outbox.make_room(bytes_max(event, writer.shared()))?;
    writer.event(event, context.scratch, outbox)
}

/// Sends what a session has missed, as far as there is room for it now.
pub fn read_on(
    session: &mut Session,
    writer: &mut impl EventWriter,
    hub: &CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> DeliveryProgress {
    if outbox.is_backlogged() {
        return DeliveryProgress::Idle;
    }
    if outbox.is_settled() {
        session.settle();
    }
    let was_lagging = session.pace() == Pace::Lagging;
    while session.pace() != Pace::Live {
        if outbox.bytes_of_turn() >= context.settings.clients.queue_bytes_max {
            return DeliveryProgress::More;
        }
        let client = session.client().clone();
        let mut room = Ok(());
        // One that is no fault of the client's.
        let missed = session.take_gap();
        let read = missed.map_or(Ok(()), Err);
        let read = read.and_then(|()| {
            session.read_on(hub, context.now, |event| {
                let before = outbox.bytes_of_turn();
                if event.except() != Some(&*client) {
                    room = write_event(event, writer, hub, context, outbox);
                    if room.is_err() {
                        return ControlFlow::Break(());
                    }
                    context.metrics.deliveries.add(1);
                }
                // Another one like it would not fit.
                let written = outbox.bytes_of_turn();
                match written + (written - before) <= context.settings.clients.queue_bytes_max {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })
        });
        if let Err(OutOfMemory) = room {
            return DeliveryProgress::NoMemory;
        }
        match read {
            Ok(()) if session.pace() != Pace::Live => return DeliveryProgress::More,
            Ok(()) => {}
            Err(gap)
                if was_lagging
                    && missed.is_none()
                    && context.settings.clients.slow_reader == SlowReader::Close =>
            {
                return DeliveryProgress::TooSlow(gap.from);
            }
            Err(gap) => {
                context.metrics.gaps.add(1);
                let [from, to] = [gap.from, gap.to].map(|place| hub.broker.cursor(place));
                writer.server_message(ServerMessage::Gap { from, to }, context.scratch, outbox);
            }
        }
    }
    DeliveryProgress::Idle
}
