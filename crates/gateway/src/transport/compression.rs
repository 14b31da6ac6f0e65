//! The sending half of permessage-deflate on one connection (RFC 7692 §7.2.1).
//!
//! Without context takeover the compressor is the core's, not the connection's.

use crate::memory::{self, OutOfMemory, make_room};
use ringway_frame::{
    HEADER_BYTES_MAX, Header, Opcode, Payload, Rsv,
    deflate::{Agreement, Deflater, Policy, WindowBits, deflated_bytes_max},
    emit_compressed_frame, emit_frame,
};

use crate::{encoding::scratch::Scratch, limits::DEFLATED_AT_ONCE, outbox::Outbox};

/// Shorter messages are sent uncompressed: deflate's overhead exceeds the saving.
const COMPRESSED_BYTES_MIN: usize = 64;

/// How this connection's messages are compressed.
#[derive(Debug)]
pub struct Compression {
    agreement: Agreement,
    policy: Policy,
    /// Kept between messages if the context is (RFC 7692 §7.1.1.1).
    deflater: Option<Deflater>,
    parted: Option<Box<Parted>>,
}

/// A large message while it is sent, part by part.
#[derive(Debug)]
struct Parted {
    /// The opcode of the next frame.
    opcode: Opcode,
    bytes: Vec<u8>,
    /// The position of the next part.
    at: usize,
}

/// Whether a compressed message can be sent to several connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The compressed form can be shared.
    Possible,
    /// It cannot be shared: it depends on the connection's earlier messages, or on its window.
    Impossible,
}

impl Compression {
    /// Takes the negotiated parameters, and the effort that the policy allows.
    pub fn new(agreement: Agreement, policy: Policy) -> Self {
        Self { agreement, policy, deflater: None, parted: None }
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

    /// Sends a message as one frame, compressed if it is long enough.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was sent.
    pub fn send(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        if payload.len() < COMPRESSED_BYTES_MIN {
            outbox.write(|out| emit_frame(out, None, opcode, payload));
            return Ok(());
        }
        let bytes_max = deflated_bytes_max(payload.len());
        outbox.make_room(bytes_max + HEADER_BYTES_MAX)?;
        let mut compressed = scratch.take_buffer();
        make_room(&mut compressed, bytes_max)?;
        self.with_deflater(scratch, |deflater| deflater.deflate(payload, &mut compressed));
        scratch.count_compressed(payload.len());
        outbox.write(|out| emit_compressed_frame(out, None, opcode, &compressed));
        scratch.put_buffer(compressed);
        Ok(())
    }

    /// Sends a message. Of a large one it sends only the first part: [`Self::send_part`] sends the
    /// others, before anything else is sent.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was sent.
    pub fn send_in_parts(
        &mut self,
        opcode: Opcode,
        payload: Payload<'_>,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        if payload.len() <= DEFLATED_AT_ONCE {
            return self.send(opcode, &payload, scratch, outbox);
        }
        let (bytes, at) = match payload.into_frame(opcode) {
            Ok(frame) => (frame.bytes, HEADER_BYTES_MAX),
            Err(lent) => (memory::copy(&lent)?, 0),
        };
        self.parted = Some(Box::new(Parted { opcode, bytes, at }));
        self.send_part(scratch, outbox)
    }

    /// Sends the next part of a large message, as a fragment (RFC 6455 §5.4).
    ///
    /// # Errors
    /// [`OutOfMemory`]; the rest of the message cannot be sent.
    pub fn send_part(
        &mut self,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        let Some(mut parted) = self.parted.take() else { return Ok(()) };
        let Parted { opcode, bytes, at } = &mut *parted;
        let end = bytes.len().min(*at + DEFLATED_AT_ONCE);
        let part = &bytes[*at..end];
        let fin = end == bytes.len();
        let bytes_max = deflated_bytes_max(part.len());
        outbox.make_room(bytes_max + HEADER_BYTES_MAX)?;
        let mut compressed = scratch.take_buffer();
        make_room(&mut compressed, bytes_max)?;
        // Without context takeover the parts of a message are independent, too: no compressor is
        // kept between them.
        self.with_deflater(scratch, |deflater| match fin {
            true => deflater.deflate(part, &mut compressed),
            false => deflater.deflate_part(part, &mut compressed),
        });
        scratch.count_compressed(part.len());
        // RFC 7692 §6.1: only the first fragment marks the message as compressed.
        let rsv = if *opcode == Opcode::Continuation { Rsv::NONE } else { Rsv::RSV1 };
        let header = Header { fin, rsv, ..Header::new(*opcode, compressed.len() as u64) };
        outbox.write(|out| {
            let mut head = [0; HEADER_BYTES_MAX];
            let head_bytes = header.emit(&mut head);
            out.extend_from_slice(&head[..head_bytes]);
            out.extend_from_slice(&compressed);
        });
        scratch.put_buffer(compressed);
        if !fin {
            (*opcode, *at) = (Opcode::Continuation, end);
            self.parted = Some(parted);
        }
        Ok(())
    }

    /// Whether a part of a large message is still to be sent.
    #[inline]
    pub fn is_parted(&self) -> bool {
        self.parted.is_some()
    }

    /// Drops the rest of a message that was sent in part.
    pub fn abandon(&mut self) {
        self.parted = None;
    }

    /// Bytes kept of the message that is being sent in parts.
    pub fn held_bytes(&self) -> usize {
        self.parted.as_ref().map_or(0, |parted| parted.bytes.capacity())
    }

    /// Compresses with the connection's own compressor, or with one of the core's.
    fn with_deflater(&mut self, scratch: &mut Scratch, compress: impl FnOnce(&mut Deflater)) {
        let Policy { level, memory_level, .. } = self.policy;
        let window_bits = self.agreement.server_window_bits();
        let mut deflater = self
            .deflater
            .take()
            .unwrap_or_else(|| scratch.pool.take_deflater(level, window_bits, memory_level));
        compress(&mut deflater);
        if self.agreement.server_no_context_takeover {
            scratch.pool.put_deflater(deflater);
        } else {
            self.deflater = Some(deflater);
        }
    }
}
