//! Where a connection that sends much is received: in a buffer of the driver, or at once where its
//! owner assembles a large message.
//!
//! It decides whether a place is worth using; it never receives.

use crate::ConnectionId;

/// Received at once, this many bytes make a connection a bulk connection. A place with less room is
/// not worth a receive of its own.
const BULK_BYTES_MIN: usize = 8 << 10;

/// The most bytes that one connection may bring at once: others are served in between, and a
/// message of the common largest size is received while it is in a second-level cache.
const PLACE_BYTES_MAX: usize = 1 << 20;

/// An owner's memory for bytes that are received.
pub trait Places {
    /// The buffer to which the connection's next bytes may be appended, up to its capacity; `None`
    /// if they must be lent. Called right before a receive, so memory is reserved only for bytes
    /// that have arrived. It is called for connections that send much, and the answer to it need
    /// not be used.
    fn place(&mut self, connection: ConnectionId) -> Option<&mut Vec<u8>>;
}

/// No places: all bytes are lent.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Places for Nowhere {
    fn place(&mut self, _connection: ConnectionId) -> Option<&mut Vec<u8>> {
        None
    }
}

/// A place that a receive is worth.
pub(crate) fn worthwhile(
    places: &mut dyn Places,
    connection: ConnectionId,
) -> Option<&mut Vec<u8>> {
    let place = places.place(connection)?;
    let room = place.capacity() - place.len();
    (BULK_BYTES_MIN..=PLACE_BYTES_MAX).contains(&room).then_some(place)
}

/// How much a peer sends at a time, and thus how the next receive is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Little.
    Trickle,
    /// Much: its owner is asked for a place.
    Bulk,
}

impl Flow {
    /// After a receive of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes < BULK_BYTES_MIN { Self::Trickle } else { Self::Bulk }
    }
}
