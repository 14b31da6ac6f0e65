//! Who receives what: events, the ordered log, cursors, subscriptions, recipients.
//!
//! [`Log`] combines the order, the history, the mailbox between cores and the resume point: any
//! thread appends a [`Draft`], and each core follows with a [`Reader`] of its own. [`Log::replay`]
//! serves a client that was away. [`Subscriptions`] says which of a core's connections an event is
//! for, [`Directory`] which clients are connected, [`DedupCache`] what was answered before. This
//! crate does no I/O, reads no clock (time is a `Duration` since any fixed start), and knows
//! neither a transport nor JSON; only the gateway combines it with `frame`, `http` and `acceptor`.

#![forbid(unsafe_code)]

mod address;
mod chain;
mod cursor;
mod dedup_cache;
mod directory;
mod dropped;
mod event;
mod history;
mod index;
mod interest;
mod log;
pub mod name;
mod outcome;
mod pins;
mod postings;
mod publisher;
mod reader;
mod replay;
mod retention;
mod segment;
mod segment_size;
mod shares;
mod slots;
mod subscriptions;
mod sync;

pub use address::{Address, Recipients};
pub use cursor::{Cursor, CursorFault, Epoch, Gap, Sequence};
pub use dedup_cache::{DedupCache, First, OnceError};
pub use directory::{
    Arrival, Departed, Directory, Fate, Handover, Liveness, Seat, Sighting, Since,
};
pub use event::{
    Audience, Draft, ENCODING_SLOTS, Event, Expiry, Fields, Span, ToSender, UNKEPT_GRACE,
};
pub use interest::InterestFilter;
pub use log::{Appender, Crowded, Log, LogSize};
pub use name::{Name, NameFault};
pub use outcome::NotifyOutcome;
pub use pins::{PinnedEvent, Pins};
pub use publisher::Publisher;
pub use reader::Reader;
pub use replay::{Complete, Interest, Key, Replayed};
pub use retention::{Retention, TopicRetention};
pub use shares::{Share, ShareLimits};
pub use subscriptions::{Subscriptions, TopicId};

/// Only for the model checker, which drives the log's protocol without the log.
#[cfg(loom)]
#[doc(hidden)]
pub use {
    chain::Chain,
    interest::{CoreInterest, CoreSet, Domain, InterestTable},
    segment::{Segment, Step},
};
