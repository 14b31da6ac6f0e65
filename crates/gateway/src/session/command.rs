//! What a client may ask of the gateway, in whichever subprotocol it says so.
//!
//! The values borrow from the message that was read. They are well formed, which says nothing
//! about whether they are allowed.

use std::borrow::Cow;

use crate::broker::{Echo, Ttl};

/// One thing that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'t> {
    /// Deliver an event to these clients.
    Notify {
        /// The client's own name for this command; the answer repeats it.
        id: Cow<'t, str>,
        /// The recipients as they were listed: at least one, and perhaps one of them twice.
        to: Vec<Cow<'t, str>>,
        /// What kind of event it is.
        event: Option<Cow<'t, str>>,
        /// One JSON value, byte for byte.
        data: &'t str,
        /// How long it is kept for those who are away; `None` leaves it to the history.
        ttl: Option<Ttl>,
    },
    /// Deliver an event to the subscribers of a topic.
    Publish {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The topic.
        topic: Cow<'t, str>,
        /// As in `Notify`.
        event: Option<Cow<'t, str>>,
        /// As in `Notify`.
        data: &'t str,
        /// Whether the sender gets it, too.
        echo: Echo,
        /// As in `Notify`.
        ttl: Option<Ttl>,
    },
    /// Get the events of a topic from now on.
    Subscribe {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The topic.
        topic: Cow<'t, str>,
        /// The text of the cursor after which to begin; it is not checked yet.
        since: Option<Cow<'t, str>>,
        /// How many of the last events to begin with, where no cursor is given.
        last: Option<u32>,
        /// Which connection subscribes, where the command does not come over it.
        connection: Option<Cow<'t, str>>,
    },
    /// Get them no more.
    Unsubscribe {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The topic.
        topic: Cow<'t, str>,
        /// As in `Subscribe`.
        connection: Option<Cow<'t, str>>,
    },
    /// Say where the log stands.
    Ping {
        /// The client's own name for this command, if it gave one; the answer repeats it.
        id: Option<Cow<'t, str>>,
    },
}

/// The bounds of a command, beside that of the message that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLimits {
    /// Entries of `to`.
    pub recipients_max: usize,
    /// Levels of `data`.
    pub data_depth_max: usize,
}
