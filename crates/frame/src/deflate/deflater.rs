//! Compresses the messages of one direction of one connection, or messages for many recipients at
//! once (RFC 7692 §7.2.1).
//!
//! Never ends a stream: each message ends in a sync flush, whose tail is removed, so that the next
//! message may refer back to it.

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::{FLUSH_TAIL, Level, MemoryLevel, WindowBits};

/// Output grows by at most this much between two calls into zlib.
const STEP_BYTES: usize = 16 * 1024;

/// The most room that a message of `bytes` takes while it is compressed. With this much spare
/// capacity in the output, [`Deflater::deflate`] allocates nothing for it.
///
/// ```
/// use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits, deflated_bytes_max};
/// let mut payload = Vec::with_capacity(deflated_bytes_max(5));
/// let room = payload.capacity();
/// Deflater::new(Level::FASTEST, WindowBits::MAX, MemoryLevel::USUAL).deflate(b"Hello", &mut payload);
/// assert_eq!(payload.capacity(), room);
/// ```
pub const fn deflated_bytes_max(bytes: usize) -> usize {
    // As zlib's `deflateBound` for arbitrary settings: an eighth, a 64th, and a few bytes; plus one
    // step, by which the output is extended before zlib reports how much it needs.
    let step = step_bytes(bytes);
    bytes + bytes / 8 + bytes / 64 + 64 + step
}

/// How much the output is extended for the next call into zlib. Stored blocks and fixed codes add
/// less than an eighth.
const fn step_bytes(rest: usize) -> usize {
    let room = rest + rest / 8 + 64;
    if room < STEP_BYTES { room } else { STEP_BYTES }
}

/// A compression context. [`Pool`](super::Pool) lists its memory.
///
/// ```
/// use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits};
/// let mut payload = Vec::new();
/// Deflater::new(Level::FASTEST, WindowBits::MAX, MemoryLevel::USUAL).deflate(b"Hello", &mut payload);
/// assert_eq!(payload, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
/// ```
pub struct Deflater {
    zlib: Deflate,
    level: Level,
    window_bits: WindowBits,
    memory_level: MemoryLevel,
}

impl Deflater {
    /// A context without history.
    ///
    /// Raw zlib cannot compress with a window of 8 bits, so a window of 9 is used instead. A peer
    /// with 256 bytes can read the output: zlib-rs uses no match that is further back than the
    /// window less 262 bytes (`max_dist` in its `deflate.rs`), here 250. All its levels respect
    /// that limit: 1 (`quick`), 2 (`fast`) and 3 to 6 (`medium`) compare each distance with
    /// `max_dist`, 7 to 9 (`slow`) and the searches of 3 to 6 stop at it in `longest_match`, and 0
    /// uses no match at all. The tests measure every distance.
    pub fn new(level: Level, window_bits: WindowBits, memory_level: MemoryLevel) -> Self {
        let zlib = Deflate::new_with_config(DeflateConfig {
            level: level.level().into(),
            // Negative: a raw stream, without zlib's header and checksum.
            window_bits: -i32::from(window_bits.bits().max(9)),
            mem_level: memory_level.level().into(),
            ..DeflateConfig::default()
        });
        Self { zlib, level, window_bits, memory_level }
    }

    /// Forgets all messages, as required between messages without context takeover (RFC 7692
    /// §7.1.1).
    pub fn reset(&mut self) {
        // A reset clears 128 KiB of hash table, so an unneeded one is avoided.
        if self.zlib.total_in() != 0 {
            self.zlib.reset();
        }
    }

    /// Appends the compressed payload of `message` to `output`.
    pub fn deflate(&mut self, message: &[u8], output: &mut Vec<u8>) {
        // RFC 7692 §7.2.3.6: an empty message is an empty stored block without its tail. zlib does
        // not flush twice without input, so it is not called.
        if message.is_empty() {
            output.push(0);
            return;
        }
        self.deflate_part(message, output);
        output.truncate(output.len() - FLUSH_TAIL.len());
    }

    /// Appends the compressed form of a part of a message that other parts follow; pass the last
    /// part to [`deflate`](Self::deflate). With a [`reset`](Self::reset) between them the parts are
    /// independent of each other.
    ///
    /// # Panics
    ///
    /// If the part is empty.
    pub fn deflate_part(&mut self, part: &[u8], output: &mut Vec<u8>) {
        assert!(!part.is_empty(), "zlib flushes nothing twice");
        let mut rest = part;
        loop {
            let start = output.len();
            let room = step_bytes(rest.len());
            output.resize(start + room, 0);
            let (read, wrote) = self.compress(rest, &mut output[start..]);
            output.truncate(start + wrote);
            rest = &rest[read..];
            // Spare room means that the flush is complete. If it filled the room exactly, zlib may
            // repeat the empty block, which is legal.
            if wrote < room && rest.is_empty() {
                break;
            }
        }
        assert!(rest.is_empty() && output.ends_with(&FLUSH_TAIL), "a sync flush");
    }

    /// Returns how many bytes were read and written.
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize) {
        let (read, wrote) = (self.zlib.total_in(), self.zlib.total_out());
        let result = self.zlib.compress(input, output, DeflateFlush::SyncFlush);
        // No peer can cause this: zlib-rs refuses only settings out of range, which the three types
        // exclude.
        assert!(result.is_ok(), "deflate: {result:?}");
        let read = (self.zlib.total_in() - read) as usize;
        (read, (self.zlib.total_out() - wrote) as usize)
    }

    pub(super) fn is_set_to(
        &self,
        level: Level,
        window_bits: WindowBits,
        memory_level: MemoryLevel,
    ) -> bool {
        (self.level, self.window_bits, self.memory_level) == (level, window_bits, memory_level)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("level", &self.level)
            .field("window_bits", &self.window_bits)
            .field("memory_level", &self.memory_level)
            .finish_non_exhaustive()
    }
}
