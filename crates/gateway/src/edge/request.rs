//! What a sound head asks for: answered here, or left to the peer as `Action`.
//!
//! It sees one request at a time, and reads no body.

use ringway_frame::handshake::{HandshakeError, server};
use ringway_http::{
    Framing, KeepAlive,
    body::{self, BodyReader, Expectation},
    head::Head,
};

use crate::{
    config::settings::Settings,
    edge::{
        action::{Action, Opened, Polled, Posted, Upgrade},
        connect_params::{ConnectParams, Format},
        cors::Cors,
        files,
        response::{self, Part, Refused, Response},
        routes::{self, Route},
        site::{self, Site},
    },
    encoding::iframe::Receiver,
    outbox::Outbox,
    refusal::{Methods, Refusal, VisitFault},
    subprotocol::Subprotocol,
};

/// What comes of a head.
#[derive(Debug)]
pub enum Served {
    /// All of the request has been used.
    Now(Action),
    /// Its body follows.
    AfterBody(Posting, Expectation),
}

/// A request whose body is due.
#[derive(Debug)]
pub struct Posting {
    params: ConnectParams,
    cors: Cors,
    after: KeepAlive,
    /// The body so far.
    pub body: BodyReader,
}

impl Posting {
    /// The request, now that its body is whole.
    pub fn complete(self) -> Posted {
        let Self { params, cors, after, body } = self;
        Posted { params, body: body.into_bytes(), cors, after }
    }

    /// The connection is closed after the answer.
    pub fn end_after(&mut self) {
        self.after = KeepAlive::Close;
    }

    /// Says what is wrong with the body; where it ends is not known any more.
    pub fn refuse(self, refusal: Refusal, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
        let refused = Refused::by(refusal, settings);
        refuse(refused, &self.cors, Part::Whole, KeepAlive::Close, outbox)
    }
}

/// Serves a sound head.
pub fn serve(head: &Head<'_>, settings: &Settings, outbox: &mut Outbox<'_>) -> Served {
    let part = if head.method == "HEAD" { Part::Head } else { Part::Whole };
    let refused = |refusal, outbox: &mut Outbox<'_>| {
        let cors = Cors::of(&settings.cors.allowed_origins, head.fields);
        refuse(Refused::by(refusal, settings), &cors, part, head.after(), outbox)
    };
    Served::Now(match routes::find(head.path) {
        None => refused(Refusal::NotFound, outbox),
        Some(
            route @ (Route::Home
            | Route::HomeScript
            | Route::HomeStyle
            | Route::Script
            | Route::Types),
        ) => match head.method {
            "GET" | "HEAD" => file(route, head, part, outbox),
            _ => refused(Refusal::Method(Methods::Page), outbox),
        },
        Some(route @ (Route::Echo | Route::Ws)) => match upgrade(route, head, settings, outbox) {
            Ok(upgrade) => Action::Upgraded(upgrade),
            Err(refusal) => refused(refusal, outbox),
        },
        Some(route @ (Route::Sse | Route::Poll | Route::Stream | Route::Send)) => {
            let cors = Cors::of(&settings.cors.allowed_origins, head.fields);
            match params(route, head, &cors, settings, outbox) {
                Ok(served) => return served,
                Err(refusal) => {
                    let refused = Refused::by(refusal, settings);
                    refuse(refused, &cors, part, head.after(), outbox)
                }
            }
        }
    })
}

fn file(route: Route, head: &Head<'_>, part: Part, outbox: &mut Outbox<'_>) -> Action {
    let file = match route {
        Route::HomeScript => &files::HOME_SCRIPT,
        Route::HomeStyle => &files::HOME_STYLE,
        Route::Script => &files::SCRIPT,
        Route::Types => &files::TYPES,
        _ => &files::HOME,
    };
    outbox.write(|out| file.write(out, head.fields, part, head.after()));
    Action::answered(head.after(), outbox)
}

fn upgrade(
    route: Route,
    head: &Head<'_>,
    settings: &Settings,
    outbox: &mut Outbox<'_>,
) -> Result<Upgrade, Refusal> {
    // RFC 9110 §9.3.2: where a GET would be refused, HEAD is told the same.
    let method = if head.method == "HEAD" { "GET" } else { head.method };
    let request = server::examine(method, head.minor, head.fields).map_err(Refusal::Handshake)?;
    if head.method == "HEAD" {
        return Err(Refusal::Handshake(HandshakeError::Method));
    }
    // RFC 6455 §10.2: browsers let every page open one, and leave the judgement to the server.
    if !site::admits(&settings.cors.allowed_origins, head.fields) {
        return Err(Refusal::ForeignOrigin);
    }
    let (params, subprotocol) = match route {
        Route::Ws => (read_visit(head, settings)?, Subprotocol::choose(request.subprotocols())),
        _ => (ConnectParams::default(), None),
    };
    let agreement =
        settings.deflate_policy().and_then(|policy| policy.agree(request.extensions().iter()));
    let name = subprotocol.map(Subprotocol::name);
    outbox.write(|out| server::emit_response(out, request.key, name, agreement.as_ref()));
    Ok(Upgrade { route, agreement, subprotocol, params })
}

/// Who comes, for topics that clients may subscribe to.
fn read_visit(head: &Head<'_>, settings: &Settings) -> Result<ConnectParams, Refusal> {
    let params = ConnectParams::parse(head.query, settings.clients.subscriptions_max)
        .map_err(Refusal::ConnectParams)?;
    if let Some(Receiver::Origin(origin)) = &params.receiver
        && !settings.cors.allowed_origins.list(origin)
    {
        return Err(Refusal::ConnectParams(VisitFault::ForeignOrigin));
    }
    match params.topics.iter().all(|topic| settings.clients.may_subscribe.allow(topic)) {
        true => Ok(params),
        false => Err(Refusal::ConnectParams(VisitFault::Forbidden)),
    }
}

/// The routes that pages of other origins may be allowed to use.
fn params(
    route: Route,
    head: &Head<'_>,
    cors: &Cors,
    settings: &Settings,
    outbox: &mut Outbox<'_>,
) -> Result<Served, Refusal> {
    let (method, methods) = match route {
        Route::Send => ("POST", Methods::Send),
        _ => ("GET", Methods::Events),
    };
    match head.method {
        "OPTIONS" => return Ok(Served::Now(preflight(method, methods, head, cors, outbox))),
        "HEAD" if method == "GET" => {}
        given if given != method => return Err(Refusal::Method(methods)),
        _ => {}
    }
    let mut params = read_visit(head, settings)?;
    // A frame is asked for without an Origin. Who may embed it, its head says; and only a page of
    // an allowed origin is handed anything.
    let is_for_allowed = route == Route::Stream
        && params.format == Format::Iframe
        && matches!(params.receiver, Some(Receiver::Origin(_)))
        && site::of(head.fields) == Site::Unnamed;
    if !is_for_allowed && !site::admits(&settings.cors.allowed_origins, head.fields) {
        return Err(Refusal::ForeignOrigin);
    }
    let (cors, after) = (cors.clone(), head.after());
    Ok(match route {
        Route::Send => {
            body::check_media_type(head)?;
            let body = BodyReader::new(head, settings.websocket.message_bytes_max)?;
            let expectation = body::expectation(head)?;
            // The end of the request will be known.
            let after = head.wish;
            Served::AfterBody(Posting { params, cors, after, body }, expectation)
        }
        Route::Poll if head.method == "GET" => {
            Served::Now(Action::Polled(Polled { params, cors, after }))
        }
        _ => {
            if route != Route::Poll {
                params.resume(head.fields).map_err(Refusal::ConnectParams)?;
            }
            let framing = match head.minor {
                0 => Framing::UntilClose,
                _ => Framing::Chunked,
            };
            let opened = Opened { route, framing, params, cors, after };
            Served::Now(match head.method {
                "HEAD" => describe(opened, settings, outbox),
                _ => Action::Opened(opened),
            })
        }
    })
}

/// RFC 9110 §9.3.2: the head of what a GET would be answered with, at once and without a session.
/// The length of a poll's answer is not known before there is one.
fn describe(opened: Opened, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
    let after = opened.after;
    outbox.write(|out| match opened.route {
        Route::Poll => response::json_without_body(out, &opened.cors, after),
        _ => opened.emit_head(settings, out),
    });
    Action::answered(after, outbox)
}

/// Fetch §3.3.5: whether the page may send what it means to. RFC 9110 §9.3.7: or what may be
/// sent at all.
fn preflight(
    method: &str,
    methods: Methods,
    head: &Head<'_>,
    cors: &Cors,
    outbox: &mut Outbox<'_>,
) -> Action {
    let after = head.after();
    let fields = format!("{}{}", methods.allow(), cors.preflight(method, head.fields));
    let response = Response { status: 204, content_type: "", fields: &fields, cors, after };
    outbox.write(|out| response.write_bodiless(out));
    Action::answered(after, outbox)
}

/// Refuses; the connection is kept where both the refusal and the request allow it.
pub fn refuse(
    refused: Refused,
    cors: &Cors,
    part: Part,
    head_after: KeepAlive,
    outbox: &mut Outbox<'_>,
) -> Action {
    let refusal = refused.refusal();
    let both = match (refusal.after(), head_after) {
        (KeepAlive::Yes, KeepAlive::Yes) => KeepAlive::Yes,
        _ => KeepAlive::Close,
    };
    outbox.write(|out| refused.write(out, cors, part, both));
    if both == KeepAlive::Close {
        outbox.finish();
    }
    Action::Refused(refusal, both)
}
