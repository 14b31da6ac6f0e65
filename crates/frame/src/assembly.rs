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
        let (headroom, bytes_max) = match data.compressed {
            true => (0, limits.compressed_bytes_max()),
            false => (HEADER_BYTES_MAX, limits.message_bytes_max),
        };
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(headroom);
        let bytes = &mut self.bytes;
        let missing = if bytes.is_empty() { headroom } else { 0 };
        let came = bytes.len() + missing + data.payload.len();
        if bytes.capacity() < came {
            let declared = usize::try_from(data.remaining).unwrap_or(usize::MAX);
            let all = came.saturating_add(declared);
            let trusted = came.saturating_add((came - headroom).saturating_mul(TRUSTED_TIMES));
            // All of it, if the received bytes justify that. Otherwise no more than will justify
            // it once received: these bytes are moved then.
            let enough = all / (1 + TRUSTED_TIMES) + HEADER_BYTES_MAX;
            let justified = if all <= trusted { all } else { trusted.min(enough) };
            // Doubling keeps the cost of many small fragments linear, up to the limit.
            let doubled = (2 * bytes.len()).min(bytes_max);
            let capacity = justified.max(came).max(doubled);
            reserve(bytes, capacity - bytes.len())?;
        }
        bytes.resize(bytes.len() + missing, 0);
        bytes.extend_from_slice(data.payload);
        Ok(())
    }

    /// Bytes of memory held.
    pub(crate) fn held_bytes(&self) -> usize {
        let inflated = self.inflating.as_ref().map_or(0, Inflating::held_bytes);
        size_of::<Self>() + self.bytes.capacity() + inflated
    }
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
