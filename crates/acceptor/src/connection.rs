//! The name of a connection: a slot and the generation of its occupant.
//!
//! A name outlives its connection harmlessly: the driver ignores a stale one. It never holds a
//! descriptor.

use std::fmt;

/// Names one connection of one driver.
///
/// The slot is small and dense, so that it can index a table; the generation tells successive
/// occupants of the slot apart and wraps at 2^24.
///
/// ```
/// use ringway_acceptor::ConnectionId;
/// let connection = ConnectionId::new(7, 1);
/// assert_eq!((connection.slot(), connection.generation()), (7, 1));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    slot: u32,
    generation: u32,
}

impl ConnectionId {
    /// Generations are counted modulo this, so that an id fits a completion's 64 bits of user data
    /// together with the kind of the operation.
    pub const GENERATIONS: u32 = 1 << 24;

    /// The connection in `slot` during `generation` (taken modulo [`Self::GENERATIONS`]).
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation: generation % Self::GENERATIONS }
    }

    /// Index of the connection in its driver's table.
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// Which occupant of the slot this is.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}
