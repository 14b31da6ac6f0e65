//! Masking keys for the client role.
//!
//! RFC 6455 §5.3 and §10.3: each frame has a fresh, unpredictable key. Keys come from the kernel's
//! generator in blocks, never from our own generator and never with a system call per frame.

/// Bytes drawn from the kernel at a time.
const BLOCK_BYTES: usize = 1024;

/// A source of unpredictable masking keys; one per thread is enough.
///
/// ```
/// use ringway_frame::MaskKeys;
/// let mut keys = MaskKeys::new();
/// assert!((0..8).any(|_| keys.draw() != [0; 4]));
/// ```
pub struct MaskKeys {
    block: Box<[[u8; 4]]>,
    drawn: usize,
}

impl MaskKeys {
    /// A source that calls the kernel at the first draw.
    #[must_use]
    pub fn new() -> Self {
        let block = vec![[0; 4]; BLOCK_BYTES / 4].into_boxed_slice();
        let drawn = block.len();
        Self { block, drawn }
    }

    /// A fresh key. Two keys may be equal by chance, 1 in 2^32, and no key reveals anything about
    /// another.
    ///
    /// # Panics
    /// If the kernel provides no random bytes: no frame may be sent with a predictable key.
    #[inline]
    pub fn draw(&mut self) -> [u8; 4] {
        if self.drawn == self.block.len() {
            self.refill();
        }
        let key = self.block[self.drawn];
        self.drawn += 1;
        key
    }

    #[cold]
    fn refill(&mut self) {
        getrandom::fill(self.block.as_flattened_mut()).expect("the kernel gives random bytes");
        self.drawn = 0;
    }
}

impl Default for MaskKeys {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // RFC 6455 §10.3: draws 1,000 keys over several blocks; more than a few equal ones among 2^32
    // mean that a block was used twice.
    #[test]
    fn keys_do_not_repeat_after_a_refill() {
        let mut keys = MaskKeys::new();
        let drawn: HashSet<[u8; 4]> = (0..1000).map(|_| keys.draw()).collect();
        assert!(drawn.len() > 990, "{} different keys", drawn.len());
    }
}
