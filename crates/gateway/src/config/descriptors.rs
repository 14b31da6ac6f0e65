//! Whether the process may open enough descriptors for the configured connections. It never asks
//! the kernel for the limit.

use std::fmt;

use crate::config::{Automatic, Limits, bound_of};

const CONNECTIONS_MAX: u64 = bound_of("limits.connections_max").most;

impl Limits {
    /// The connections to allow if the descriptor limit leaves room for `room` of them.
    ///
    /// ```
    /// let limits = ringway::config::Config::default().limits;
    /// assert_eq!(limits.connections_max_within(896), Ok(896));
    /// ```
    ///
    /// # Errors
    /// There is no room at all, or less than `connections_max` requires.
    pub fn connections_max_within(&self, room: u64) -> Result<u32, DescriptorsError> {
        // The bound fits in 32 bits; `relations` asserts it.
        let room = room.min(CONNECTIONS_MAX) as u32;
        match self.connections_max {
            Automatic::Auto if room > 0 => Ok(room),
            Automatic::Exactly(connections) if connections <= room => Ok(connections),
            connections_max => Err(DescriptorsError { connections_max, room }),
        }
    }
}

/// The process may not open enough descriptors for the configured connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorsError {
    connections_max: Automatic<u32>,
    room: u32,
}

impl fmt::Display for DescriptorsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mend = "raise it (LimitNOFILE= in the unit, ulimit -n in a shell)";
        let room = self.room;
        match self.connections_max {
            Automatic::Auto => {
                write!(formatter, "the limit of open files leaves no room for connections; {mend}")
            }
            Automatic::Exactly(wanted) => write!(
                formatter,
                "limits.connections_max = {wanted}, but the limit of open files leaves room for \
                 {room}; {mend} by {} or lower limits.connections_max",
                wanted.saturating_sub(room)
            ),
        }
    }
}

impl std::error::Error for DescriptorsError {}
