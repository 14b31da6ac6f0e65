//! The interface between a decompressor and message assembly, and the per-thread pool of
//! decompressors that no connection owns.
//!
//! RFC 7692 §7.2.2. A message is inflated when it is complete, a bounded part at a time. Without
//! context takeover a decompressor keeps nothing between two messages, so an idle connection holds
//! none. Never implements deflate itself.

use std::cell::RefCell;

use crate::header::HEADER_BYTES_MAX;
use crate::piece::{DataKind, ReadLimits};
use crate::{ProtocolError, Utf8};

/// Compressed bytes inflated at a time, so that the inflated text is validated while it is still in
/// the cache.
const STEP_BYTES_MAX: usize = 2 * 1024;

/// The smallest step that is worth a call.
const STEP_BYTES_MIN: usize = 64;

/// RFC 1951 §3.2: a symbol of one bit can stand for a match of 258 bytes, so a byte inflates to at
/// most about 1,032.
const EXPANSION_MAX: usize = 1032;

/// Decompresses the messages of one connection.
pub trait Inflate: Send {
    /// Inflates the next piece of the message and appends the result to `output`. `output.len()`
    /// never exceeds `output_bytes_max`, not even for a moment.
    ///
    /// # Errors
    /// [`ProtocolError::CorruptDeflate`], [`ProtocolError::TooBig`] if the next byte would exceed
    /// the bound, or [`ProtocolError::OutOfMemory`].
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError>;

    /// Forgets all input, so that another connection's message may follow.
    fn reset(&mut self);

    /// Whether messages are independent, so that a partly inflated message can be inflated again
    /// from its beginning.
    fn forgets(&self) -> bool {
        false
    }

    /// Bytes of memory held.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// How much one call may inflate, and what happens to a message that needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Inflated bytes plus the compressed bytes read for them. Reading lowers it; the last step of
    /// a call may exceed it by up to 64 KiB of inflated bytes.
    pub bytes: usize,
    /// What happens to a message that needs more.
    pub unfinished: Unfinished,
    /// Reading adds the number of fragments that it reads, without the last one of each message.
    pub fragments: u32,
}

impl Allowance {
    /// Every message is inflated at once.
    pub const UNBOUNDED: Self = Self::of(usize::MAX, Unfinished::Kept);

    /// This many bytes, and no fragment has been read.
    #[must_use]
    pub const fn of(bytes: usize, unfinished: Unfinished) -> Self {
        Self { bytes, unfinished, fragments: 0 }
    }

    fn step_bytes(&self) -> usize {
        (self.bytes / EXPANSION_MAX).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)
    }
}

/// What happens to a message that exceeds the allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Its inflated part is kept, and the next call continues from there.
    Kept,
    /// Only the compressed bytes are kept. A message that cannot be started again is not started,
    /// unless the allowance suffices for its largest possible size.
    Dropped,
}

/// A complete compressed message while it inflates.
pub(crate) struct Inflating {
    kind: DataKind,
    /// Compressed bytes that the inflater has read.
    read: usize,
    /// Invariant: begins with [`HEADER_BYTES_MAX`] bytes of headroom, or is empty.
    output: Vec<u8>,
    utf8: Utf8,
}

/// Whether a message is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateStage {
    Whole,
    Unfinished,
}

impl Inflating {
    pub(crate) fn new(kind: DataKind) -> Self {
        Self { kind, read: 0, output: Vec::new(), utf8: Utf8::NEW }
    }

    /// Inflates more of `compressed`, which holds the whole message.
    pub(crate) fn advance(
        &mut self,
        compressed: &[u8],
        inflater: &mut dyn Inflate,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<InflateStage, ProtocolError> {
        let is_dropped = allowance.unfinished == Unfinished::Dropped;
        let worst = compressed.len().saturating_mul(EXPANSION_MAX);
        if is_dropped && !inflater.forgets() && worst > allowance.bytes {
            return Ok(InflateStage::Unfinished);
        }
        let stage = self.inflate(compressed, inflater, limits, allowance)?;
        if stage == InflateStage::Unfinished && is_dropped && inflater.forgets() {
            inflater.reset();
            *self = Self::new(self.kind);
        }
        Ok(stage)
    }

    fn inflate(
        &mut self,
        compressed: &[u8],
        inflater: &mut dyn Inflate,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<InflateStage, ProtocolError> {
        let bytes_max = usize::try_from(limits.message_bytes_max).unwrap_or(usize::MAX);
        let bytes_max = bytes_max.saturating_add(HEADER_BYTES_MAX);
        if self.output.is_empty() {
            self.output.resize(HEADER_BYTES_MAX, 0);
        }
        loop {
            let rest = &compressed[self.read..];
            if allowance.bytes == 0 {
                return Ok(InflateStage::Unfinished);
            }
            let step = rest.len().min(allowance.step_bytes());
            let is_last = step == rest.len();
            let judged = self.output.len();
            inflater.inflate(&rest[..step], is_last, &mut self.output, bytes_max)?;
            self.read += step;
            let inflated = self.output.len() - judged;
            allowance.bytes = allowance.bytes.saturating_sub(step + inflated);
            // RFC 7692 §6.2, RFC 6455 §8.1: the inflated bytes must be valid text.
            if self.kind == DataKind::Text {
                self.utf8.push(&self.output[judged..])?;
            }
            if is_last {
                break;
            }
        }
        match self.utf8.is_whole() {
            true => Ok(InflateStage::Whole),
            false => Err(ProtocolError::InvalidUtf8),
        }
    }

    /// Takes the number of compressed bytes that are no longer needed.
    pub(crate) fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }

    /// The kind of the message, and its bytes after the headroom.
    pub(crate) fn finish(self) -> (DataKind, Vec<u8>) {
        (self.kind, self.output)
    }

    /// Bytes of memory held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.output.capacity()
    }
}

/// Decompressors that a thread keeps for the next message. Only partly inflated messages use one at
/// the same time, so a few are enough.
const POOL_LENGTH_MAX: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<Box<dyn Inflate>>> = const { RefCell::new(Vec::new()) };
}

/// Decompresses without context takeover: takes a decompressor from the thread's pool at the first
/// piece of a message and returns it after the last.
///
/// There is one pool per thread: every `make` of a program must return decompressors that serve
/// every connection, that is, with the largest window.
pub struct Pooled {
    make: fn() -> Box<dyn Inflate>,
    taken: Option<Box<dyn Inflate>>,
}

impl Pooled {
    /// Takes decompressors from the pool, or from `make` if the pool is empty.
    #[must_use]
    pub fn new(make: fn() -> Box<dyn Inflate>) -> Self {
        Self { make, taken: None }
    }

    fn give_back(&mut self) {
        let Some(mut inflater) = self.taken.take() else {
            return;
        };
        inflater.reset();
        // While the thread exits there is no pool: the inflater is dropped.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOL_LENGTH_MAX {
                pool.push(inflater);
            }
        });
    }
}

impl Inflate for Pooled {
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let make = self.make;
        let inflater =
            self.taken.get_or_insert_with(|| POOL.with_borrow_mut(Vec::pop).unwrap_or_else(make));
        let outcome = inflater.inflate(input, end_of_message, output, output_bytes_max);
        if end_of_message || outcome.is_err() {
            self.give_back();
        }
        outcome
    }

    fn reset(&mut self) {
        self.give_back();
    }

    fn forgets(&self) -> bool {
        true
    }

    fn held_bytes(&self) -> usize {
        self.taken.as_ref().map_or(0, |inflater| inflater.held_bytes())
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.give_back();
    }
}
