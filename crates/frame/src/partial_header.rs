//! The bytes of a header that spans several reads.
//!
//! Fourteen bytes and a count, stored in the connection itself. Never parses them.

use crate::header::HEADER_BYTES_MAX;

/// The first bytes of a header.
///
/// Invariant: held <= [`HEADER_BYTES_MAX`].
#[derive(Clone, Copy)]
pub(crate) struct PartialHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    held: u8,
}

impl PartialHeader {
    pub(crate) const EMPTY: Self = Self { bytes: [0; HEADER_BYTES_MAX], held: 0 };

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// The number of bytes held.
    pub(crate) fn len(&self) -> usize {
        self.held.into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Adds as much of `input` as a header could still need.
    pub(crate) fn with(mut self, input: &[u8]) -> Self {
        let held = self.len();
        let fresh = input.len().min(HEADER_BYTES_MAX - held);
        self.bytes[held..held + fresh].copy_from_slice(&input[..fresh]);
        self.held += fresh as u8;
        self
    }
}
