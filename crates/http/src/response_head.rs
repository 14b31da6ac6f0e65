//! One response head: parses it with `httparse`, and finds how its body is delimited (RFC 9112
//! §6.3).
//!
//! `scan` has already found the end of the head; this file never sees a partial one.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Response, Status};

use crate::{
    HttpError, KeepAlive,
    head::{self, FIELDS_MAX, Fields},
};

/// The kind of request that a response answers, as far as it decides what follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A request whose response may have content: GET, POST and most others.
    Content,
    /// RFC 9110 §9.3.2: a HEAD, whose response has no content, whatever its fields say.
    Head,
    /// RFC 9110 §7.8: a request with Upgrade, whose response may be a 101.
    Upgrade,
}

/// Bounds of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseLimits {
    /// Bytes of the head, and of the interim responses before it.
    pub head_bytes_max: usize,
    /// Header fields, at most [`FIELDS_MAX`].
    pub fields_max: usize,
    /// Bytes of the body.
    pub body_bytes_max: usize,
}

/// A valid head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead<'r> {
    /// From 100 to 999.
    pub status: u16,
    /// The head as received, from the status line to its empty line.
    pub bytes: &'r [u8],
}

impl<'r> ResponseHead<'r> {
    /// The name and the value of each field, as received.
    pub fn fields(self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        // Parsing has checked that each line is a field.
        fields(
            &self.bytes
                [self.bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1)..],
        )
    }

    /// The value of each field with this name, as received.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        let is_named = move |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
        self.fields().filter_map(move |(field, value)| is_named(field).then_some(value))
    }
}

/// The name and the value of each field in valid field lines, such as trailers.
///
/// ```
/// let mut fields = ringway_http::fields(b"A:b\r\nC: d\r\n\r\n");
/// assert_eq!(fields.next(), Some((&b"A"[..], &b"b"[..])));
/// assert_eq!(fields.next(), Some((&b"C"[..], &b"d"[..])));
/// assert_eq!(fields.next(), None);
/// ```
pub fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

impl std::fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes))
    }
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// By its length, which may be zero.
    Length(u64),
    /// By its last chunk.
    Chunks,
    /// By the end of the connection.
    Close,
}

/// What a head says about the bytes after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) status: u16,
    pub(crate) body: Delimiter,
    pub(crate) keep_alive: KeepAlive,
}

/// Parses a head, including its final empty line.
pub(crate) fn parse(bytes: &[u8], asked: Asked, fields_max: usize) -> Result<Outline, HttpError> {
    let mut response = Response::new(&mut []);
    let mut fields: Fields<'_> = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let room = &mut fields[..fields_max.min(FIELDS_MAX)];
    let parser = ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut response, bytes, room) {
        Ok(Status::Complete(_)) => {}
        Err(Error::TooManyHeaders) => return Err(HttpError::TooManyFields),
        Err(Error::Version) if bytes.starts_with(b"HTTP/") => return Err(HttpError::Version),
        Ok(Status::Partial) | Err(_) => return Err(HttpError::Malformed),
    }
    let (Some(minor), Some(status @ 100..)) = (response.version, response.code) else {
        return Err(HttpError::Malformed);
    };
    let body = delimiter(asked, status, minor, response.headers)?;
    let keep_alive = match body {
        Delimiter::Close => KeepAlive::Close,
        _ => keep_alive(minor, response.headers),
    };
    Ok(Outline { status, body, keep_alive })
}

/// RFC 9112 §6.3, in the order of its items.
fn delimiter(
    asked: Asked,
    status: u16,
    minor: u8,
    fields: &[Header<'_>],
) -> Result<Delimiter, HttpError> {
    if asked == Asked::Head || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Delimiter::Length(0));
    }
    let mut length = None;
    for element in head::elements(fields, "Content-Length") {
        let is_number = element.iter().all(u8::is_ascii_digit);
        let digits = str::from_utf8(element).ok().filter(|_| is_number);
        let number: u64 = digits.and_then(|text| text.parse().ok()).ok_or(HttpError::Framing)?;
        // The same number repeated is valid.
        if *length.get_or_insert(number) != number {
            return Err(HttpError::Framing);
        }
    }
    if let Some(last) = head::elements(fields, "Transfer-Encoding").last() {
        // RFC 9112 §6.1: a length together with a transfer coding may be an attempt to smuggle a
        // response, and HTTP/1.0 has no transfer codings.
        return match last.eq_ignore_ascii_case(b"chunked") {
            _ if length.is_some() || minor == 0 => Err(HttpError::Framing),
            true => Ok(Delimiter::Chunks),
            false => Ok(Delimiter::Close),
        };
    }
    Ok(length.map_or(Delimiter::Close, Delimiter::Length))
}

/// RFC 9112 §9.3.
fn keep_alive(minor: u8, fields: &[Header<'_>]) -> KeepAlive {
    let says = |word: &[u8]| {
        head::elements(fields, "Connection").any(|one| one.eq_ignore_ascii_case(word))
    };
    let is_kept = if minor == 0 { says(b"keep-alive") } else { true };
    if is_kept && !says(b"close") { KeepAlive::Yes } else { KeepAlive::Close }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(asked: Asked, head: &str) -> Result<(Delimiter, KeepAlive), HttpError> {
        let head = format!("{head}\r\n\r\n");
        parse(head.as_bytes(), asked, 4).map(|outline| (outline.body, outline.keep_alive))
    }

    #[test]
    fn the_body_follows_from_head_and_request() {
        use Asked::{Content, Head, Upgrade};
        use Delimiter::{Chunks, Close, Length};
        for (asked, head, wanted) in [
            (Content, "HTTP/1.1 200 OK\r\nContent-Length: 5", (Length(5), KeepAlive::Yes)),
            (Content, "HTTP/1.1 200\r\nContent-Length: 5, 5", (Length(5), KeepAlive::Yes)),
            (Content, "HTTP/1.1 200 OK", (Close, KeepAlive::Close)),
            (Content, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", (Chunks, KeepAlive::Yes)),
            (Content, "HTTP/1.1 200 \r\ntransfer-encoding: a, chunked", (Chunks, KeepAlive::Yes)),
            (Content, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", (Close, KeepAlive::Close)),
            (Content, "HTTP/1.1 204 No\r\nContent-Length: 5", (Length(0), KeepAlive::Yes)),
            (Content, "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked", (Length(0), KeepAlive::Yes)),
            (Content, "HTTP/1.1 100 Continue", (Length(0), KeepAlive::Yes)),
            (Head, "HTTP/1.1 200 OK\r\nContent-Length: 5", (Length(0), KeepAlive::Yes)),
            (Head, "HTTP/1.1 200 OK", (Length(0), KeepAlive::Yes)),
            (Upgrade, "HTTP/1.1 101 Yes\r\nConnection: Upgrade", (Length(0), KeepAlive::Yes)),
            (Upgrade, "HTTP/1.1 400 No\r\nContent-Length: 1", (Length(1), KeepAlive::Yes)),
            (
                Content,
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: a, Close",
                (Length(1), KeepAlive::Close),
            ),
            (Content, "HTTP/1.0 200 OK\r\nContent-Length: 1", (Length(1), KeepAlive::Close)),
            (
                Content,
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive",
                (Length(1), KeepAlive::Yes),
            ),
        ] {
            assert_eq!(outline(asked, head), Ok(wanted), "{head}");
        }
    }

    #[test]
    fn invalid_heads_are_refused() {
        for (head, error) in [
            ("RTSP/1.0 200 OK", HttpError::Malformed),
            ("HTTP/2 200 OK", HttpError::Version),
            ("HTTP/1.1 20 OK", HttpError::Malformed),
            ("HTTP/1.1 099 OK", HttpError::Malformed),
            ("HTTP/1.1 200 OK\r\nno field", HttpError::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length : 1", HttpError::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1", HttpError::Framing),
            ("HTTP/1.1 200 OK\r\nContent-Length: x", HttpError::Framing),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2", HttpError::Framing),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999", HttpError::Framing),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                HttpError::Framing,
            ),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", HttpError::Framing),
            ("HTTP/1.1 200 OK\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b", HttpError::TooManyFields),
        ] {
            assert_eq!(outline(Asked::Content, head), Err(error), "{head}");
        }
    }

    #[test]
    fn fields_are_found_by_name() {
        let bytes = b"HTTP/1.1 200 Fine: very\r\nA:b\r\na: \t c:d \r\nAb: e\r\nEmpty:\r\n\r\n";
        let head = ResponseHead { status: 200, bytes };
        let values = |name| head.values(name).collect::<Vec<_>>();
        assert_eq!(values("A"), [b"b".as_slice(), b"c:d"]);
        assert_eq!(values("EMPTY"), [b""]);
        assert!(values("HTTP/1.1 200 Fine").is_empty() && values("").is_empty());
    }
}
