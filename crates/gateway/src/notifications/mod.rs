//! What applications are told, without an answer that anybody waits for: that clients come and go, and
//! what they publish.
//!
//! The cores hand over what has happened to a [`Feed`]; `control` reads it, keeps it in a [`queue`]
//! for each application, and sends it. Nothing here sends anything.

pub mod backoff;
pub mod cloud_event;
pub mod queue;
pub mod signature;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ringway_hub::Name;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    config::{Hook, HookEvent},
    limits::OCCURRENCES_MAX,
    metrics::Counter,
};

/// What a core hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client has connected.
    Connect,
    /// A connection of a client has ended.
    Disconnect,
    /// A connection has subscribed to a topic.
    Subscribe,
    /// A connection has ended a subscription.
    Unsubscribe,
}

impl Kind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 4] =
        [Self::Connect, Self::Disconnect, Self::Subscribe, Self::Unsubscribe];

    /// The type of its events.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Connect => "ringway.connect",
            Self::Disconnect => "ringway.disconnect",
            Self::Subscribe => "ringway.subscribe",
            Self::Unsubscribe => "ringway.unsubscribe",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Whether this kind is in the set.
    #[inline]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// What this application is told.
    pub fn told(hook: &Hook) -> Self {
        let event = |kind| match kind {
            Kind::Connect => HookEvent::Connect,
            Kind::Disconnect => HookEvent::Disconnect,
            Kind::Subscribe => HookEvent::Subscribe,
            Kind::Unsubscribe => HookEvent::Unsubscribe,
        };
        Kind::ALL.into_iter().filter(|kind| hook.is_told(event(*kind))).collect()
    }

    /// The kinds of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit()))
    }
}

/// Something that has happened on a core. Its fields are the data of the event.
#[derive(Debug, Clone, Serialize)]
pub struct Occurrence {
    /// What has happened.
    #[serde(skip)]
    pub kind: Kind,
    /// The client.
    #[serde(serialize_with = "as_text")]
    pub client: Name,
    /// The name of the connection that its welcome named.
    pub connection: String,
    /// The transport, of a connection that begins or ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// Why it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The topic of a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
}

fn as_text<S: Serializer>(name: &Name, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

/// Where the cores hand over what has happened. It never blocks a core, and if nobody asks for a kind,
/// it costs a comparison.
#[derive(Debug, Default)]
pub struct Feed {
    wanted: Kinds,
    sender: Option<Sender<Occurrence>>,
    /// By kind, what found the feed full.
    rejected: [AtomicU64; Kind::ALL.len()],
}

impl Feed {
    /// A feed for these applications, and its other end.
    pub fn of<'t>(told: impl IntoIterator<Item = &'t Arc<Told>>) -> (Self, Receiver<Occurrence>) {
        let wanted = told.into_iter().map(|told| told.kinds).fold(Kinds::default(), Kinds::and);
        Self::new(wanted, OCCURRENCES_MAX)
    }

    /// A feed for these kinds that holds this many, and its other end.
    pub fn new(wanted: Kinds, room: usize) -> (Self, Receiver<Occurrence>) {
        let (sender, receiver) = channel(room);
        (Self { wanted, sender: Some(sender), ..Self::default() }, receiver)
    }

    /// Whether anybody asks for this kind.
    #[inline]
    pub fn wants(&self, kind: Kind) -> bool {
        self.wanted.has(kind)
    }

    /// Hands over something that is wanted. If the feed is full, it is only counted.
    pub fn hand_over(&self, occurrence: Occurrence) {
        let kind = occurrence.kind;
        let Some(sender) = &self.sender else { return };
        if self.wants(kind) && sender.try_send(occurrence).is_err() {
            self.rejected[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of these kinds found the feed full.
    pub fn rejected(&self, kinds: Kinds) -> u64 {
        let each = Kind::ALL.into_iter().filter(|kind| kinds.has(*kind));
        each.map(|kind| self.rejected[kind as usize].load(Ordering::Relaxed)).sum()
    }
}

/// An application that is told something, for metrics.
#[derive(Debug)]
pub struct Told {
    /// Where it is.
    pub url: String,
    /// What it is told that cores hand over.
    pub kinds: Kinds,
    /// What has become of it.
    pub counts: Counts,
}

impl Told {
    /// Those of these hooks that are told something; the others have no entry.
    pub fn of(hooks: &[Hook]) -> Vec<Option<Arc<Self>>> {
        let told = |hook: &Hook| {
            let (kinds, url) = (Kinds::told(hook), hook.url.to_string());
            let is_told = kinds != Kinds::default() || hook.is_told(HookEvent::Event);
            is_told.then(|| Arc::new(Self { url, kinds, counts: Counts::default() }))
        };
        hooks.iter().map(told).collect()
    }
}

/// What has become of an application's notifications. Only the control thread writes.
#[derive(Debug, Default)]
pub struct Counts {
    /// Queued or being sent.
    pub queued: Counter,
    /// Taken by the application.
    pub taken: Counter,
    /// Refused by the application.
    pub refused: Counter,
    /// Not added, because the queue was full.
    pub rejected: Counter,
    /// Given up after they were sent again for too long.
    pub expired: Counter,
    /// Events that left the history before they were read.
    pub missed: Counter,
    /// Requests that failed and were, or will be, sent again.
    pub failed: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(kind: Kind) -> Occurrence {
        let (client, connection) = (Name::from("ann"), "0-1-2".to_owned());
        let (transport, reason, topic) = (None, Some("client_closed"), None);
        Occurrence { kind, client, connection, transport, reason, topic }
    }

    #[test]
    fn only_what_is_wanted_and_fits_is_handed_over() {
        let wanted: Kinds = [Kind::Connect, Kind::Disconnect].into_iter().collect();
        let (feed, mut receiver) = Feed::new(wanted, 2);
        assert!(feed.wants(Kind::Connect) && !feed.wants(Kind::Subscribe));
        for kind in [Kind::Subscribe, Kind::Connect, Kind::Disconnect, Kind::Disconnect] {
            feed.hand_over(occurrence(kind));
        }
        assert_eq!(receiver.try_recv().unwrap().kind, Kind::Connect);
        assert_eq!(receiver.try_recv().unwrap().kind, Kind::Disconnect);
        assert!(receiver.try_recv().is_err());
        assert_eq!(feed.rejected([Kind::Disconnect].into_iter().collect()), 1);
        assert_eq!(feed.rejected([Kind::Connect, Kind::Subscribe].into_iter().collect()), 0);
        drop(receiver);
        feed.hand_over(occurrence(Kind::Connect));
        assert_eq!(feed.rejected(wanted), 2, "what comes after the end counts, too");
        assert!(!Feed::default().wants(Kind::Connect));
    }

    #[test]
    fn the_data_has_the_fields_that_apply() {
        let data = serde_json::to_string(&occurrence(Kind::Disconnect)).unwrap();
        assert_eq!(data, r#"{"client":"ann","connection":"0-1-2","reason":"client_closed"}"#);
    }
}
