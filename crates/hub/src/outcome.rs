//! The outcome of an event for one recipient, in the words of the subprotocol. Never decides it.

use std::fmt;

/// The outcome of an event for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotifyOutcome {
    /// Sent to at least one live connection.
    Delivered,
    /// The recipient is away or lags; the event is kept.
    Queued,
    /// The recipient is away and the event is not kept.
    Offline,
    /// The sender may not address this recipient.
    Denied,
}

impl NotifyOutcome {
    /// The word on the wire.
    ///
    /// ```
    /// assert_eq!(ringway_hub::NotifyOutcome::Queued.as_str(), "queued");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Queued => "queued",
            Self::Offline => "offline",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for NotifyOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
