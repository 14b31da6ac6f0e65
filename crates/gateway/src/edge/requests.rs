//! A connection while it speaks HTTP: assembles heads and bodies, and serves one request after the
//! other.
//!
//! An idle connection keeps no buffer. It never reads beyond the head that upgraded it.

use std::mem::MaybeUninit;

use ringway_http::{
    HttpError, KeepAlive,
    body::Expectation,
    chunk::Reading,
    head::{self, FIELDS_MAX},
    head_reader::HeadReader,
};

use crate::{
    auth::Identity,
    config::settings::Settings,
    edge::{
        action::Action,
        admission::{Admitted, Posting, Request},
        cors::Cors,
        forwarded,
        limiter::Origin,
        request,
        response::{Part, Refused},
    },
    limits::PIPELINED_BYTES_MAX,
    outbox::Outbox,
    refusal::Refusal,
};

/// The first byte of TLS: a record of its handshake (RFC 8446 §5.1). No request begins with it.
const TLS: u8 = 22;

/// An HTTP/1.1 connection.
#[derive(Debug, Default)]
pub struct HttpConnection {
    head: HeadReader,
    /// The request whose body is not complete.
    posting: Option<Box<Posting>>,
}

/// The input after the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterHead {
    /// Nothing yet.
    Nothing,
    /// A part of its body, or of the next request.
    Bytes,
}

impl AfterHead {
    /// The value for these bytes.
    pub fn of(rest: &[u8]) -> Self {
        if rest.is_empty() { Self::Nothing } else { Self::Bytes }
    }
}

impl HttpConnection {
    /// Whether no byte of a request has arrived: it is between two requests.
    pub fn is_between_requests(&self) -> bool {
        self.head.is_before() && self.posting.is_none()
    }

    /// Takes one request, or a part of it, from the front of `input`.
    pub fn advance(
        &mut self,
        input: &mut &mut [u8],
        origin: Origin,
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Action {
        if let Some(posting) = self.posting.take() {
            return self.read_body(posting, input, settings, outbox);
        }
        if self.head.count() == 0 && self.is_between_requests() && input.first() == Some(&TLS) {
            *input = &mut [];
            let refusal = Refusal::from(HttpError::Malformed);
            refuse(refusal, settings, outbox);
            return Action::Tls(refusal);
        }
        let bytes = match self.head.read(input, &settings.head()) {
            Err(error) => return refuse(error.into(), settings, outbox),
            Ok(None) => return Action::More,
            Ok(Some(bytes)) => bytes,
        };
        let may_follow = self.head.count() < settings.limits.requests_per_connection_max
            && outbox.bytes_of_turn() < PIPELINED_BYTES_MAX;
        let last = match may_follow {
            true => KeepAlive::Yes,
            false => KeepAlive::Close,
        };
        serve(&bytes, last, origin, settings, outbox)
    }

    /// Begins to serve the request that was taken last, now that its client is known.
    pub fn admit(
        &mut self,
        request: Request,
        identity: Identity,
        after_head: AfterHead,
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Action {
        match request.admit(identity, settings, outbox) {
            Admitted::Now(action) => action,
            Admitted::AfterBody(posting, expectation) => {
                // RFC 9110 §10.1.1: a 100 may be omitted once a part of the body has arrived.
                if expectation == Expectation::Continue && after_head == AfterHead::Nothing {
                    outbox.write(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                // An empty body is already complete; any other is read with the next advance.
                self.read_body(Box::new(posting), &mut &mut [][..], settings, outbox)
            }
        }
    }

    /// Makes the request that has begun the last one.
    pub fn end_after_request(&mut self) {
        self.head.end_count();
        if let Some(posting) = &mut self.posting {
            posting.end_after();
        }
    }

    /// Takes the part of a body that has arrived.
    fn read_body(
        &mut self,
        mut posting: Box<Posting>,
        input: &mut &mut [u8],
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Action {
        let mut unread = &**input;
        let reading = posting.body.read(&mut unread);
        let taken = input.len() - unread.len();
        *input = &mut std::mem::take(input)[taken..];
        match reading {
            Ok(Reading::Whole) => Action::Posted(posting.complete()),
            Ok(Reading::More) => {
                self.posting = Some(posting);
                Action::More
            }
            Err(error) => posting.refuse(error.into(), settings, outbox),
        }
    }

    /// Refuses an incomplete request without waiting for the rest.
    pub fn give_up(&mut self, refusal: Refusal, settings: &Settings, outbox: &mut Outbox<'_>) {
        match self.posting.take() {
            Some(posting) => posting.refuse(refusal, settings, outbox),
            None => refuse(refusal, settings, outbox),
        };
    }

    /// Bytes kept of an incomplete request.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        let posting = self.posting.as_ref().map_or(0, |posting| posting.body.held_bytes());
        self.head.held_bytes() + posting
    }
}

/// Serves a complete head; the connection may be kept as far as `most` allows.
fn serve(
    bytes: &[u8],
    most: KeepAlive,
    origin: Origin,
    settings: &Settings,
    outbox: &mut Outbox<'_>,
) -> Action {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut head = match head::parse(bytes, &mut fields, &settings.head()) {
        Ok(head) => head,
        Err(error) => return refuse(error.into(), settings, outbox),
    };
    if most == KeepAlive::Close {
        head.wish = KeepAlive::Close;
    }
    let mut action = request::serve(&head, settings, outbox);
    if let (Action::Requested(request), Origin::Proxy) = (&mut action, origin) {
        let server = &settings.server;
        let (header, trusted) = (server.forwarded_header, &server.trusted_proxies);
        request.client_address = forwarded::client(head.fields, header, trusted);
    }
    action
}

/// Refuses input that is not a request; nothing after it can be trusted.
fn refuse(refusal: Refusal, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
    let refused = Refused::by(refusal, settings);
    Action::refused(
        refused,
        &Cors::unread(&settings.cors.allowed_origins),
        Part::Whole,
        KeepAlive::Close,
        outbox,
    )
}
