//! A server's answer to a request for a WebSocket: it opens the WebSocket, or refuses it with a
//! response that the client gets.
//!
//! It holds a partial head, and the body of a refusal until that is complete.

use ringway_frame::handshake::accept_key;
use ringway_http::{
    Asked, Ending, HttpError, KeepAlive, Part, ResponseHead, ResponseLimits, ResponseReader,
    head::FIELDS_MAX,
};

use crate::{
    limits::{UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_REFUSAL_BYTES_MAX},
    memory,
    upstream::forwarded::{self, Forwarded},
};

const LIMITS: ResponseLimits = ResponseLimits {
    head_bytes_max: UPSTREAM_HEAD_BYTES_MAX,
    fields_max: FIELDS_MAX,
    body_bytes_max: UPSTREAM_REFUSAL_BYTES_MAX,
};

/// What the bytes of an answer show so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not complete.
    More,
    /// The WebSocket is open; this is the head for the client.
    Opened(Vec<u8>),
    /// The server refuses.
    Refused(PassedRefusal),
}

/// Why an answer is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFault {
    /// It is not HTTP, or too large.
    Http(HttpError),
    /// RFC 6455 §4.1: a 101 that does not answer this request.
    Handshake,
    /// The server ended the connection before its answer was complete.
    Cut,
}

impl From<HttpError> for AnswerFault {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// A response that refuses, without its framing.
#[derive(Debug, PartialEq, Eq)]
pub struct PassedRefusal {
    /// Its status.
    status: u16,
    /// The status line, and the fields for the client.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl PassedRefusal {
    /// Writes it for a client whose connection is kept or closed after it.
    pub fn emit(&self, after: KeepAlive, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        // RFC 9110 §15.5.22: a 426 names the protocol, which is the one that was asked for.
        let mut connection = if self.status == 426 { vec!["upgrade"] } else { Vec::new() };
        if self.status == 426 {
            forwarded::emit_field(out, b"Upgrade", b"websocket");
        }
        if after == KeepAlive::Close {
            connection.push("close");
        }
        if !connection.is_empty() {
            forwarded::emit_field(out, b"Connection", connection.join(", ").as_bytes());
        }
        // RFC 9110 §8.6: these have no content.
        if !matches!(self.status, 204 | 304) {
            let length = self.body.len().to_string();
            forwarded::emit_field(out, b"Content-Length", length.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
    }

    /// The bytes that [`Self::emit`] writes, at most.
    pub fn bytes_max(&self) -> usize {
        self.head.len() + self.body.len() + 128
    }
}

/// Reads an answer.
#[derive(Debug, Default)]
pub struct AnswerReader {
    reader: ResponseReader,
    refusal: Option<PassedRefusal>,
}

impl AnswerReader {
    /// Takes the answer, or a part of it, from the front of `input`.
    ///
    /// # Errors
    /// It is not a valid answer to `request`; the connection cannot be used.
    pub fn read(&mut self, input: &mut &[u8], request: &Forwarded) -> Result<Answer, AnswerFault> {
        loop {
            match self.reader.read(input, Asked::Upgrade, &LIMITS)? {
                None => return Ok(Answer::More),
                Some(Part::Interim(_)) => {}
                Some(Part::Head(head)) if head.status == 101 => {
                    return opened(head, request).map(Answer::Opened);
                }
                Some(Part::Head(head)) => self.refusal = Some(refusal(head)),
                Some(Part::Body(piece)) => {
                    if let Some(refusal) = &mut self.refusal {
                        memory::append(&mut refusal.body, piece)
                            .map_err(|_| HttpError::OutOfMemory)?;
                    }
                }
                Some(Part::End(_)) => {
                    return self.refusal.take().map(Answer::Refused).ok_or(AnswerFault::Cut);
                }
            }
        }
    }

    /// The server has ended its side of the connection.
    ///
    /// # Errors
    /// [`AnswerFault::Cut`]: its answer is not complete.
    pub fn end(&mut self) -> Result<PassedRefusal, AnswerFault> {
        match self.reader.end() {
            Ending::Completes => self.refusal.take().ok_or(AnswerFault::Cut),
            Ending::Between | Ending::Cuts => Err(AnswerFault::Cut),
        }
    }

    /// Whether nothing of an answer has come.
    pub fn is_before(&self) -> bool {
        self.refusal.is_none() && self.reader.held_bytes() == 0
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        let refusal = self.refusal.as_ref();
        let refusal = refusal.map_or(0, |kept| kept.head.capacity() + kept.body.capacity());
        self.reader.held_bytes() + refusal
    }
}

/// Checks a 101 (RFC 6455 §4.1), and makes the head for the client, whose key it answers.
fn opened(head: ResponseHead<'_>, request: &Forwarded) -> Result<Vec<u8>, AnswerFault> {
    let only = |name| {
        let mut values = head.values(name);
        values.next().filter(|_| values.next().is_none())
    };
    let upgrades = forwarded::elements(head.values("Connection"))
        .any(|element| element.eq_ignore_ascii_case(b"upgrade"));
    let is_websocket =
        only("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let key = request.values("Sec-WebSocket-Key").next().unwrap_or_default();
    let is_answered = only("Sec-WebSocket-Accept") == Some(&accept_key(key)[..]);
    if !upgrades || !is_websocket || !is_answered {
        return Err(AnswerFault::Handshake);
    }
    if head.values("Sec-WebSocket-Protocol").next().is_some() {
        let chosen = only("Sec-WebSocket-Protocol").ok_or(AnswerFault::Handshake)?;
        let mut offered = forwarded::elements(request.values("Sec-WebSocket-Protocol"));
        if !offered.any(|name| name == chosen) {
            return Err(AnswerFault::Handshake);
        }
    }
    // RFC 6455 §9.1: each extension of the answer was offered. Its parameters are for the two ends.
    let named = |element: &[u8]| {
        let name = element.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().to_ascii_lowercase()
    };
    let is_offered = |extension: &[u8]| {
        let mut offers = forwarded::elements(request.values("Sec-WebSocket-Extensions"));
        offers.any(|offer| named(offer) == named(extension))
    };
    if !forwarded::elements(head.values("Sec-WebSocket-Extensions")).all(is_offered) {
        return Err(AnswerFault::Handshake);
    }
    let mut out = Vec::with_capacity(head.bytes.len() + 64);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    emit_end_to_end(head, &mut out);
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

fn refusal(head: ResponseHead<'_>) -> PassedRefusal {
    let line = head.bytes.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
    let words = line.splitn(2, |&byte| byte == b' ').nth(1).unwrap_or_default();
    let mut out = b"HTTP/1.1 ".to_vec();
    out.extend_from_slice(words);
    out.extend_from_slice(b"\r\n");
    emit_end_to_end(head, &mut out);
    PassedRefusal { status: head.status, head: out, body: Vec::new() }
}

/// Writes the fields that are not for the gateway alone.
fn emit_end_to_end(head: ResponseHead<'_>, out: &mut Vec<u8>) {
    for (name, value) in forwarded::fields(head.bytes) {
        let text = str::from_utf8(name).unwrap_or_default();
        if forwarded::is_end_to_end(text, forwarded::elements(head.values("Connection"))) {
            forwarded::emit_field(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::forwarded::tests::request;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// A 101 with this field in place of the one with its name.
    fn opening(field: &str) -> String {
        let mut lines = vec![
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ];
        let name = |line: &str| line.split(':').next().map(str::to_owned);
        lines.retain(|line| name(line) != name(field));
        lines.push(field);
        format!("HTTP/1.1 101 Yes\r\n{}\r\n\r\n", lines.join("\r\n"))
    }

    fn read(request_lines: &str, mut bytes: &[u8]) -> (Result<Answer, AnswerFault>, usize) {
        let request = request(&format!("{KEY}{request_lines}"));
        let answer = AnswerReader::default().read(&mut bytes, &request);
        (answer, bytes.len())
    }

    #[test]
    fn a_101_is_checked_and_passed_on() {
        let text = opening("Set-Cookie: a=b");
        let (answer, rest) = read("", format!("{text}frames").as_bytes());
        let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Accept: \
                      s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\n\r\n";
        assert_eq!((answer, rest), (Ok(Answer::Opened(wanted.into())), 6));
        for field in [
            "Upgrade: h2c",
            "Connection: close",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=",
            "Sec-WebSocket-Protocol: other",
            "Sec-WebSocket-Extensions: permessage-deflate",
        ] {
            let (answer, _) = read("Sec-WebSocket-Protocol: one\r\n", opening(field).as_bytes());
            assert_eq!(answer, Err(AnswerFault::Handshake), "{field}");
        }
    }

    #[test]
    fn what_was_offered_may_be_chosen() {
        let offers = "Sec-WebSocket-Protocol: one, two\r\n\
                      Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        for field in [
            "Sec-WebSocket-Protocol: two",
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10",
        ] {
            let (answer, _) = read(offers, opening(field).as_bytes());
            let Ok(Answer::Opened(head)) = answer else { panic!("{answer:?}") };
            assert!(String::from_utf8(head).unwrap().contains(field), "{field}");
        }
    }

    #[test]
    fn an_answer_may_come_byte_by_byte() {
        let request = request(KEY);
        let mut reader = AnswerReader::default();
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
        let refusal = "HTTP/1.0 403 Go Away\r\nX-A: b\r\nTransfer-Encoding: identity\r\n\r\nbody";
        let text = format!("{interim}{}", refusal.replace("Transfer-Encoding: identity\r\n", ""));
        for byte in text.as_bytes() {
            assert_eq!(reader.read(&mut &[*byte][..], &request), Ok(Answer::More));
        }
        let mut out = Vec::new();
        reader.end().unwrap().emit(KeepAlive::Close, &mut out);
        let wanted = "HTTP/1.1 403 Go Away\r\nX-A: b\r\nConnection: close\r\n\
                      Content-Length: 4\r\n\r\nbody";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn an_answer_that_is_cut_or_too_large_is_a_fault() {
        let request = request(KEY);
        let mut reader = AnswerReader::default();
        let part = &mut &b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nfour"[..];
        assert_eq!(reader.read(part, &request), Ok(Answer::More));
        assert_eq!(reader.end(), Err(AnswerFault::Cut));
        let (answer, _) = read("", b"HTTP/1.1 403 No\r\nContent-Length: 65537\r\n\r\n");
        assert_eq!(answer, Err(AnswerFault::Http(HttpError::BodyTooLarge)));
        let (answer, _) = read("", b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        assert_eq!(answer, Err(AnswerFault::Http(HttpError::Malformed)));
    }
}
