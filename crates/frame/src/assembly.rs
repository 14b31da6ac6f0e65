//! A message that did not arrive whole: its bytes, kept until the last of them has arrived.
//!
//! Memory depends on the received bytes, never on a declared length, and never on what the bytes
//! inflate to: a compressed message is kept compressed until it is complete.

use crate::ProtocolError;
use crate::header::HEADER_BYTES_MAX;
use crate::inflating::Inflating;
use crate::piece::{Data, ReadLimits};

/// How much memory may be reserved for declared bytes, as a multiple of the received bytes: a header
/// alone reserves nothing, and of a large message only the first fifth has to be moved.
const TRUSTED_TIMES: usize = 4;

/// An incomplete message, or a compressed one that is not fully inflated.
#[derive(Default)]
pub(crate) struct Assembly {
    /// A plain message after [`HEADER_BYTES_MAX`] bytes of headroom, or a compressed message as
    /// received.
    pub(crate) bytes: Vec<u8>,
    /// The progress of inflating a compressed message that is complete.
    pub(crate) inflating: Option<Inflating>,
}

impl Assembly {
    /// Adds a piece of a plain or of a compressed message.
    ///
    /// # Errors
    /// [`ProtocolError::OutOfMemory`]
    pub(crate) fn append(
        &mut self,
        data: &Data<'_>,
        limits: &ReadLimits,
    ) -> Result<(), ProtocolError> {
        let compressed = data.compressed;
        let missing = if self.bytes.is_empty() { headroom(compressed) } else { 0 };
        let came = self.bytes.len() + missing + data.payload.len();
        if self.bytes.capacity() < came {
            let coming = Coming { bytes: data.remaining, compressed };
            let doubled = (2 * self.bytes.len()).min(bytes_max(compressed, limits));
            // Doubling keeps the cost of many small fragments linear, up to the limit.
            let capacity = justified(came, coming).max(came).max(doubled);
            let additional = capacity - self.bytes.len();
            reserve(&mut self.bytes, additional)?;
        }
        self.bytes.resize(self.bytes.len() + missing, 0);
        self.bytes.extend_from_slice(data.payload);
        Ok(())
    }

    /// The buffer, with spare capacity for bytes of the frame that is being received and for no
    /// others; `None` if it has more than those, or there is no memory.
    pub(crate) fn place(&mut self, coming: Coming) -> Option<&mut Vec<u8>> {
        let came = self.bytes.len();
        if self.bytes.capacity() == came {
            let capacity = justified(came, coming).max(came);
            reserve(&mut self.bytes, capacity - came).ok()?;
        }
        let room = (self.bytes.capacity() - came) as u64;
        (1..=coming.bytes).contains(&room).then_some(&mut self.bytes)
    }

    /// Bytes of memory held.
    pub(crate) fn held_bytes(&self) -> usize {
        let inflated = self.inflating.as_ref().map_or(0, Inflating::held_bytes);
        size_of::<Self>() + self.bytes.capacity() + inflated
    }
}

/// What a frame has declared and has not arrived yet.
#[derive(Clone, Copy)]
pub(crate) struct Coming {
    pub(crate) bytes: u64,
    pub(crate) compressed: bool,
}

/// Where the bytes of a message begin in its buffer.
const fn headroom(compressed: bool) -> usize {
    if compressed { 0 } else { HEADER_BYTES_MAX }
}

/// The most bytes that a buffer may have to hold.
fn bytes_max(compressed: bool, limits: &ReadLimits) -> usize {
    let bytes = if compressed { limits.compressed_bytes_max() } else { limits.message_bytes_max };
    usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(headroom(compressed))
}

/// The capacity of a buffer with `came` bytes of a message, headroom included, for those to come.
fn justified(came: usize, coming: Coming) -> usize {
    let declared = usize::try_from(coming.bytes).unwrap_or(usize::MAX);
    let all = came.saturating_add(declared);
    let received = came - headroom(coming.compressed);
    let trusted = came.saturating_add(received.saturating_mul(TRUSTED_TIMES));
    // All of it, if the received bytes justify that. Otherwise no more than will justify it once
    // received: these bytes are moved then.
    let enough = all / (1 + TRUSTED_TIMES) + HEADER_BYTES_MAX;
    if all <= trusted { all } else { trusted.min(enough) }
}

/// Reserves memory for a peer's bytes: running out of it is a fault of that connection only.
pub(crate) fn reserve(bytes: &mut Vec<u8>, additional: usize) -> Result<(), ProtocolError> {
    bytes.try_reserve_exact(additional).map_err(|_| ProtocolError::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_allocation_is_a_fault_of_the_connection() {
        let fault = reserve(&mut vec![1], isize::MAX as usize);
        assert_eq!(fault, Err(ProtocolError::OutOfMemory));
    }
}
