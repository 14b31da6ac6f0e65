//! Connects message assembly to the inflater: the reading half of an agreement.
//!
//! With context takeover a connection keeps its inflater; without, it borrows one from the thread's
//! pool for the duration of a message. It negotiates nothing.

use super::{Agreement, InflateError, Inflater};
use crate::{Inflate, MessageReader, Pooled, ProtocolError, Role};

impl From<InflateError> for ProtocolError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Corrupt => Self::CorruptDeflate,
            InflateError::TooBig => Self::TooBig,
            InflateError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl Inflate for Inflater {
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        Ok(Self::inflate(self, input, end_of_message, output, output_bytes_max)?)
    }

    fn reset(&mut self) {
        Self::reset(self);
    }

    fn held_bytes(&self) -> usize {
        Self::HELD_BYTES
    }
}

impl MessageReader {
    /// A reader for an end in this role that has agreed on permessage-deflate.
    #[must_use]
    pub fn with_deflate(role: Role, agreement: &Agreement) -> Self {
        // RFC 7692 §7.1.1: each parameter concerns the sender's context.
        let peer_forgets = match role {
            Role::Server => agreement.client_no_context_takeover,
            Role::Client => agreement.server_no_context_takeover,
        };
        if peer_forgets {
            Self::with_inflater(role, Box::new(Pooled::new(|| Box::new(Inflater::new()))))
        } else {
            Self::with_inflater(role, Box::new(Inflater::new()))
        }
    }
}
