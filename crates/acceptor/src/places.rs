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
pub const PLACE_BYTES_MAX: usize = 1 << 20;

/// An owner's memory for bytes that are received.
pub trait Places {
    /// Where the connection's next bytes are wanted. Called right before a receive, so memory is
    /// reserved only for bytes that have arrived. It is called for connections that send much, and
    /// the answer is a wish: bytes may be lent in any case.
    fn place(&mut self, connection: ConnectionId) -> Place<'_>;
}

/// Where a connection's next bytes are wanted.
#[derive(Debug)]
pub enum Place<'p> {
    /// At the end of this buffer, up to its capacity.
    In(&'p mut Vec<u8>),
    /// In a buffer of the driver's.
    Lent,
    /// Nowhere in this turn: they stay in the socket.
    Later,
}

/// No places: all bytes are lent.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Places for Nowhere {
    fn place(&mut self, _connection: ConnectionId) -> Place<'_> {
        Place::Lent
    }
}

/// As [`Places::place`], without places that are not worth a receive.
pub(crate) fn worthwhile(places: &mut dyn Places, connection: ConnectionId) -> Place<'_> {
    let room = |place: &Vec<u8>| place.capacity() - place.len();
    match places.place(connection) {
        Place::In(place) if !(BULK_BYTES_MIN..=PLACE_BYTES_MAX).contains(&room(place)) => {
            Place::Lent
        }
        place => place,
    }
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
