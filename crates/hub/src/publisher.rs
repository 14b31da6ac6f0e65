//! Who is responsible for an event, as a number. Never knows how publishers are told apart.

/// A client, or several that count as one because each of them could have any number of names; or a
/// part of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publisher(u32);

impl Publisher {
    /// The application, where its parts are not told apart.
    pub const APPLICATION: Self = Self::of_application(0);

    /// All clients, where they are not told apart.
    pub const UNKNOWN: Self = Self(APPLICATION_PARTS as u32);

    /// A part of the application with a share of its own.
    #[must_use]
    pub const fn of_application(part: u8) -> Self {
        Self(part as u32)
    }

    /// The publisher with this hash. Two publishers may have the same hash.
    #[must_use]
    pub(crate) fn of_hash(hash: u32) -> Self {
        Self(hash.max(Self::UNKNOWN.0 + 1))
    }

    /// The part of the application that it is, if it is one.
    pub(crate) fn application_part(self) -> Option<usize> {
        let part = self.0 as usize;
        (part < APPLICATION_PARTS).then_some(part)
    }

    /// Its number, the same for the time of the process.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The number of parts that the application may have.
pub(crate) const APPLICATION_PARTS: usize = 1 << u8::BITS;
