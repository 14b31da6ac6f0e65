//! An endless response: server-sent events, lines, or script blocks, each in a chunk of its own, or
//! without chunks for HTTP/1.0.
//!
//! It holds a session and no buffer. It never reads what the client sends meanwhile.

use crate::memory::OutOfMemory;

use crate::{memory::MemoryBudget, session::delivery::LargeEncoding};

use std::time::Duration;

use crate::{
    encoding::iframe::{self, Receiver},
    encoding::{
        Encoding, ndjson,
        scratch::Scratch,
        sse::{self, Names},
    },
    metrics::{Counter, SessionCounts},
    outbox::Outbox,
    session::{
        Session,
        delivery::{EventWriter, ServerMessage},
    },
};

use ringway_http::{Framing, chunk};
use ringway_hub::Event;

/// A client that reads an endless response.
pub struct Stream {
    /// Its place in the hub.
    pub session: Box<Session>,
    /// Its format and framing.
    pub writer: StreamForm,
}

/// A format, and how its objects are framed.
pub struct StreamForm {
    /// The format.
    pub format: StreamFormat,
    /// The framing.
    pub framing: Framing,
}

/// The format of an endless response.
pub enum StreamFormat {
    /// `text/event-stream`
    Sse(Names),
    /// `application/x-ndjson`
    Lines,
    /// `text/html` with a script block for each object. The receiver is on the heap, so that the
    /// other formats stay small.
    Iframe(Box<Receiver>),
}

impl StreamFormat {
    /// The counter of its sessions.
    pub fn counter<'c>(&self, sessions: &'c SessionCounts) -> &'c Counter {
        match self {
            Self::Sse(_) => &sessions.sse,
            Self::Lines => &sessions.stream,
            Self::Iframe(_) => &sessions.iframe,
        }
    }

    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Sse(_) => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Iframe(_) => "text/html; charset=utf-8",
        }
    }

    /// The encoding of an event in this format, as a chunk.
    fn encoding(&self) -> Encoding {
        match self {
            Self::Sse(Names::On) => Encoding::Sse,
            Self::Sse(Names::Off) => Encoding::SseUnnamed,
            Self::Lines => Encoding::Line,
            Self::Iframe(_) => Encoding::Script,
        }
    }
}

/// Ends the response.
pub fn end(framing: Framing, outbox: &mut Outbox<'_>) {
    if framing == Framing::Chunked {
        outbox.write(chunk::write_last);
    }
    outbox.finish();
}

impl StreamForm {
    /// Writes what precedes the first object.
    pub fn begin(&self, retry: Duration, outbox: &mut Outbox<'_>) {
        self.say_retry(retry, outbox);
        if let StreamFormat::Iframe(receiver) = &self.format {
            outbox.write(|out| self.framing.write(out, |out| iframe::prologue(out, receiver)));
        }
    }

    /// Tells the client how long to wait before it reconnects, where the format has a way to say it.
    pub fn say_retry(&self, after: Duration, outbox: &mut Outbox<'_>) {
        if let StreamFormat::Sse(_) = &self.format {
            outbox.write(|out| self.framing.write(out, |out| sse::retry(out, after)));
        }
    }

    /// The name, if the stream names its events.
    fn named<'n>(&self, name: Option<&'n str>) -> Option<&'n str> {
        name.filter(|_| matches!(self.format, StreamFormat::Sse(Names::On)))
    }

    fn object(&self, name: Option<&str>, cursor: &str, text: &str, out: &mut Vec<u8>) {
        self.framing.write(out, |out| match &self.format {
            StreamFormat::Sse(_) => sse::event(out, cursor, name, text),
            StreamFormat::Lines => ndjson::line(out, text),
            StreamFormat::Iframe(_) => iframe::script(out, text),
        });
    }
}

impl EventWriter for StreamForm {
    /// Shared encodings are chunks.
    fn shared(&self) -> Option<Encoding> {
        (self.framing == Framing::Chunked).then(|| self.format.encoding())
    }

    /// Without chunks, the content of the chunk is sent.
    fn large(&self, _: &MemoryBudget) -> Option<LargeEncoding> {
        Some(LargeEncoding { encoding: self.format.encoding(), framing: self.framing })
    }

    fn event(
        &mut self,
        event: &Event,
        _: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) -> Result<(), OutOfMemory> {
        outbox.write(|out| match self.shared() {
            Some(encoding) => encoding.write(event, out),
            None => self.object(self.named(event.name()), event.cursor(), event.text(), out),
        });
        Ok(())
    }

    fn server_message(
        &mut self,
        server_message: ServerMessage<'_>,
        _: &mut Scratch,
        outbox: &mut Outbox<'_>,
    ) {
        let cursor = server_message.cursor().map(|cursor| cursor.to_string()).unwrap_or_default();
        outbox.write(|out| {
            // The comment updates the cursor of an `EventSource`, which reconnects by itself; no
            // program sees it. A client that asked for no names reconnects on its own, and gets an
            // object.
            if let (StreamFormat::Sse(Names::On), ServerMessage::Heartbeat { .. }) =
                (&self.format, server_message)
            {
                return self.framing.write(out, |out| sse::heartbeat(out, &cursor));
            }
            let mut text = Vec::with_capacity(160);
            server_message.write_json(&mut text);
            let text = str::from_utf8(&text).expect("it was made from strings");
            self.object(self.named(server_message.name()), &cursor, text, out);
        });
    }
}
