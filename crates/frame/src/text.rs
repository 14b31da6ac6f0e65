//! Unmasking and UTF-8 in one pass over memory.
//!
//! A piece of text is unmasked and validated block by block while the block is in the
//! first-level cache. Never sees more than one piece: what a piece splits is kept in
//! `Utf8` and in the mask phase.

use crate::mask::{self, SHORT_BYTES_MAX};
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
    if payload.len() <= SHORT_BYTES_MAX {
        let seen = mask::unmask_short(payload, key, phase);
        if !seen.is_ascii() || !utf8.is_whole() {
            utf8.push(payload)?;
        }
        return Ok((phase + payload.len()) % 4);
    }
    let mut phase = phase;
    for block in payload.chunks_mut(BLOCK_BYTES) {
        phase = mask::unmask(block, key, phase);
        utf8.push(block)?;
    }
    Ok(phase)
}
