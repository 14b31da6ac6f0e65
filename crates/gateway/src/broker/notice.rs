//! Properties of an event other than its data.

use std::time::Duration;

/// Whether a sender gets its own event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It gets the event like every other subscriber.
    Yes,
    /// It does not get the event.
    No,
}

/// How long an event is kept for clients that are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Not kept: only clients that are connected get it.
    Unkept,
    /// This long, in whole seconds of at most 32 bits.
    For(Duration),
}

impl Ttl {
    /// The time to live that a command states; 0 keeps nothing.
    ///
    /// ```
    /// use ringway::broker::Ttl;
    /// assert_eq!(Ttl::from_seconds(0), Ttl::Unkept);
    /// ```
    pub fn from_seconds(seconds: u32) -> Self {
        match seconds {
            0 => Self::Unkept,
            _ => Self::For(Duration::from_secs(seconds.into())),
        }
    }
}
