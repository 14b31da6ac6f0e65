//! The echo service: sends every message back unchanged.
//!
//! It exists for conformance and load tests, and keeps no state except a message that is being
//! compressed.

use crate::memory::OutOfMemory;

use ringway_frame::{HEADER_BYTES_MAX, Opcode, Payload, emit_frame};

use crate::{encoding::scratch::Scratch, outbox::Outbox, transport::compression::Compression};

/// Sends `payload` back; if it is large and must be compressed, only the first part.
///
/// # Errors
/// [`OutOfMemory`]; nothing was sent.
#[inline]
pub fn echo(
    mut payload: Payload<'_>,
    compression: Option<&mut Compression>,
    scratch: &mut Scratch,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    let opcode = Opcode::from(payload.kind());
    if let Some(compression) = compression {
        return compression.send_in_parts(opcode, payload, scratch, outbox);
    }
    if !payload.is_lent() {
        // An assembled message is sent back in its own buffer.
        payload = match payload.into_frame(opcode) {
            Ok(frame) => return outbox.write_owned(frame.bytes, frame.start),
            Err(lent) => lent,
        };
    }
    // A lent payload is never moved: its fields were written a moment ago, and to read them in wider
    // words than they were written in costs as much as the rest of a small echo.
    let bytes_max = payload.len() + HEADER_BYTES_MAX;
    outbox.try_write(bytes_max, |out| emit_frame(out, None, opcode, &payload))
}
