//! Writing responses other than the 101.
//!
//! Every response states its length, or is chunked, so that the connection can be kept.

use std::time::SystemTime;

use ringway_http::{Framing, KeepAlive};
use serde_json::json;

use crate::{
    config::{reference::ConfigReference, settings::Settings},
    edge::cors::Cors,
    refusal::Refusal,
};

/// Digits reserved for the length of a body that is not written yet.
const LENGTH_DIGITS: usize = 10;

/// Whether the body itself is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Head and body.
    Whole,
    /// Only the head, for HEAD (RFC 9110 §9.3.2).
    Head,
}

/// A response without its body.
#[derive(Debug, Clone, Copy)]
pub struct Response<'r> {
    /// The status code.
    pub status: u16,
    /// The media type of the body; empty if there is none.
    pub content_type: &'r str,
    /// Further header lines, each with its CR LF.
    pub fields: &'r str,
    /// The CORS header lines.
    pub cors: &'r Cors,
    /// Whether the connection is kept open.
    pub after: KeepAlive,
}

impl Response<'_> {
    /// Writes the response with this body.
    pub fn write(&self, out: &mut Vec<u8>, body: &[u8], part: Part) {
        self.emit_fields(out);
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        if part == Part::Whole {
            out.extend_from_slice(body);
        }
    }

    /// Writes the response with the body that `body` appends, directly to `out`.
    pub fn write_with(&self, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        self.emit_fields(out);
        out.extend_from_slice(b"Content-Length: ");
        let length_at = out.len();
        // RFC 9112 §5.1: any number of blanks may precede a value.
        out.extend_from_slice(&[b' '; LENGTH_DIGITS]);
        out.extend_from_slice(b"\r\n\r\n");
        let start = out.len();
        body(out);
        let length = format!("{:LENGTH_DIGITS$}", out.len() - start);
        out[length_at..length_at + LENGTH_DIGITS].copy_from_slice(length.as_bytes());
    }

    /// Writes the head and the beginning of a body of `length` bytes.
    pub fn write_begin(&self, out: &mut Vec<u8>, beginning: &[u8], length: usize) {
        self.emit_fields(out);
        out.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
        out.extend_from_slice(beginning);
    }

    /// Writes a head without a body, of a 204 or a 304 (RFC 9110 §8.6), or a head whose body ends
    /// with the connection.
    pub fn write_bodiless(&self, out: &mut Vec<u8>) {
        self.emit_fields(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes a head whose body is sent in chunks.
    pub fn write_chunked(&self, out: &mut Vec<u8>) {
        self.emit_fields(out);
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    }

    /// Writes the head except the framing and the empty line.
    fn emit_fields(&self, out: &mut Vec<u8>) {
        let Self { status, content_type, fields, cors, after } = *self;
        // RFC 9110 §6.6.1: a server with a clock sends the date.
        let date = httpdate::fmt_http_date(SystemTime::now());
        let phrase = phrase(status);
        out.extend_from_slice(format!("HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\n").as_bytes());
        if !content_type.is_empty() {
            out.extend_from_slice(format!("Content-Type: {content_type}\r\n").as_bytes());
        }
        // RFC 9110 §7.8: a 426 names the protocol in Upgrade, and lists Upgrade in Connection.
        let connection = match (status, after) {
            (426, KeepAlive::Yes) => "Connection: upgrade\r\n",
            (426, KeepAlive::Close) => "Connection: upgrade, close\r\n",
            (_, KeepAlive::Close) => "Connection: close\r\n",
            (_, KeepAlive::Yes) => "",
        };
        out.extend_from_slice(fields.as_bytes());
        out.extend_from_slice(connection.as_bytes());
        cors.emit(out);
    }
}

/// Seconds after which a temporarily refused request may be sent again.
pub const RETRY_SECONDS: u32 = 5;

/// The reason for a refusal, with the limit that was exceeded.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'r> {
    refusal: Refusal,
    reference: Option<ConfigReference>,
    /// The application's own reason; may be empty.
    said: &'r str,
}

impl Refused<'_> {
    /// Takes the limit from these settings.
    pub fn by(refusal: Refusal, settings: &Settings) -> Self {
        Self { refusal, reference: refusal.reference(settings), said: "" }
    }

    /// The same, with the application's own reason; "" gives none.
    pub fn saying(self, said: &str) -> Refused<'_> {
        Refused { refusal: self.refusal, reference: self.reference, said }
    }

    /// The reason.
    pub fn refusal(self) -> Refusal {
        self.refusal
    }

    /// A refusal that no setting influences.
    pub fn by_itself(refusal: Refusal) -> Self {
        Self { refusal, reference: None, said: "" }
    }

    /// Writes the refusal as a problem (RFC 9457) with the header lines of `cors`. The problem has
    /// a code, the key and the value of the limit that was exceeded, and `temporary`, which says
    /// whether the same request may succeed later.
    pub fn write(self, out: &mut Vec<u8>, cors: &Cors, part: Part, after: KeepAlive) {
        let Self { refusal, reference, said } = self;
        let (status, fields) = (refusal.status(), refusal.fields());
        let content_type = "application/problem+json";
        let mut detail = if said.is_empty() { refusal.reason() } else { said }.to_owned();
        let mut problem = json!({
            "type": "about:blank",
            "title": phrase(status),
            "status": status,
            "code": refusal.code(),
            "temporary": refusal.is_temporary(),
        });
        if let Some(reference @ ConfigReference { key, limit }) = reference {
            problem["key"] = key.into();
            if let Some(limit) = limit {
                detail = format!("{}: {reference}.", detail.trim_end_matches('.'));
                problem["limit"] = limit.to_number().into();
            } else {
                detail += &format!(" The configuration key is {key}.");
            }
        }
        problem["detail"] = detail.into();
        if refusal.is_temporary() {
            problem["retry_after"] = RETRY_SECONDS.into();
        }
        let fields = &format!("{fields}X-Content-Type-Options: nosniff\r\n");
        let body = format!("{problem}\n");
        Response { status, content_type, fields, cors, after }.write(out, body.as_bytes(), part);
    }
}

/// The header lines of a JSON answer.
const JSON_FIELDS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";

/// Writes the head of a JSON answer whose length is not known.
pub fn json_without_body(out: &mut Vec<u8>, cors: &Cors, after: KeepAlive) {
    let (status, content_type, fields) = (200, "application/json", JSON_FIELDS);
    Response { status, content_type, fields, cors, after }.write_bodiless(out);
}

/// Writes the JSON that `body` appends.
pub fn json(
    out: &mut Vec<u8>,
    status: u16,
    cors: &Cors,
    after: KeepAlive,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let fields = match status {
        // RFC 9110 §10.2.3: another server may accept it at once.
        429 | 503 => {
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 1\r\n"
        }
        _ => JSON_FIELDS,
    };
    let content_type = "application/json";
    Response { status, content_type, fields, cors, after }.write_with(out, body);
}

/// Writes a head and the beginning of a JSON body of `length` bytes; the caller sends the rest.
pub fn json_begin(
    out: &mut Vec<u8>,
    cors: &Cors,
    after: KeepAlive,
    beginning: &[u8],
    length: usize,
) {
    let (status, content_type, fields) = (200, "application/json", JSON_FIELDS);
    Response { status, content_type, fields, cors, after }.write_begin(out, beginning, length);
}

/// Writes the head of an event stream; `framing` writes the body.
pub fn stream(
    out: &mut Vec<u8>,
    content_type: &str,
    more: &str,
    cors: &Cors,
    (framing, after): (Framing, KeepAlive),
) {
    // RFC 9111 §5.2.2.6: a proxy that compresses would delay events. The last field tells nginx,
    // and proxies that follow it, not to buffer.
    let fields = "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\
                  X-Content-Type-Options: nosniff\r\n";
    let fields = &format!("{fields}{more}");
    let response = Response { status: 200, content_type, fields, cors, after };
    match framing {
        Framing::Chunked => response.write_chunked(out),
        Framing::UntilClose => response.write_bodiless(out),
    }
}

/// RFC 9110 §15, RFC 6585 §4 and §5: the phrases of the status codes that are sent.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // RFC 9112 §4: the phrase may be empty.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Response<'_> = Response {
        status: 200,
        content_type: "text/plain",
        fields: "X-A: b\r\n",
        cors: &Cors::Anyone,
        after: KeepAlive::Close,
    };

    /// Without the date.
    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix("before").unwrap();
        let (status, rest) = text.split_once("\r\nDate: ").unwrap();
        let (date, rest) = rest.split_once("\r\n").unwrap();
        assert!(date.ends_with(" GMT"), "{date}");
        format!("{status}\r\n{rest}")
    }

    #[test]
    fn the_answer_to_head_has_the_length_of_the_omitted_body() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\nConnection: close\r\n\
                    Access-Control-Allow-Origin: *\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(written(|out| PAGE.write(out, b"hello", Part::Head)), head);
        assert_eq!(written(|out| PAGE.write(out, b"hello", Part::Whole)), format!("{head}hello"));
    }

    #[test]
    fn the_length_of_a_body_may_be_found_while_it_is_written() {
        for length in [0, 1, 12_345] {
            let body = "x".repeat(length);
            let text = written(|out| {
                json(out, 200, &Cors::Silent, KeepAlive::Yes, |out| {
                    out.extend_from_slice(body.as_bytes());
                });
            });
            assert_eq!(
                text,
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
                     Content-Length: {length:10}\r\n\r\n{body}"
                )
            );
        }
    }

    #[test]
    fn a_response_without_a_body_has_no_length() {
        let response = Response { status: 204, content_type: "", fields: "", ..PAGE };
        assert_eq!(
            written(|out| response.write_bodiless(out)),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
        );
    }

    #[test]
    fn a_stream_is_neither_cached_nor_buffered() {
        let cors = Cors::Origin("https://a".into());
        assert_eq!(
            written(|out| stream(
                out,
                "text/event-stream",
                "",
                &cors,
                (Framing::Chunked, KeepAlive::Yes)
            )),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\
             X-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: https://a\r\n\
             Vary: Origin\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
    }
}
