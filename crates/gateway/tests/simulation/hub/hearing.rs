//! What clients hear, and how each thing is judged and answered.
//!
//! It decides nothing that a client does on its own account.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use fastrand::Rng;
use ringway_frame::{CloseCode, emit_close, emit_pong};
use ringway_hub::Cursor;

use super::{
    command::{Command, Kind},
    course::Placing,
    ear::{Heard, Object},
    line::{Attention, Phase, Route},
    model::Model,
    view::Since,
    world::{Device, World},
};

/// What the application closes clients with.
pub const ORDERED: u16 = 4_000;

/// Older cursors that a client remembers.
const OLDER_MAX: usize = 8;

impl World {
    /// Everybody hears what has come.
    pub(super) fn hear_all(&mut self, now: Duration) {
        let Self { model, devices, rng, .. } = self;
        for number in 0..model.lines.len() {
            if model.lines[number].phase != Phase::Over {
                let device = model.lines[number].device;
                hear(model, number, &mut devices[device], now, rng);
            }
        }
    }
}

fn hear(model: &mut Model, number: usize, device: &mut Device, now: Duration, rng: &mut Rng) {
    let line = &mut model.lines[number];
    let (bytes, saw_fin, saw_reset) =
        (line.client.received(), line.client.saw_fin(), line.client.saw_reset());
    let is_main = device.line == Some(number);
    for heard in line.ear.hear(bytes) {
        let reached = judge(model, number, heard, now, rng);
        if let Some(cursor) = reached.filter(|_| is_main) {
            device.reaches(cursor);
        }
    }
    let line = &mut model.lines[number];
    if saw_fin && !saw_reset && line.phase != Phase::Left {
        line.client.half_close();
    }
    if saw_fin || saw_reset {
        line.phase = Phase::Over;
    }
    if matches!(line.phase, Phase::Left | Phase::Over) {
        device.forgets(number);
    }
}

/// Holds one thing against the model; says which cursor the client may resume from.
fn judge(
    model: &mut Model,
    number: usize,
    heard: Heard,
    now: Duration,
    rng: &mut Rng,
) -> Option<Cursor> {
    let log = &model.broker.log;
    let (first, epoch) = (log.first(), log.epoch());
    let moment = super::view::Moment { now, truth: &model.truth, first, epoch };
    let line = &mut model.lines[number];
    model.story.trace = hash(model.story.trace, now, &heard);
    match heard {
        Heard::Open => line.phase = line.phase.max_open(),
        Heard::Object(text) => return judge_object(model, number, &text, now),
        Heard::Reached(cursor) => {
            line.view.as_mut().expect("it was let in").reach(cursor, moment);
            return Some(cursor);
        }
        Heard::Answered(status) => {
            // A command whose event got no place in the log.
            let may_fail = line.route == Route::Post && model.placing == Placing::Later;
            let is_right = matches!(status, 200 | 408) || status == 503 && may_fail;
            assert!(is_right, "a {status} on {:?}", line.route);
            line.view = None;
            line.is_owed = false;
            line.phase = line.phase.max_open();
        }
        Heard::Ping(payload) => {
            if line.attention == Attention::Full && line.is_used() {
                let mut frame = Vec::new();
                emit_pong(&mut frame, Some(rng.u32(..).to_ne_bytes()), &payload);
                line.send(&frame, None);
            }
        }
        Heard::Close(code, reason) => {
            let mut resume = None;
            match code {
                Some(1013) => {
                    let (_, cursor) = reason.split_once("resume from ").expect("a cursor");
                    let cursor = cursor.parse().expect("a cursor");
                    line.view.as_mut().expect("it was let in").reach(cursor, moment);
                    model.story.too_slow += 1;
                    resume = Some(cursor);
                }
                Some(ORDERED) => model.story.ordered += 1,
                _ => {}
            }
            if line.is_used() && rng.bool() {
                let mut frame = Vec::new();
                let mask = Some(rng.u32(..).to_ne_bytes());
                emit_close(&mut frame, mask, code.and_then(CloseCode::new), "");
                line.send(&frame, None);
            }
            line.view = None;
            line.phase = Phase::Left;
            return resume;
        }
    }
    None
}

fn judge_object(model: &mut Model, number: usize, text: &str, now: Duration) -> Option<Cursor> {
    let object: Object = serde_json::from_str(text).expect("an object of the subprotocol");
    let cursor_of =
        |text: Option<&String>| -> Cursor { text.expect("a cursor").parse().expect("a cursor") };
    let log = &model.broker.log;
    let (first, epoch) = (log.first(), log.epoch());
    let moment = super::view::Moment { now, truth: &model.truth, first, epoch };
    let line = &mut model.lines[number];
    if let ("ack" | "error", Some(id)) = (&*object.kind, &object.id) {
        let due = line.answers_due.pop_front();
        assert_eq!(due.as_ref(), Some(id), "each command is answered once, in order");
    }
    if line.route == Route::Post {
        answer(model, &object, text);
        return None;
    }
    let is_answer = matches!(&*object.kind, "ack") && object.outcome.is_some();
    let Some(view) = &mut line.view else {
        panic!("{text} to one who was not let in, or has left");
    };
    match &*object.kind {
        "welcome" => {
            let name = &model.people[line.person].name;
            assert_eq!(object.client.as_ref(), Some(name), "who is welcome");
            line.name = object.connection;
            let cursor = cursor_of(object.cursor.as_ref());
            view.welcome(cursor, moment);
            Some(cursor)
        }
        "event" => {
            let cursor = cursor_of(object.cursor.as_ref());
            view.event(cursor, text, moment);
            model.story.heard += 1;
            Some(cursor)
        }
        "gap" => {
            let [from, to] = [&object.from, &object.to].map(|text| cursor_of(text.as_ref()));
            view.gap(from, to, moment);
            model.people[line.person].waive(to.sequence);
            model.story.gaps += 1;
            Some(to)
        }
        "pong" => {
            let cursor = cursor_of(object.cursor.as_ref());
            view.reach(cursor, moment);
            Some(cursor)
        }
        "ack" if !is_answer && object.id.as_ref().is_some_and(|id| id.starts_with('l')) => {
            let listened = line.listened.pop_front().expect("it has asked for that");
            assert_eq!(object.id, listened.id, "answers come in order");
            match listened.since {
                Some(since) => {
                    view.subscribed(&listened.topic, since, listened.position, listened.at);
                }
                None => view.unsubscribed(&listened.topic),
            }
            let cursor = cursor_of(object.cursor.as_ref());
            match listened.since {
                // It is to be told again if the connection breaks before the gap is heard.
                Some(Since::Foreign(since)) => assert_eq!(cursor, since, "the cursor before a gap"),
                _ => view.reach(cursor, moment),
            }
            line.settle();
            Some(cursor)
        }
        _ => {
            answer(model, &object, text);
            None
        }
    }
}

/// The answer to a command.
fn answer(model: &mut Model, object: &Object, text: &str) {
    let Model { commands, truth, story, settings, promised, .. } = model;
    if object.kind == "error" {
        assert_eq!(object.code.as_deref(), Some("unavailable"), "{text}");
        assert_eq!(model.placing, Placing::Later, "{text}");
        story.unavailable += 1;
        return;
    }
    let Some(id) = object.id.as_ref().filter(|_| object.kind == "ack") else {
        return assert_eq!(object.kind, "pong", "{text}");
    };
    let cursor: Cursor = object.cursor.as_ref().expect("a cursor").parse().expect("a cursor");
    let Some(token) = id.strip_prefix('c') else {
        let promised = promised.remove(id);
        return assert_eq!(Some(cursor.sequence), promised, "from where on: {text}");
    };
    let command: &mut Command = &mut commands[token.parse::<usize>().expect("a token")];
    if let Some(ack) = &command.ack {
        story.repeated += 1;
        return assert_eq!(ack, text, "the answer to a command that came twice");
    }
    command.ack = Some(text.to_owned());
    let place = truth.place(command.token);
    if place.is_some() || matches!(command.kind, Kind::Publish { .. }) {
        assert_eq!(Some(cursor.sequence), place, "the place of an event");
    }
    if let Some(outcome) = &object.outcome {
        let outcome = outcome.iter().map(|(name, outcome)| (&**name, &**outcome));
        command.judge(outcome, &settings.clients.may_notify, story);
    }
}

fn hash(before: u64, now: Duration, heard: &Heard) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, now, heard).hash(&mut hasher);
    hasher.finish()
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

    /// A connection is of no use any more.
    pub fn forgets(&mut self, line: usize) {
        for own in [&mut self.line, &mut self.post] {
            own.take_if(|own| *own == line);
        }
    }
}

impl Phase {
    /// After an answer, the connection is open unless the client has left it.
    fn max_open(self) -> Self {
        match self {
            Self::Opening | Self::Asking | Self::Open => Self::Open,
            Self::Left | Self::Over => self,
        }
    }
}
