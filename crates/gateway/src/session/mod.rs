//! A client's place in the hub for the time of one connection: who it is, its subscriptions, and
//! the position up to which it has been sent everything.
//!
//! Invariant: while a session is live, each event for it up to the core's position in the log has
//! been sent, or is pending and past its cursor. It never writes.

pub mod ahead;
pub mod command;
pub mod command_error;
pub mod core_hub;
pub mod delivery;
pub mod departures;
pub mod dispatch;
mod handover;
mod identity;
mod live;
pub mod occurrences;
pub mod perform;
pub mod questions;
pub mod ready;
pub mod served;
pub mod submissions;
#[cfg(test)]
mod tests;

use std::{iter, ops::ControlFlow, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_hub::{
    Complete, Cursor, Departed, Event, Fate, Gap, Interest, Key, Name, Publisher, Sequence, TopicId,
};

use crate::{
    auth::{Grants, Identity},
    broker::Missed,
    limits::LOOK_UP_BYTES,
    notifications::Kind,
    session::core_hub::CoreHub,
};

/// A client's place in the hub.
pub struct Session {
    client: Name,
    topics: Vec<TopicId>,
    /// Every event up to here was sent or is not for this client, except in the parts in `late`.
    cursor: Sequence,
    /// Every event up to here is known to have been taken by the socket.
    settled: Sequence,
    /// Boxed: costs an idle client only eight bytes.
    uncommon: Option<Box<Uncommon>>,
    /// The client was connected when the events after this one were appended. Only while not live.
    live_after: Sequence,
    /// Who is responsible for the client's events.
    pub publisher: Publisher,
    pace: Pace,
    /// Whether the directory knows that the socket has taken nothing after `settled`.
    is_stalled: bool,
}

/// State that most sessions do not need.
#[derive(Default)]
struct Uncommon {
    /// Parts whose position is before or after `cursor`. Only while not live.
    late: Vec<Late>,
    /// Events for the client after this one may be missing, and it must be sent a gap. Only while
    /// not live.
    missed_after: Option<Sequence>,
    /// What the client may do.
    grants: Grants,
    /// When its token expires, as time since 1970.
    expires_at: Option<Duration>,
    /// The JSON for the application in its token.
    meta: Option<Box<str>>,
}

/// How events reach a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The core sends it events as it reads them from the log.
    Live,
    /// It connected with a cursor, and reads the events that it missed.
    Replaying,
    /// Its socket was full; it reads on from the log when there is room.
    Lagging,
}

/// A source of events for a client: its own events, or a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Own,
    Topic(TopicId),
}

/// A part whose position differs from the session's cursor.
#[derive(Debug, Clone, Copy)]
struct Late {
    part: Part,
    after: Sequence,
    /// As in [`Session`].
    live_after: Sequence,
}

/// The position from which a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The client has seen everything up to this cursor.
    At(Cursor),
    /// The head of the log; for its own events, the position at which it left.
    Now {
        /// How many of the last events of each topic the client asks for, and the most that it
        /// gets (`clients.last_events_max`).
        last: Option<(u32, usize)>,
        /// Everything up to here was sent to it on the same connection, but the socket may not have
        /// taken it.
        sent: Sequence,
    },
}

/// The client already has as many subscriptions as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Session {
    /// Enters a client. The gap is the events that it can never read.
    pub fn enter(
        identity: Identity,
        topics: &[Box<str>],
        start: Start,
        slot: u32,
        now: Duration,
        hub: &mut CoreHub,
    ) -> (Self, Option<Missed>) {
        let gone = hub.broker.log.first() - 1;
        let Identity { client, grants, expires_at, meta, .. } = identity;
        let position = hub.position();
        let arrival = match start {
            Start::At(_) => hub.broker.directory.arrive(&client),
            Start::Now { .. } => hub.broker.directory.arrive_now(&client, hub.seat(slot), position),
        };
        hub.subscriptions.arrive(arrival.name.clone(), slot);
        let mut session = Self {
            client: arrival.name,
            topics: Vec::with_capacity(topics.len()),
            cursor: position,
            settled: position,
            uncommon: match (&grants, expires_at, &meta) {
                (Grants::BySettings, None, None) => None,
                _ => Some(Box::new(Uncommon { grants, expires_at, meta, ..Uncommon::default() })),
            },
            live_after: position,
            publisher: Publisher::UNKNOWN,
            pace: Pace::Live,
            is_stalled: false,
        };
        for topic in topics {
            session.listen(hub.subscribe(topic, slot));
        }
        let mut gap = None;
        let mut settled = Sequence::MAX;
        match start {
            Start::At(cursor) => {
                session.cursor = match hub.broker.judge(cursor) {
                    Ok(sequence) => sequence,
                    Err(first) => {
                        gap = Some((cursor, hub.broker.cursor(first)));
                        first
                    }
                };
            }
            Start::Now { last, sent } => {
                let left = hub.broker.own_start(&session.client, arrival.since, gone, position);
                if left < sent {
                    settled = left;
                }
                let own = left.max(sent);
                // Near the first event that is kept, if there is one: the client may resume from
                // here.
                let broker = &hub.broker;
                let (own, touched) = broker.kept_after(&session.client, own, position, now);
                hub.spend(touched as usize * LOOK_UP_BYTES);
                session.defer(Part::Own, own, position);
                if let Some((last, last_max)) = last {
                    for topic in topics {
                        let after = hub.before_last(topic, last, last_max, now);
                        let topic = hub.subscriptions.find(topic).expect("it has a subscriber");
                        session.defer(Part::Topic(topic), after, position);
                    }
                }
            }
        }
        // A gap counts as reported only when the socket has taken the message that reports it.
        session.settled = if gap.is_some() { 0 } else { session.seen().min(settled) };
        if session.cursor != position || !session.late_parts().is_empty() {
            session.read_from_log(Pace::Replaying, hub);
        }
        (session, gap)
    }

    /// The client's name.
    pub fn client(&self) -> &Name {
        &self.client
    }

    /// How events reach the client.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The number of topics that it is subscribed to.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// Whether it is subscribed to this topic.
    pub fn listens_to(&self, topic: &str, hub: &CoreHub) -> bool {
        hub.subscriptions.find(topic).is_some_and(|id| self.topics.contains(&id))
    }

    /// Everything up to here has been sent. A live session may have been sent more; only the core
    /// knows.
    pub fn seen(&self) -> Sequence {
        self.late_parts().iter().map(|late| late.after).fold(self.cursor, Sequence::min)
    }

    /// The cursor to report to the client.
    pub fn cursor(&self, hub: &CoreHub) -> Cursor {
        let sequence = match self.pace {
            Pace::Live => self.served_live(hub),
            Pace::Replaying | Pace::Lagging => self.seen(),
        };
        hub.broker.cursor(sequence)
    }

    /// The socket has taken everything that was written.
    pub fn settle(&mut self) {
        self.settled = self.served();
    }

    /// The socket is full. Until it takes more, a new connection of the client begins at this one's
    /// position.
    pub fn stall(&mut self, hub: &CoreHub) {
        if !self.is_stalled {
            self.is_stalled = true;
            hub.broker.directory.stall(&self.client, self.settled);
        }
    }

    /// The socket has taken its backlog. To be called before `settled` changes.
    pub fn end_stall(&mut self, hub: &CoreHub) {
        if self.is_stalled {
            self.is_stalled = false;
            hub.broker.directory.end_stall(&self.client, self.settled);
        }
    }

    /// The socket has no room for events after `before`; the session will read on from the log.
    pub fn fall_behind(&mut self, before: Sequence, hub: &CoreHub) {
        debug_assert_eq!(self.pace, Pace::Live);
        self.cursor = self.cursor.max(before);
        self.live_after = self.cursor;
        self.read_from_log(Pace::Lagging, hub);
    }

    /// Its core has lost its place in the log after `before`, through no fault of the client.
    pub fn lose_place(&mut self, before: Sequence, hub: &CoreHub) {
        self.cursor = self.cursor.max(before);
        self.live_after = self.cursor;
        self.read_from_log(Pace::Replaying, hub);
    }

    /// Subscribes to a topic, from the client's cursor or from now on; returns the events that are
    /// missing. Subscribing again changes only the position to read from.
    ///
    /// # Errors
    /// [`TooMany`] topics.
    pub fn subscribe(
        &mut self,
        topic: &str,
        since: Option<Cursor>,
        connection: ConnectionId,
        topics_max: usize,
        hub: &mut CoreHub,
    ) -> Result<Option<Missed>, TooMany> {
        let known = self.listens_to(topic, hub);
        if !known && self.topics.len() >= topics_max {
            return Err(TooMany);
        }
        let id = hub.subscribe(topic, connection.slot());
        self.listen(id);
        if !known {
            hub.report_subscription(Kind::Subscribe, &self.client, connection, topic);
        }
        let position = hub.position();
        let (after, missed) = match since.map(|since| (since, hub.broker.judge(since))) {
            Some((_, Ok(after))) => (after, None),
            Some((since, Err(first))) => (first, Some((since, hub.broker.cursor(first)))),
            None if known => return Ok(None),
            None => (position, None),
        };
        if self.pace == Pace::Live {
            // Pending events may be older than `after`, or may belong to the topic that had the id
            // before. So those for this client are read from the log instead.
            self.cursor = self.served_live(hub);
            if self.cursor == position && after == position {
                return Ok(missed);
            }
            self.live_after = self.cursor;
            self.read_from_log(Pace::Replaying, hub);
        }
        let part = Part::Topic(id);
        let live_after = match self.late(part) {
            _ if !known => position,
            Some(late) => late.live_after,
            // The topic is at the session's cursor. It may have been subscribed to after the
            // session fell behind, and earlier events were appended while the client was not
            // subscribed.
            None => self.live_after.max(self.cursor),
        };
        self.defer(part, after, live_after);
        Ok(missed)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, topic: &str, connection: ConnectionId, hub: &mut CoreHub) {
        let Some(id) = hub.subscriptions.find(topic) else { return };
        if let Some(place) = self.topics.iter().position(|own| *own == id) {
            self.topics.swap_remove(place);
            hub.report_subscription(Kind::Unsubscribe, &self.client, connection, topic);
            hub.subscriptions.unsubscribe(id, connection.slot());
            if !self.late_parts().is_empty() {
                self.change_late(|late| late.retain(|late| late.part != Part::Topic(id)));
            }
        }
    }

    /// Reads the events that it missed up to the core's position; the session is live again when it
    /// has read them all.
    ///
    /// # Errors
    /// A [`Gap`]: some of them have left the log. The session continues after the gap.
    pub fn read_on(
        &mut self,
        hub: &CoreHub,
        now: Duration,
        mut params: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        let through = hub.position();
        let interests: Vec<Interest<'_>> = iter::once(Part::Own)
            .chain(self.topics.iter().map(|topic| Part::Topic(*topic)))
            .map(|part| {
                let (key, Late { after, live_after, .. }) = (self.key(part, hub), self.part(part));
                Interest { key, after, live_after: Some(live_after) }
            })
            .collect();
        let mut last = 0;
        let replayed = hub.broker.log.replay(&interests, through, now, |event| {
            last = event.sequence();
            hub.spend(event.text().len());
            params(event)
        });
        if let Ok(replayed) = &replayed {
            hub.spend(replayed.touched as usize * LOOK_UP_BYTES);
        }
        match replayed {
            Err(gap) => {
                self.advance(gap.to);
                Err(gap)
            }
            Ok(replayed) => {
                self.advance(match replayed.complete {
                    Complete::Stopped => last,
                    Complete::All => through,
                });
                // The cursor may be ahead of this core if another core, which has read further,
                // issued it.
                let is_there = self.late_parts().is_empty() && self.cursor == through;
                if is_there && self.missed_after().is_none() {
                    self.be_live(hub);
                }
                Ok(())
            }
        }
    }

    /// Leaves the hub. Events that the socket may not have taken are kept for the client's return.
    /// Returns the position at which it left if the socket has taken everything.
    pub fn leave(mut self, slot: u32, settled: Settled, hub: &mut CoreHub) -> (Sequence, Departed) {
        let sent = match self.pace {
            Pace::Live => self.served_live(hub),
            Pace::Replaying | Pace::Lagging => self.served(),
        };
        let at = match settled {
            Settled::Yes => sent,
            Settled::No | Settled::Unknown { .. } => self.settled.min(sent),
        };
        for topic in &self.topics {
            hub.subscriptions.unsubscribe(*topic, slot);
        }
        hub.subscriptions.leave(&self.client, slot);
        if self.pace != Pace::Live {
            hub.broker.directory.catch_up(&self.client);
        }
        let fate = match settled {
            Settled::Yes | Settled::No => Fate::Known,
            Settled::Unknown { .. } => Fate::Awaited,
        };
        let departed = hub.broker.directory.leave_seat(&self.client, hub.seat(slot), at, fate);
        hub.hand_over(&self.client, departed.handover);
        // Last, so that a client that connects in between begins where this session stalled.
        self.end_stall(hub);
        (sent, departed)
    }

    /// Reads from the log until it is live again. Events that are not kept are not in the log, so
    /// until then the client does not count as present.
    fn read_from_log(&mut self, pace: Pace, hub: &CoreHub) {
        self.pace = pace;
        hub.broker.directory.fall_behind(&self.client);
    }

    fn be_live(&mut self, hub: &CoreHub) {
        self.pace = Pace::Live;
        hub.broker.directory.catch_up(&self.client);
    }

    fn listen(&mut self, topic: TopicId) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    fn key<'k>(&'k self, part: Part, hub: &'k CoreHub) -> Key<'k> {
        match part {
            Part::Own => Key::Recipient(&self.client),
            Part::Topic(topic) => Key::Topic(hub.subscriptions.topic_name(topic)),
        }
    }

    /// The position of a part.
    fn part(&self, part: Part) -> Late {
        let Self { cursor, live_after, .. } = *self;
        self.late(part).unwrap_or(Late { part, after: cursor, live_after })
    }

    /// The position of a part that differs from the session's.
    fn late(&self, part: Part) -> Option<Late> {
        self.late_parts().iter().copied().find(|late| late.part == part)
    }

    fn late_parts(&self) -> &[Late] {
        self.uncommon.as_ref().map_or(&[], |uncommon| &uncommon.late)
    }

    fn change_late(&mut self, change: impl FnOnce(&mut Vec<Late>)) {
        self.change_uncommon(|uncommon| change(&mut uncommon.late));
    }

    /// Sets the position of one part.
    fn defer(&mut self, part: Part, after: Sequence, live_after: Sequence) {
        let is_late = after != self.cursor || live_after != self.live_after;
        self.change_late(|late| {
            late.retain(|late| late.part != part);
            if is_late {
                late.push(Late { part, after, live_after });
            }
        });
    }

    /// Moves all parts forward to at least this position.
    fn advance(&mut self, to: Sequence) {
        self.cursor = self.cursor.max(to);
        let cursor = self.cursor;
        if !self.late_parts().is_empty() {
            self.change_late(|late| {
                late.iter_mut().for_each(|late| late.after = to.max(late.after));
                late.retain(|late| late.after != cursor || late.live_after > cursor);
            });
        }
    }
}

/// Whether the socket is known to have taken all that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The socket has taken everything, so the client never needs it again.
    Yes,
    /// The driver still holds some of it, or it was lost: the client gets it again when it returns.
    No,
    /// Not known until the next turn, in which the driver reports a backlog or a failure of the
    /// send.
    Unknown {
        /// The turn of the send.
        sent_in: Duration,
    },
}
