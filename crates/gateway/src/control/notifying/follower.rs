//! Reads the log for one application: the events of its topics, each in the order of the log.
//!
//! It reads only as long as the application's queue has room, so an application that is slow or down
//! delays its events and loses none that the history still has. What has left the history before it was
//! read is reported as a gap.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;
use ringway_hub::{Address, Event, Gap, Reader};
use serde_json::value::{RawValue, to_raw_value};

use crate::{broker::Broker, config::patterns::Patterns, notifications::cloud_event::CloudEvent};

/// Events that are passed before other work is done.
const READ_AT_ONCE: usize = 4_096;

/// The type of an event that a client or the application has published.
const EVENT: &str = "ringway.event";
/// The type of what says that events are missing.
const GAP: &str = "ringway.gap";

pub(super) struct Follower {
    reader: Reader,
    topics: Patterns,
}

/// What is queued for the application.
pub(super) struct Found {
    /// Whose order it keeps: the sender, or the topic of an event without one.
    pub lane: String,
    /// A CloudEvent.
    pub body: Bytes,
}

impl Follower {
    /// Follows the events of these topics that are appended from now on.
    pub fn new(topics: Patterns, broker: &Broker) -> Self {
        Self { reader: broker.log.reader(), topics }
    }

    /// Whether everything was read.
    pub fn is_at_end(&self, broker: &Broker) -> bool {
        self.reader.position() >= broker.log.head()
    }

    /// Reads on as long as `take` has room for more.
    ///
    /// # Errors
    /// Events have left the log; the next call goes on after them.
    pub fn read(
        &mut self,
        broker: &Broker,
        mut take: impl FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), Gap> {
        let mut left = READ_AT_ONCE;
        let Self { reader, topics } = self;
        reader.follow(&broker.log, |event| {
            left -= 1;
            match event.address() {
                Address::Topic(topic) if topics.allow(topic) => take(found(event, topic))?,
                _ => {}
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }
}

fn found(event: &Event, topic: &str) -> Found {
    let data: &RawValue = serde_json::from_str(event.text()).expect("it was written as JSON");
    let cloud_event = CloudEvent {
        id: event.cursor(),
        kind: EVENT,
        time: Duration::from_millis(event.time_ms()),
        subject: Some(topic),
        data,
    };
    let lane = event.sender().map_or_else(|| format!("${topic}"), str::to_owned);
    Found { lane, body: cloud_event.to_json().into() }
}

/// What tells the application that it misses the events of a gap.
pub(super) fn gap(gap: Gap, id: &str, broker: &Broker) -> Bytes {
    let [from, to] = [gap.from, gap.to].map(|sequence| broker.cursor(sequence).to_string());
    let data = to_raw_value(&serde_json::json!({ "from": from, "to": to })).expect("it is JSON");
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let time = time.unwrap_or_default();
    CloudEvent { id, kind: GAP, time, subject: None, data: &data }.to_json().into()
}
