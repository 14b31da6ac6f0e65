//! The hub's side of a connection: sends pending events and events from the log, and answers polls.
//!
//! It joins a session with the encoding of its transport; `session::delivery` decides what is sent.

use crate::{connection::HeldRequest, encoding::pieces::Pieces};

use ringway_frame::CloseCode;
use ringway_hub::{Handover, Sequence};

use crate::{
    broker::{Missed, mailbox::Change},
    connection::{ClientConnection, Protocol, Turn, log::EndReason, outbox},
    edge::{cors::Cors, response},
    memory::OutOfMemory,
    outbox::Outbox,
    session::{
        Pace, Settled,
        core_hub::{CoreHub, Renewed},
        delivery,
        delivery::{DeliveryProgress, EventWriter, ServerMessage},
        perform,
    },
    transport::long_poll::{Found, LongPoll},
};

use ringway_http::KeepAlive;

/// More than the longest head of an answer.
pub(super) const RESPONSE_HEAD_BYTES: usize = 1024;

impl ClientConnection {
    /// Sends the client all events that are pending for it, if there is room.
    #[inline]
    pub fn deliver(&mut self, turn: &mut Turn<'_>) {
        let mut outbox = outbox!(self, turn);
        let (context, hub) = (&mut turn.context, &mut *turn.hub);
        let progress = match &mut self.stage {
            Protocol::WebSocket(socket) => match socket.delivery() {
                Some((session, mut frames)) => {
                    delivery::deliver(session, &mut frames, hub, context, &mut outbox)
                }
                None => DeliveryProgress::Idle,
            },
            Protocol::Stream(stream) => {
                let (session, format) = (&mut stream.session, &mut stream.writer);
                delivery::deliver(session, format, hub, context, &mut outbox)
            }
            Protocol::Poll(poll, _) => {
                let bytes_max = context.memory.answer_bytes(context.settings.http.poll_bytes_max);
                poll.collect(hub, bytes_max, context.metrics)
            }
            _ => DeliveryProgress::Idle,
        };
        if progress == DeliveryProgress::More {
            self.be_ready_to_send(turn.hub);
        }
    }

    /// Events after `before` left the log before the core had read them. A live session reads the
    /// log from there on, and is sent a gap for the events that are gone.
    pub fn miss(&mut self, before: Sequence, hub: &mut CoreHub) {
        let Some(session) = self.session_mut().filter(|session| session.pace() == Pace::Live)
        else {
            return;
        };
        session.lose_place(before, hub);
        self.be_ready_to_send(hub);
    }

    /// Sends the events that the client has missed, as far as there is room.
    pub(super) fn read_on(&mut self, turn: &mut Turn<'_>) {
        let mut outbox = outbox!(self, turn);
        let (context, hub) = (&mut turn.context, &*turn.hub);
        let progress = match &mut self.stage {
            Protocol::WebSocket(socket) => match socket.delivery() {
                Some((session, mut frames)) => {
                    delivery::read_on(session, &mut frames, hub, context, &mut outbox)
                }
                None => DeliveryProgress::Idle,
            },
            Protocol::Stream(stream) => {
                let (session, format) = (&mut stream.session, &mut stream.writer);
                delivery::read_on(session, format, hub, context, &mut outbox)
            }
            Protocol::Poll(..) => return self.try_to_answer(turn),
            _ => DeliveryProgress::Idle,
        };
        match progress {
            DeliveryProgress::Idle => {}
            DeliveryProgress::More => self.be_ready_to_send(turn.hub),
            DeliveryProgress::NoMemory => self.end_unanswered(turn),
            DeliveryProgress::TooSlow(seen) => {
                let reason = format!("too slow; resume from {}", turn.hub.broker.cursor(seen));
                self.note_end(EndReason::TooSlow);
                self.close(CloseCode::TRY_AGAIN_LATER, &reason, turn);
            }
        }
    }

    /// Whether the log may hold events for the client that it was not sent.
    pub(super) fn is_behind(&mut self) -> bool {
        self.session_mut().is_some_and(|session| session.pace() != Pace::Live)
    }

    /// Commands may have subscribed the client to past events, or renewed its token.
    #[inline]
    pub(super) fn after_commands(&mut self, turn: &mut Turn<'_>) {
        if turn.hub.renewed == Renewed::Some {
            self.follow_renewal(turn);
        }
        if self.is_behind() && !self.sending.is_backlogged() {
            self.be_ready_to_send(turn.hub);
        }
    }

    /// Whether this connection belongs to the client with this name.
    pub fn is_of(&mut self, client: &str) -> bool {
        self.session_mut().is_some_and(|session| &**session.client() == client)
    }

    /// Changes a subscription as the client asked in a request, which has already been answered.
    /// Beyond the limit on subscriptions nothing changes.
    pub fn listen(&mut self, change: Change, topic: &str, turn: &mut Turn<'_>) {
        let (connection, settings) = (self.connection, turn.context.settings);
        let Some(session) = self.session_mut() else { return };
        let changed = perform::apply(change, session, topic, connection, settings, turn.hub);
        if let Ok(Some(missed)) = changed {
            self.tell_of_gap(missed, turn);
        }
        self.after_commands(turn);
    }

    /// Other connections of the client have left without taking everything that they were sent. If
    /// anything may be missing, this one sends a gap.
    pub fn take_over(&mut self, handover: Handover, turn: &mut Turn<'_>) {
        let Some(session) = self.session_mut() else { return };
        session.take_over(handover, turn.context.now, turn.hub);
        self.after_commands(turn);
    }

    fn tell_of_gap(&mut self, (from, to): Missed, turn: &mut Turn<'_>) {
        turn.context.metrics.gaps.add(1);
        if self.settled(turn) == Settled::Yes
            && let Some(session) = self.session_mut()
        {
            session.settle();
        }
        let mut outbox = outbox!(self, turn);
        let gap = ServerMessage::Gap { from, to };
        match &mut self.stage {
            Protocol::WebSocket(socket) => {
                if let Some((_, mut frames)) = socket.delivery() {
                    frames.server_message(gap, turn.context.scratch, &mut outbox);
                }
            }
            Protocol::Stream(stream) => {
                stream.writer.server_message(gap, turn.context.scratch, &mut outbox)
            }
            Protocol::Poll(poll, _) => {
                poll.note((from, to));
                self.be_ready(turn);
            }
            _ => {}
        }
    }

    /// Answers a held poll if there are events or a gap.
    pub(super) fn try_to_answer(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Poll(poll, _) = &mut self.stage else { return };
        let mut body = Pieces::new(turn.context.scratch.take_buffer());
        let bytes_max = turn.context.memory.answer_bytes(turn.context.settings.http.poll_bytes_max);
        match poll.read(turn.hub, turn.context.now, bytes_max, turn.context.metrics, &mut body) {
            Found::Something => self.write_answer(&body, Found::Something, turn),
            Found::Nothing if poll.session.pace() != Pace::Live => self.be_ready(turn),
            Found::Nothing => {}
            Found::NoMemory => self.end_unanswered(turn),
        }
        turn.context.scratch.put_buffer(body.text);
    }

    /// Answers a held poll now, even if there are no events.
    pub(super) fn answer_poll(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Poll(poll, _) = &mut self.stage else { return };
        let mut body = Pieces::new(turn.context.scratch.take_buffer());
        let bytes_max = turn.context.memory.answer_bytes(turn.context.settings.http.poll_bytes_max);
        match poll.read(turn.hub, turn.context.now, bytes_max, turn.context.metrics, &mut body) {
            found @ (Found::Something | Found::Nothing) => self.write_answer(&body, found, turn),
            Found::NoMemory => self.end_unanswered(turn),
        }
        turn.context.scratch.put_buffer(body.text);
    }

    /// Ends a connection because there is no memory for its next events; the client reconnects and
    /// resumes from its cursor.
    fn end_unanswered(&mut self, turn: &mut Turn<'_>) {
        turn.context.metrics.closed_for_memory.add(1);
        self.retire(Settled::No, turn);
        self.end(turn);
    }

    fn write_answer(&mut self, body: &Pieces, found: Found, turn: &mut Turn<'_>) {
        let own_bytes = body.text.len() + RESPONSE_HEAD_BYTES;
        if outbox!(self, turn).make_room_beside(own_bytes, body.large_bytes()).is_err() {
            return self.end_unanswered(turn);
        }
        let Protocol::Poll(poll, request) = std::mem::replace(&mut self.stage, Protocol::Lingering)
        else {
            return;
        };
        // The socket may not have taken an earlier answer yet.
        let earlier = self.settled(turn);
        let mut outbox = outbox!(self, turn);
        let LongPoll { session, .. } = poll;
        let HeldRequest { cors, after, http } = request;
        let cors = cors.as_deref().unwrap_or(&Cors::Silent);
        let written = write_body(body, cors, after, &mut outbox);
        turn.context.metrics.sessions.long_poll.subtract(1);
        let settled = match (written, earlier, found) {
            (Err(OutOfMemory), ..) => Settled::No,
            (Ok(()), Settled::Yes | Settled::Unknown { .. }, Found::Something) => {
                Settled::Unknown { sent_in: turn.context.now }
            }
            (Ok(()), earlier, _) => earlier,
        };
        self.depart(*session, settled, turn);
        self.stage = Protocol::Http(http);
        if let Err(OutOfMemory) = written {
            return self.end_unanswered(turn);
        }
        match after {
            KeepAlive::Yes => self.await_request(turn),
            KeepAlive::Close => self.finish(turn),
        }
    }
}

/// Writes the answer to a poll; large events in it are not copied if the channel allows that.
///
/// # Errors
/// [`OutOfMemory`]; the answer is cut off.
fn write_body(
    body: &Pieces,
    cors: &Cors,
    after: KeepAlive,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    outbox.write(|out| {
        response::json_begin(out, cors, after, body.beginning(), body.len());
    });
    for (large, text) in body.rest() {
        outbox.write_shared(large)?;
        outbox.write(|out| out.extend_from_slice(text));
    }
    Ok(())
}
