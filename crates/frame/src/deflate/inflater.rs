//! Decompresses the messages of one direction of one connection (RFC 7692
//! §7.2.2), piece by piece and within a bound.
//!
//! Never writes past the caller's bound, and never allocates more output than
//! that bound: a bomb is found out while it inflates.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::FLUSH_TAIL;

/// Output grows by at most this much between two looks at the bound.
const STEP_BYTES: usize = 16 * 1024;
/// The least worth a call into zlib.
const STEP_BYTES_MIN: usize = 512;

/// Why a message could not be inflated. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The message inflates to more than the bound.
    TooBig,
    /// The bytes are not the payload of a compressed message.
    Corrupt,
    /// There is no memory for what the message inflates to.
    OutOfMemory,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooBig => "the message inflates past the limit",
            Self::Corrupt => "the compressed message is corrupt",
            Self::OutOfMemory => "no memory for the message",
        })
    }
}

impl std::error::Error for InflateError {}

/// A decompression context: it remembers the last 32 KiB that it inflated.
///
/// Feed the pieces of one message in order, the last one, which may be empty,
/// with `end_of_message`; then the next message, or [`reset`](Self::reset) first
/// where the sender has no context takeover. After an error only `reset` makes
/// the context usable again.
///
/// There is no window size to set: zlib-rs gives every inflater the memory of
/// the largest window, 15 bits, and reads all smaller ones with it.
///
/// ```
/// use ringway_frame::deflate::Inflater;
/// let (mut text, payload) = (Vec::new(), b"\xf2\x48\xcd\xc9\xc9\x07\x00");
/// Inflater::new().inflate(payload, true, &mut text, 64).unwrap();
/// assert_eq!(text, b"Hello");
/// ```
pub struct Inflater {
    zlib: Inflate,
    // No byte was fed since the last message or stream ended, so there is no
    // block header that the tail would complete.
    at_boundary: bool,
}

impl Inflater {
    /// What a context allocates.
    pub(super) const HELD_BYTES: usize = 46 * 1024;

    /// A context that has seen nothing. It takes 46 KiB (see [`Pool`](super::Pool)).
    pub fn new() -> Self {
        Self { zlib: Inflate::new(false, 15), at_boundary: true }
    }

    /// Forgets all messages, as between those of a sender without context
    /// takeover (RFC 7692 §7.1.1).
    pub fn reset(&mut self) {
        self.zlib.reset(false);
        self.at_boundary = true;
    }

    /// Appends to `output` what `input` inflates to, so that `output` is at
    /// most `bytes_max` bytes long, what it held before included. It is not
    /// given more capacity than `bytes_max` either.
    ///
    /// # Errors
    ///
    /// [`InflateError`]; `output` then holds what was inflated up to there.
    pub fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), InflateError> {
        self.feed(input, output, bytes_max)?;
        match end_of_message {
            true => self.end_message(),
            false => Ok(()),
        }
    }

    fn feed(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), InflateError> {
        let guess = input.len().saturating_mul(4);
        let mut step = guess.clamp(STEP_BYTES_MIN, STEP_BYTES);
        while !input.is_empty() {
            self.at_boundary = false;
            loop {
                let room = step.min(bytes_max.saturating_sub(output.len()));
                let progress = match room {
                    0 => self.step_past_bound(input)?,
                    _ => self.step(input, output, room, bytes_max)?,
                };
                input = &input[progress.read..];
                if progress.status? == Status::StreamEnd {
                    // RFC 7692 §7.2.1: a sender may set BFINAL; the next block
                    // follows at the next byte. It starts a stream of its own,
                    // which cannot refer to what came before.
                    self.reset();
                    step = STEP_BYTES_MIN;
                    break;
                }
                // Room to spare means that zlib holds no more output back.
                if progress.wrote < room.max(1) {
                    if input.is_empty() {
                        break;
                    }
                    if progress.read == 0 && progress.wrote == 0 {
                        return Err(InflateError::Corrupt);
                    }
                }
                step = (2 * step).min(STEP_BYTES);
            }
        }
        Ok(())
    }

    /// One call into zlib with `room` bytes of new output.
    fn step(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        room: usize,
        bytes_max: usize,
    ) -> Result<InflateStep, InflateError> {
        let start = output.len();
        let end = start + room;
        if output.capacity() < end {
            // Doubling keeps growth linear; the bound keeps doubling honest.
            let capacity = (2 * output.capacity()).clamp(end, bytes_max);
            output.try_reserve_exact(capacity - start).map_err(|_| InflateError::OutOfMemory)?;
        }
        output.resize(end, 0);
        let progress = self.decompress(input, &mut output[start..], InflateFlush::SyncFlush);
        output.truncate(start + progress.wrote);
        Ok(progress)
    }

    /// One call into zlib when the bound is reached: the rest of the
    /// message may hold ends of blocks, but not one byte more of output.
    fn step_past_bound(&mut self, input: &[u8]) -> Result<InflateStep, InflateError> {
        // Too big comes before corrupt, so that the pieces in which a message
        // comes do not change the verdict on it.
        let progress = self.decompress(input, &mut [0], InflateFlush::SyncFlush);
        match progress.wrote {
            0 => Ok(progress),
            _ => Err(InflateError::TooBig),
        }
    }

    /// Puts the tail back that the sender took away (RFC 7692 §7.2.2).
    ///
    /// The tail completes an empty stored block, whose header is the end of
    /// every well-formed message. To see that it did so, zlib is told to stop at
    /// the end of the block, and offered one byte more: it reads exactly the
    /// tail and writes nothing. A message that was cut short takes the tail for
    /// data or for codes, and would garble the next message.
    fn end_message(&mut self) -> Result<(), InflateError> {
        // A message of no bytes at all, or one that ended with a BFINAL block
        // and without an empty block after it, left no header to complete.
        if self.at_boundary {
            return Ok(());
        }
        let [a, b, c, d] = FLUSH_TAIL;
        let progress = self.decompress(&[a, b, c, d, 0], &mut [0; 8], InflateFlush::Block);
        progress.status?;
        if progress.read != FLUSH_TAIL.len() || progress.wrote != 0 {
            return Err(InflateError::Corrupt);
        }
        self.at_boundary = true;
        Ok(())
    }

    fn decompress(&mut self, input: &[u8], output: &mut [u8], flush: InflateFlush) -> InflateStep {
        let (read, wrote) = (self.zlib.total_in(), self.zlib.total_out());
        let status = self.zlib.decompress(input, output, flush);
        InflateStep {
            status: status.map_err(|_| InflateError::Corrupt),
            read: (self.zlib.total_in() - read) as usize,
            wrote: (self.zlib.total_out() - wrote) as usize,
        }
    }
}

/// What one call into zlib did, before the fault if it found one.
struct InflateStep {
    status: Result<Status, InflateError>,
    read: usize,
    wrote: usize,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("bytes_in", &self.zlib.total_in())
            .field("bytes_out", &self.zlib.total_out())
            .finish_non_exhaustive()
    }
}
