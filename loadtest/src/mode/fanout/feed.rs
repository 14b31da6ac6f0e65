//! Events that subscribers read over HTTP: a stream of Server-Sent Events, or successive long
//! polls.
//!
//! A poll tells the server how far the subscriber has read, in the ways that servers support.

use memchr::memchr2;

use ringway_http::ResponseHead;

use crate::wire::{cursor, handshake::Approach, request};

/// How subscribers receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Transport {
    /// As messages of a WebSocket.
    #[default]
    WebSocket,
    /// As Server-Sent Events.
    Stream,
    /// As the responses to long polls.
    Polls {
        /// The field of a response whose value goes into the query of the next request.
        cursor: Option<String>,
    },
}

/// The data that one subscriber reads.
#[derive(Debug, Default)]
pub struct Feed {
    status: u16,
    /// A line or a response that is not complete yet.
    pending: Vec<u8>,
    /// Whether the last byte was a CR: an LF that follows belongs to the same line end.
    is_after_cr: bool,
    cursor: String,
    etag: String,
    last_modified: String,
}

/// The meaning of a response for its subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    /// It contains events.
    News,
    /// No events arrived during the poll.
    NoNews,
    /// The server refuses the request.
    Refusal,
}

impl Feed {
    /// The next request of the subscriber with this number.
    pub fn request(&self, transport: &Transport, approach: &Approach, number: u32) -> Vec<u8> {
        let Transport::Polls { cursor } = transport else {
            return request::get(approach, number, None, &[("Accept", "text/event-stream")]);
        };
        let query = cursor.as_deref().zip(Some(&*self.cursor)).filter(|(_, at)| !at.is_empty());
        let tags = [("If-None-Match", &*self.etag), ("If-Modified-Since", &*self.last_modified)];
        let known: Vec<_> = tags.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        request::get(approach, number, query, &known)
    }

    /// A response begins.
    pub fn begin(&mut self, head: ResponseHead<'_>) -> ResponseKind {
        self.status = head.status;
        self.pending.clear();
        self.is_after_cr = false;
        let answer = self.answer();
        if answer == ResponseKind::News {
            // RFC 9110 §8.8.3 and §8.8.2.
            keep(&mut self.etag, head, "ETag");
            keep(&mut self.last_modified, head, "Last-Modified");
        }
        answer
    }

    /// The meaning of the response.
    pub fn answer(&self) -> ResponseKind {
        match self.status {
            200 => ResponseKind::News,
            // RFC 9110 §15.3.5, §15.4.5, §15.5.9.
            204 | 304 | 408 => ResponseKind::NoNews,
            _ => ResponseKind::Refusal,
        }
    }

    /// Calls `read` with the data of each complete line. Lines end with CR, LF or both (WHATWG HTML
    /// §9.2.5, "Parsing an event stream").
    pub fn read_lines(&mut self, mut body: &[u8], mut read: impl FnMut(&[u8])) {
        while let Some(first) = body.first() {
            if std::mem::take(&mut self.is_after_cr) && *first == b'\n' {
                body = &body[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', body) else { break };
            self.is_after_cr = body[end] == b'\r';
            let (line, rest) = (&body[..end], &body[end + 1..]);
            body = rest;
            if self.pending.is_empty() {
                read_data(line, &mut read);
            } else {
                self.pending.extend_from_slice(line);
                read_data(&self.pending, &mut read);
                self.pending.clear();
            }
        }
        self.pending.extend_from_slice(body);
    }

    /// Buffers a part of a response.
    pub fn keep(&mut self, body: &[u8]) {
        self.pending.extend_from_slice(body);
    }

    /// Returns the buffered response, and records how far the subscriber has read with it.
    pub fn finish(&mut self, transport: &Transport) -> Vec<u8> {
        let body = std::mem::take(&mut self.pending);
        if let Transport::Polls { cursor: Some(name) } = transport
            && let Some(cursor) = cursor::find(&body, name)
        {
            self.cursor.clear();
            self.cursor.push_str(cursor);
        }
        body
    }
}

/// Keeps the value of a field, or an empty one if it is missing.
fn keep(kept: &mut String, head: ResponseHead<'_>, name: &str) {
    kept.clear();
    kept.extend(head.values(name).next().and_then(|value| std::str::from_utf8(value).ok()));
}

/// Passes the data of a line of a stream to `read`.
fn read_data(line: &[u8], read: &mut impl FnMut(&[u8])) {
    if let Some(data) = line.strip_prefix(b"data:") {
        read(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{message::Form, target::Target};

    #[test]
    fn lines_are_read_when_complete() {
        let mut feed = Feed::default();
        let mut read_lines = Vec::new();
        let stream = b"retry: 2000\n\nid: 1\ndata: one\n\ndata:two\ndata: three";
        for piece in stream.chunks(3) {
            feed.read_lines(piece, |data| {
                read_lines.push(String::from_utf8_lossy(data).into_owned())
            });
        }
        assert_eq!(read_lines, [" one", "two"]);
    }

    #[test]
    fn a_line_may_end_with_cr_or_lf_or_both() {
        for end in ["\n", "\r", "\r\n"] {
            let stream = [": hi", "", "data: one", "", "data:two", "data: three", "", ""].join(end);
            for step in 1..stream.len() + 1 {
                let mut feed = Feed::default();
                let mut read_lines = Vec::new();
                for piece in stream.as_bytes().chunks(step) {
                    feed.read_lines(piece, |data| {
                        read_lines.push(String::from_utf8_lossy(data).into_owned());
                    });
                }
                assert_eq!(
                    read_lines,
                    [" one", "two", " three"],
                    "{end:?}, {step} bytes at a time"
                );
            }
        }
    }

    #[test]
    fn a_poll_carries_the_position_of_its_subscriber() {
        let transport = Transport::Polls { cursor: Some("at".to_owned()) };
        let target = Target::parse("http://127.0.0.1/poll?n={n}").unwrap();
        let approach = Approach::new(target, Form::Plain);
        let mut feed = Feed::default();
        let request = |feed: &Feed| String::from_utf8(feed.request(&transport, &approach, 7));
        assert_eq!(request(&feed).unwrap(), "GET /poll?n=7 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let bytes = b"HTTP/1.1 200 OK\r\nETag: 3\r\nLast-Modified: today\r\n\r\n";
        let head = ResponseHead { status: 200, bytes };
        assert_eq!(feed.begin(head), ResponseKind::News);
        feed.keep(b"{\"at\":\"x-1\",");
        feed.keep(b"\"events\":[{\"at\":\"x-0\"}]}");
        assert_eq!(feed.finish(&transport).len(), 36);
        let told = "If-None-Match: 3\r\nIf-Modified-Since: today\r\n\r\n";
        assert_eq!(
            request(&feed).unwrap(),
            format!("GET /poll?n=7&at=x-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}")
        );
        let nothing = ResponseHead { status: 304, bytes: b"HTTP/1.1 304 None\r\n\r\n" };
        assert_eq!(feed.begin(nothing), ResponseKind::NoNews);
        assert!(request(&feed).unwrap().ends_with(told), "it is where it was");
    }
}
