//! An endless response: Server-Sent Events, lines, or script blocks, each in a chunk of its own.
//!
//! It holds a session and no buffer. It never reads what the client sends meanwhile.

use std::time::Duration;

use super::{
    encoding::{Encoding, Frame},
    iframe::{self, Receiver},
    ndjson, sse,
};
use crate::{
    feed::{Form, Word},
    http::{chunk, visit::Names},
    outbox::Outbox,
    session::Session,
    workbench::Workbench,
};

/// A client that reads an endless response.
pub struct Stream {
    /// Its place in the hub.
    pub session: Box<Session>,
    /// How it is written.
    pub format: StreamFormat,
}

/// How an endless response is written.
pub enum StreamFormat {
    /// `text/event-stream`
    Sse(Names),
    /// `application/x-ndjson`
    Lines,
    /// `text/html` with a script block for each object.
    Iframe(Receiver),
}

impl StreamFormat {
    /// Its media type.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Sse(_) => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Iframe(_) => "text/html; charset=utf-8",
        }
    }

    /// What comes before the first object.
    pub fn begin(&self, retry: Duration, outbox: &mut Outbox<'_>) {
        match self {
            Self::Sse(_) => {
                outbox.write(|out| chunk::write(out, |out| sse::retry(out, retry)));
            }
            Self::Lines => {}
            Self::Iframe(receiver) => {
                outbox.write(|out| chunk::write(out, |out| iframe::prologue(out, receiver)));
            }
        }
    }

    /// The response is over.
    pub fn end(outbox: &mut Outbox<'_>) {
        outbox.write(chunk::write_last);
        outbox.finish();
    }

    fn object(&self, name: Option<&str>, cursor: &str, text: &str, out: &mut Vec<u8>) {
        chunk::write(out, |out| match self {
            Self::Sse(_) => sse::event(out, cursor, name, text),
            Self::Lines => ndjson::line(out, text),
            Self::Iframe(_) => iframe::script(out, text),
        });
    }
}

impl Form for StreamFormat {
    fn shared(&self) -> Option<Encoding> {
        match self {
            Self::Sse(Names::On) => Some(Encoding::Sse),
            Self::Sse(Names::Off) => Some(Encoding::SseUnnamed),
            Self::Lines => Some(Encoding::Line),
            Self::Iframe(_) => None,
        }
    }

    fn event(&mut self, frame: Frame<'_>, _: &mut Workbench, outbox: &mut Outbox<'_>) {
        outbox.write(|out| match self.shared() {
            Some(encoding) => frame.write(encoding, out),
            None => self.object(None, "", frame.text(), out),
        });
    }

    fn word(&mut self, word: Word<'_>, _: &mut Workbench, outbox: &mut Outbox<'_>) {
        let cursor = word.cursor().map(|cursor| cursor.to_string()).unwrap_or_default();
        outbox.write(|out| {
            // The comment keeps the place of an `EventSource`, which reconnects by itself; no
            // program sees it. One that asked for no names reconnects on its own, and is told.
            if let (Self::Sse(Names::On), Word::Heartbeat { .. }) = (&self, word) {
                return chunk::write(out, |out| sse::heartbeat(out, &cursor));
            }
            let mut text = Vec::with_capacity(160);
            word.write_json(&mut text);
            let text = str::from_utf8(&text).expect("it was made from strings");
            self.object(word.name(), &cursor, text, out);
        });
    }
}
