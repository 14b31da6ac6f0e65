//! The opening handshake of one connection: its request, and whether the response accepts it.
//!
//! It never touches a socket or a clock: the caller limits how long it may take.

use std::borrow::Cow;

use anyhow::{Context, Result, ensure};
use ringway_frame::{
    MessageReader, Role,
    deflate::Offer,
    handshake::client::{Accepted, Request, ResponseError, Verdict},
};
use ringway_http::{Asked, HttpError, Part, ResponseLimits, ResponseReader};

use super::{cursor, failure::Reason, message::Form, target::Target};

/// A response that exceeds these limits is rejected. Bodies are read as they arrive, so their
/// length is not limited.
pub const RESPONSE_LIMITS: ResponseLimits =
    ResponseLimits { head_bytes_max: 16 * 1024, fields_max: 64, body_bytes_max: usize::MAX };

/// How a connection is used once it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// A WebSocket handshake, then messages.
    WebSocket,
    /// HTTP requests, each with its response.
    Requests,
}

/// The request that every connection sends.
#[derive(Debug, Clone)]
pub struct Approach {
    exchange: Exchange,
    target: Target,
    /// The value of the `Host` header, if it is not the URL's.
    host: Option<String>,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    offers: Vec<Offer>,
}

impl Approach {
    /// Requests a WebSocket, with compression if `form` says so.
    pub fn new(target: Target, form: Form) -> Self {
        // The server then cannot ask for a smaller window, and one context serves all connections.
        let offer = Offer { client_no_context_takeover: true, ..Offer::default() };
        let offers = match form {
            Form::Plain => Vec::new(),
            Form::Compressed => vec![offer],
        };
        let exchange = Exchange::WebSocket;
        let (subprotocols, headers) = (Vec::new(), Vec::new());
        Self { exchange, target, host: None, subprotocols, headers, offers }
    }

    /// Requests no WebSocket: the workload sends requests.
    #[must_use]
    pub fn with_requests(self) -> Self {
        Self { exchange: Exchange::Requests, ..self }
    }

    /// Adds subprotocols and further headers.
    ///
    /// # Errors
    /// A value is not allowed in a request.
    pub fn with_headers(
        mut self,
        subprotocols: &[String],
        headers: &[(String, String)],
    ) -> Result<Self> {
        self.subprotocols = subprotocols.to_vec();
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let (hosts, others): (Vec<_>, Vec<_>) =
            headers.iter().cloned().partition(|(name, _)| is_host(name));
        ensure!(hosts.len() <= 1, "--header: a request has one Host (RFC 9112 §3.2)");
        self.host = hosts.into_iter().next().map(|(_, host)| host);
        self.headers = others;
        Terms::of(&self)
            .begin([0; 16], 0, None, &mut Vec::new())
            .context("the request cannot be written")?;
        Ok(self)
    }

    /// How a connection is used once it is connected.
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Further headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of the `Host` header: a header that was given, or else the URL's.
    pub fn authority(&self) -> &str {
        self.host.as_deref().unwrap_or(self.target.authority())
    }

    /// The server.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Path and query for one connection: its number replaces each `{n}`.
    pub fn path(&self, connection: u32) -> Cow<'_, str> {
        let path = self.target.path();
        if !path.contains(NUMBER) && !path.contains(NUMBER_ENCODED) {
            return path.into();
        }
        let number = connection.to_string();
        path.replace(NUMBER, &number).replace(NUMBER_ENCODED, &number).into()
    }
}

/// The placeholder for the number of the connection in a URL, and its form in a path.
const NUMBER: &str = "{n}";
const NUMBER_ENCODED: &str = "%7Bn%7D";

/// An approach, converted to the form that requests borrow.
#[derive(Debug)]
pub struct Terms<'p> {
    approach: &'p Approach,
    subprotocols: Vec<&'p str>,
    headers: Vec<(&'p str, &'p str)>,
}

impl<'p> Terms<'p> {
    /// The terms of this approach.
    pub fn of(approach: &'p Approach) -> Self {
        Self {
            approach,
            subprotocols: approach.subprotocols.iter().map(String::as_str).collect(),
            headers: approach.headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
        }
    }

    /// Appends the request of the connection with this number to `out`; `cursor` is added to its
    /// query. RFC 6455 §4.1: each connection has a nonce selected at random.
    ///
    /// # Errors
    /// The request cannot be written.
    pub fn begin(
        &self,
        nonce: [u8; 16],
        connection: u32,
        cursor: Option<(&str, &str)>,
        out: &mut Vec<u8>,
    ) -> Result<Handshake> {
        let path = self.approach.path(connection);
        let path = cursor.map_or(path.clone(), |field| cursor::add(&path, field).into());
        self.request(&path).emit(nonce, out)?;
        Ok(Handshake { nonce, response: ResponseReader::default() })
    }

    fn request<'s>(&'s self, path: &'s str) -> Request<'s> {
        Request {
            host: self.approach.authority(),
            target: path,
            subprotocols: &self.subprotocols,
            offers: &self.approach.offers,
            headers: &self.headers,
        }
    }

    /// Reads bytes of the response, and returns the state of the handshake.
    ///
    /// # Errors
    /// The server refuses the handshake, or its response is invalid.
    pub fn receive(
        &self,
        opening: &mut Handshake,
        bytes: &[u8],
    ) -> Result<HandshakeProgress, Reason> {
        let mut rest = bytes;
        let head = loop {
            // RFC 9110 §15.2: a client must be able to read interim responses before the final one.
            match opening.response.read(&mut rest, Asked::Upgrade, &RESPONSE_LIMITS) {
                Ok(Some(Part::Head(head))) => break head,
                Ok(Some(_)) => {}
                Ok(None) => return Ok(HandshakeProgress::Awaited),
                Err(HttpError::HeadTooLarge) => return Err(Reason::HANDSHAKE_TOO_LONG),
                Err(_) => return Err(Reason::of_response(ResponseError::Malformed)),
            }
        };
        // The nonce determines the expected response, so nothing else is kept meanwhile.
        let expectation = self
            .request("/")
            .emit(opening.nonce, &mut Vec::new())
            .map_err(|_| Reason::named("request_invalid"))?;
        match expectation.verify(head.bytes).map_err(Reason::of_response)? {
            Verdict::Accepted(accepted) => {
                let head_bytes = bytes.len() - rest.len();
                Ok(HandshakeProgress::Open(Opened::new(&accepted, head_bytes)))
            }
            Verdict::Incomplete => Err(Reason::of_response(ResponseError::Malformed)),
        }
    }
}

/// A handshake that waits for its response.
#[derive(Debug)]
pub struct Handshake {
    nonce: [u8; 16],
    response: ResponseReader,
}

/// The state of a handshake.
pub enum HandshakeProgress {
    /// The response is not complete.
    Awaited,
    /// The connection is open.
    Open(Opened),
}

/// The terms of an open connection.
pub struct Opened {
    /// Reads the messages that follow.
    pub reader: MessageReader,
    /// How to send messages.
    pub form: Form,
    /// The number of the bytes given last that belong to the response; frames follow them.
    pub head_bytes: usize,
}

impl Opened {
    fn new(accepted: &Accepted<'_>, head_bytes: usize) -> Self {
        match &accepted.agreement {
            Some(agreement) => Self {
                reader: MessageReader::with_deflate(Role::Client, agreement),
                form: Form::Compressed,
                head_bytes,
            },
            None => {
                Self { reader: MessageReader::new(Role::Client), form: Form::Plain, head_bytes }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ringway_frame::handshake::server::emit_response;

    use super::*;

    fn approach(headers: &[(&str, &str)]) -> Result<Approach> {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let target = Target::parse("ws://127.0.0.1:8080/").unwrap();
        Approach::new(target, Form::Plain).with_headers(&[], &headers)
    }

    #[test]
    fn interim_responses_are_skipped_however_they_are_cut() {
        let approach = approach(&[]).unwrap();
        let terms = Terms::of(&approach);
        for step in [1, 7, 64, 4096] {
            let mut request = Vec::new();
            let mut opening = terms.begin([7; 16], 0, None, &mut request).unwrap();
            let request = String::from_utf8(request).unwrap();
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let mut response =
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                    .to_vec();
            emit_response(&mut response, key.unwrap().as_bytes(), None, None);
            let head_bytes = response.len();
            response.extend_from_slice(b"\x81\x01a");
            let mut given = 0;
            let opened = response.chunks(step).find_map(|bytes| {
                let progress = terms.receive(&mut opening, bytes).unwrap();
                given += bytes.len();
                match progress {
                    HandshakeProgress::Open(opened) => Some((opened.head_bytes, bytes.len())),
                    HandshakeProgress::Awaited => None,
                }
            });
            let (taken, of) = opened.expect("it opens");
            assert_eq!(given - of + taken, head_bytes, "{step}");
        }
        let mut opening = terms.begin([0; 16], 0, None, &mut Vec::new()).unwrap();
        let endless = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
        assert!(
            terms.receive(&mut opening, &endless).is_err(),
            "some server never ends its \
                                                                 response"
        );
    }

    #[test]
    fn a_given_host_replaces_that_of_the_url() {
        for (headers, host) in
            [(&[][..], "127.0.0.1:8080"), (&[("host", "example.org"), ("X-A", "b")], "example.org")]
        {
            let approach = approach(headers).unwrap();
            let mut request = Vec::new();
            Terms::of(&approach).begin([7; 16], 0, None, &mut request).unwrap();
            let request = String::from_utf8(request).unwrap();
            let hosts: Vec<&str> = request
                .lines()
                .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
                .collect();
            assert_eq!(hosts, [format!("Host: {host}")], "{request}");
            assert_eq!(approach.authority(), host);
        }
        assert!(approach(&[("Host", "a"), ("host", "b")]).is_err());
    }
}
