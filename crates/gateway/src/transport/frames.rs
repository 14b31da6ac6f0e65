//! What a session is sent over a WebSocket: text frames, compressed as was agreed.
//!
//! It never holds a session, and never decides what is sent.

use ringway_frame::{Opcode, emit_frame};

use super::{
    compression::{Compression, Sharing},
    encoding::{Encoding, Frame},
};
use crate::{
    feed::{Form, LargeForm, Word},
    http::response::Framing,
    memory::MemoryBudget,
    outbox::Outbox,
    workbench::Workbench,
};

/// The sending half of a WebSocket, without or with compression.
pub struct Frames<'a>(pub Option<&'a mut Compression>);

impl Frames<'_> {
    fn text(&mut self, text: &[u8], bench: &mut Workbench, outbox: &mut Outbox<'_>) {
        match &mut self.0 {
            Some(compression) => compression.send(Opcode::Text, text, bench, outbox),
            None => outbox.write(|out| emit_frame(out, None, Opcode::Text, text)),
        }
    }
}

impl Form for Frames<'_> {
    fn shared(&self) -> Option<Encoding> {
        match &self.0 {
            None => Some(Encoding::Text),
            Some(compression) => match compression.sharing() {
                Sharing::Possible => Some(Encoding::Deflated),
                Sharing::Impossible => None,
            },
        }
    }

    /// Compressed for one client alone, a large event is a copy of its own. While much is held it goes
    /// out as it is, which every client reads, too (RFC 7692 §6), and which changes no context.
    fn large(&self, memory: &MemoryBudget) -> Option<LargeForm> {
        let encoding = match self.shared() {
            None if memory.is_plentiful() => return None,
            None => Encoding::Text,
            Some(encoding) => encoding,
        };
        Some(LargeForm { encoding, framing: Framing::Chunked })
    }

    fn event(&mut self, frame: Frame<'_>, bench: &mut Workbench, outbox: &mut Outbox<'_>) {
        match (self.shared(), frame.deflated) {
            (Some(Encoding::Text), _) => outbox.write(|out| frame.write(Encoding::Text, out)),
            (Some(_), Some(deflated)) => outbox.write(|out| out.extend_from_slice(deflated)),
            _ => self.text(frame.text().as_bytes(), bench, outbox),
        }
    }

    fn word(&mut self, word: Word<'_>, bench: &mut Workbench, outbox: &mut Outbox<'_>) {
        if let Word::Answer(text) = word {
            return self.text(text, bench, outbox);
        }
        let mut text = Vec::with_capacity(160);
        word.write_json(&mut text);
        self.text(&text, bench, outbox);
    }
}
