//! One request head: parsed by `httparse`, then checked against what RFC 9112 requires of a server.
//!
//! `scan` has already found the end of the head; this file never sees a partial one.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Request, Status};

use crate::{HttpError, KeepAlive};

/// The most header fields that the configuration may allow.
pub const FIELDS_MAX: usize = 256;

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes_max: usize,
    /// Header fields.
    pub fields_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
}

/// A valid head.
#[derive(Debug)]
pub struct Head<'b> {
    /// The method.
    pub method: &'b str,
    /// The path, without the query.
    pub path: &'b str,
    /// The part after the `?`.
    pub query: Option<&'b str>,
    /// RFC 9112 §3.2.2: the host of a target in absolute form, which counts instead of the Host
    /// field.
    pub authority: Option<&'b str>,
    /// 0 or 1.
    pub minor: u8,
    /// The fields in order.
    pub fields: &'b [Header<'b>],
    /// The body that is announced.
    pub body: Body,
    /// Whether the client wants to keep the connection open after the response.
    pub wish: KeepAlive,
}

impl Head<'_> {
    /// The host that the request is for.
    pub fn host(&self) -> Option<&[u8]> {
        let field = || values(self.fields, "Host").next();
        self.authority.map(str::as_bytes).or_else(field)
    }

    /// Whether the connection stays open if the body is not read: an unread body hides the next
    /// request.
    pub fn after(&self) -> KeepAlive {
        if self.body == Body::None { self.wish } else { KeepAlive::Close }
    }
}

/// Space for the fields of one head.
pub type Fields<'b> = [MaybeUninit<Header<'b>>; FIELDS_MAX];

/// Parses a head, including its final empty line.
///
/// # Errors
/// See [`HttpError`].
pub fn parse<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields<'b>,
    limits: &HeadLimits,
) -> Result<Head<'b>, HttpError> {
    let mut request = Request::new(&mut []);
    let room = &mut fields[..limits.fields_max.min(FIELDS_MAX)];
    match ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, room) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(HttpError::Malformed),
        Err(Error::TooManyHeaders) => return Err(HttpError::TooManyFields),
        Err(Error::Version) => return Err(version_fault(bytes)),
        Err(_) => return Err(HttpError::Malformed),
    }
    let Request { method: Some(method), path: Some(target), version: Some(minor), headers } =
        request
    else {
        return Err(HttpError::Malformed);
    };
    if target.len() > limits.target_bytes_max {
        return Err(HttpError::TargetTooLong);
    }
    let fields: &[Header<'b>] = headers;
    check_host(minor, fields)?;
    let body = body(fields)?;
    let wish = wish(minor, fields);
    let (authority, path, query) = split_target(target)?;
    Ok(Head { method, path, query, authority, minor, fields, body, wish })
}

/// RFC 9110 §15.6.6 applies to a well-formed version, `HTTP/` and digits. Anything else is
/// malformed.
fn version_fault(bytes: &[u8]) -> HttpError {
    let line = bytes.split(|&byte| byte == b'\r').find(|line| !line.is_empty());
    let version = line.and_then(|line| line.rsplit(|&byte| byte == b' ').next());
    match version.and_then(|version| version.strip_prefix(b"HTTP/")) {
        Some([major, rest @ ..]) if major.is_ascii_digit() => match rest {
            [] => HttpError::Version,
            [b'.', minor] if minor.is_ascii_digit() => HttpError::Version,
            _ => HttpError::Malformed,
        },
        _ => HttpError::Malformed,
    }
}

/// RFC 9112 §3.2: a 400 for an HTTP/1.1 request without a Host field, or for any request with two.
fn check_host(minor: u8, fields: &[Header<'_>]) -> Result<(), HttpError> {
    match values(fields, "Host").count() {
        1 => Ok(()),
        0 if minor == 0 => Ok(()),
        _ => Err(HttpError::Host),
    }
}

/// RFC 9112 §6.3: how a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is no body, or an empty one.
    None,
    /// By a length that is not zero.
    Length(u64),
    /// By transfer codings; only `chunked` is known.
    Coded,
}

/// RFC 9112 §6.3: the body that the framing fields announce.
fn body(fields: &[Header<'_>]) -> Result<Body, HttpError> {
    let has_coding = values(fields, "Transfer-Encoding").next().is_some();
    let mut length: Option<u64> = None;
    for value in values(fields, "Content-Length") {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let digits = std::str::from_utf8(value).ok().filter(|_| is_number);
        let number = digits.and_then(|digits| digits.parse().ok()).ok_or(HttpError::Framing)?;
        if length.is_some_and(|earlier| earlier != number) || has_coding {
            return Err(HttpError::Framing);
        }
        length = Some(number);
    }
    Ok(match length {
        _ if has_coding => Body::Coded,
        None | Some(0) => Body::None,
        Some(length) => Body::Length(length),
    })
}

/// RFC 9112 §9.3: HTTP/1.1 keeps alive unless told `close`. HTTP/1.0 never does here: few clients
/// ask for it.
fn wish(minor: u8, fields: &[Header<'_>]) -> KeepAlive {
    let wants_close = elements(fields, "Connection").any(|one| one.eq_ignore_ascii_case(b"close"));
    if minor == 1 && !wants_close { KeepAlive::Yes } else { KeepAlive::Close }
}

/// RFC 9112 §3.2: origin-form, or absolute-form, which proxies send.
fn split_target(target: &str) -> Result<(Option<&str>, &str, Option<&str>), HttpError> {
    let (authority, origin) = match target.split_once("://") {
        // RFC 3986 §3.1: a scheme is case-insensitive.
        Some((scheme, rest)) if is_http(scheme) => {
            let (authority, origin) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(authority), if origin.is_empty() { "/" } else { origin })
        }
        _ => (None, target),
    };
    if !origin.starts_with(['/', '?']) && origin != "*" {
        return Err(HttpError::Malformed);
    }
    Ok(match origin.split_once('?') {
        Some(("", query)) => (authority, "/", Some(query)),
        Some((path, query)) => (authority, path, Some(query)),
        None => (authority, origin, None),
    })
}

fn is_http(scheme: &str) -> bool {
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The value of each field with this name.
pub fn values<'f>(fields: &'f [Header<'_>], name: &'static str) -> impl Iterator<Item = &'f [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// RFC 9110 §5.6.1: the elements of a list, which may span several fields; empty elements are
/// ignored.
pub fn elements<'f>(
    fields: &'f [Header<'_>],
    name: &'static str,
) -> impl Iterator<Item = &'f [u8]> {
    values(fields, name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { bytes_max: 16_384, fields_max: 8, target_bytes_max: 64 };

    fn refusal(head: &str) -> Option<HttpError> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        parse(head.as_bytes(), &mut fields, &LIMITS).err()
    }

    #[test]
    fn invalid_heads_get_their_status() {
        let many = "A: b\r\n".repeat(9);
        let long = "x".repeat(64);
        for (head, refused) in [
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", HttpError::Version),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", HttpError::Version),
            ("GET / HTTP/3\r\nHost: a\r\n\r\n", HttpError::Version),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
            ("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", HttpError::Malformed),
            ("GET /\r\nHost: a\r\n\r\n", HttpError::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", HttpError::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", HttpError::Host),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HttpError::Malformed),
            ("GET / HTTP/1.1\r\nH(st: a\r\n\r\n", HttpError::Malformed),
            ("GET / HTTP/1.1\r\nHost\r\n\r\n", HttpError::Malformed),
            ("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                HttpError::Framing,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                HttpError::Framing,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                HttpError::Framing,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", HttpError::Framing),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", HttpError::Framing),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                HttpError::Framing,
            ),
            (&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), HttpError::TooManyFields),
            (&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), HttpError::TargetTooLong),
        ] {
            assert_eq!(refusal(head), Some(refused), "{head:?}");
        }
    }

    #[test]
    fn valid_heads_are_parsed() {
        for (target, host, path, query) in [
            ("/", "a", "/", None),
            ("/echo?a=b?c", "a", "/echo", Some("a=b?c")),
            ("http://host/echo", "host", "/echo", None),
            ("http://host:80", "host:80", "/", None),
            ("HTTPS://host/echo", "host", "/echo", None),
            ("http://host?q", "host", "/", Some("q")),
            ("*", "a", "*", None),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let head = parse(head.as_bytes(), &mut fields, &LIMITS).unwrap();
            assert_eq!((head.path, head.query), (path, query), "{target}");
            assert_eq!(head.host(), Some(host.as_bytes()), "{target}");
        }
    }

    #[test]
    fn a_connection_is_kept_only_if_the_next_request_can_be_found() {
        for (rest, after) in [
            ("HTTP/1.1\r\nHost: a\r\n\r\n", KeepAlive::Yes),
            ("HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", KeepAlive::Yes),
            ("HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", KeepAlive::Close),
            ("HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", KeepAlive::Close),
            ("HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", KeepAlive::Close),
            ("HTTP/1.0\r\n\r\n", KeepAlive::Close),
        ] {
            let head = format!("GET / {rest}");
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let head = parse(head.as_bytes(), &mut fields, &LIMITS).unwrap();
            assert_eq!(head.after(), after, "{rest}");
        }
    }
}
