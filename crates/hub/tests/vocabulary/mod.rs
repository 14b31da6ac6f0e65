//! The vocabulary of the tests: drafts that name their writer, logs of a given size, and a follower
//! that records what it receives.
#![allow(dead_code, reason = "each test binary uses some of the words")]

use std::ops::ControlFlow;
use std::time::Duration;

use ringway_hub::{
    Appender, Cursor, Draft, Epoch, Event, Gap, Interest, Key, Log, Reader, Replayed, Retention,
    Sequence,
};

pub const EPOCH: Epoch = Epoch::new(0x0193_c5f2_a1b4);

pub const NEVER: Duration = Duration::from_secs(1 << 40);

pub fn retention(events_max: u64) -> Retention {
    Retention { events_max, bytes_max: 1 << 40, age_max: NEVER }
}

pub fn log(events_max: u64) -> Log {
    Log::new(EPOCH, retention(events_max))
}

/// A draft for a topic, whose encoding is its cursor followed by `text`.
pub fn draft(topic: &str, text: &str) -> Draft {
    Draft::new("?".repeat(Cursor::TEXT_BYTES) + text, 0).to_topic(topic)
}

pub fn to_topic(topic: &str) -> Draft {
    draft(topic, topic)
}

pub fn to_recipients(names: &[&str]) -> Draft {
    Draft::new("?".repeat(Cursor::TEXT_BYTES), 0).to_recipients(names.iter().copied())
}

/// The text of a draft; asserts that its cursor is right.
#[track_caller]
pub fn text(event: &Event) -> &str {
    let (cursor, text) = event.text().split_at(Cursor::TEXT_BYTES);
    assert_eq!(cursor, Cursor { epoch: EPOCH, sequence: event.sequence() }.to_string());
    assert_eq!(cursor, event.cursor());
    text
}

/// Appends with a new appender.
pub fn append(log: &Log, draft: Draft) -> Sequence {
    log.append(&mut Appender::default(), draft, Duration::ZERO)
}

pub fn append_many(log: &Log, count: usize) {
    let mut appender = Appender::default();
    for _ in 0..count {
        log.append(&mut appender, to_topic("t"), Duration::ZERO);
    }
}

/// The sequences visited by one call.
pub fn follow(reader: &mut Reader, log: &Log) -> Result<Vec<Sequence>, Gap> {
    let mut visited = Vec::new();
    reader.follow(log, |event| {
        visited.push(event.sequence());
        ControlFlow::Continue(())
    })?;
    Ok(visited)
}

pub fn topic(name: &str, after: Sequence) -> Interest<'_> {
    Interest { key: Key::Topic(name), after, live_after: None }
}

pub fn recipient(name: &str, after: Sequence) -> Interest<'_> {
    Interest { key: Key::Recipient(name), after, live_after: None }
}

/// The sequences that a replay up to the head visits, and its result.
pub fn replay_at(
    log: &Log,
    interests: &[Interest<'_>],
    now: Duration,
) -> Result<(Vec<Sequence>, Replayed), Gap> {
    let mut visited = Vec::new();
    let replayed = log.replay(interests, log.head(), now, |event| {
        visited.push(event.sequence());
        ControlFlow::Continue(())
    })?;
    assert_eq!(replayed.visited, visited.len() as u64);
    Ok((visited, replayed))
}

pub fn replay(log: &Log, interests: &[Interest<'_>]) -> Result<Vec<Sequence>, Gap> {
    Ok(replay_at(log, interests, Duration::ZERO)?.0)
}
