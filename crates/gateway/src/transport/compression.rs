//! The sending half of permessage-deflate on one connection (RFC 7692 §7.2.1).
//!
//! Without context takeover the compressor is the core's, not the connection's.

use ringway_frame::{
    Opcode,
    deflate::{Agreement, Deflater, Policy, WindowBits},
    emit_compressed_frame, emit_frame,
};

use crate::{outbox::Outbox, workbench::Workbench};

/// Shorter messages are sent as they are: deflate's overhead exceeds what it saves.
const COMPRESSED_BYTES_MIN: usize = 64;

/// How this connection's messages are compressed.
#[derive(Debug)]
pub struct Compression {
    agreement: Agreement,
    policy: Policy,
    /// Kept between messages where the context is (RFC 7692 §7.1.1.1).
    deflater: Option<Deflater>,
}

/// Whether a compressed message serves several connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// It does.
    Possible,
    /// It depends on what this connection was sent before, or on its window.
    Impossible,
}

impl Compression {
    /// What was agreed on, with the effort that the policy allows.
    pub fn new(agreement: Agreement, policy: Policy) -> Self {
        Self { agreement, policy, deflater: None }
    }

    /// Whether a message may be compressed once for all clients with this agreement: without
    /// context takeover, in the largest window (RFC 7692 §7.1.1.1).
    pub fn sharing(&self) -> Sharing {
        let is_largest = self.agreement.server_window_bits() == WindowBits::MAX;
        match self.agreement.server_no_context_takeover && is_largest {
            true => Sharing::Possible,
            false => Sharing::Impossible,
        }
    }

    /// Sends a message as one frame, compressed where that is worth it.
    pub fn send(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        bench: &mut Workbench,
        outbox: &mut Outbox<'_>,
    ) {
        if payload.len() < COMPRESSED_BYTES_MIN {
            return outbox.write(|out| emit_frame(out, None, opcode, payload));
        }
        let Policy { level, memory_level, .. } = self.policy;
        let window_bits = self.agreement.server_window_bits();
        let mut deflater = self
            .deflater
            .take()
            .unwrap_or_else(|| bench.pool.take_deflater(level, window_bits, memory_level));
        let mut compressed = bench.take_scratch();
        deflater.deflate(payload, &mut compressed);
        outbox.write(|out| emit_compressed_frame(out, None, opcode, &compressed));
        bench.put_scratch(compressed);
        if self.agreement.server_no_context_takeover {
            bench.pool.put_deflater(deflater);
        } else {
            self.deflater = Some(deflater);
        }
    }
}
