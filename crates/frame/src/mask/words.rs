//! Unmasking with general registers: the short path, and the kernel for any processor.
//!
//! Never calls through a pointer. The end is not looped over byte by byte: the last word is
//! computed from the masked bytes first and stored last, over bytes that already hold the same
//! values.

/// All unmasked bytes ORed together.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline]
    pub(crate) const fn is_ascii(self) -> bool {
        self.0 & 0x8080_8080_8080_8080 == 0
    }
}

/// Unmasks `payload` with a little-endian key that is aligned to its first byte.
#[inline]
pub(super) fn unmask(payload: &mut [u8], key: u32) -> Seen {
    let wide = u64::from(key) << 32 | u64::from(key);
    let turned = wide.rotate_right(8 * (payload.len() % 4) as u32);
    if let Some(&last) = payload.last_chunk() {
        let last = Pair::of(last).xor(turned);
        let mut seen = last;
        for bytes in payload.as_chunks_mut().0 {
            let pair = Pair::of(*bytes).xor(wide);
            seen = seen.or(pair);
            *bytes = pair.bytes();
        }
        let end = payload.len() - size_of::<Pair>();
        payload[end..].copy_from_slice(&last.bytes());
        Seen(seen.0[0] | seen.0[1])
    } else if let (Some(&first), Some(&last)) = (payload.first_chunk(), payload.last_chunk()) {
        let first = u64::from_le_bytes(first) ^ wide;
        let last = u64::from_le_bytes(last) ^ turned;
        let end = payload.len() - 8;
        payload[..8].copy_from_slice(&first.to_le_bytes());
        payload[end..].copy_from_slice(&last.to_le_bytes());
        Seen(first | last)
    } else if let (Some(&first), Some(&last)) = (payload.first_chunk(), payload.last_chunk()) {
        let first = u32::from_le_bytes(first) ^ key;
        let last = u32::from_le_bytes(last) ^ turned as u32;
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

/// Two words, which the compiler keeps in one vector on targets where every processor has one.
#[derive(Clone, Copy)]
struct Pair([u64; 2]);

impl Pair {
    #[inline]
    fn of(bytes: [u8; 16]) -> Self {
        let (words, _) = bytes.as_chunks();
        Self([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
    }

    #[inline]
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
        bytes
    }

    #[inline]
    fn xor(self, wide: u64) -> Self {
        Self(self.0.map(|word| word ^ wide))
    }

    #[inline]
    fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}
