//! Unmasking and UTF-8 in one pass over memory.
//!
//! A piece of text is unmasked and validated block by block while the block is in the first-level
//! cache. Never sees more than one piece: `Utf8` and the mask phase carry the state from one piece
//! to the next.

use crate::mask;
use crate::{ProtocolError, Utf8};

/// A block that stays in a first-level data cache of 32 KiB with room to spare.
const BLOCK_BYTES: usize = 8 * 1024;

/// Unmasks `payload` in place, if it is masked, and validates it as the next piece of a
/// text; returns the new phase.
#[inline]
pub(crate) fn unmask_text(
    payload: &mut [u8],
    mask: Option<[u8; 4]>,
    phase: usize,
    utf8: &mut Utf8,
) -> Result<usize, ProtocolError> {
    let Some(key) = mask else {
        utf8.push(payload)?;
        return Ok(0);
    };
    let mut phase = phase;
    for block in payload.chunks_mut(BLOCK_BYTES) {
        phase = mask::unmask(block, key, phase);
        utf8.push(block)?;
    }
    Ok(phase)
}

/// Unmasks and validates a whole text of a few bytes, mostly ASCII.
#[inline]
pub(crate) fn unmask_short_text(payload: &mut [u8], key: [u8; 4]) -> Result<(), ProtocolError> {
    if mask::unmask_short(payload, key, 0).is_ascii() {
        return Ok(());
    }
    simdutf8::basic::from_utf8(payload).map(|_| ()).map_err(|_| ProtocolError::InvalidUtf8)
}
