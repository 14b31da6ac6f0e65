//! One connection of the private listener: requests one after the other, each with a time limit.
//!
//! A head is read and checked as on the edge. The body is passed on while the router answers, so
//! that events of a long body are answered while more arrive.

use std::{mem::MaybeUninit, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri, Version},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{oneshot, watch},
    time::{Instant, timeout, timeout_at},
};
use tower::ServiceExt;
use tracing::debug;

use crate::{
    auth::AccessFault,
    config::settings::Settings,
    control::api::server::{
        Phase, Shared,
        input::Input,
        request_body::{self, BodyEnd, Feed},
        response::{self, Asked},
        stream::{Peer, Reader, Stream, Writer},
    },
    edge::{
        cors::Cors,
        response::Part,
        site::{self, Site},
    },
    limits::{API_DISCARDED_BYTES_MAX, API_LAST_REQUEST_WAIT},
    refusal::Refusal,
};

use ringway_http::{
    HttpError, KeepAlive,
    body::{self, Expectation},
    head::{self, FIELDS_MAX, Head},
    head_reader::HeadReader,
};

/// A client of the private API.
pub struct Connection {
    stream: Stream,
    peer: Peer,
    shared: Arc<Shared>,
}

/// Why there is no request head.
enum NoHead {
    /// The request is invalid; the client is told why.
    Refused(Refusal),
    /// The connection has ended, or is no longer needed; the reason for the log.
    Ended(&'static str),
}

/// A request without its body.
struct Exchange {
    request: Request<Body>,
    feed: Feed,
    /// Signalled when the router first reads the body, if the client waits for that.
    wanted: Option<oneshot::Receiver<()>>,
    asked: Asked,
}

impl Connection {
    /// A newly accepted connection.
    pub fn new(stream: Stream, peer: Peer, shared: Arc<Shared>) -> Self {
        Self { stream, peer, shared }
    }

    /// Serves requests until the connection ends.
    pub async fn serve(mut self) {
        let (reader, mut writer) = self.stream.split();
        let (mut input, mut heads) = (Input::new(reader), HeadReader::default());
        let end = loop {
            let bytes = match self.shared.head(&mut input, &mut heads).await {
                Ok(bytes) => bytes,
                Err(NoHead::Ended(reason)) => break End::now(reason),
                Err(NoHead::Refused(refusal)) => {
                    break self.shared.refuse(refusal, self.peer, &mut writer).await;
                }
            };
            let is_last = heads.count() >= self.shared.settings.limits.requests_per_connection_max;
            let exchange = match self.shared.exchange(&bytes, is_last) {
                Ok(exchange) => exchange,
                Err(refusal) => {
                    break self.shared.refuse(refusal, self.peer, &mut writer).await;
                }
            };
            drop(bytes);
            match self.shared.answer(exchange, self.peer, &mut input, &mut writer).await {
                Some(KeepAlive::Yes) => {}
                Some(KeepAlive::Close) => break End::after_answer("answered"),
                None => break End::now("connection_lost"),
            }
        };
        let certificate = self.stream.peer_name();
        if end.last_answer == LastAnswer::Sent {
            let ticket = self.shared.waiting.enter(Phase::End);
            tokio::select! {
                () = linger(self.stream, self.shared.settings.websocket.close_timeout) => {}
                () = ticket.evicted() => {}
            }
        }
        debug!(
            address = %self.peer,
            reason = end.reason,
            certificate,
            "an application's connection has ended"
        );
    }
}

/// How a connection ends.
struct End {
    reason: &'static str,
    last_answer: LastAnswer,
}

/// Whether the client still has to read the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastAnswer {
    Sent,
    None,
}

impl End {
    fn now(reason: &'static str) -> Self {
        Self { reason, last_answer: LastAnswer::None }
    }

    fn after_answer(reason: &'static str) -> Self {
        Self { reason, last_answer: LastAnswer::Sent }
    }
}

impl Shared {
    /// The next request head.
    async fn head(&self, input: &mut Input<'_>, heads: &mut HeadReader) -> Result<Vec<u8>, NoHead> {
        let ticket = self.waiting.enter(Phase::Head);
        let mut stop: watch::Receiver<bool> = self.stop.clone();
        let settings = &self.settings;
        // The time limit of the first request starts with the connection.
        let mut is_due = heads.count() == 0;
        let mut deadline = Instant::now()
            + if is_due {
                settings.limits.handshake_timeout
            } else {
                settings.limits.keep_alive_timeout
            };
        let mut is_ending = false;
        loop {
            let filled = tokio::select! {
                filled = timeout_at(deadline, input.fill()) => filled,
                () = ticket.evicted() => return Err(NoHead::Ended("room_for_another")),
                _ = stop.wait_for(|stop| *stop), if !is_ending && heads.is_before() => {
                    is_ending = true;
                    deadline = deadline.min(Instant::now() + API_LAST_REQUEST_WAIT);
                    continue;
                }
            };
            match filled {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Ended("client_ended")),
                Err(_) if is_ending && heads.is_before() => {
                    return Err(NoHead::Ended("going_away"));
                }
                Err(_) if is_due => return Err(NoHead::Refused(Refusal::Timeout)),
                Err(_) => return Err(NoHead::Ended("idle")),
            }
            let mut unread = input.unread();
            let head = heads
                .read(&mut unread, &settings.head())
                .map_err(|error| NoHead::Refused(error.into()))?;
            let head = head.map(std::borrow::Cow::into_owned);
            let left = unread.len();
            input.keep_last(left);
            if let Some(head) = head {
                return Ok(head);
            }
            if !is_due && !heads.is_before() {
                is_due = true;
                deadline = Instant::now() + settings.limits.handshake_timeout;
            }
        }
    }

    /// Answers an invalid request; the input after it cannot be trusted.
    async fn refuse(&self, refusal: Refusal, peer: Peer, writer: &mut Writer<'_>) -> End {
        self.log_refusal(refusal, peer);
        let mut out = Vec::new();
        let refused = super::refused(refusal, &self.settings);
        refused.write(&mut out, &Cors::Silent, Part::Whole, KeepAlive::Close);
        match response::write_all(writer, &out).await {
            Ok(()) => End::after_answer("refused"),
            Err(_) => End::now("connection_lost"),
        }
    }

    /// Parses a whole head into a request.
    fn exchange(&self, bytes: &[u8], is_last: bool) -> Result<Exchange, Refusal> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let head = head::parse(bytes, &mut fields, &self.settings.head())?;
        if !self.settings.server.api_allowed_hosts.allow(head.fields) {
            return Err(Refusal::ForeignHost);
        }
        // A browser sends a page's POST even if the page may not read the answer. A link to the
        // dashboard is a GET without an origin.
        match site::of(head.fields) {
            Site::Own => {}
            Site::Unnamed if matches!(head.method, "GET" | "HEAD") => {}
            Site::Unnamed | Site::Origin(_) => return Err(Refusal::ForeignOrigin),
        }
        let (feed, body, wanted) = request_body::of(&head)?;
        let wanted = match body::expectation(&head)? {
            Expectation::Continue => Some(wanted),
            Expectation::Nothing => None,
        };
        let request = request(&head, Body::new(body))?;
        let after = if is_last { KeepAlive::Close } else { head.wish };
        let asked = Asked { method: request.method().clone(), minor: head.minor, after };
        Ok(Exchange { request, feed, wanted, asked })
    }

    /// Answers a request while its body arrives; `None` if the connection cannot be used again.
    async fn answer(
        &self,
        exchange: Exchange,
        peer: Peer,
        input: &mut Input<'_>,
        writer: &mut Writer<'_>,
    ) -> Option<KeepAlive> {
        let Exchange { request, feed, wanted, asked } = exchange;
        let mut feeding = pin!(feed.run(input, &self.waiting));
        let mut responding = pin!(self.respond(request, peer, wanted, asked, writer));
        let mut fed = None;
        let responded = loop {
            tokio::select! {
                end = &mut feeding, if fed.is_none() => fed = Some(end),
                responded = &mut responding => break responded,
            }
        };
        let after = responded.ok()?;
        // The unread rest of a refused body is read for a while (`body::discard`).
        let end = match fed {
            Some(end) => end,
            None if after == KeepAlive::Close => BodyEnd::Unfinished,
            None => feeding.await,
        };
        Some(if end == BodyEnd::Whole { after } else { KeepAlive::Close })
    }

    async fn respond(
        &self,
        request: Request<Body>,
        peer: Peer,
        wanted: Option<oneshot::Receiver<()>>,
        mut asked: Asked,
        writer: &mut Writer<'_>,
    ) -> std::io::Result<KeepAlive> {
        let mut call = pin!(self.router.clone().oneshot(request));
        let mut early = None;
        if let Some(wanted) = wanted {
            // RFC 9110 §10.1.1: a final status needs no 100 before it.
            let is_wanted = tokio::select! {
                biased;
                response = &mut call => {
                    early = Some(response);
                    false
                }
                wanted = wanted => wanted.is_ok(),
            };
            if is_wanted {
                response::write_all(writer, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            } else if early.is_some() {
                // The client may or may not send its body now.
                asked.after = KeepAlive::Close;
            }
        }
        let response = match early {
            Some(response) => response,
            None => call.await,
        };
        let response = response.unwrap_or_else(|never| match never {});
        if let Some(fault) = response.extensions().get::<AccessFault>() {
            self.log_fault(*fault, peer);
        }
        if *self.stop.borrow() {
            asked.after = KeepAlive::Close;
        }
        response::write(writer, response, &asked).await
    }
}

/// The request in the router's type.
fn request(head: &Head<'_>, body: Body) -> Result<Request<Body>, HttpError> {
    let target = match head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_owned(),
    };
    let mut request = Request::new(body);
    *request.method_mut() =
        Method::from_bytes(head.method.as_bytes()).map_err(|_| HttpError::Malformed)?;
    *request.uri_mut() = Uri::try_from(target).map_err(|_| HttpError::Malformed)?;
    *request.version_mut() = if head.minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in head.fields {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HttpError::Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| HttpError::Malformed)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// Tells a client that the limit is reached, if the socket accepts that at once.
pub fn turn_away(stream: &Stream, settings: &Settings) {
    let mut out = Vec::new();
    let refused = super::refused(Refusal::Full, settings);
    refused.write(&mut out, &Cors::Silent, Part::Whole, KeepAlive::Close);
    // If this fails, the client still sees the end of the connection.
    let _ = stream.try_write(&out);
}

/// Ends the connection after the answer: reads until the client ends its side, because closing with
/// unread input sends a reset, which could overtake the answer.
async fn linger(mut stream: Stream, patience: Duration) {
    let (mut reader, mut writer) = stream.split();
    if writer.shutdown().await.is_err() {
        return;
    }
    // Either all input is read, or the time is over.
    let _ = timeout(patience, discard(&mut reader)).await;
}

async fn discard(reader: &mut Reader<'_>) {
    let (mut buffer, mut bytes) = (vec![0; 16 * 1024], 0);
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        bytes += count;
        if bytes > API_DISCARDED_BYTES_MAX {
            break;
        }
    }
}
