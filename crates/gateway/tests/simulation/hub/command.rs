//! Commands of clients and of the application: notify and publish, with a token in the data that
//! identifies the event.
//!
//! It makes texts. It never knows the outcomes.

use std::{collections::BTreeSet, fmt::Write};

use fastrand::Rng;
use ringway::config::patterns::Patterns;
use ringway::limits::LARGE_EVENT_BYTES;
use ringway_hub::Cursor;

use crate::{
    checkers::{check, check_eq, fail},
    tally::{Count, Tally},
};

const PROPERTY: &str = "a notify is answered with the outcome for each recipient";

/// The number of a command.
pub type Token = u64;

/// A command that appends one event to the log, however often it is sent.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its number.
    pub token: Token,
    /// The client that sends it; `None`: the application.
    pub from: Option<String>,
    /// The recipients of the event.
    pub kind: Kind,
    /// The name of the event.
    pub event: Option<String>,
    /// The data, which holds the token.
    pub data: String,
    /// How many seconds it is kept.
    pub ttl: Option<u32>,
    /// The answer, once it has come.
    pub ack: Option<String>,
    /// Recipients that were connected when it was performed.
    pub there: Vec<String>,
}

/// The recipients of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// These clients.
    Notify {
        /// The names in their order; one may occur twice.
        to: Vec<String>,
    },
    /// The subscribers of a topic.
    Publish {
        /// The topic.
        topic: String,
        /// Whether the sender's own copy is requested or excluded, if the command says so.
        echo: Option<bool>,
    },
}

impl Command {
    /// A random command of `from`, for some of `people` or one of `topics`.
    pub fn any(
        token: Token,
        from: Option<&str>,
        people: &[String],
        topics: &[String],
        rng: &mut Rng,
    ) -> Self {
        let kind = if rng.bool() {
            let count = if rng.u8(0..4) == 0 { rng.usize(1..=people.len()) } else { 1 };
            Kind::Notify { to: (0..count).map(|_| any_of(people, rng)).collect() }
        } else {
            let echo = rng.choice([None, Some(true), Some(false)]).expect("a choice");
            Kind::Publish { topic: any_of(topics, rng), echo: echo.filter(|_| from.is_some()) }
        };
        let event = rng.choice([None, Some("chat"), Some("a \"b\"")]).expect("a choice");
        let ttl = rng.choice([None, None, None, Some(0), Some(1), Some(3)]).expect("a choice");
        Self::new(token, from, kind, event, ttl, padding(rng))
    }

    /// A command with this many bytes of data.
    pub fn new(
        token: Token,
        from: Option<&str>,
        kind: Kind,
        event: Option<&str>,
        ttl: Option<u32>,
        padding: usize,
    ) -> Self {
        let blank = if padding.is_multiple_of(3) { "\n" } else { "" };
        let data = format!("{{\"n\":{token},{blank}\"x\":\"<{}\"}}", "ä".repeat(padding / 2));
        let (from, event) = (from.map(str::to_owned), event.map(str::to_owned));
        Self { token, from, kind, event, data, ttl, ack: None, there: Vec::new() }
    }

    /// The id that its sender gave it.
    pub fn id(&self) -> String {
        format!("c{}", self.token)
    }

    /// The object that the client sends.
    pub fn text(&self) -> String {
        let mut text = match &self.kind {
            Kind::Notify { to } => format!("{{\"type\":\"notify\",\"to\":{}", json(to)),
            Kind::Publish { topic, echo } => {
                let mut text = format!("{{\"type\":\"publish\",\"topic\":{}", json(topic));
                if let Some(echo) = echo {
                    write!(text, ",\"echo\":{echo}").expect("writing to memory cannot fail");
                }
                text
            }
        };
        write!(text, ",\"id\":\"{}\",\"data\":{}", self.id(), self.data).expect(
            "writing to memory \
                                                                                 cannot fail",
        );
        if let Some(event) = &self.event {
            write!(text, ",\"event\":{}", json(event)).expect("writing to memory cannot fail");
        }
        if let Some(ttl) = self.ttl {
            write!(text, ",\"ttl\":{ttl}").expect("writing to memory cannot fail");
        }
        text + "}"
    }

    /// The object that recipients get.
    pub fn event_text(&self, cursor: Cursor) -> String {
        let mut text = format!("{{\"type\":\"event\",\"cursor\":\"{cursor}\"");
        let topic = match &self.kind {
            Kind::Publish { topic, .. } => Some(topic),
            Kind::Notify { .. } => None,
        };
        for (field, value) in [("from", &self.from), ("topic", &topic.cloned())] {
            if let Some(value) = value {
                write!(text, ",\"{field}\":{}", json(value))
                    .expect("writing to memory cannot fail");
            }
        }
        if let Some(event) = &self.event {
            write!(text, ",\"event\":{}", json(event)).expect("writing to memory cannot fail");
        }
        write!(text, ",\"data\":{}}}", self.data).expect("writing to memory cannot fail");
        text
    }

    /// Compares the outcome of a notify with the recipients that were connected.
    pub fn check<'o>(
        &self,
        outcome: impl Iterator<Item = (&'o str, &'o str)>,
        allowed: &Patterns,
        tally: &mut Tally,
    ) {
        let Kind::Notify { to } = &self.kind else { fail!("{self:?} has no outcome") };
        let mut wanted: BTreeSet<&str> = to.iter().map(String::as_str).collect();
        for (name, outcome) in outcome {
            check!(wanted.remove(name), "{name} is no recipient of {self:?}");
            let is_unkept = self.ttl == Some(0);
            let (is_right, count) = match outcome {
                "delivered" => (self.there.iter().any(|one| one == name), Count::Delivered),
                "queued" => (!is_unkept, Count::Queued),
                "offline" => (is_unkept, Count::Offline),
                _ => (outcome == "denied", Count::Denied),
            };
            check!(is_right, "{name} {outcome}: {self:?}");
            check_eq!(allowed.allow(name), outcome != "denied", "{name} {outcome}: {self:?}");
            tally.add(count);
        }
        check!(wanted.is_empty(), "nothing about {wanted:?}: {self:?}");
    }

    /// The client that must not get the event.
    pub fn left_out(&self) -> Option<&str> {
        match self.kind {
            Kind::Publish { echo: Some(false), .. } => self.from.as_deref(),
            _ => None,
        }
    }
}

/// A random element.
pub fn any_of(all: &[String], rng: &mut Rng) -> String {
    all[rng.usize(0..all.len())].clone()
}

/// A JSON text.
pub fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("it is JSON")
}

fn padding(rng: &mut Rng) -> usize {
    match rng.u8(0..16) {
        // Large enough for clients to share it.
        0 if rng.u8(0..8) == 0 => rng.usize(LARGE_EVENT_BYTES..LARGE_EVENT_BYTES + 8_000),
        0 => rng.usize(300..4_000),
        1..4 => rng.usize(60..300),
        _ => rng.usize(0..60),
    }
}
