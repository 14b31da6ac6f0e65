//! What became of the bytes of a connection that speaks HTTP, for the connection that owns it.
//!
//! The connection has the client of `Requested` identified, and answers `Opened`, `Polled` and
//! `Posted`; all else has been answered already.

use ringway_frame::deflate::Agreement;

use crate::{
    auth::Identity,
    config::settings::Settings,
    edge::{
        admission::Request,
        connect_params::{ConnectParams, Format},
        cors::Cors,
        response::{self, Part, Refused},
        routes::Route,
    },
    encoding::iframe,
    outbox::Outbox,
    refusal::Refusal,
    subprotocol::Subprotocol,
    transport::stream::StreamFormat,
};

use ringway_http::{Framing, KeepAlive};

/// What became of the bytes.
#[derive(Debug)]
pub enum Action {
    /// More are needed; all were used.
    More,
    /// A request was answered, and the next may follow.
    Answered,
    /// A request was refused, which was answered; the next may follow where the connection is
    /// kept.
    Refused(Refusal, KeepAlive),
    /// A request can be answered once its client is identified. Until then the connection must not
    /// be advanced.
    Requested(Request),
    /// The connection speaks WebSocket from here on.
    Upgraded(Upgrade),
    /// A stream of events is to be begun.
    Opened(Opened),
    /// The events since a cursor are to be answered, at once or later. Until then the connection
    /// must not be advanced.
    Polled(Polled),
    /// An object is to be served, and answered.
    Posted(Posted),
    /// The last answer was written.
    Finished,
}

impl Action {
    /// After an answer was written: sends FIN where the connection is not kept.
    pub fn answered(after: KeepAlive, outbox: &mut Outbox<'_>) -> Self {
        match after {
            KeepAlive::Yes => Self::Answered,
            KeepAlive::Close => {
                outbox.finish();
                Self::Finished
            }
        }
    }

    /// Refuses a request; the connection is kept where both the refusal and the request allow it.
    pub fn refused(
        refused: Refused,
        cors: &Cors,
        part: Part,
        head_after: KeepAlive,
        outbox: &mut Outbox<'_>,
    ) -> Self {
        let refusal = refused.refusal();
        let both = match (refusal.after(), head_after) {
            (KeepAlive::Yes, KeepAlive::Yes) => KeepAlive::Yes,
            _ => KeepAlive::Close,
        };
        outbox.write(|out| refused.write(out, cors, part, both));
        if both == KeepAlive::Close {
            outbox.finish();
        }
        Self::Refused(refusal, both)
    }
}

/// A WebSocket that was agreed on; the 101 is written.
#[derive(Debug)]
pub struct Upgrade {
    /// Where it was opened.
    pub route: Route,
    /// What was agreed on for compression.
    pub agreement: Option<Agreement>,
    /// What was agreed on to be spoken; the client may offer nothing.
    pub subprotocol: Option<Subprotocol>,
    /// What was asked for; empty on `/echo`, which asks for nothing.
    pub params: ConnectParams,
    /// Who opened it.
    pub identity: Identity,
}

/// `GET /sse` or `GET /stream`.
#[derive(Debug)]
pub struct Opened {
    /// Which of the two.
    pub route: Route,
    /// How the end of the response is told.
    pub framing: Framing,
    /// What was asked for.
    pub params: ConnectParams,
    /// Who asks.
    pub identity: Identity,
    /// What the head of the response says of who may read it.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}

impl Opened {
    /// How the stream is written.
    pub fn format(&self) -> StreamFormat {
        match (self.route, self.params.format) {
            (Route::Stream, Format::Lines) => StreamFormat::Lines,
            (Route::Stream, Format::Iframe) => {
                StreamFormat::Iframe(Box::new(self.params.receiver.clone().unwrap_or_default()))
            }
            _ => StreamFormat::Sse(self.params.names),
        }
    }

    /// Writes the head of the response.
    pub fn emit_head(&self, settings: &Settings, out: &mut Vec<u8>) {
        let format = self.format();
        let policy = match format {
            StreamFormat::Iframe(_) => iframe::policy(&settings.cors.allowed_origins.ancestors()),
            _ => String::new(),
        };
        let end = (self.framing, self.after);
        response::stream(out, format.content_type(), &policy, &self.cors, end);
    }
}

/// `GET /poll`.
#[derive(Debug)]
pub struct Polled {
    /// What was asked for.
    pub params: ConnectParams,
    /// Who asks.
    pub identity: Identity,
    /// What the response says of who may read it.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}

/// `POST /send`, with its body.
#[derive(Debug)]
pub struct Posted {
    /// Who sends it.
    pub identity: Identity,
    /// The body without its framing; it may be empty, or no JSON at all.
    pub body: Vec<u8>,
    /// What the response says of who may read it.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}
