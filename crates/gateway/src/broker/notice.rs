//! What is said of an event beside its data.

use std::time::Duration;

/// Whether a sender gets its own event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// As every other subscriber.
    Yes,
    /// It does not.
    No,
}

/// How long an event is kept for those who are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Not at all: it is for those who are here.
    Unkept,
    /// This long, in whole seconds of at most 32 bits.
    For(Duration),
}

impl Ttl {
    /// As it is written: 0 keeps nothing.
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
