//! Handles a valid head: answers it here if no client is involved, or makes a [`Request`] that
//! waits for its client to be identified.
//!
//! It sees one request at a time, reads no body, and writes nothing for a client.

use std::sync::Arc;

use ringway_frame::handshake::{
    HandshakeError,
    server::{self, UpgradeRequest},
};
use ringway_http::{
    Framing,
    body::{self, BodyReader},
    head::{self, Head},
};

use crate::{
    config::{self, settings::Settings, upstream_url::Scheme},
    edge::{
        action::Action,
        admission::{Asked, Request},
        connect_params::{ConnectParams, Format},
        cors::Cors,
        files,
        response::{Part, Refused, Response},
        routes::{self, Route},
        site::{self, Site},
    },
    encoding::iframe::Receiver,
    outbox::Outbox,
    refusal::{Methods, Refusal, VisitFault},
    subprotocol::Subprotocol,
    upstream::{self, forwarded::Forwarded, heads},
};

/// Serves a valid head.
pub fn serve(head: &Head<'_>, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
    let part = if head.method == "HEAD" { Part::Head } else { Part::Whole };
    let refused = |refusal, outbox: &mut Outbox<'_>| {
        let cors = Cors::of(&settings.cors.allowed_origins, head.fields);
        Action::refused(Refused::by(refusal, settings), &cors, part, head.after(), outbox)
    };
    let own = routes::find(head.path);
    if let Some(route) = upstream::routes::find(&settings.routes, head.path, head.host())
        && (own.is_none() || route.path == head.path)
    {
        let is_for_http = route.upstream.iter().all(|url| url.scheme == Scheme::Http);
        let is_websocket = head::elements(head.fields, "Upgrade")
            .any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        if is_for_http && heads::is_last_hop(head) {
            return options(head, settings, outbox);
        }
        let request = match is_for_http && !is_websocket {
            true => proxy(route, head, part, settings),
            false => relay(route, head, settings),
        };
        return match request {
            Ok(request) => Action::Requested(request),
            Err(refusal) => refused(refusal, outbox),
        };
    }
    match own {
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
        Some(route @ (Route::Echo | Route::Ws)) => match upgrade(route, head, settings) {
            Ok(request) => Action::Requested(request),
            Err(refusal) => refused(refusal, outbox),
        },
        Some(route @ (Route::Sse | Route::Poll | Route::Stream | Route::Send)) => {
            if head.method == "OPTIONS" {
                return preflight(route, head, settings, outbox);
            }
            match shared(route, head, part, settings) {
                Ok(request) => Action::Requested(request),
                Err(refusal) => refused(refusal, outbox),
            }
        }
    }
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

/// Whether the request may open a WebSocket, for a page of its origin.
fn examine<'h>(head: &'h Head<'_>, settings: &Settings) -> Result<UpgradeRequest<'h>, Refusal> {
    // RFC 9110 §9.3.2: if a GET would be refused, HEAD gets the same refusal.
    let method = if head.method == "HEAD" { "GET" } else { head.method };
    let request = server::examine(method, head.minor, head.fields).map_err(Refusal::Handshake)?;
    if head.method == "HEAD" {
        return Err(Refusal::Handshake(HandshakeError::Method));
    }
    // RFC 6455 §10.2: browsers let every page open a WebSocket, and the server must check the
    // origin.
    if !site::admits(&settings.cors.allowed_origins, head.fields) {
        return Err(Refusal::ForeignOrigin);
    }
    Ok(request)
}

/// A WebSocket that another server serves.
fn relay(
    route: &Arc<config::Route>,
    head: &Head<'_>,
    settings: &Settings,
) -> Result<Request, Refusal> {
    examine(head, settings)?;
    let token = ConnectParams::token(head.query);
    let params = ConnectParams { token, ..ConnectParams::default() };
    let asked = Asked::Relay { route: Arc::clone(route), forwarded: Forwarded::of(head, route)? };
    Request::new(head, Part::Whole, params, asked, settings)
}

/// A request that another server answers.
fn proxy(
    route: &Arc<config::Route>,
    head: &Head<'_>,
    part: Part,
    settings: &Settings,
) -> Result<Request, Refusal> {
    // RFC 9110 §9.3.8: its answer would show what proxies have added.
    if head.method == "TRACE" {
        return Err(Refusal::Method(Methods::Proxied));
    }
    let forwarded = Forwarded::of(head, route)?;
    let token = ConnectParams::token(head.query);
    let params = ConnectParams { token, ..ConnectParams::default() };
    let (minor, after) = (head.minor, head.wish);
    let asked = Asked::Proxy { route: Arc::clone(route), forwarded, minor, after };
    Request::new(head, part, params, asked, settings)
}

/// RFC 9110 §7.6.2: a request that may be passed on no more times is answered here.
fn options(head: &Head<'_>, settings: &Settings, outbox: &mut Outbox<'_>) -> Action {
    let cors = &Cors::of(&settings.cors.allowed_origins, head.fields);
    let (fields, after) = (Methods::Proxied.allow(), head.after());
    let response = Response { status: 204, content_type: "", fields, cors, after };
    outbox.write(|out| response.write_bodiless(out));
    Action::answered(after, outbox)
}

fn upgrade(route: Route, head: &Head<'_>, settings: &Settings) -> Result<Request, Refusal> {
    let request = examine(head, settings)?;
    let (params, subprotocol) = match route {
        Route::Ws => {
            let params = read_params(head, settings)?;
            if params.auth.is_some() && !settings.auth.first_message {
                return Err(Refusal::ConnectParams(VisitFault::Auth));
            }
            (params, Subprotocol::choose(request.subprotocols()))
        }
        _ => {
            let token = ConnectParams::token(head.query);
            (ConnectParams { token, ..ConnectParams::default() }, None)
        }
    };
    let agreement =
        settings.deflate_policy().and_then(|policy| policy.agree(request.extensions().iter()));
    let key = request.key.try_into().map_err(|_| Refusal::Handshake(HandshakeError::Key))?;
    let asked = Asked::Upgrade { route, key, agreement, subprotocol };
    Request::new(head, Part::Whole, params, asked, settings)
}

/// Reads the query. A frame passes objects only to a page of an allowed origin.
fn read_params(head: &Head<'_>, settings: &Settings) -> Result<ConnectParams, Refusal> {
    let params = ConnectParams::parse(head.query, settings.clients.subscriptions_max)
        .map_err(Refusal::ConnectParams)?;
    match &params.receiver {
        Some(Receiver::Origin(origin)) if !settings.cors.allowed_origins.list(origin) => {
            Err(Refusal::ConnectParams(VisitFault::ForeignOrigin))
        }
        _ => Ok(params),
    }
}

/// The routes that pages of other origins may be allowed to use.
fn shared(
    route: Route,
    head: &Head<'_>,
    part: Part,
    settings: &Settings,
) -> Result<Request, Refusal> {
    let (method, methods) = methods(route);
    match head.method {
        "HEAD" if method == "GET" => {}
        given if given != method => return Err(Refusal::Method(methods)),
        _ => {}
    }
    let mut params = read_params(head, settings)?;
    if params.auth.is_some() {
        return Err(Refusal::ConnectParams(VisitFault::Auth));
    }
    // A frame is requested without an Origin. The response's head says which pages may embed it,
    // and it passes objects only to a page of an allowed origin.
    let is_for_allowed = route == Route::Stream
        && params.format == Format::Iframe
        && matches!(params.receiver, Some(Receiver::Origin(_)))
        && site::of(head.fields) == Site::Unnamed;
    if !is_for_allowed && !site::admits(&settings.cors.allowed_origins, head.fields) {
        return Err(Refusal::ForeignOrigin);
    }
    let asked = match route {
        Route::Send => {
            body::check_media_type(head)?;
            let body = BodyReader::new(head, settings.websocket.message_bytes_max)?;
            // Once the body is read, the end of the request is known.
            Asked::Send { body, expectation: body::expectation(head)?, after: head.wish }
        }
        Route::Poll => Asked::Poll,
        _ => {
            params.resume(head.fields).map_err(Refusal::ConnectParams)?;
            let framing = match head.minor {
                0 => Framing::UntilClose,
                _ => Framing::Chunked,
            };
            Asked::Stream { route, framing }
        }
    };
    Request::new(head, part, params, asked, settings)
}

/// The method of a route that pages of other origins may use, and all methods of the route.
fn methods(route: Route) -> (&'static str, Methods) {
    match route {
        Route::Send => ("POST", Methods::Send),
        _ => ("GET", Methods::Events),
    }
}

/// Fetch §3.3.5: whether the page may send its request. RFC 9110 §9.3.7: without a page, which
/// methods are allowed.
fn preflight(
    route: Route,
    head: &Head<'_>,
    settings: &Settings,
    outbox: &mut Outbox<'_>,
) -> Action {
    let (method, methods) = methods(route);
    let cors = &Cors::of(&settings.cors.allowed_origins, head.fields);
    let after = head.after();
    let fields = format!("{}{}", methods.allow(), cors.preflight(method, head.fields));
    let response = Response { status: 204, content_type: "", fields: &fields, cors, after };
    outbox.write(|out| response.write_bodiless(out));
    Action::answered(after, outbox)
}
