//! Writes events and messages as WebSocket text frames, compressed as negotiated.
//!
//! It never holds a session, and never decides what is sent.

use crate::memory::OutOfMemory;

use ringway_http::Framing;

use crate::{memory::MemoryBudget, session::delivery::LargeEncoding};

use ringway_frame::{HEADER_BYTES_MAX, Opcode, emit_frame};
use ringway_hub::Event;

use crate::{
    encoding::{Encoding, scratch::Scratch},
    outbox::Outbox,
    session::delivery::{EventWriter, ServerMessage},
    transport::compression::{Compression, Sharing},
};

/// The sending half of a WebSocket, without or with compression.
pub struct Frames<'a>(pub Option<&'a mut Compression>);

impl Frames<'_> {
    fn text(
        &mut self,
        text: &[u8],
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        match &mut self.0 {
            Some(compression) => compression.send(Opcode::Text, text, scratch, outbox),
            None => {
                let bytes_max = text.len() + HEADER_BYTES_MAX;
                outbox.try_write(bytes_max, |out| emit_frame(out, None, Opcode::Text, text))
            }
        }
    }

    /// Answers a command.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was written. The client may send the command again, and then gets
    /// the same answer.
    pub fn answer(
        &mut self,
        text: &[u8],
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        self.text(text, scratch, outbox)
    }
}

impl EventWriter for Frames<'_> {
    fn shared(&self) -> Option<Encoding> {
        match &self.0 {
            None => Some(Encoding::Text),
            Some(compression) => match compression.sharing() {
                Sharing::Possible => Some(Encoding::Deflated),
                Sharing::Impossible => None,
            },
        }
    }

    /// A large event that is compressed for a single client is a separate copy. While much memory
    /// is held, it is sent uncompressed: every client reads that (RFC 7692 §6), and it changes no
    /// context.
    fn large(&self, memory: &MemoryBudget) -> Option<LargeEncoding> {
        let encoding = match self.shared() {
            None if memory.is_plentiful() => return None,
            None => Encoding::Text,
            Some(encoding) => encoding,
        };
        Some(LargeEncoding { encoding, framing: Framing::Chunked })
    }

    fn event(
        &mut self,
        event: &Event,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        match self.shared() {
            Some(encoding) if encoding == Encoding::Text || encoding.kept(event).is_some() => {
                outbox.write(|out| encoding.write(event, out));
                Ok(())
            }
            _ => self.text(event.text().as_bytes(), scratch, outbox),
        }
    }

    fn server_message(
        &mut self,
        server_message: ServerMessage<'_>,
        scratch: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) {
        let mut text = Vec::with_capacity(160);
        server_message.write_json(&mut text);
        if self.text(&text, scratch, outbox).is_err() {
            // There is always room for this, and a message need not be compressed (RFC 7692 §6).
            outbox.write(|out| emit_frame(out, None, Opcode::Text, &text));
        }
    }
}
