//! The server's side of the opening handshake (RFC 6455 §4.2): whether a request may upgrade, and
//! the response that says so.
//!
//! Never chooses: the caller decides which host, origin, subprotocol and extension to accept. Never
//! writes a refusal: status and reason are data.

use std::fmt;

use httparse::Header;

use super::accept_key;
use crate::deflate::Agreement;
use crate::extension::Extensions;
use crate::token::{Single, elements, is_token, lines, single};

/// More subprotocols than any client needs; the search for duplicates takes quadratic time.
pub const SUBPROTOCOLS_MAX: usize = 64;

/// Why a request may not upgrade. Always the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {
    /// The method is not GET.
    Method,
    /// The request is not HTTP/1.1.
    HttpVersion,
    /// `Host` is absent, repeated, empty or not visible ASCII.
    Host,
    /// `Origin` is repeated or not visible ASCII.
    Origin,
    /// The request announces a body.
    Body,
    /// `Upgrade` does not name `websocket`.
    Upgrade,
    /// `Connection` does not name `upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is absent, repeated or not 13.
    Version,
    /// `Sec-WebSocket-Key` is absent, repeated or not 16 bytes of base64.
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of distinct tokens.
    Subprotocol,
    /// `Sec-WebSocket-Extensions` breaks its grammar.
    Extension,
}

impl HandshakeError {
    /// The status to refuse with. A 405 needs `Allow: GET`, a 426 needs `Upgrade: websocket` and
    /// `Sec-WebSocket-Version: 13` (RFC 6455 §4.2.2, RFC 9110 §15.5.6 and §15.5.22).
    ///
    /// ```
    /// use ringway_frame::handshake::HandshakeError;
    /// assert_eq!(HandshakeError::Version.status(), 426);
    /// ```
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Upgrade | Self::Connection | Self::Version => 426,
            Self::HttpVersion
            | Self::Host
            | Self::Origin
            | Self::Body
            | Self::Key
            | Self::Subprotocol
            | Self::Extension => 400,
        }
    }

    /// What is wrong, in one line suitable for a response's body.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket handshake is a GET",
            Self::HttpVersion => "a WebSocket handshake needs HTTP/1.1",
            Self::Host => "there must be one Host header",
            Self::Origin => "there may be one Origin header, in ASCII",
            Self::Body => "a WebSocket handshake has no body",
            Self::Upgrade => "the Upgrade header must name websocket",
            Self::Connection => "the Connection header must name upgrade",
            Self::Version => "the WebSocket version must be 13",
            Self::Key => "there must be one Sec-WebSocket-Key header of 16 bytes in base64",
            Self::Subprotocol => "Sec-WebSocket-Protocol must list different tokens",
            Self::Extension => "Sec-WebSocket-Extensions is malformed",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HandshakeError {}

/// A request that may upgrade, borrowed from its headers.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeRequest<'h> {
    /// The value of `Sec-WebSocket-Key`: 24 base64 characters.
    pub key: &'h [u8],
    /// The authority that the client wants to reach.
    pub host: &'h str,
    /// The origin of the page that connects, if the client is a browser.
    pub origin: Option<&'h str>,
    headers: &'h [Header<'h>],
    extensions: Extensions<'h>,
}

impl<'h> UpgradeRequest<'h> {
    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'h str> + Clone + use<'h> {
        // `examine` has accepted each as a token, which is ASCII.
        subprotocol_elements(self.headers).filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The extensions that the client offers, in its order of preference;
    /// [`Policy::agree`](crate::deflate::Policy::agree) takes their iterator.
    pub fn extensions(&self) -> Extensions<'h> {
        self.extensions
    }
}

/// Checks whether a request for a WebSocket resource is a handshake (RFC 6455 §4.2.1).
///
/// `http_minor` is the 1 of HTTP/1.1, as httparse returns it.
///
/// # Errors
///
/// The first rule that the request breaks.
///
/// ```
/// use ringway_frame::handshake::{HandshakeError, server};
/// assert_eq!(server::examine("POST", 1, &[]).err(), Some(HandshakeError::Method));
/// ```
pub fn examine<'h>(
    method: &str,
    http_minor: u8,
    headers: &'h [Header<'h>],
) -> Result<UpgradeRequest<'h>, HandshakeError> {
    // RFC 6455 §4.2.1, item 1: a GET of HTTP/1.1 or higher.
    if method != "GET" {
        return Err(HandshakeError::Method);
    }
    if http_minor == 0 {
        return Err(HandshakeError::HttpVersion);
    }
    let host = host(headers)?;
    let origin = origin(headers)?;
    if !is_bodiless(headers) {
        return Err(HandshakeError::Body);
    }
    // RFC 6455 §4.2.1, items 3 and 4: case-insensitive tokens in lists.
    if !elements(headers, "Upgrade").any(|token| token.eq_ignore_ascii_case(b"websocket")) {
        return Err(HandshakeError::Upgrade);
    }
    if !elements(headers, "Connection").any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Err(HandshakeError::Connection);
    }
    // RFC 6455 §4.2.1, item 6, and §4.4.
    if !matches!(single(headers, "Sec-WebSocket-Version"), Single::Once(b"13")) {
        return Err(HandshakeError::Version);
    }
    let key = match single(headers, "Sec-WebSocket-Key") {
        Single::Once(key) if is_key(key) => key,
        _ => return Err(HandshakeError::Key),
    };
    if !has_sound_subprotocols(headers) {
        return Err(HandshakeError::Subprotocol);
    }
    let extensions = Extensions::parse(headers).map_err(|_| HandshakeError::Extension)?;
    Ok(UpgradeRequest { key, host, origin, headers, extensions })
}

// RFC 6455 §4.2.1, item 2; RFC 9112 §3.2: exactly one Host, or a 400.
fn host<'h>(headers: &'h [Header<'h>]) -> Result<&'h str, HandshakeError> {
    match single(headers, "Host") {
        Single::Once(host) if !host.is_empty() => visible(host).ok_or(HandshakeError::Host),
        _ => Err(HandshakeError::Host),
    }
}

// RFC 6454 §7.3: at most one Origin; with two it is unclear which to trust.
fn origin<'h>(headers: &'h [Header<'h>]) -> Result<Option<&'h str>, HandshakeError> {
    match single(headers, "Origin") {
        Single::Absent => Ok(None),
        Single::Once(origin) => visible(origin).map(Some).ok_or(HandshakeError::Origin),
        Single::Repeated => Err(HandshakeError::Origin),
    }
}

fn visible(value: &[u8]) -> Option<&str> {
    match value.iter().all(u8::is_ascii_graphic) {
        true => std::str::from_utf8(value).ok(),
        false => None,
    }
}

// Bytes after the head are read as frames. With a body, one reader's frames would be another
// reader's request: RFC 9112 §11.2, request smuggling.
fn is_bodiless(headers: &[Header<'_>]) -> bool {
    lines(headers, "Transfer-Encoding").next().is_none()
        && lines(headers, "Content-Length")
            .all(|length| !length.is_empty() && length.iter().all(|&digit| digit == b'0'))
}

// RFC 6455 §4.2.1, item 5: base64 of 16 bytes, which is 22 characters and two of padding. Erratum
// 3150: the four pad bits of the last character may have any value.
fn is_key(key: &[u8]) -> bool {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.split_last_chunk() {
        Some((digits, b"==")) => digits.len() == 22 && digits.iter().all(in_alphabet),
        _ => false,
    }
}

// RFC 6455 §4.1, item 10: one or more tokens, all of them unique.
fn has_sound_subprotocols(headers: &[Header<'_>]) -> bool {
    let mut names = subprotocol_elements(headers);
    let mut seen = 0;
    while let Some(name) = names.next() {
        seen += 1;
        if seen > SUBPROTOCOLS_MAX || !is_token(name) {
            return false;
        }
        if names.clone().take(SUBPROTOCOLS_MAX).any(|later| later == name) {
            return false;
        }
    }
    true
}

fn subprotocol_elements<'h>(headers: &'h [Header<'h>]) -> impl Iterator<Item = &'h [u8]> + Clone {
    elements(headers, "Sec-WebSocket-Protocol")
}

/// Appends the 101 response (RFC 6455 §4.2.2, item 5), including the empty line.
///
/// `key` is the request's; `subprotocol` must be one that the client offered.
///
/// # Panics
///
/// If `subprotocol` is not a token; no examined request has such a subprotocol.
pub fn emit_response(
    out: &mut Vec<u8>,
    key: &[u8],
    subprotocol: Option<&str>,
    agreement: Option<&Agreement>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\n\
          Upgrade: websocket\r\n\
          Connection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_key(key));
    if let Some(name) = subprotocol {
        assert!(is_token(name.as_bytes()), "subprotocol {name:?} is not a token");
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(name.as_bytes());
    }
    if let Some(agreement) = agreement {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        agreement.emit(out);
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests;
