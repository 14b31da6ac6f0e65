//! The responses of a kept connection as they arrive (RFC 9112).
//!
//! It never keeps a body: pieces are lent as they come. Only GET and POST are asked, so a response
//! has a body unless its status forbids one.

use httparse::{EMPTY_HEADER, Header, Status};

use super::handshake::Exchange;

/// A head, or a line of a chunked body, longer than this is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Fields of a head; a response with more is refused.
const FIELDS_MAX: usize = 64;

/// What the head of a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'r> {
    /// Its status.
    pub status: u16,
    /// Its entity tag (RFC 9110 §8.8.3); empty without.
    pub etag: &'r str,
    /// When what it tells of was changed last (RFC 9110 §8.8.2); empty without.
    pub last_modified: &'r str,
}

/// A piece of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'b> {
    /// It begins.
    Head(Head<'b>),
    /// Some of its body.
    Body(&'b [u8]),
    /// It is whole.
    End(Persistence),
}

/// Whether another request may follow on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It may.
    Kept,
    /// The server ends the stream now.
    Closes,
}

/// Why bytes are no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// Not HTTP/1.
    Malformed,
    /// Longer than any is.
    TooLong,
}

/// What the end of a stream does to a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There was none under way.
    Between,
    /// It ends the body.
    Completes,
    /// The response is cut off.
    Cuts,
}

/// Reads the responses of one connection.
#[derive(Debug, Default)]
pub struct ResponseReader {
    state: State,
    persists: bool,
    etag: String,
    last_modified: String,
    /// A head or a line that is not whole yet.
    pending: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Head,
    /// The head was lent, and there is no more of it.
    Empty,
    Sized {
        left: u64,
    },
    UntilEnd,
    ChunkSize,
    Chunk {
        left: u64,
    },
    AfterChunk,
    Trailer,
}

impl ResponseReader {
    /// One for each of so many connections, or none where they do not speak HTTP.
    pub fn of_each(exchange: Exchange, connections: usize) -> Vec<Self> {
        let count = if exchange == Exchange::Requests { connections } else { 0 };
        std::iter::repeat_with(Self::default).take(count).collect()
    }

    /// Takes what the next part needs off the front of `bytes`; `None` when more is needed.
    ///
    /// # Errors
    /// The server does not speak HTTP/1.
    pub fn read<'r, 'b: 'r>(
        &'r mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Part<'r>>, ResponseError> {
        loop {
            match self.state {
                State::Head => match self.read_head(bytes)? {
                    // RFC 9110 §15.2: others precede the response.
                    Some(100..=199) => self.state = State::Head,
                    status => return Ok(status.map(|status| Part::Head(self.head(status)))),
                },
                State::Empty | State::Sized { left: 0 } => return Ok(Some(self.finish())),
                State::Sized { .. } | State::UntilEnd | State::Chunk { left: 1.. } => {
                    return Ok(self.lend(bytes).map(Part::Body));
                }
                State::Chunk { left: 0 } => self.state = State::AfterChunk,
                State::AfterChunk | State::ChunkSize | State::Trailer => {
                    let Some(line) = self.read_line(bytes)? else { return Ok(None) };
                    if let Some(end) = self.take_line(&line)? {
                        return Ok(Some(end));
                    }
                }
            }
        }
    }

    /// The stream has ended.
    pub fn end(&mut self) -> Ending {
        match std::mem::take(self) {
            Self { state: State::Head, pending, .. } if pending.is_empty() => Ending::Between,
            Self { state: State::UntilEnd, .. } => Ending::Completes,
            _ => Ending::Cuts,
        }
    }

    fn head(&self, status: u16) -> Head<'_> {
        Head { status, etag: &self.etag, last_modified: &self.last_modified }
    }

    fn finish(&mut self) -> Part<'static> {
        self.state = State::Head;
        Part::End(if self.persists { Persistence::Kept } else { Persistence::Closes })
    }

    fn lend<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
        let (State::Sized { left } | State::Chunk { left }) = &mut self.state else {
            return Some(std::mem::take(bytes)).filter(|body| !body.is_empty());
        };
        let here = (*left).min(bytes.len() as u64);
        *left -= here;
        let (body, rest) = bytes.split_at(here as usize);
        *bytes = rest;
        (!body.is_empty()).then_some(body)
    }

    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Option<u16>, ResponseError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let before = self.pending.len();
        self.pending.extend_from_slice(bytes);
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&self.pending).map_err(|_| ResponseError::Malformed)? {
            Status::Partial if self.pending.len() > HEAD_BYTES_MAX => Err(ResponseError::TooLong),
            Status::Partial => {
                *bytes = &[];
                Ok(None)
            }
            Status::Complete(head_bytes) => {
                let status = response.code.ok_or(ResponseError::Malformed)?;
                keep(&mut self.etag, response.headers, "etag");
                keep(&mut self.last_modified, response.headers, "last-modified");
                self.persists = persists(response.version, response.headers);
                self.state = body(status, response.headers)?;
                self.persists &= self.state != State::UntilEnd;
                self.pending.clear();
                *bytes = &bytes[head_bytes - before..];
                Ok(Some(status))
            }
        }
    }

    /// The next line, without its end.
    fn read_line(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, ResponseError> {
        let end = memchr::memchr(b'\n', bytes);
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.pending.extend_from_slice(line);
        *bytes = rest;
        if self.pending.len() > HEAD_BYTES_MAX {
            return Err(ResponseError::TooLong);
        }
        Ok(end.map(|_| {
            let mut line = std::mem::take(&mut self.pending);
            line.pop();
            line.pop_if(|last| *last == b'\r');
            line
        }))
    }

    /// Takes a line between chunks; the end of the response if it is that.
    fn take_line(&mut self, line: &[u8]) -> Result<Option<Part<'static>>, ResponseError> {
        match self.state {
            State::AfterChunk if line.is_empty() => self.state = State::ChunkSize,
            State::AfterChunk => return Err(ResponseError::Malformed),
            State::Trailer if line.is_empty() => return Ok(Some(self.finish())),
            State::Trailer => {}
            _ => {
                self.state = match chunk_size(line)? {
                    0 => State::Trailer,
                    left => State::Chunk { left },
                }
            }
        }
        Ok(None)
    }
}

/// Keeps the value of a field.
fn keep(kept: &mut String, fields: &[Header<'_>], name: &str) {
    kept.clear();
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    kept.extend(field.and_then(|field| std::str::from_utf8(field.value).ok()));
}

/// RFC 9112 §7.1: hexadecimal digits, then perhaps extensions.
fn chunk_size(line: &[u8]) -> Result<u64, ResponseError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).map_err(|_| ResponseError::Malformed)?.trim();
    let is_digits = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let size = u64::from_str_radix(text, 16).ok().filter(|_| is_digits);
    size.ok_or(ResponseError::Malformed)
}

/// RFC 9112 §9.3.
fn persists(version: Option<u8>, fields: &[Header<'_>]) -> bool {
    let says = |word| values(fields, "connection").any(|value| value.eq_ignore_ascii_case(word));
    match version {
        Some(1) => !says("close"),
        _ => says("keep-alive"),
    }
}

/// RFC 9112 §6.3.
fn body(status: u16, fields: &[Header<'_>]) -> Result<State, ResponseError> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(State::Empty);
    }
    if let Some(coding) = values(fields, "transfer-encoding").last() {
        let is_chunked = coding.eq_ignore_ascii_case("chunked");
        return Ok(if is_chunked { State::ChunkSize } else { State::UntilEnd });
    }
    let mut lengths = values(fields, "content-length");
    let Some(length) = lengths.next() else { return Ok(State::UntilEnd) };
    let left = length.parse().map_err(|_| ResponseError::Malformed)?;
    match lengths.all(|other| other == length) {
        true => Ok(State::Sized { left }),
        false => Err(ResponseError::Malformed),
    }
}

/// The elements of all fields with this name.
fn values<'h>(fields: &[Header<'h>], name: &str) -> impl Iterator<Item = &'h str> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named
        .flat_map(|field| std::str::from_utf8(field.value).unwrap_or_default().split(','))
        .map(str::trim)
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, body and persistence of each response, of bytes that come `step` at a time.
    fn read_by(step: usize, stream: &str) -> Vec<(u16, String, Option<Persistence>)> {
        let mut reader = ResponseReader::default();
        let mut found = Vec::new();
        for mut bytes in stream.as_bytes().chunks(step) {
            while let Some(part) = reader.read(&mut bytes).unwrap() {
                match (part, found.last_mut()) {
                    (Part::Head(head), _) => found.push((head.status, String::new(), None)),
                    (Part::Body(body), Some(last)) => {
                        last.1.push_str(std::str::from_utf8(body).unwrap());
                    }
                    (Part::End(persistence), Some(last)) => last.2 = Some(persistence),
                    (part, None) => panic!("{part:?} before a head"),
                }
            }
            assert!(bytes.is_empty(), "what is not needed now is kept");
        }
        found
    }

    #[test]
    fn responses_are_read_however_they_are_cut() {
        let stream = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 201 Created\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\
            3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n\
            HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1, 1\r\n\r\nx\
            HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        let kept = |status, body: &str| (status, body.to_owned(), Some(Persistence::Kept));
        let expected = [
            kept(200, "hello"),
            kept(201, "abc0123456789"),
            kept(204, ""),
            kept(404, ""),
            kept(200, "x"),
            (500, "no".to_owned(), Some(Persistence::Closes)),
        ];
        for step in 1..stream.len() + 1 {
            assert_eq!(read_by(step, stream), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn a_head_tells_what_is_new() {
        let mut reader = ResponseReader::default();
        let mut bytes = &b"HTTP/1.1 200 OK\r\nETag: \"1:2\"\r\nLast-Modified: now\r\n\r\n"[..];
        let head = Head { status: 200, etag: "\"1:2\"", last_modified: "now" };
        assert_eq!(reader.read(&mut bytes), Ok(Some(Part::Head(head))));
    }

    #[test]
    fn the_end_of_a_stream_completes_or_cuts() {
        for (stream, expected) in [
            ("", Ending::Between),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ending::Between),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ending::Completes),
            ("HTTP/1.1 200 OK\r\n", Ending::Cuts),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", Ending::Cuts),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", Ending::Cuts),
        ] {
            let mut reader = ResponseReader::default();
            let mut bytes = stream.as_bytes();
            while let Some(part) = reader.read(&mut bytes).unwrap() {
                assert_ne!(part, Part::End(Persistence::Closes), "{stream}");
            }
            assert_eq!(reader.end(), expected, "{stream}");
            assert_eq!(reader.end(), Ending::Between);
        }
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES_MAX));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (stream, error) in [
            ("RTSP/1.0 200 OK\r\n\r\n".to_owned(), ResponseError::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(), ResponseError::Malformed),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n".to_owned(),
                ResponseError::Malformed,
            ),
            (endless, ResponseError::TooLong),
            (format!("{chunked}+1\r\n"), ResponseError::Malformed),
            (format!("{chunked}\r\n"), ResponseError::Malformed),
            (format!("{chunked}1\r\nxy\r\n"), ResponseError::Malformed),
            (format!("{chunked}{}", "1".repeat(HEAD_BYTES_MAX + 1)), ResponseError::TooLong),
        ] {
            let mut reader = ResponseReader::default();
            let mut bytes = stream.as_bytes();
            let refused = loop {
                match reader.read(&mut bytes) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{stream:.60} is not refused"),
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused, error, "{stream:.60}");
        }
    }
}
