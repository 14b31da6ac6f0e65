//! Growth of buffers whose size a peer decides: if memory is exhausted, that peer is refused, and
//! the process continues.

use crate::HttpError;

/// Appends `bytes`.
///
/// # Errors
/// [`HttpError::OutOfMemory`]; nothing is appended then.
#[inline]
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), HttpError> {
    buffer.try_reserve(bytes.len()).map_err(|_| HttpError::OutOfMemory)?;
    buffer.extend_from_slice(bytes);
    Ok(())
}
