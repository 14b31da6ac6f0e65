//! A valid request that waits until its client is identified; then it is performed or refused.
//!
//! Until then no byte of a response is written, not even a 100.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ringway_frame::{deflate::Agreement, handshake::server};
use ringway_http::{
    Framing, KeepAlive,
    body::{BodyReader, Expectation},
    head::Head,
};

use crate::{
    auth::{Act, Credentials, Identity, Secret, TokenPlace},
    config::{self, settings::Settings},
    edge::{
        action::{Action, Opened, Polled, Posted, Proxied, Relayed, Upgrade},
        connect_params::{AuthBy, ConnectParams},
        cors::Cors,
        response::{self, Part, Refused},
        routes::Route,
        site::{self, Site},
        token,
    },
    outbox::Outbox,
    refusal::{Refusal, VisitFault},
    subprotocol::Subprotocol,
    upstream::forwarded::Forwarded,
};

/// A request that awaits the identity of its client.
#[derive(Debug)]
pub struct Request {
    /// The parameters of the query.
    pub params: ConnectParams,
    /// The client's address, if a trusted proxy reports one.
    pub client_address: Option<IpAddr>,
    /// The client's token.
    token: Option<(Secret, TokenPlace)>,
    /// The CORS header lines of the answer.
    cors: Cors,
    part: Part,
    /// Whether the connection is kept open if the body is not read.
    after: KeepAlive,
    asked: Asked,
}

/// What the request asks for.
#[derive(Debug)]
pub enum Asked {
    /// A WebSocket.
    Upgrade {
        /// `/echo` or `/ws`.
        route: Route,
        /// The value of `Sec-WebSocket-Key`.
        key: [u8; 24],
        /// The negotiated compression.
        agreement: Option<Agreement>,
        /// The negotiated subprotocol.
        subprotocol: Option<Subprotocol>,
    },
    /// An endless response.
    Stream {
        /// `/sse` or `/stream`.
        route: Route,
        /// How its end is marked.
        framing: Framing,
    },
    /// The events since a cursor.
    Poll,
    /// A WebSocket that another server serves.
    Relay {
        /// The route that has the servers.
        route: Arc<config::Route>,
        /// The request for them.
        forwarded: Forwarded,
    },
    /// A request that another server answers.
    Proxy {
        /// The route that has the servers.
        route: Arc<config::Route>,
        /// The request for them.
        forwarded: Forwarded,
        /// The minor version that the client speaks.
        minor: u8,
        /// Whether the connection is kept open once the body was read.
        after: KeepAlive,
    },
    /// A command, in the body.
    Send {
        /// The reader of the body.
        body: BodyReader,
        /// Whether the client waits for a 100 before it sends the body.
        expectation: Expectation,
        /// Whether the connection is kept open once the body was read.
        after: KeepAlive,
    },
}

/// The outcome of a request whose client is known.
#[derive(Debug)]
pub enum Admitted {
    /// All of the request has been used.
    Now(Action),
    /// Its body follows.
    AfterBody(Posting, Expectation),
}

/// A request whose body is due.
#[derive(Debug)]
pub struct Posting {
    identity: Identity,
    cors: Cors,
    after: KeepAlive,
    /// The body so far.
    pub body: BodyReader,
}

impl Request {
    /// What the request with this head asks for.
    pub fn new(
        head: &Head<'_>,
        part: Part,
        mut params: ConnectParams,
        asked: Asked,
        settings: &Settings,
    ) -> Result<Self, Refusal> {
        // A page of another site must not act with the cookie of its visitor.
        let cookie = match site::of(head.fields) {
            Site::Own => &*settings.auth.cookie,
            Site::Origin(_) | Site::Unnamed => "",
        };
        let token =
            token::find(head.fields, params.token.take(), cookie).map_err(Refusal::Token)?;
        let cors = Cors::of(&settings.cors.allowed_origins, head.fields);
        let client_address = None;
        Ok(Self { params, client_address, token, cors, part, after: head.after(), asked })
    }

    /// The credentials in the request, and the name in its connection's certificate; `now` is the time
    /// of the wall clock.
    pub fn credentials<'r>(
        &'r self,
        certificate: Option<&'r str>,
        now: Duration,
    ) -> Credentials<'r> {
        let token = self.token.as_ref().map(|(token, place)| (token, *place));
        Credentials { client: self.params.client.as_deref(), token, certificate, now }
    }

    /// Whether the request makes its connection count as one of its client's.
    pub fn begins_session(&self) -> bool {
        self.part == Part::Whole
            && match self.asked {
                Asked::Upgrade { route, .. } => route == Route::Ws,
                Asked::Stream { .. } | Asked::Poll => true,
                Asked::Relay { .. } | Asked::Proxy { .. } | Asked::Send { .. } => false,
            }
    }

    /// Closes the connection after the answer.
    pub fn end_after(&mut self) {
        self.after = KeepAlive::Close;
        if let Asked::Send { after, .. } | Asked::Proxy { after, .. } = &mut self.asked {
            *after = KeepAlive::Close;
        }
    }

    /// Whether the client shows its token in the first message of its WebSocket.
    pub fn awaits_first_message(&self) -> bool {
        self.token.is_none()
            && self.params.auth == Some(AuthBy::Message)
            && matches!(self.asked, Asked::Upgrade { route: Route::Ws, .. })
    }

    /// Opens the WebSocket of a client that is not known yet.
    ///
    /// # Panics
    /// The request does not ask for a WebSocket.
    pub fn open(self, outbox: &mut Outbox<'_>) -> Unidentified {
        let Self { params, asked, .. } = self;
        let Asked::Upgrade { key, agreement, subprotocol, .. } = asked else {
            unreachable!("only a WebSocket has a first message");
        };
        let name = subprotocol.map(Subprotocol::name);
        outbox.write(|out| server::emit_response(out, &key, name, agreement.as_ref()));
        // The native subprotocol is the default for a client that offers none.
        Unidentified { agreement, subprotocol: subprotocol.unwrap_or_default(), params }
    }

    /// Refuses the request.
    pub fn refuse(&self, refusal: Refusal, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
        let refused = Refused::by(refusal, settings);
        Action::refused(refused, &self.cors, self.part, self.after, outbox)
    }

    /// Begins to perform the request for its client, within the client's grants.
    pub fn admit(
        mut self,
        identity: Identity,
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Admitted {
        if let Err(fault) = grant(&mut self.params, &identity, settings) {
            return Admitted::Now(self.refuse(Refusal::ConnectParams(fault), settings, outbox));
        }
        let Self { params, client_address, cors, part, after, asked, .. } = self;
        Admitted::Now(match asked {
            Asked::Upgrade { route, key, agreement, subprotocol } => {
                let name = subprotocol.map(Subprotocol::name);
                outbox.write(|out| server::emit_response(out, &key, name, agreement.as_ref()));
                Action::Upgraded(Upgrade { route, agreement, subprotocol, params, identity })
            }
            // RFC 9110 §9.3.2: the head of the response to a GET, at once and without a session.
            // The length of a poll's answer is not known without a session.
            Asked::Poll if part == Part::Head => {
                outbox.write(|out| response::json_without_body(out, &cors, after));
                Action::answered(after, outbox)
            }
            Asked::Relay { route, forwarded } => {
                Action::Relayed(Relayed { route, forwarded, client_address, identity, cors, after })
            }
            Asked::Proxy { route, forwarded, minor, after } => Action::Proxied(Proxied {
                route,
                forwarded,
                client_address,
                identity,
                cors,
                part,
                minor,
                after,
            }),
            Asked::Poll => Action::Polled(Polled { params, identity, cors, after }),
            Asked::Stream { route, framing } => {
                let opened = Opened { route, framing, params, identity, cors, after };
                if part == Part::Whole {
                    return Admitted::Now(Action::Opened(opened));
                }
                outbox.write(|out| opened.emit_head(settings, out));
                Action::answered(after, outbox)
            }
            Asked::Send { body, expectation, after } => {
                return Admitted::AfterBody(Posting { identity, cors, after, body }, expectation);
            }
        })
    }
}

/// A WebSocket whose client is not known yet; the 101 is written.
#[derive(Debug)]
pub struct Unidentified {
    /// The negotiated compression.
    pub agreement: Option<Agreement>,
    /// The negotiated subprotocol.
    pub subprotocol: Subprotocol,
    /// The parameters of the request.
    pub params: ConnectParams,
}

/// Adds the topics of a client's token to those that it asks for.
///
/// # Errors
/// It asks for a topic that it may not subscribe to.
pub fn grant(
    params: &mut ConnectParams,
    identity: &Identity,
    settings: &Settings,
) -> Result<(), VisitFault> {
    let granted = identity.grants.names(Act::Subscribe, &settings.clients);
    if !params.topics.iter().all(|topic| granted.allow(topic)) {
        return Err(match identity.grants.key(Act::Subscribe) {
            Some(_) => VisitFault::Forbidden,
            None => VisitFault::NotGranted,
        });
    }
    for topic in &identity.topics {
        if !params.topics.contains(topic) {
            params.topics.push(topic.clone());
        }
    }
    Ok(())
}

impl Posting {
    /// The request, once its body is complete.
    pub fn complete(self) -> Posted {
        let Self { identity, cors, after, body } = self;
        Posted { identity, body: body.into_bytes(), cors, after }
    }

    /// Closes the connection after the answer.
    pub fn end_after(&mut self) {
        self.after = KeepAlive::Close;
    }

    /// Refuses the request because of its body, whose end is no longer known.
    pub fn refuse(self, refusal: Refusal, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
        let refused = Refused::by(refusal, settings);
        Action::refused(refused, &self.cors, Part::Whole, KeepAlive::Close, outbox)
    }
}
