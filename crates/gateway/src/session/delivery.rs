//! Sends events to a client with a session, on any transport: what is pending while it keeps up,
//! events from the log when it does not, and a message about every gap.
//!
//! Back-pressure is by cursor: nothing is written to a socket that has a backlog, and the client
//! reads on from the log when the backlog has drained. It does not know how an encoding looks.

use ringway_http::{Framing, chunk};

use crate::{
    encoding::large_events::{LargeEvents, is_large},
    memory::MemoryBudget,
};

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
    session::{
        Pace, Session, Settled,
        core_hub::CoreHub,
        dispatch::{Dispatch, Due},
    },
};

/// How a transport writes events and messages for a session.
pub trait EventWriter {
    /// The encoding that it shares with other clients; `None`: each event is written for it alone.
    fn shared(&self) -> Option<Encoding>;

    /// The encoding of large events, which may be shared although small events are written for this
    /// client alone; `None`: large events are written for it alone, too.
    fn large(&self, memory: &MemoryBudget) -> Option<LargeEncoding>;

    /// Writes one event; the outbox has room for it.
    ///
    /// # Errors
    /// [`OutOfMemory`] for the memory that writing needs; nothing was written.
    fn event(
        &mut self,
        event: &Event,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory>;

    /// Writes a message of the gateway's own, with the client's cursor after it.
    fn server_message(
        &mut self,
        server_message: ServerMessage<'_>,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    );
}

/// How a large event is sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeEncoding {
    /// The encoding.
    pub encoding: Encoding,
    /// Whether it is sent in chunks, if the encoding has them.
    pub framing: Framing,
}

/// A message of the gateway's own.
#[derive(Debug, Clone, Copy)]
pub enum ServerMessage<'a> {
    /// The first one: who the client is, and on which connection.
    Welcome {
        /// The client's name.
        client: &'a str,
        /// The connection's name.
        connection: &'a str,
        /// The position from which it reads.
        cursor: Cursor,
    },
    /// Events that the client can never read.
    Gap {
        /// The last event that it has read.
        from: Cursor,
        /// The last event that is gone.
        to: Cursor,
    },
    /// Nothing has happened; reports the position of the log.
    Heartbeat {
        /// The position.
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

    /// The client's cursor once it has read the message.
    pub fn cursor(self) -> Option<Cursor> {
        match self {
            Self::Welcome { cursor, .. } | Self::Heartbeat { cursor } => Some(cursor),
            Self::Gap { to, .. } => Some(to),
        }
    }

    /// The name of the message in an event stream.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Welcome { .. } => Some("welcome"),
            Self::Gap { .. } => Some("gap"),
            Self::Heartbeat { .. } => Some("pong"),
        }
    }
}

/// What a core lends to the session that it serves. The core's side of the hub is passed
/// separately: delivering reads it, performing a command changes it.
pub struct DeliveryContext<'a> {
    /// Time since the process started.
    pub now: Duration,
    /// The settings of all connections.
    pub settings: &'a Settings,
    /// Borrowed memory.
    pub scratch: &'a mut Scratch,
    /// The budget for the buffers of the process.
    pub memory: &'a MemoryBudget,
    /// The counters.
    pub metrics: &'a CoreMetrics,
}

/// What remains to be done for a client after a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryProgress {
    /// Everything is sent.
    Idle,
    /// There may be more to send in the next turn.
    More,
    /// It was too slow, and the policy is to close it; it may resume from here.
    TooSlow(Sequence),
    /// There is no memory for its next events, and the client has not seen them.
    NoMemory,
}

/// Sends a live session everything that is pending for it, or makes it fall behind.
#[inline]
pub fn deliver(
    session: &mut Session,
    writer: &mut impl EventWriter,
    hub: &mut CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> DeliveryProgress {
    if session.pace() != Pace::Live {
        return DeliveryProgress::Idle;
    }
    let after = session.served_live(hub);
    let (due, through) = (session.find(after, hub), hub.position());
    let settled = if outbox.is_settled() { Settled::Yes } else { Settled::No };
    let (count, before) = match due {
        Due::Nothing => {
            session.pass(through);
            return DeliveryProgress::Idle;
        }
        Due::Events { count, bytes, before }
            if !outbox.is_backlogged() && has_room(count, bytes, context.settings, outbox) =>
        {
            (count, before)
        }
        Due::Events { .. } | Due::Lost => {
            context.metrics.lagged.add(1);
            session.fall_behind(after, hub);
            // The driver reports the end of a backlog. A full turn or a lack of memory has no such
            // report.
            return match outbox.is_backlogged() {
                true => DeliveryProgress::Idle,
                false => DeliveryProgress::More,
            };
        }
    };
    let mut sent = before;
    let written = match writer.shared() {
        Some(encoding) => write_shared(encoding, &mut sent, hub, outbox),
        None => write_alone(writer, &mut sent, hub, context, outbox),
    };
    if let Err(OutOfMemory) = written {
        // It reads on without a completion, when this turn's buffer is free.
        session.fall_behind(sent, hub);
        return DeliveryProgress::More;
    }
    context.metrics.deliveries.add(count as u64);
    session.sent(before, through, settled);
    DeliveryProgress::Idle
}

/// Whether a client may be sent these events in this turn. A single one may be larger than its
/// queue.
#[inline]
fn has_room(count: usize, bytes: usize, settings: &Settings, outbox: &mut Outbox<'_>) -> bool {
    let written = outbox.bytes_of_turn();
    let bytes = outbox.sealed_bytes_max(bytes);
    (written == 0 && count == 1) || written + bytes <= settings.clients.queue_bytes_max
}

/// Writes the events that were found, in an encoding that is shared; sets `sent` to the last event
/// written.
#[inline]
fn write_shared(
    encoding: Encoding,
    sent: &mut Sequence,
    hub: &mut CoreHub,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    let CoreHub { dispatch, large_events, .. } = hub;
    if let [part] = *dispatch.parts()
        && !is_large(part.bytes)
    {
        return outbox.write_staged(|operations| dispatch.staged(part, encoding, operations));
    }
    write_parts(encoding, sent, dispatch, large_events, outbox)
}

/// As [`write_shared`], for several parts or large ones.
fn write_parts(
    encoding: Encoding,
    sent: &mut Sequence,
    dispatch: &mut Dispatch,
    large: &LargeEvents,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    let parts = dispatch.parts().len();
    // All are staged before the first is sent, as the send cannot grow in place after that.
    for at in 0..parts {
        let part = dispatch.parts()[at];
        if !is_large(part.bytes) {
            outbox.stage(|operations| dispatch.staged(part, encoding, operations))?;
        }
    }
    for at in 0..parts {
        let part = dispatch.parts()[at];
        match is_large(part.bytes) {
            true => outbox.write_shared(&dispatch.encoded(part, encoding, large)?)?,
            false => {
                outbox.write_staged(|operations| dispatch.staged(part, encoding, operations))?;
            }
        }
        *sent = dispatch.events(part).last().map_or(*sent, Event::sequence);
    }
    Ok(())
}

/// Writes the events that were found, for this client alone; sets `sent` to the last event written.
fn write_alone(
    writer: &mut impl EventWriter,
    sent: &mut Sequence,
    hub: &CoreHub,
    context: &mut DeliveryContext<'_>,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    hub.dispatch.found().try_for_each(|event| {
        write_event(event, writer, hub, context, outbox)?;
        *sent = event.sequence();
        Ok(())
    })
}

/// Writes an event. A large event is shared, not copied, if the encoding allows it.
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
            // When the event was appended, no connected client wanted it compressed.
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

/// Sends the events that a session has missed, as far as there is room for them now.
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
                // Stops when another event of this size would not fit.
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
                session.leave_untold(gap);
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
