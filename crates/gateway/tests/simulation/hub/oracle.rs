//! What one connection, or one poll, must get: for each of its interests, every event from a
//! position on.
//!
//! The received events are checked against the reference log: nothing is missing, duplicated or out
//! of order, and nothing is for other clients. It never knows how the bytes came.

use std::{collections::BTreeSet, time::Duration};

use ringway_hub::{Cursor, Epoch, Expiry, Sequence, UNKEPT_GRACE};

use super::{
    person::Person,
    reference_log::{Interest, Record, ReferenceLog},
};
use crate::{
    checkers::{check, check_eq},
    decoder::Transport,
};

const PROPERTY: &str = "no event is lost, doubled, reordered or sent to the wrong client";

/// The state of the world when something is received.
#[derive(Clone, Copy)]
pub struct Moment<'t> {
    /// The virtual time.
    pub now: Duration,
    /// The log.
    pub reference: &'t ReferenceLog,
    /// The oldest kept event.
    pub first: Sequence,
    /// The epoch of the log.
    pub epoch: Epoch,
}

/// Where a client resumes, as the gateway must check it.
#[derive(Debug, Clone)]
pub enum Start {
    /// After this event.
    At(Sequence),
    /// With a cursor of another log: after the events that are gone.
    Foreign(Cursor, Sequence),
    /// From the core's position on, because another connection of the client exists; the client's
    /// own events perhaps from an earlier position, because that connection's socket may be
    /// stalled.
    Beside(Sequence),
    /// As `Beside`; its own events from the first that no socket has taken.
    Alone {
        /// The core's position.
        position: Sequence,
        /// The model of its name.
        person: Box<Person>,
    },
}

/// What one connection must get.
#[derive(Debug, Clone)]
pub struct Oracle {
    client: String,
    #[expect(dead_code, reason = "it is shown when a scenario fails")]
    transport: Transport,
    start: Start,
    parts: Vec<Part>,
    /// The last cursor that it received.
    last: Sequence,
    gap_due: Option<GapDue>,
    /// Events that are not kept, but that it must get because it was seen to keep up.
    live: BTreeSet<Sequence>,
    health: Health,
    /// The last of its own events that it got.
    pub own: Sequence,
}

/// Whether a connection is known to keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has received everything, and nothing has happened to it since.
    Sound,
    /// It may be behind.
    Doubtful,
}

#[derive(Debug, Clone)]
struct Part {
    interest: Interest,
    /// The position after which it began.
    after: Sequence,
    /// It has received everything up to here.
    seen: Sequence,
    /// The core's position and the time when it began: older events are read from the history.
    live_from: Sequence,
    /// Events after this position may arrive even if they are not kept; it is below `live_from` if
    /// a subscription was begun again.
    here_from: Sequence,
    begun_at: Duration,
    /// Cursors up to here may have been sent before it began.
    held: Sequence,
    /// Up to here events that it had subscribed to may still arrive.
    ended: Option<Sequence>,
}

#[derive(Debug, Clone)]
enum GapDue {
    /// A gap of all interests, from one cursor to another.
    Entry(Cursor, Sequence),
    /// A gap of one topic.
    Topic(Cursor, String),
}

impl Oracle {
    /// A client that has just connected.
    pub fn enter(
        client: &str,
        transport: Transport,
        topics: &[String],
        start: Start,
        position: Sequence,
        now: Duration,
    ) -> Self {
        let (own, others) = match start {
            Start::At(sequence) | Start::Foreign(_, sequence) => (sequence, sequence),
            // All of its own events that no socket has taken.
            Start::Beside(position) | Start::Alone { position, .. } => (0, position),
        };
        let part = |interest, seen| Part::new(interest, seen, position, now);
        let mut parts = vec![part(Interest::Own(client.to_owned()), own)];
        for topic in topics {
            let interest = Interest::Topic(topic.clone());
            if parts.iter().all(|part| part.interest != interest) {
                parts.push(part(interest, others));
            }
        }
        let gap_due = match start {
            Start::Foreign(cursor, sequence) => Some(GapDue::Entry(cursor, sequence)),
            _ => None,
        };
        Self {
            client: client.to_owned(),
            transport,
            start,
            parts,
            last: own.min(others),
            gap_due,
            live: BTreeSet::new(),
            health: Health::Doubtful,
            own: 0,
        }
    }

    /// Checks the welcome.
    pub fn welcome(&mut self, cursor: Cursor, moment: Moment<'_>) {
        match self.start {
            // If the connection breaks before the gap is read, the client must be told of it again.
            Start::Foreign(foreign, _) => {
                return check_eq!(cursor, foreign, "the cursor of a welcome to {self:#?}");
            }
            Start::At(sequence) => {
                check_eq!(cursor.sequence, sequence, "the cursor of a welcome to {self:#?}");
            }
            Start::Beside(position) | Start::Alone { position, .. } => {
                check!(cursor.sequence <= position, "{cursor} in a welcome to {self:#?}");
            }
        }
        self.reach(cursor, moment);
    }

    /// Checks an event.
    pub fn event(&mut self, cursor: Cursor, text: &str, moment: Moment<'_>) {
        check_eq!(cursor.epoch, moment.epoch, "the epoch of an event");
        check!(self.gap_due.is_none(), "{cursor} before the gap that is due: {self:#?}");
        let sequence = cursor.sequence;
        let is_held = self.is_held(sequence);
        check!(sequence > self.last || is_held, "{cursor} is not after the last: {self:#?}");
        if let Some(record) = moment.reference.record(sequence) {
            check!(
                self.parts.iter().any(|part| part.accepts(sequence, record)),
                "{text} was sent to a client that is not waiting for it: {self:#?}"
            );
            let is_echo = record.except.as_ref() == Some(&self.client);
            check!(!is_echo, "its own echo: {text}");
            check_eq!(text, one_line(&record.text), "byte for byte");
            if record.to.contains(&Interest::Own(self.client.clone())) {
                if let Start::Alone { person, .. } = &self.start {
                    check!(sequence > person.settled, "{text} was sent again: {self:#?}");
                }
                self.own = self.own.max(sequence);
            }
        }
        self.live.remove(&sequence);
        self.last = sequence;
        self.catch_up(sequence - 1, moment);
        let record = moment.reference.record(sequence);
        for part in &mut self.parts {
            let is_its_own = record.is_some_and(|record| record.to.contains(&part.interest));
            if is_its_own && part.held >= sequence {
                part.check(&self.client, &self.start, sequence - 1, moment);
            }
            if is_its_own || part.held < sequence {
                part.seen = part.seen.max(sequence);
            }
        }
    }

    /// Checks a cursor that is safe to resume from: the client has everything up to it.
    pub fn reach(&mut self, cursor: Cursor, moment: Moment<'_>) {
        check_eq!(cursor.epoch, moment.epoch, "the epoch of a cursor");
        let is_held = self.is_held(cursor.sequence);
        check!(cursor.sequence >= self.last || is_held, "{cursor} is old: {self:#?}");
        self.last = cursor.sequence;
        self.catch_up(cursor.sequence, moment);
    }

    /// Checks a gap.
    pub fn gap(&mut self, from: Cursor, to: Cursor, moment: Moment<'_>) {
        check_eq!(to.epoch, moment.epoch, "the epoch of a gap");
        let is_gone = to.sequence < moment.first && from.sequence >= self.least_reached(from);
        if self.gap_due.is_none() && !is_gone && self.is_of_others(from.sequence) {
            check!(from.sequence < to.sequence, "an empty gap from {from}: {self:#?}");
            // Nothing else is missing.
            return self.reach(to, moment);
        }
        check!(
            to.sequence < moment.first,
            "a gap up to {to}, which is still in the log: {self:#?}"
        );
        match self.gap_due.take() {
            Some(GapDue::Entry(cursor, sequence)) => {
                check_eq!((from, to.sequence), (cursor, sequence), "the first gap: {self:#?}");
            }
            Some(GapDue::Topic(since, topic)) => {
                check_eq!(from, since, "the gap of a topic: {self:#?}");
                self.last = self.last.min(to.sequence);
                let topic = Interest::Topic(topic);
                let own = self.parts.iter_mut().filter(|part| part.interest == topic);
                own.for_each(|part| part.seen = to.sequence);
            }
            None => {
                check_eq!(from.epoch, moment.epoch, "the epoch of a gap");
                check!(from.sequence < to.sequence, "an empty gap from {from}: {self:#?}");
                let least = self.least_reached(from);
                check!(from.sequence >= least, "a gap from {from}: {self:#?}");
                // It is neither the gap of a core that has slept for too long, which begins at the
                // core's position, nor that of a topic subscribed from an earlier event.
                let is_of_entry = |part: &Part, position| {
                    let is_from_now_on = part.after >= position;
                    let is_own = matches!(part.interest, Interest::Own(_));
                    part.live_from == position && (is_own || is_from_now_on)
                };
                if let Start::Alone { person, position } = &self.start
                    && !person.was_here
                    && from.sequence < *position
                    && self.parts.iter().all(|part| is_of_entry(part, *position))
                {
                    let lost = |sequence| {
                        let record = moment.reference.record(sequence)?;
                        Some(record.is_for(&person.name) && record.keep != Expiry::Never)
                    };
                    let has_lost = (1..=to.sequence).any(|sequence| lost(sequence) != Some(false));
                    check!(has_lost, "a gap for a new client that has missed nothing: {self:#?}");
                }
                self.catch_up(from.sequence, moment);
                self.parts.iter_mut().for_each(|part| part.seen = part.seen.max(to.sequence));
                self.last = self.last.max(to.sequence);
            }
        }
    }

    /// The lowest position among the parts that a gap from here may belong to.
    fn least_reached(&self, from: Cursor) -> Sequence {
        let reached = |part: &Part| match from.sequence < part.held {
            true => part.after,
            false => part.seen,
        };
        self.parts.iter().map(reached).min().unwrap_or(0)
    }

    /// Whether a gap from here may be for events that were sent on other connections before this
    /// one began, and that those have not taken.
    fn is_of_others(&self, from: Sequence) -> bool {
        match &self.start {
            Start::Beside(position) => from < *position,
            Start::Alone { position, person } => from < *position && person.waived >= *position,
            Start::At(_) | Start::Foreign(..) => false,
        }
    }

    /// A subscription was begun over the connection, when the core was at `position`.
    pub fn subscribed(&mut self, topic: &str, since: Since, position: Sequence, at: Duration) {
        let interest = Interest::Topic(topic.to_owned());
        let mut open = self.parts.iter().filter(|part| part.ended.is_none());
        let known = open.find(|part| part.interest == interest);
        let (is_known, here_from) =
            (known.is_some(), known.map_or(position, |part| part.here_from.min(position)));
        let seen = match since {
            Since::Now if is_known => return,
            Since::Now => position,
            Since::After(sequence) => {
                self.last = self.last.min(sequence);
                sequence
            }
            Since::Foreign(cursor) => {
                self.gap_due = Some(GapDue::Topic(cursor, topic.to_owned()));
                self.last = 0;
                position
            }
        };
        self.parts.retain(|part| part.interest != interest);
        self.parts.push(Part { here_from, ..Part::new(interest, seen, position, at) });
    }

    /// A subscription was ended over the connection.
    pub fn unsubscribed(&mut self, topic: &str) {
        let interest = Interest::Topic(topic.to_owned());
        self.parts.retain(|part| part.interest != interest);
    }

    /// A subscription was begun after this event, or ended, by a separate request, when the core
    /// stood at `position`; earlier events may not have arrived yet.
    pub fn changed(
        &mut self,
        topic: &str,
        since: Option<Sequence>,
        position: Sequence,
        at: Duration,
    ) {
        let interest = Interest::Topic(topic.to_owned());
        let mut own = self.parts.iter_mut();
        let open = own.find(|part| part.interest == interest && part.ended.is_none());
        match (since, open) {
            (Some(since), None) => {
                let part = Part::new(interest, since, position, at);
                self.parts.push(Part { held: position, ..part });
            }
            (None, Some(part)) => part.ended = Some(position),
            _ => {}
        }
    }

    /// Whether it is known to keep up.
    pub fn is_sound(&self) -> bool {
        self.health == Health::Sound
    }

    /// Notes an event after which the connection may be behind.
    pub fn trouble(&mut self) {
        self.health = Health::Doubtful;
        self.live.clear();
    }

    /// Checks that it has everything up to the end of the log; nothing is in flight to it.
    pub fn rests(&mut self, moment: Moment<'_>, health: Health) {
        check!(self.gap_due.is_none(), "a gap is due: {self:#?}");
        check!(self.live.is_empty(), "not kept, and never sent: {self:#?}");
        self.parts.iter_mut().for_each(|part| part.held = 0);
        self.catch_up(moment.reference.head(), moment);
        self.health = health;
    }

    /// Notes an appended event.
    pub fn learns(&mut self, sequence: Sequence, record: &Record) {
        let is_meant = self.parts.iter().any(|part| part.wants(record));
        let is_left_out = record.except.as_ref() == Some(&self.client);
        if self.health == Health::Sound && record.keep == Expiry::Never && is_meant && !is_left_out
        {
            self.live.insert(sequence);
        }
    }

    /// Whether such an old event may belong to a part that is read from the history.
    fn is_held(&self, sequence: Sequence) -> bool {
        self.parts.iter().any(|part| sequence <= part.held)
    }

    fn catch_up(&mut self, to: Sequence, moment: Moment<'_>) {
        for part in self.parts.iter_mut().filter(|part| part.held < to) {
            part.check(&self.client, &self.start, to, moment);
            part.seen = part.seen.max(to);
        }
    }
}

/// Where a subscription begins, as the gateway must check it.
#[derive(Debug, Clone, Copy)]
pub enum Since {
    /// At the head of the log.
    Now,
    /// After this event.
    After(Sequence),
    /// After a cursor of another log.
    Foreign(Cursor),
}

impl Part {
    fn new(interest: Interest, seen: Sequence, position: Sequence, now: Duration) -> Self {
        Self {
            interest,
            after: seen,
            seen,
            live_from: position,
            here_from: position,
            begun_at: now,
            held: 0,
            ended: None,
        }
    }

    /// Checks that nothing is missing up to here.
    fn check(&self, client: &str, start: &Start, to: Sequence, moment: Moment<'_>) {
        for sequence in self.seen + 1..=to {
            let Some(record) = moment.reference.record(sequence) else { continue };
            let is_kept = match record.keep {
                Expiry::Window => true,
                Expiry::Until(end) => end > moment.now,
                // The event came while the client was connected, or so soon after that its
                // connection may just have ended.
                Expiry::Never => sequence > self.live_from || self.is_graced(record, moment.now),
            };
            let is_left_out = record.except.as_deref() == Some(client);
            let may_miss = match (start, &self.interest) {
                (Start::Alone { person, .. }, Interest::Own(_)) => person.may_miss(sequence),
                (Start::Beside(position), Interest::Own(_)) => sequence <= *position,
                _ => false,
            };
            check!(
                !is_kept || is_left_out || may_miss || !self.wants(record),
                "{} never came, and now {client} is at {to}: {self:#?} {start:#?}",
                record.text
            );
        }
    }

    fn is_graced(&self, record: &Record, now: Duration) -> bool {
        matches!(self.interest, Interest::Own(_)) && record.at + UNKEPT_GRACE > now
    }

    fn wants(&self, record: &Record) -> bool {
        self.ended.is_none() && record.to.contains(&self.interest)
    }

    fn accepts(&self, sequence: Sequence, record: &Record) -> bool {
        let is_replayed = sequence <= self.live_from;
        let is_there = match record.keep {
            Expiry::Window => true,
            Expiry::Until(end) => !is_replayed || end > self.begun_at,
            Expiry::Never => sequence > self.here_from || self.is_graced(record, self.begun_at),
        };
        let is_before_end = self.ended.is_none_or(|end| sequence <= end);
        record.to.contains(&self.interest) && sequence > self.seen && is_there && is_before_end
    }
}

/// Some transports turn line breaks into blanks; the checker does so for all of them.
pub fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
