//! The result of an HTTP connection's input, for the connection that owns it.
//!
//! The connection identifies the client of `Requested`, and answers `Opened`, `Polled` and
//! `Posted`; everything else has been answered already.

use std::{net::IpAddr, sync::Arc};

use ringway_frame::deflate::Agreement;

use crate::{
    auth::Identity,
    config::{Route, settings::Settings},
    edge::{
        admission::Request,
        connect_params::{ConnectParams, Format},
        cors::Cors,
        response::{self, Part, Refused},
        routes,
    },
    encoding::iframe,
    outbox::Outbox,
    refusal::Refusal,
    subprotocol::Subprotocol,
    transport::stream::StreamFormat,
    upstream::forwarded::Forwarded,
};

use ringway_http::{Framing, KeepAlive};

/// The result of the input.
#[derive(Debug)]
pub enum Action {
    /// All input was used, and more is needed.
    More,
    /// A request was answered, and the next may follow.
    Answered,
    /// A request was refused, and the refusal was written; another request may follow if the
    /// connection is kept.
    Refused(Refusal, KeepAlive),
    /// A request can be answered once its client is identified. Until then the connection must not
    /// be advanced.
    Requested(Request),
    /// The connection speaks WebSocket from here on.
    Upgraded(Upgrade),
    /// A stream of events must be begun.
    Opened(Opened),
    /// The events since a cursor must be sent, at once or later. Until then the connection must not
    /// be advanced.
    Polled(Polled),
    /// A command must be performed and answered.
    Posted(Posted),
    /// Another server serves the WebSocket: it must be asked. Until then the connection must not be
    /// advanced.
    Relayed(Relayed),
    /// Another server answers the request, whose body may follow: it must be asked.
    Proxied(Proxied),
    /// The last answer was written.
    Finished,
    /// The client speaks TLS on a plain listener. The refusal was written, which shows the mistake
    /// to an operator who looks at the bytes; the connection ends.
    Tls(Refusal),
}

impl Action {
    /// Called after an answer was written: sends FIN if the connection is not kept.
    pub fn answered(after: KeepAlive, outbox: &mut Outbox<'_>) -> Self {
        match after {
            KeepAlive::Yes => Self::Answered,
            KeepAlive::Close => {
                outbox.finish();
                Self::Finished
            }
        }
    }

    /// Refuses a request; the connection is kept if both the refusal and the request allow it.
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

/// A WebSocket that was opened; the 101 is written.
#[derive(Debug)]
pub struct Upgrade {
    /// The route on which it was opened.
    pub route: routes::Route,
    /// The negotiated compression.
    pub agreement: Option<Agreement>,
    /// The negotiated subprotocol; `None` if the client offered none that is known.
    pub subprotocol: Option<Subprotocol>,
    /// The parameters of the request; empty on `/echo`, which has none.
    pub params: ConnectParams,
    /// The client.
    pub identity: Identity,
}

/// A WebSocket that another server serves.
#[derive(Debug)]
pub struct Relayed {
    /// The route that has the servers.
    pub route: Arc<Route>,
    /// The request for them.
    pub forwarded: Forwarded,
    /// The client's address, if a trusted proxy reports one.
    pub client_address: Option<IpAddr>,
    /// The client.
    pub identity: Identity,
    /// The CORS header lines of a refusal.
    pub cors: Cors,
    /// Whether the connection is kept open after a refusal.
    pub after: KeepAlive,
}

/// A request that another server answers.
#[derive(Debug)]
pub struct Proxied {
    /// The route that has the servers.
    pub route: Arc<Route>,
    /// The request for them.
    pub forwarded: Forwarded,
    /// The client's address, if a trusted proxy reports one.
    pub client_address: Option<IpAddr>,
    /// The client.
    pub identity: Identity,
    /// The CORS header lines of a refusal.
    pub cors: Cors,
    /// Whether the response has a body.
    pub part: Part,
    /// The minor version that the client speaks.
    pub minor: u8,
    /// Whether the connection is kept open once the body was read and the response written.
    pub after: KeepAlive,
}

/// `GET /sse` or `GET /stream`.
#[derive(Debug)]
pub struct Opened {
    /// The route, one of the two.
    pub route: routes::Route,
    /// How the end of the response is marked.
    pub framing: Framing,
    /// The parameters of the request.
    pub params: ConnectParams,
    /// The client.
    pub identity: Identity,
    /// The CORS header lines of the response.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}

impl Opened {
    /// The format of the stream.
    pub fn format(&self) -> StreamFormat {
        match (self.route, self.params.format) {
            (routes::Route::Stream, Format::Lines) => StreamFormat::Lines,
            (routes::Route::Stream, Format::Iframe) => {
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
    /// The parameters of the request.
    pub params: ConnectParams,
    /// The client.
    pub identity: Identity,
    /// The CORS header lines of the response.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}

/// `POST /send`, with its body.
#[derive(Debug)]
pub struct Posted {
    /// The client.
    pub identity: Identity,
    /// The body without its framing; it may be empty or invalid JSON.
    pub body: Vec<u8>,
    /// The CORS header lines of the response.
    pub cors: Cors,
    /// Whether the connection is kept open after the response.
    pub after: KeepAlive,
}
