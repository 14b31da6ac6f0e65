//! Bytes that a socket did not take, in order, until it takes them.
//!
//! It never touches a socket: it lends slices and drops sent bytes.

use std::{
    collections::{TryReserveError, VecDeque},
    io::IoSlice,
};

use bytes::{Buf, Bytes};

/// Small sends are copied together up to this size, so that a thousand messages do not need a
/// thousand allocations.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Pieces passed to one `sendmsg(2)`.
pub(super) const SLICES_MAX: usize = 16;

/// Bytes passed to one `sendmsg(2)`, so that a fast reader of a large backlog does not delay the
/// others, and its progress is seen.
const LENT_BYTES_MAX: usize = 256 << 10;

/// Invariant: no piece is empty, `bytes` is the sum of their lengths, and `shared_bytes` that of the
/// shared ones.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<Piece>,
    bytes: usize,
    shared_bytes: usize,
}

#[derive(Debug)]
enum Piece {
    /// Copied here; may grow while it is the last one.
    Copied { bytes: Vec<u8>, start: usize },
    /// Not copied: an owned buffer.
    Owned(Bytes),
    /// Not copied: shared with other connections.
    Shared(Bytes),
}

impl Piece {
    fn unsent(&self) -> &[u8] {
        match self {
            Self::Copied { bytes, start } => &bytes[*start..],
            Self::Owned(bytes) | Self::Shared(bytes) => bytes,
        }
    }
}

impl Backlog {
    /// How many bytes are unsent.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// How many of them are in buffers shared with others.
    pub(super) fn shared_bytes(&self) -> usize {
        self.shared_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends a copy of `bytes`.
    ///
    /// # Errors
    /// There is no memory for it; nothing was appended.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.pieces.back_mut() {
            Some(Piece::Copied { bytes: last, .. })
                if last.len() + bytes.len() <= COPIED_BYTES_MAX =>
            {
                last.try_reserve(bytes.len())?;
                last.extend_from_slice(bytes);
            }
            _ => {
                let mut copy = Vec::new();
                copy.try_reserve_exact(bytes.len())?;
                copy.extend_from_slice(bytes);
                self.pieces.push_back(Piece::Copied { bytes: copy, start: 0 });
            }
        }
        self.bytes += bytes.len();
        Ok(())
    }

    /// Appends an owned buffer by reference; copies it when that is cheaper.
    ///
    /// # Errors
    /// There is no memory for the copy; nothing was appended.
    pub(super) fn keep(&mut self, bytes: Bytes) -> Result<(), TryReserveError> {
        if bytes.len() <= COPIED_BYTES_MAX / 16 {
            return self.copy(&bytes);
        }
        self.bytes += bytes.len();
        self.pieces.push_back(Piece::Owned(bytes));
        Ok(())
    }

    /// Appends shared `bytes` by reference; copies them when that is cheaper.
    ///
    /// # Errors
    /// There is no memory for the copy; nothing was appended.
    pub(super) fn share(&mut self, bytes: Bytes) -> Result<(), TryReserveError> {
        if bytes.len() <= COPIED_BYTES_MAX / 16 {
            return self.copy(&bytes);
        }
        self.bytes += bytes.len();
        self.shared_bytes += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes));
        Ok(())
    }

    /// Lends the first bytes; returns how many of `slices` are filled.
    pub(super) fn lend<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let (mut filled, mut room) = (0, LENT_BYTES_MAX);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let unsent = piece.unsent();
            *slice = IoSlice::new(&unsent[..unsent.len().min(room)]);
            room -= slice.len();
            filled += 1;
            if room == 0 {
                break;
            }
        }
        filled
    }

    /// Forgets the first `sent` bytes.
    pub(super) fn consume(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while sent > 0 {
            let first = self.pieces.front_mut().expect("as many bytes as were lent");
            let length = first.unsent().len();
            let gone = sent.min(length);
            sent -= gone;
            match first {
                Piece::Copied { start, .. } => *start += gone,
                Piece::Owned(bytes) => bytes.advance(gone),
                Piece::Shared(bytes) => {
                    bytes.advance(gone);
                    self.shared_bytes -= gone;
                }
            }
            if gone == length {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(backlog: &Backlog) -> Vec<u8> {
        backlog.pieces.iter().flat_map(|piece| piece.unsent().to_vec()).collect()
    }

    #[test]
    fn any_cut_leaves_the_rest_in_order() {
        let expected: Vec<u8> = (0..6_000u32).map(|n| (n % 251) as u8).collect();
        for cut in [1, 9, 10, 11, 2_009, 2_010, 2_011, 5_999, 6_000] {
            let mut backlog = Backlog::default();
            backlog.copy(&expected[..10]).unwrap();
            backlog.keep(Bytes::copy_from_slice(&expected[10..2_010])).unwrap();
            backlog.copy(&[]).unwrap();
            backlog.share(Bytes::copy_from_slice(&expected[2_010..2_020])).unwrap();
            backlog.share(Bytes::copy_from_slice(&expected[2_020..4_020])).unwrap();
            backlog.copy(&expected[4_020..]).unwrap();
            backlog.consume(cut);
            assert_eq!(backlog.len(), 6_000 - cut);
            assert_eq!(backlog.shared_bytes(), 4_020 - cut.clamp(2_020, 4_020), "{cut}");
            assert_eq!(unsent(&backlog), expected[cut..], "{cut}");
            assert_eq!(backlog.is_empty(), backlog.pieces.is_empty());
        }
    }

    #[test]
    fn small_sends_are_copied_together() {
        let mut backlog = Backlog::default();
        for _ in 0..COPIED_BYTES_MAX {
            backlog.copy(b"x").unwrap();
        }
        assert_eq!(backlog.pieces.len(), 1);
        backlog.copy(b"x").unwrap();
        assert_eq!(backlog.pieces.len(), 2);
    }

    #[test]
    fn one_call_lends_no_more_than_it_can_write() {
        let mut backlog = Backlog::default();
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for _ in 0..SLICES_MAX + 3 {
            backlog.keep(Bytes::from(vec![7; COPIED_BYTES_MAX])).unwrap();
        }
        assert_eq!(backlog.lend(&mut slices), SLICES_MAX);
        assert!(slices.iter().all(|slice| slice.len() == COPIED_BYTES_MAX));

        let mut backlog = Backlog::default();
        for bytes in [LENT_BYTES_MAX - 1, 2, 5_000] {
            backlog.keep(Bytes::from(vec![7; bytes])).unwrap();
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        assert_eq!(backlog.lend(&mut slices), 2);
        assert_eq!((slices[0].len(), slices[1].len()), (LENT_BYTES_MAX - 1, 1));
    }
}
