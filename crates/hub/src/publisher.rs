//! Who is responsible for an event, as a number. Never knows how publishers are told apart.

/// A client, or everybody at an address where clients can have any number of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publisher(u32);

impl Publisher {
    /// The application.
    pub const APPLICATION: Self = Self(0);

    /// All clients that nobody has told apart.
    pub const UNKNOWN: Self = Self(1);

    /// The publisher with this hash. Two may have the same one.
    #[must_use]
    pub(crate) fn of_hash(hash: u32) -> Self {
        Self(hash.max(2))
    }

    /// Its number, the same for the time of the process.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}
