//! Who receives what: events, the ordered log, cursors, subscriptions, recipients.
//!
//! [`Log`] is the order, the history, the mailbox between cores and the resume point at once:
//! any thread appends a [`Draft`], and each core follows with a [`Reader`] of its own. A client
//! that was away is served by [`Log::replay`]. [`Subscriptions`] says which of a core's
//! connections an event is for, [`Directory`] who is there at all, [`Receipts`] what was sent
//! before. It does no I/O, reads no clock (time is a `Duration` since any fixed start), and knows
//! neither a transport nor JSON; it meets `frame`, `http` and `acceptor` only in the gateway.

#![forbid(unsafe_code)]

mod address;
mod chain;
mod cursor;
mod directory;
mod dropped;
mod event;
mod history;
mod index;
mod ledger;
mod log;
pub mod name;
mod outcome;
mod postings;
mod reader;
mod receipts;
mod replay;
mod retention;
mod segment;
mod slots;
mod subscriptions;
mod sync;

pub use address::{Address, Recipients};
pub use cursor::{Cursor, CursorFault, Epoch, Sequence};
pub use directory::{Arrival, Directory, Presence, Sighting, Since};
pub use event::{Draft, Event, Keep, UNKEPT_GRACE};
pub use log::{Gap, Log, LogSize, Tail};
pub use name::{Name, NameFault};
pub use outcome::Outcome;
pub use reader::Reader;
pub use receipts::{First, Receipts};
pub use replay::{Complete, Interest, Key, Replayed};
pub use retention::{Retention, TopicRetention};
pub use subscriptions::{Subscriptions, TopicId};

/// For the model checker alone, which drives the log's protocol without the log.
#[cfg(loom)]
#[doc(hidden)]
pub use {
    chain::Chain,
    segment::{Segment, Step},
};
