//! Unmasking by general registers: the short path, and the kernel of any processor.
//!
//! Never calls through a pointer. A ragged end is not looped over byte by byte: the last
//! word is computed from the masked bytes first and stored last, over bytes that already
//! hold the same values.

/// All unmasked bytes ORed together.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline]
    pub(crate) const fn is_ascii(self) -> bool {
        self.0 & 0x8080_8080_8080_8080 == 0
    }
}

/// Unmasks `payload` with a little-endian key whose first byte meets the first byte.
#[inline]
pub(super) fn unmask(payload: &mut [u8], key: u32) -> Seen {
    let wide = u64::from(key) << 32 | u64::from(key);
    if let Some(&last) = payload.last_chunk() {
        let last = u64::from_le_bytes(last) ^ turned(wide, payload.len());
        let mut seen = last;
        for word in payload.as_chunks_mut().0 {
            let plain = u64::from_le_bytes(*word) ^ wide;
            seen |= plain;
            *word = plain.to_le_bytes();
        }
        let end = payload.len() - 8;
        payload[end..].copy_from_slice(&last.to_le_bytes());
        Seen(seen)
    } else if let (Some(&first), Some(&last)) = (payload.first_chunk(), payload.last_chunk()) {
        let first = u32::from_le_bytes(first) ^ key;
        let last = u32::from_le_bytes(last) ^ turned(wide, payload.len()) as u32;
        let end = payload.len() - 4;
        payload[..4].copy_from_slice(&first.to_le_bytes());
        payload[end..].copy_from_slice(&last.to_le_bytes());
        Seen(u64::from(first | last))
    } else {
        let mut seen = 0;
        for (byte, key) in payload.iter_mut().zip(key.to_le_bytes()) {
            *byte ^= key;
            seen |= *byte;
        }
        Seen(u64::from(seen))
    }
}

/// The key as the word that ends at byte `length` meets it. A word has 4 or 8 bytes, so
/// its place is `length` mod 4 whichever it is.
#[inline]
fn turned(wide: u64, length: usize) -> u64 {
    wide.rotate_right(8 * (length % 4) as u32)
}
