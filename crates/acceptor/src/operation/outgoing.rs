//! Where a send's bytes are: in the turn's buffer, in an owned one, or shared.
//!
//! It only names places; `Operations` fills them.

use std::ops::Range;

use bytes::Bytes;

/// Where a send's bytes are.
#[derive(Debug)]
pub enum Outgoing {
    /// In the turn's own buffer, see [`Operations::bytes`](crate::Operations::bytes).
    Turn(Range<usize>),
    /// In an owned buffer, from `start` to its end.
    Owned {
        /// The buffer.
        bytes: Vec<u8>,
        /// Where its content starts.
        start: usize,
    },
    /// Shared with other connections: encoded once, sent many times.
    Shared(Bytes),
    /// Several pieces in order, so that shared bytes need no copy when they are sent together with
    /// others.
    Pieces(Vec<Piece>),
}

/// A part of a send.
#[derive(Debug, Clone)]
pub enum Piece {
    /// In the turn's own buffer.
    Turn(Range<usize>),
    /// Shared with other connections.
    Shared(Bytes),
}

impl Piece {
    /// The bytes, given the turn's buffer.
    pub fn bytes<'b>(&'b self, turn: &'b [u8]) -> &'b [u8] {
        match self {
            Self::Turn(range) => &turn[range.clone()],
            Self::Shared(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Turn(range) => range.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

impl From<Piece> for Outgoing {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Turn(range) => Self::Turn(range),
            Piece::Shared(bytes) => Self::Shared(bytes),
        }
    }
}

/// Where a connection's send of the current turn is; the caller stores it with the connection.
///
/// It may be stale; [`Operations`](crate::Operations) checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendMark(pub(super) u32);

impl Default for SendMark {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// Bytes in the buffer of this turn, to be sent to any number of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Staged {
    /// How many bytes there are.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// From the start of these bytes to the end of `last`; all that was staged between the two is
    /// part of it.
    #[must_use]
    pub fn through(self, last: Self) -> Self {
        debug_assert!(self.start <= last.start && self.end <= last.end);
        Self { start: self.start, end: last.end }
    }

    /// Whether there are no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
