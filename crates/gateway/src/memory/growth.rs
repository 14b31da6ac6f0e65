//! Growth of buffers whose size a client chose: without memory that client is refused, and the
//! process continues.

use crate::memory::OutOfMemory;

/// Makes room for `additional` more bytes; a buffer that grows at least doubles.
///
/// # Errors
/// [`OutOfMemory`]; the buffer is as it was.
#[inline]
pub fn make_room(buffer: &mut Vec<u8>, additional: usize) -> Result<(), OutOfMemory> {
    buffer.try_reserve(additional).map_err(|_| OutOfMemory)
}

/// A copy of `bytes` without spare capacity.
///
/// # Errors
/// [`OutOfMemory`].
pub fn copy(bytes: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| OutOfMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Appends `bytes`.
///
/// # Errors
/// [`OutOfMemory`]; nothing was appended.
#[inline]
pub fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    make_room(buffer, bytes.len())?;
    buffer.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growth_that_cannot_be_allocated_changes_nothing() {
        let mut buffer = b"kept".to_vec();
        // The first exceeds any address space, the second any capacity.
        for additional in [isize::MAX as usize - 4, usize::MAX] {
            assert_eq!(make_room(&mut buffer, additional), Err(OutOfMemory));
        }
        assert_eq!(buffer, b"kept");
        append(&mut buffer, b" and more").unwrap();
        assert_eq!(buffer, b"kept and more");
    }
}
