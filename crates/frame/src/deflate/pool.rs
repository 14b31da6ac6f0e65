//! Idle compressors of one thread, so that connections without context takeover hold none between
//! messages. (`inflating` keeps idle inflaters.)
//!
//! Never holds more compressors than its limit, and never a byte of an earlier message: a
//! compressor is reset when it is returned.

use super::{Deflater, Level, MemoryLevel, WindowBits};

/// A bounded pool of idle contexts, owned by one thread.
///
/// The allocation of a context, in KiB (zlib-rs 0.6.8, x86-64; to measure resident memory, run
/// `cargo test -p ringway-frame memory_of_a_context -- --ignored --nocapture`):
///
/// | context | memory level 1 | 5 | 8 | 9 |
/// |---|---|---|---|---|
/// | deflater, window bits 8 or 9 | 134 | 147 | 245 | 357 |
/// | deflater, 12 | 148 | 161 | 259 | 371 |
/// | deflater, 15 | 260 | 273 | 371 | 483 |
/// | inflater, any window | 46 | | | |
///
/// A deflater has 128 KiB of hash table, which no setting makes smaller and which a reset clears;
/// 4 * 2^bits bytes of window and chains; 7 * 2^(memory level + 6) bytes of symbols and output;
/// and 3 KiB of other state.
#[derive(Debug)]
pub struct Pool {
    deflaters: Vec<Deflater>,
    idle_max: usize,
}

impl Pool {
    /// An empty pool that keeps at most `idle_max` deflaters.
    pub fn new(idle_max: usize) -> Self {
        Self { deflaters: Vec::new(), idle_max }
    }

    /// An idle deflater with exactly these settings, or a new one.
    pub fn take_deflater(
        &mut self,
        level: Level,
        window_bits: WindowBits,
        memory_level: MemoryLevel,
    ) -> Deflater {
        let fitting = |idle: &Deflater| idle.is_set_to(level, window_bits, memory_level);
        match self.deflaters.iter().rposition(fitting) {
            Some(place) => self.deflaters.remove(place),
            None => Deflater::new(level, window_bits, memory_level),
        }
    }

    /// Returns a deflater to the pool. If the pool is full, it replaces the deflater that has been
    /// idle longest, so that the pool follows the settings in use.
    pub fn put_deflater(&mut self, mut deflater: Deflater) {
        if self.idle_max == 0 {
            return;
        }
        if self.deflaters.len() == self.idle_max {
            self.deflaters.remove(0);
        }
        deflater.reset();
        self.deflaters.push(deflater);
    }

    /// The number of idle deflaters.
    pub fn idle(&self) -> usize {
        self.deflaters.len()
    }
}
