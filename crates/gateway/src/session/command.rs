//! The commands of clients, independent of the subprotocol.
//!
//! The values borrow from the message that was read. They are well formed, but nothing here says
//! whether they are allowed.

use std::borrow::Cow;

use crate::{
    auth::Secret,
    broker::{Echo, Ttl},
};

/// A client's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'t> {
    /// Deliver an event to these clients.
    Notify {
        /// The client's own name for this command; the reply repeats it.
        id: Cow<'t, str>,
        /// The recipients as they were listed: at least one, perhaps with duplicates.
        to: Vec<Cow<'t, str>>,
        /// The event's name.
        event: Option<Cow<'t, str>>,
        /// One JSON value, byte for byte.
        data: &'t str,
        /// How long it is kept for clients that are away; `None`: as long as the history goes back.
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
    /// Subscribe to the events of a topic.
    Subscribe {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The topic.
        topic: Cow<'t, str>,
        /// The cursor after which to begin, as text that is not checked yet.
        since: Option<Cow<'t, str>>,
        /// How many of the last events to begin with, if no cursor is given.
        last: Option<u32>,
        /// The connection that subscribes, if the command is sent by another one.
        connection: Option<Cow<'t, str>>,
    },
    /// End a subscription.
    Unsubscribe {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The topic.
        topic: Cow<'t, str>,
        /// As in `Subscribe`.
        connection: Option<Cow<'t, str>>,
    },
    /// Show another token, so that the session goes on when the first one expires.
    Refresh {
        /// As in `Notify`.
        id: Cow<'t, str>,
        /// The token; `None`: that of the request that sends the command.
        token: Option<Secret>,
        /// As in `Subscribe`.
        connection: Option<Cow<'t, str>>,
    },
    /// Show the token with which the client connects, as the first message.
    Auth {
        /// As in `Ping`.
        id: Option<Cow<'t, str>>,
        /// The token.
        token: Secret,
    },
    /// Report the position of the log.
    Ping {
        /// The client's own name for this command, if it gave one; the reply repeats it.
        id: Option<Cow<'t, str>>,
    },
}

/// The bounds of a command, in addition to the bound of the message that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLimits {
    /// The most entries of `to`.
    pub recipients_max: usize,
    /// The most levels of `data`.
    pub data_depth_max: usize,
}
