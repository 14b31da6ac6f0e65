//! What a client may do with which names. Grants belong to an identity, not to the process.
//!
//! They are checked for each command, so that live settings apply to open connections.

use crate::config::{Clients, patterns::Patterns};

/// What a client may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Grants {
    /// What the settings allow all clients.
    #[default]
    BySettings,
    /// What its own lists allow; they replace the lists in the settings.
    Own(Box<Lists>),
}

/// The names that an identity may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Topics that it may subscribe to.
    pub subscribe: Patterns,
    /// Topics that it may publish to.
    pub publish: Patterns,
    /// Clients that it may notify.
    pub notify: Patterns,
}

/// An action that needs a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Subscribe to a topic.
    Subscribe,
    /// Publish to a topic.
    Publish,
    /// Notify a client.
    Notify,
}

impl Act {
    /// The configuration key of the list that applies to all clients.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subscribe => "clients.may_subscribe",
            Self::Publish => "clients.may_publish",
            Self::Notify => "clients.may_notify",
        }
    }

    /// The verb, as used in sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Notify => "notify",
        }
    }
}

impl Grants {
    /// The names for which this client has the grant.
    pub fn names<'g>(&'g self, act: Act, clients: &'g Clients) -> &'g Patterns {
        match (self, act) {
            (Self::BySettings, Act::Subscribe) => &clients.may_subscribe,
            (Self::BySettings, Act::Publish) => &clients.may_publish,
            (Self::BySettings, Act::Notify) => &clients.may_notify,
            (Self::Own(lists), Act::Subscribe) => &lists.subscribe,
            (Self::Own(lists), Act::Publish) => &lists.publish,
            (Self::Own(lists), Act::Notify) => &lists.notify,
        }
    }

    /// The configuration key that a denial refers to; `None`: the identity itself denies it.
    pub fn key(&self, act: Act) -> Option<&'static str> {
        matches!(self, Self::BySettings).then(|| act.key())
    }
}
