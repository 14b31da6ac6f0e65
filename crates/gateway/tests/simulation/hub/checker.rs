//! Compares what the gateway sends to each client with the model, and answers it.
//!
//! It decides nothing that a client does by itself.

use std::time::Duration;

use fastrand::Rng;
use ringway::config::settings::Settings;
use ringway_frame::emit_pong;
use ringway_hub::Cursor;

use super::{
    Device, Hub,
    command::{Command, Kind},
    connection::{Attention, Phase},
    model::Model,
    oracle::{Moment, Since, one_line},
    scenario::Placing,
    token::{self, Renewal},
};
use crate::{
    behaviour::Leaving,
    checkers::{Trace, check, check_eq, fail},
    decoder::{Object, Said, Transport},
    tally::Count,
};

const PROPERTY: &str = "a client gets the answers to its requests, in order";

/// The code with which the application closes clients.
pub const APPLICATION_CLOSE: u16 = 4_000;

/// How many older cursors a client remembers.
const OLDER_MAX: usize = 8;

impl Hub {
    /// Checks everything that each client received, and answers it.
    pub fn check(&mut self, now: Duration, trace: &mut Trace) {
        let Self { model, devices, rng, .. } = self;
        for number in 0..model.connections.len() {
            if model.connections[number].phase != Phase::Over {
                let device = model.connections[number].device;
                check_connection(model, number, &mut devices[device], (now, trace), rng);
            }
        }
    }
}

fn check_connection(
    model: &mut Model,
    number: usize,
    device: &mut Device,
    (now, trace): (Duration, &mut Trace),
    rng: &mut Rng,
) {
    let connection = &mut model.connections[number];
    let socket = &mut connection.socket;
    let (said, saw_fin, saw_reset) = (socket.said(), socket.saw_fin(), socket.saw_reset());
    let is_main = device.connection == Some(number);
    for said in said {
        trace.said(&said, now);
        let reached = check(model, number, said, now, rng);
        if let Some(cursor) = reached.filter(|_| is_main) {
            device.reaches(cursor);
        }
    }
    let connection = &mut model.connections[number];
    if saw_fin && !saw_reset && connection.phase != Phase::Left {
        connection.socket.leave(Leaving::HalfCloses);
    }
    if saw_fin || saw_reset {
        connection.phase = Phase::Over;
    }
    if matches!(connection.phase, Phase::Left | Phase::Over) {
        device.forgets(number);
    }
}

/// Compares one item with the model; returns the cursor from which the client may resume.
fn check(
    model: &mut Model,
    number: usize,
    said: Said,
    now: Duration,
    rng: &mut Rng,
) -> Option<Cursor> {
    let log = &model.broker.log;
    let (first, epoch) = (log.first(), log.epoch());
    let moment = Moment { now, reference: &model.reference, first, epoch };
    let connection = &mut model.connections[number];
    match said {
        Said::Open => connection.phase = connection.phase.max_open(),
        Said::Text(text) => return check_object(model, number, &text, now),
        Said::Reached(cursor) => {
            connection.oracle.as_mut().expect("it was admitted").reach(cursor, moment);
            return Some(cursor);
        }
        Said::Response(status) => {
            // The event of the command may have got no place in the log.
            let may_refuse = model.placing == Placing::Later || is_shared(&model.settings);
            let may_fail = connection.transport == Transport::Post && may_refuse;
            let was_revoked = model.revoked_until[connection.person] >= connection.used_at;
            let is_right = match connection.refused.take() {
                Some(refused) => status == refused,
                None => {
                    matches!(status, 200 | 408)
                        || status == 503 && may_fail
                        || status == 403 && connection.transport == Transport::Post && was_revoked
                }
            };
            check!(is_right, "a {status} on {:?}", connection.transport);
            connection.oracle = None;
            connection.is_owed = false;
            let is_reused = matches!(connection.transport, Transport::Poll | Transport::Post);
            if matches!(status, 401 | 403) && !is_reused && connection.is_used() {
                connection.socket.leave(Leaving::HalfCloses);
                connection.phase = Phase::Left;
            }
            connection.phase = connection.phase.max_open();
        }
        Said::Ping => {
            if connection.attention == Attention::Full && connection.is_used() {
                let mut frame = Vec::new();
                emit_pong(&mut frame, Some(rng.u32(..).to_ne_bytes()), b"");
                connection.send(&frame, None);
            }
        }
        Said::Close(code, reason) => {
            let mut resume = None;
            match code {
                Some(1013) => {
                    let (_, cursor) = reason.split_once("resume from ").expect("a cursor");
                    let cursor = cursor.parse().expect("a cursor");
                    connection.oracle.as_mut().expect("it was admitted").reach(cursor, moment);
                    model.tally.add(Count::TooSlow);
                    resume = Some(cursor);
                }
                Some(1012) => model.tally.add(Count::SentAway),
                Some(APPLICATION_CLOSE) => model.tally.add(Count::ClosedByApplication),
                Some(code @ (3000 | 3003)) => {
                    let ever_revoked = model.revoked_until[connection.person] > Duration::ZERO;
                    token::check_close(connection, code, &reason, ever_revoked, now);
                    model.tally.add(Count::SessionsEnded);
                }
                _ => {}
            }
            if connection.is_used() && rng.bool() {
                let answer = connection.socket.answer(rng.u32(..).to_ne_bytes());
                connection.send(&answer.expect("it has not closed"), None);
            }
            connection.oracle = None;
            connection.phase = Phase::Left;
            return resume;
        }
        Said::Binary(_) | Said::Pong(_) => fail!("{said:?} is not an answer to any request"),
    }
    None
}

fn check_object(model: &mut Model, number: usize, text: &str, now: Duration) -> Option<Cursor> {
    // Some transports turn line breaks into blanks.
    let text = &*one_line(text);
    let object: Object = serde_json::from_str(text).expect("an object of the subprotocol");
    let cursor_of =
        |text: Option<&String>| -> Cursor { text.expect("a cursor").parse().expect("a cursor") };
    let log = &model.broker.log;
    let (first, epoch) = (log.first(), log.epoch());
    let moment = Moment { now, reference: &model.reference, first, epoch };
    let connection = &mut model.connections[number];
    if let ("ack" | "error", Some(id)) = (&*object.kind, &object.id) {
        let due = connection.answers_due.pop_front();
        check_eq!(due.as_ref(), Some(id), "each command is answered once, in order");
    }
    let renewal = object.id.as_ref().and_then(|id| model.renewals.remove(id));
    if let Some(Renewal { is_good, own, expires_at }) = renewal {
        let is_last = own.is_some() && model.renewals.values().all(|other| other.own != own);
        if is_good && is_last {
            connection.expiry = Some((expires_at, expires_at));
        }
        let wanted = if is_good { "ack" } else { "error" };
        check_eq!(object.kind, wanted, "the answer to a refresh: {text}");
        model.tally.add(Count::Renewed);
        if connection.transport == Transport::Post && !is_good {
            connection.refused = Some(400);
        }
        return None;
    }
    if connection.transport == Transport::Post {
        answer(model, &object, text);
        return None;
    }
    let is_answer = matches!(&*object.kind, "ack") && object.outcome.is_some();
    let Some(oracle) = &mut connection.oracle else {
        fail!("{text} to a client that was not admitted, or has left");
    };
    match &*object.kind {
        "welcome" => {
            let name = &model.people[connection.person].name;
            check_eq!(object.client.as_ref(), Some(name), "who is welcome");
            connection.name = object.connection;
            let cursor = cursor_of(object.cursor.as_ref());
            oracle.welcome(cursor, moment);
            Some(cursor)
        }
        "event" => {
            let cursor = cursor_of(object.cursor.as_ref());
            oracle.event(cursor, text, moment);
            if let Some(record) = model.reference.record(cursor.sequence) {
                token::check_event(connection, record);
            }
            model.tally.add(Count::EventsReceived);
            Some(cursor)
        }
        "gap" => {
            let [from, to] = [&object.from, &object.to].map(|text| cursor_of(text.as_ref()));
            oracle.gap(from, to, moment);
            model.people[connection.person].waive(to.sequence);
            model.tally.add(Count::Gaps);
            Some(to)
        }
        "pong" => {
            let cursor = cursor_of(object.cursor.as_ref());
            oracle.reach(cursor, moment);
            Some(cursor)
        }
        "ack" if !is_answer && object.id.as_ref().is_some_and(|id| id.starts_with('l')) => {
            let changes = connection.changes.pop_front().expect("it has asked for that");
            check_eq!(object.id, changes.id, "answers arrive in order");
            match changes.since {
                Some(since) => {
                    oracle.subscribed(&changes.topic, since, changes.position, changes.at);
                }
                None => oracle.unsubscribed(&changes.topic),
            }
            let cursor = cursor_of(object.cursor.as_ref());
            match changes.since {
                // If the connection breaks before the gap is read, the client must be told of it
                // again.
                Some(Since::Foreign(since)) => {
                    check_eq!(cursor, since, "the cursor before a gap")
                }
                _ => oracle.reach(cursor, moment),
            }
            connection.settle();
            Some(cursor)
        }
        _ => {
            answer(model, &object, text);
            None
        }
    }
}

/// Whether a client may be refused because it has its share of the history.
fn is_shared(settings: &Settings) -> bool {
    settings.history.client_share < 100
}

/// Checks the answer to a command.
fn answer(model: &mut Model, object: &Object, text: &str) {
    let Model { commands, reference, tally, settings, promised, .. } = model;
    if object.kind == "error" && (model.placing == Placing::Later || is_shared(settings)) {
        check_eq!(object.code.as_deref(), Some("unavailable"), "{text}");
        return tally.add(match text.contains("_share") {
            true => Count::Crowded,
            false => Count::Unavailable,
        });
    }
    let Some(id) = object.id.as_ref().filter(|_| object.kind == "ack") else {
        return check_eq!(object.kind, "pong", "{text}");
    };
    let cursor: Cursor = object.cursor.as_ref().expect("a cursor").parse().expect("a cursor");
    let Some(token) = id.strip_prefix('c') else {
        let promised = promised.remove(id);
        return check_eq!(Some(cursor.sequence), promised, "from where on: {text}");
    };
    let command: &mut Command = &mut commands[token.parse::<usize>().expect("a token")];
    if let Some(ack) = &command.ack {
        tally.add(Count::Repeated);
        return check_eq!(ack, text, "the answer to a repeated command");
    }
    command.ack = Some(text.to_owned());
    let place = reference.place(command.token);
    let is_publish = matches!(command.kind, Kind::Publish { .. });
    if place.is_some() || is_publish && !reference.has_missed(cursor.sequence) {
        check_eq!(Some(cursor.sequence), place, "the place of an event");
    }
    if let Some(outcome) = &object.outcome {
        let outcome = outcome.iter().map(|(name, outcome)| (&**name, &**outcome));
        command.check(outcome, &settings.clients.may_notify, tally);
    }
}

impl Device {
    fn reaches(&mut self, cursor: Cursor) {
        if let Some(before) = self.cursor.replace(cursor) {
            self.older.push(before);
            if self.older.len() > OLDER_MAX {
                self.older.remove(0);
            }
        }
    }

    /// Gives up a connection that cannot be used any more.
    pub(super) fn forgets(&mut self, connection: usize) {
        for own in [&mut self.connection, &mut self.post] {
            own.take_if(|own| *own == connection);
        }
    }
}

impl Phase {
    /// The phase after an answer: open, unless the client has left the connection.
    fn max_open(self) -> Self {
        match self {
            Self::Opening | Self::Asking | Self::Open => Self::Open,
            Self::Left | Self::Over => self,
        }
    }
}
