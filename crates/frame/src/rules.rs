//! Which headers are allowed in this role, with the negotiated extension, at this point of a
//! message.
//!
//! RFC 6455 §5.1, §5.2, §5.4 and §10.4; RFC 7692 §6.1. Holds no bytes and changes no state: it
//! judges headers parsed by `header`, and `frames` acts on the verdict.

use crate::ProtocolError;
use crate::header::{Header, Opcode, Parsed, Rsv, judge_first};
use crate::piece::{Compression, DataKind, ReadLimits, Role};

/// The rules that apply to every frame of a connection.
pub(crate) struct Terms {
    pub(crate) role: Role,
    pub(crate) compression: Compression,
}

/// The data message in progress.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) kind: DataKind,
    pub(crate) compressed: bool,
}

impl Terms {
    /// Parses the header at the front of `bytes` and judges it byte by byte in wire order, so that
    /// the first fault does not depend on how the bytes were cut.
    #[inline]
    pub(crate) fn parse(&self, bytes: &[u8], open: Option<Open>) -> Result<Parsed, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(Parsed::Incomplete);
        };
        let opcode = judge_first(first)?;
        let rsv = Rsv::of(first);
        let opens = matches!(opcode, Opcode::Text | Opcode::Binary);
        // RFC 6455 §5.2; RFC 7692 §6.1: RSV1 is allowed only on the first frame of a data message.
        if rsv != Rsv::NONE
            && !(rsv == Rsv::RSV1 && opens && self.compression == Compression::PerMessage)
        {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 §5.4: fragments of different messages must not be interleaved.
        if opens && open.is_some() {
            return Err(ProtocolError::NestedMessage);
        }
        if opcode == Opcode::Continuation && open.is_none() {
            return Err(ProtocolError::LoneContinuation);
        }
        // RFC 6455 §5.1: a client masks every frame, a server none.
        if let Some(&second) = bytes.get(1) {
            match (self.role, second & 0x80 != 0) {
                (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
                (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
                _ => {}
            }
        }
        Header::parse(bytes)
    }
}

impl Open {
    /// The message that a data frame belongs to.
    #[inline]
    pub(crate) fn by(header: &Header, open: Option<Self>) -> Self {
        open.unwrap_or(Self {
            kind: match header.opcode {
                Opcode::Text => DataKind::Text,
                _ => DataKind::Binary,
            },
            compressed: header.rsv == Rsv::RSV1,
        })
    }

    /// RFC 6455 §10.4: a declared length is judged before any of its bytes is kept. `message_bytes`
    /// is the sum that the message's earlier frames declared.
    #[inline]
    pub(crate) fn judge_size(
        self,
        header: &Header,
        message_bytes: u64,
        limits: &ReadLimits,
    ) -> Result<(), ProtocolError> {
        let message_bytes_max =
            if self.compressed { limits.compressed_bytes_max() } else { limits.message_bytes_max };
        let message_bytes = message_bytes.saturating_add(header.length);
        if message_bytes > message_bytes_max {
            return Err(ProtocolError::TooBig);
        }
        if header.length > limits.frame_bytes_max {
            return Err(ProtocolError::FrameTooBig);
        }
        Ok(())
    }
}
