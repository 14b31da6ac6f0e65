//! The unsent bytes of a connection: owned pieces in order; the kernel may hold the first one.
//!
//! Invariant: the memory of the first piece neither moves nor changes while it is `armed`.

use std::collections::{TryReserveError, VecDeque};

use bytes::Bytes;

/// Small pieces are merged up to this size, so that a slow reader needs few sends.
const MERGED_BYTES_MAX: usize = 64 << 10;

/// Pieces to be sent.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<Piece>,
    unsent_bytes: usize,
    shared_bytes: usize,
    /// Whether the first piece is in the kernel's hands.
    armed: bool,
}

#[derive(Debug)]
pub(super) struct Piece {
    memory: Memory,
    sent: usize,
}

#[derive(Debug)]
pub(super) enum Memory {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    /// The unsent bytes, if they are in a buffer shared with others.
    fn shared_bytes(&self) -> usize {
        match self.memory {
            Memory::Owned(_) => 0,
            Memory::Shared(_) => self.rest().len(),
        }
    }

    /// The unsent rest of the piece.
    pub(super) fn rest(&self) -> &[u8] {
        match &self.memory {
            Memory::Owned(bytes) => &bytes[self.sent..],
            Memory::Shared(bytes) => &bytes[self.sent..],
        }
    }
}

impl Backlog {
    /// Adds `memory` from `start` on.
    pub(super) fn push(&mut self, memory: Memory, start: usize) {
        let piece = Piece { memory, sent: start };
        self.unsent_bytes += piece.rest().len();
        self.shared_bytes += piece.shared_bytes();
        self.pieces.push_back(piece);
    }

    /// Adds a copy of `bytes`, merged into the last piece if that can grow.
    ///
    /// # Errors
    /// There is no memory for it; nothing was added.
    pub(super) fn push_copy(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        let pinned = usize::from(self.armed);
        if self.pieces.len() > pinned
            && let Some(Piece { memory: Memory::Owned(last), .. }) = self.pieces.back_mut()
            && last.len() + bytes.len() <= MERGED_BYTES_MAX
        {
            last.try_reserve(bytes.len())?;
            last.extend_from_slice(bytes);
            self.unsent_bytes += bytes.len();
        } else {
            let mut copy = Vec::new();
            copy.try_reserve_exact(bytes.len())?;
            copy.extend_from_slice(bytes);
            self.push(Memory::Owned(copy), 0);
        }
        Ok(())
    }

    /// The piece to send next.
    #[cfg(test)]
    pub(super) fn first(&self) -> Option<&Piece> {
        self.pieces.front()
    }

    /// Gives the unsent rest of the first piece to the kernel, unless the kernel has it already.
    /// Its memory stays in place until [`Self::disarm`].
    pub(super) fn arm(&mut self) -> Option<&[u8]> {
        if std::mem::replace(&mut self.armed, !self.pieces.is_empty()) {
            return None;
        }
        self.pieces.front().map(Piece::rest)
    }

    /// The kernel has released the first piece.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Whether the first piece is in the kernel's hands.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Counts `sent` bytes of the first piece as sent, and drops the piece after its last byte.
    pub(super) fn advance(&mut self, sent: usize) {
        assert!(!self.armed, "the kernel still reads the piece");
        let first = self.pieces.front_mut().expect("bytes were sent from a piece");
        self.shared_bytes -= first.shared_bytes();
        first.sent += sent;
        self.shared_bytes += first.shared_bytes();
        self.unsent_bytes -= sent;
        if first.rest().is_empty() {
            self.pieces.pop_front();
        }
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// How many of them are in buffers shared with others.
    pub(super) fn shared_bytes(&self) -> usize {
        self.shared_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_piece_is_never_merged_into() {
        let mut backlog = Backlog::default();
        backlog.push_copy(b"first").unwrap();
        let address = backlog.first().unwrap().rest().as_ptr();
        assert!(backlog.arm().is_some());
        assert_eq!(backlog.arm(), None);
        for _ in 0..1000 {
            backlog.push_copy(b"more").unwrap();
        }
        assert_eq!(backlog.first().unwrap().rest(), b"first");
        assert_eq!(backlog.first().unwrap().rest().as_ptr(), address);
        assert_eq!(backlog.pieces.len(), 2);
        assert_eq!(backlog.unsent_bytes(), 4005);
    }

    #[test]
    fn advancing_keeps_the_order_and_the_count() {
        let mut backlog = Backlog::default();
        backlog.push(Memory::Shared(Bytes::from_static(b"_abc")), 1);
        backlog.push(Memory::Owned(b"def".to_vec()), 0);
        assert_eq!((backlog.unsent_bytes(), backlog.shared_bytes()), (6, 3));
        let mut seen = Vec::new();
        while let Some(first) = backlog.first() {
            seen.push(first.rest()[0]);
            backlog.advance(1);
            assert_eq!(backlog.shared_bytes(), 3usize.saturating_sub(seen.len()));
        }
        assert_eq!(seen, b"abcdef");
        assert!(backlog.is_empty() && backlog.unsent_bytes() == 0);
    }
}
