//! The client's side of the opening handshake (RFC 6455 §4.1): writes the request, and checks
//! whether the server's response accepts it.
//!
//! Never follows a redirect or answers a 401: any status but 101 is an error that carries it. Never
//! bounds an endless head: the caller does.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::accept_key;
use crate::deflate::{Agreement, Offer};
use crate::extension::Extensions;
use crate::token::{Single, elements, is_token, single};

/// The most header lines in a response; the strictest common server sends a dozen.
const HEADERS_MAX: usize = 64;

/// A request for a WebSocket connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The authority, with the port unless it is the scheme's default.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Subprotocols, in order of preference.
    pub subprotocols: &'a [&'a str],
    /// Offers of `permessage-deflate`, in order of preference.
    pub offers: &'a [Offer],
    /// Further header lines, such as `Origin` or `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why a request cannot be written. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The host is empty or has bytes that are not visible ASCII.
    Host,
    /// The target does not begin with a slash or has bytes that are not visible ASCII.
    Target,
    /// A subprotocol is not a token, or comes twice.
    Subprotocol,
    /// A further header's name is not a token, or its value has control characters.
    Header,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host must be visible ASCII",
            Self::Target => "the target must begin with / and be visible ASCII",
            Self::Subprotocol => "the subprotocols must be different tokens",
            Self::Header => "a header must be a token and a value without control characters",
        })
    }
}

impl std::error::Error for RequestError {}

/// Sixteen bytes for [`Request::emit`] from the system's random source (RFC 6455 §4.1, item 7: a
/// new nonce for each connection).
///
/// # Errors
///
/// The system has no random source.
pub fn random_nonce() -> Result<[u8; 16], getrandom::Error> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

impl<'a> Request<'a> {
    /// Appends the request, including the empty line, and returns what to expect.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if a field is not valid in a header; `out` is then unchanged.
    ///
    /// ```
    /// use ringway_frame::handshake::client::Request;
    /// let request = Request { host: "example.org", target: "/ws", ..Request::default() };
    /// let expectation = request.emit([7; 16], &mut Vec::new()).unwrap();
    /// ```
    pub fn emit(
        &self,
        nonce: [u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<Expectation<'a>, RequestError> {
        self.check()?;
        let mut key = [0; 24];
        let written = STANDARD.encode_slice(nonce, &mut key);
        // 16 bytes always give 24 base64 characters.
        assert_eq!(written, Ok(24));
        for part in ["GET ", self.target, " HTTP/1.1\r\nHost: ", self.host] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(
            b"\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: ",
        );
        out.extend_from_slice(&key);
        for (place, name) in self.subprotocols.iter().enumerate() {
            out.extend_from_slice(match place {
                0 => b"\r\nSec-WebSocket-Protocol: ",
                _ => b", ",
            });
            out.extend_from_slice(name.as_bytes());
        }
        for (place, offer) in self.offers.iter().enumerate() {
            out.extend_from_slice(match place {
                0 => b"\r\nSec-WebSocket-Extensions: ",
                _ => b", ",
            });
            offer.emit(out);
        }
        for (name, value) in self.headers {
            for part in ["\r\n", name, ": ", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n\r\n");
        Ok(Expectation {
            accept: accept_key(&key),
            subprotocols: self.subprotocols,
            offers: self.offers,
        })
    }

    fn check(&self) -> Result<(), RequestError> {
        let graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.host.is_empty() || !graphic(self.host) {
            return Err(RequestError::Host);
        }
        if !self.target.starts_with('/') || !graphic(self.target) {
            return Err(RequestError::Target);
        }
        for (place, name) in self.subprotocols.iter().enumerate() {
            if !is_token(name.as_bytes()) || self.subprotocols[..place].contains(name) {
                return Err(RequestError::Subprotocol);
            }
        }
        let sound = |&(name, value): &(&str, &str)| {
            is_token(name.as_bytes())
                && value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
        };
        match self.headers.iter().all(sound) {
            true => Ok(()),
            false => Err(RequestError::Header),
        }
    }
}

/// What the response to a [`Request`] must say.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    accept: [u8; 28],
    subprotocols: &'a [&'a str],
    offers: &'a [Offer],
}

/// What the bytes of a response show so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The head has not ended: call again with the same bytes and more.
    Incomplete,
    /// The connection is open.
    Accepted(Accepted<'a>),
}

/// The agreed terms of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The subprotocol that the server chose from the request.
    pub subprotocol: Option<&'a str>,
    /// The terms of `permessage-deflate`, if it is in use.
    pub agreement: Option<Agreement>,
    /// How many bytes the head took; frames follow it.
    pub head_bytes: usize,
}

/// Why a response is refused (RFC 6455 §4.1). The server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The bytes are not the head of an HTTP/1.1 response.
    Malformed,
    /// The status is not 101.
    Status(u16),
    /// `Upgrade` is not exactly `websocket`.
    Upgrade,
    /// `Connection` does not name `upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` does not match the key.
    Accept,
    /// The subprotocol was not asked for, or there are several.
    Subprotocol,
    /// An extension was not offered, or not with these parameters.
    Extension,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the response is not HTTP/1.1",
            Self::Status(status) => return write!(f, "the server answered {status}"),
            Self::Upgrade => "the response's Upgrade is not websocket",
            Self::Connection => "the response's Connection does not name upgrade",
            Self::Accept => "the response's Sec-WebSocket-Accept is wrong",
            Self::Subprotocol => "the server chose a subprotocol that was not asked for",
            Self::Extension => "the server chose an extension that was not offered",
        })
    }
}

impl std::error::Error for ResponseError {}

impl<'a> Expectation<'a> {
    /// Checks a response, given from its first byte on (RFC 6455 §4.1, "Once the client's opening
    /// handshake has been sent").
    ///
    /// # Errors
    ///
    /// [`ResponseError`]: the client must fail the connection.
    pub fn verify(&self, head: &[u8]) -> Result<Verdict<'a>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head_bytes = match response.parse(head) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Ok(Verdict::Incomplete),
            Err(_) => return Err(ResponseError::Malformed),
        };
        if response.version != Some(1) {
            return Err(ResponseError::Malformed);
        }
        match response.code {
            Some(101) => {}
            Some(status) => return Err(ResponseError::Status(status)),
            None => return Err(ResponseError::Malformed),
        }
        let headers = &*response.headers;
        match single(headers, "Upgrade") {
            Single::Once(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(ResponseError::Upgrade),
        }
        if !elements(headers, "Connection").any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
            return Err(ResponseError::Connection);
        }
        match single(headers, "Sec-WebSocket-Accept") {
            Single::Once(value) if value == self.accept => {}
            _ => return Err(ResponseError::Accept),
        }
        Ok(Verdict::Accepted(Accepted {
            subprotocol: self.subprotocol(headers)?,
            agreement: self.agreement(headers)?,
            head_bytes,
        }))
    }

    // RFC 6455 §4.1, item 6 of the response; §11.3.4: not more than once.
    fn subprotocol(
        &self,
        headers: &[httparse::Header<'_>],
    ) -> Result<Option<&'a str>, ResponseError> {
        let chosen = match single(headers, "Sec-WebSocket-Protocol") {
            Single::Absent => return Ok(None),
            Single::Once(chosen) => chosen,
            Single::Repeated => return Err(ResponseError::Subprotocol),
        };
        let mut asked = self.subprotocols.iter();
        match asked.find(|name| name.as_bytes() == chosen) {
            Some(name) => Ok(Some(name)),
            None => Err(ResponseError::Subprotocol),
        }
    }

    // RFC 6455 §4.1, item 5 of the response; §9.1. Only `permessage-deflate` is ever offered, so
    // the response names it once or names no extension.
    fn agreement(
        &self,
        headers: &[httparse::Header<'_>],
    ) -> Result<Option<Agreement>, ResponseError> {
        let extensions = Extensions::parse(headers).map_err(|_| ResponseError::Extension)?;
        let mut extensions = extensions.iter();
        match (extensions.next(), extensions.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => match Agreement::verify(&only, self.offers) {
                Ok(agreement) => Ok(Some(agreement)),
                Err(_) => Err(ResponseError::Extension),
            },
            (Some(_), Some(_)) => Err(ResponseError::Extension),
        }
    }
}

#[cfg(test)]
mod tests;
