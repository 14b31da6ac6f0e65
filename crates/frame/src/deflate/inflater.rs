//! Decompresses the messages of one direction of one connection (RFC 7692
//! §7.2.2), piece by piece and within a bound.
//!
//! Never writes past the caller's bound, and never allocates more output than that bound: a
//! decompression bomb is detected while it inflates.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::FLUSH_TAIL;

/// Output grows by at most this much between two checks of the bound.
const STEP_BYTES: usize = 16 * 1024;
/// The smallest step that is worth a call into zlib.
const STEP_BYTES_MIN: usize = 512;

/// Why a message could not be inflated. The connection cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateError {
    /// The message inflates to more than the bound.
    TooBig,
    /// The bytes are not a valid compressed message.
    Corrupt,
    /// Memory is exhausted for the inflated message.
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
/// Pass the pieces of one message in order, the last one, which may be empty, with
/// `end_of_message`; then the next message, or [`reset`](Self::reset) first if the sender has no
/// context takeover. After an error the context is unusable until `reset`.
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
    // No byte has been read since the last message or stream ended, so there is no block header for
    // the tail to complete.
    at_boundary: bool,
}

impl Inflater {
    /// The bytes that a context allocates.
    pub(super) const HELD_BYTES: usize = 46 * 1024;

    /// A context without history. It takes 46 KiB (see [`Pool`](super::Pool)).
    pub fn new() -> Self {
        Self { zlib: Inflate::new(false, 15), at_boundary: true }
    }

    /// Forgets all messages, as required between messages of a sender without context takeover (RFC
    /// 7692 §7.1.1).
    pub fn reset(&mut self) {
        self.zlib.reset(false);
        self.at_boundary = true;
    }

    /// Inflates `input` and appends the result to `output`, whose total length stays within
    /// `bytes_max`, including what it held before. Its capacity does not grow beyond `bytes_max`
    /// either.
    ///
    /// # Errors
    ///
    /// [`InflateError`]; `output` then holds the bytes inflated before the error.
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
                    // RFC 7692 §7.2.1: a sender may set BFINAL; the next block follows at the next
                    // byte boundary. It starts a stream of its own, which cannot refer to earlier
                    // bytes.
                    self.reset();
                    step = STEP_BYTES_MIN;
                    break;
                }
                // Spare room means that zlib holds no more output back.
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
            // Doubling keeps the cost of growth linear; the bound limits it.
            let capacity = (2 * output.capacity()).clamp(end, bytes_max);
            output.try_reserve_exact(capacity - start).map_err(|_| InflateError::OutOfMemory)?;
        }
        output.resize(end, 0);
        let progress = self.decompress(input, &mut output[start..], InflateFlush::SyncFlush);
        output.truncate(start + progress.wrote);
        Ok(progress)
    }

    /// One call into zlib when the bound is reached: the rest of the message may contain ends of
    /// blocks, but must not produce another byte of output.
    fn step_past_bound(&mut self, input: &[u8]) -> Result<InflateStep, InflateError> {
        // Too big is reported before corrupt, so that the verdict does not depend on how the
        // message is cut into pieces.
        let progress = self.decompress(input, &mut [0], InflateFlush::SyncFlush);
        match progress.wrote {
            0 => Ok(progress),
            _ => Err(InflateError::TooBig),
        }
    }

    /// Restores the tail that the sender removed (RFC 7692 §7.2.2).
    ///
    /// The tail completes an empty stored block, whose header ends every well-formed message. To
    /// check that, zlib must stop at the end of the block and is offered one more byte: it must
    /// read exactly the tail and write nothing. A truncated message would take the tail for data or
    /// for codes, and would garble the next message.
    fn end_message(&mut self) -> Result<(), InflateError> {
        // A message without bytes, or one that ended with a BFINAL block and no empty block after
        // it, left no header to complete.
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

/// The result of one call into zlib, up to the fault if there was one.
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
