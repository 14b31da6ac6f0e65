//! The echo service: sends every message back unchanged.
//!
//! It exists for conformance and load tests, and keeps no state except a message that is being
//! compressed.

use crate::memory::OutOfMemory;

use ringway_frame::{DataKind, HEADER_BYTES_MAX, Opcode, Payload, emit_frame};

use crate::{encoding::scratch::Scratch, outbox::Outbox, transport::compression::Compression};

/// Sends `payload` back; if it is large and must be compressed, only the first part.
///
/// # Errors
/// [`OutOfMemory`]; nothing was sent.
#[inline]
pub fn echo(
    kind: DataKind,
    payload: Payload<'_>,
    compression: Option<&mut Compression>,
    scratch: &mut Scratch,
    outbox: &mut Outbox<'_>,
) -> Result<(), OutOfMemory> {
    let opcode = Opcode::from(kind);
    if let Some(compression) = compression {
        return compression.send_in_parts(opcode, payload, scratch, outbox);
    }
    // An assembled message is sent back in its own buffer.
    match payload.into_frame(opcode) {
        Ok(frame) => outbox.write_owned(frame.bytes, frame.start),
        Err(lent) => {
            outbox.make_room(lent.len() + HEADER_BYTES_MAX)?;
            outbox.write(|out| emit_frame(out, None, opcode, &lent));
            Ok(())
        }
    }
}
