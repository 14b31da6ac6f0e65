//! Streaming UTF-8: RFC 6455 §8.1 over text that arrives in pieces.
//!
//! Keeps at most the three bytes of a code point split between two pieces. A prefix that no further
//! byte can make valid fails at once. Never copies and never allocates.

use std::str;

use crate::ProtocolError;

/// Validates text piece by piece, with four bytes of state.
///
/// ```
/// let mut utf8 = ringway_frame::Utf8::default();
/// assert!(utf8.push(b"caf\xC3").is_ok() && !utf8.is_whole());
/// assert!(utf8.push(b"\xA9").is_ok() && utf8.is_whole());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    split: [u8; 3],
    held: u8,
}

impl Utf8 {
    pub(crate) const NEW: Self = Self { split: [0; 3], held: 0 };

    /// Takes the next piece of the text.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidUtf8`] if no valid UTF-8 text begins with the bytes so far.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let bytes = if self.held == 0 { bytes } else { self.mend(bytes)? };
        let (whole, split) = bytes.split_at(whole_bytes(bytes));
        simdutf8::basic::from_utf8(whole).map_err(|_| ProtocolError::InvalidUtf8)?;
        if !split.is_empty() {
            judge_split(split)?;
            self.hold(split);
        }
        Ok(())
    }

    /// Whether the text may end here, that is, no code point is split.
    #[inline]
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.held == 0
    }

    /// Completes the split code point, and returns the bytes after it.
    fn mend<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ProtocolError> {
        let mut point = [0; 4];
        let held = usize::from(self.held);
        point[..held].copy_from_slice(&self.split[..held]);
        for (taken, &byte) in bytes.iter().enumerate() {
            let length = held + taken + 1;
            point[length - 1] = byte;
            if str::from_utf8(&point[..length]).is_ok() {
                self.held = 0;
                return Ok(&bytes[taken + 1..]);
            }
            judge_split(&point[..length])?;
            self.hold(&point[..length]);
        }
        Ok(&[])
    }

    /// Invariant: `split` is a proper prefix of one code point, so it has 1 to 3 bytes.
    fn hold(&mut self, split: &[u8]) {
        self.split[..split.len()].copy_from_slice(split);
        self.held = split.len() as u8;
    }
}

/// Whether an unfinished code point can still become valid.
fn judge_split(split: &[u8]) -> Result<(), ProtocolError> {
    match str::from_utf8(split) {
        // No error length: the input ended where a valid continuation may follow.
        Err(error) if error.error_len().is_none() => Ok(()),
        _ => Err(ProtocolError::InvalidUtf8),
    }
}

/// How many bytes of `bytes` come before a code point that its end splits.
#[inline]
fn whole_bytes(bytes: &[u8]) -> usize {
    if bytes.last().is_none_or(u8::is_ascii) {
        return bytes.len();
    }
    for (back, &byte) in (1..=3).zip(bytes.iter().rev()) {
        let needed = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => return bytes.len(),
        };
        return bytes.len() - if needed > back { back } else { 0 };
    }
    bytes.len()
}
