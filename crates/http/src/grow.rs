//! Buffers whose size a peer chose grow by these: without memory that peer is refused, and the
//! process goes on.

use crate::HttpError;

/// Appends `bytes`.
///
/// # Errors
/// [`HttpError::OutOfMemory`]; nothing was appended.
#[inline]
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), HttpError> {
    buffer.try_reserve(bytes.len()).map_err(|_| HttpError::OutOfMemory)?;
    buffer.extend_from_slice(bytes);
    Ok(())
}
