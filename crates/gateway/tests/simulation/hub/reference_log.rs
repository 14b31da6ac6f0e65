//! The true log: every event in order, each compared with its command.
//!
//! It follows the log with its own reader and never looks at what is sent.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use ringway::config::patterns::Patterns;
use ringway_hub::{Address, Cursor, Event, Expiry, Log, Reader, Sequence};
use serde::Deserialize;

use super::command::{Command, Kind, Token};
use crate::checkers::{check_eq, fail};

const PROPERTY: &str = "each command appends its event to the log once, unchanged";

/// All events so far.
pub struct ReferenceLog {
    reader: Reader,
    records: Vec<Option<Record>>,
    places: BTreeMap<Token, Sequence>,
    age_max: Duration,
    allowed: Patterns,
}

/// A set of events that a client receives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// Events for the client of this name.
    Own(String),
    /// Events for this topic.
    Topic(String),
}

/// One event.
pub struct Record {
    /// The interests that it is for.
    pub to: Vec<Interest>,
    /// The client that is excluded.
    pub except: Option<String>,
    /// How long it is kept.
    pub keep: Expiry,
    /// When it was appended.
    pub at: Duration,
    /// The object that clients get.
    pub text: String,
}

#[derive(Deserialize)]
struct Text {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    n: Token,
}

impl ReferenceLog {
    /// The log from its beginning.
    pub fn new(log: &Log, age_max: Duration, allowed: Patterns) -> Self {
        let reader = log.reader();
        Self { reader, records: Vec::new(), places: BTreeMap::new(), age_max, allowed }
    }

    /// Reads the appended events.
    pub fn follow(&mut self, log: &Log, commands: &[Command]) {
        let Self { reader, records, places, age_max, allowed } = self;
        loop {
            let followed = reader.follow(log, |event| {
                let record = Record::of(event, log, commands, *age_max, allowed);
                let token = token_of(&record.text);
                let earlier = places.insert(token, event.sequence());
                check_eq!(earlier, None, "command {token} was performed twice");
                records.resize_with(event.sequence() as usize - 1, || None);
                records.push(Some(record));
                ControlFlow::Continue(())
            });
            if followed.is_ok() {
                return;
            }
        }
    }

    /// The last event.
    pub fn head(&self) -> Sequence {
        self.reader.position()
    }

    /// An event, unless it left the log before it was read.
    pub fn record(&self, sequence: Sequence) -> Option<&Record> {
        self.records.get(usize::try_from(sequence.checked_sub(1)?).ok()?)?.as_ref()
    }

    /// Whether the event at this position left the log before it was read, so that nothing is known of
    /// it.
    pub fn has_missed(&self, sequence: Sequence) -> bool {
        (1..=self.head()).contains(&sequence) && self.record(sequence).is_none()
    }

    /// The position of a command's event in the log.
    pub fn place(&self, token: Token) -> Option<Sequence> {
        self.places.get(&token).copied()
    }
}

impl Record {
    /// Whether the event is addressed to the client of this name.
    pub fn is_for(&self, name: &str) -> bool {
        self.to.iter().any(|to| matches!(to, Interest::Own(own) if own == name))
    }

    fn of(
        event: &Event,
        log: &Log,
        commands: &[Command],
        age_max: Duration,
        allowed: &Patterns,
    ) -> Self {
        let text = event.text().to_owned();
        let command = &commands[token_of(&text) as usize];
        let cursor = Cursor { epoch: log.epoch(), sequence: event.sequence() };
        check_eq!(text, command.event_text(cursor), "the event of a command");
        let now_ms = event.at().as_millis();
        check_eq!(u128::from(event.time_ms()), now_ms, "the time of an event is virtual");
        let to = match (event.address(), &command.kind) {
            (Address::Topic(topic), Kind::Publish { topic: wanted, .. }) => {
                check_eq!(topic, &**wanted, "the topic of an event");
                vec![Interest::Topic(wanted.clone())]
            }
            (Address::Recipients(recipients), Kind::Notify { to }) => {
                let mut names: Vec<&str> = Vec::new();
                for name in to.iter().filter(|name| allowed.allow(name)) {
                    if !names.contains(&&**name) {
                        names.push(name);
                    }
                }
                if command.ttl == Some(0) {
                    // Only connected recipients get it; the outcome is checked against who was connected.
                    names.retain(|name| recipients.iter().any(|one| one == *name));
                }
                check_eq!(recipients.iter().collect::<Vec<_>>(), names, "recipients");
                names.into_iter().map(|name| Interest::Own(name.to_owned())).collect()
            }
            _ => fail!("an event of another kind than its command"),
        };
        let keep = match command.ttl.map(|ttl| Duration::from_secs(ttl.into())) {
            Some(Duration::ZERO) => Expiry::Never,
            Some(ttl) if ttl < age_max => Expiry::Until(event.at() + ttl),
            _ => Expiry::Window,
        };
        check_eq!(event.keep(), keep, "how long an event is kept");
        let except = command.left_out().map(str::to_owned);
        check_eq!(event.except(), except.as_deref(), "the excluded client");
        Self { to, except, keep, at: event.at(), text }
    }
}

fn token_of(text: &str) -> Token {
    serde_json::from_str::<Text>(text).expect("an event is JSON with the data of a command").data.n
}
