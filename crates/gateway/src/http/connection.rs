//! A connection while it speaks HTTP: heads and bodies gathered, requests served one after the
//! other.
//!
//! An idle one keeps no buffer. It never reads past the head that upgraded it.

use std::mem::MaybeUninit;

use super::{
    body::Expectation,
    chunk::Reading,
    cors::Cors,
    head::{self, FIELDS_MAX, Head},
    progress::Progress,
    refusal::{After, Refusal},
    request::{self, Posting, Served},
    response::Part,
    scan::{Found, Illegal, Scan},
};
use crate::{limits::PIPELINED_BYTES_MAX, outbox::Outbox, settings::Settings};

/// An HTTP/1.1 connection.
#[derive(Debug, Default)]
pub struct HttpConnection {
    /// The head so far, where it did not come whole.
    partial: Vec<u8>,
    scan: Scan,
    requests: u32,
    /// The request whose body did not come whole.
    posting: Option<Box<Posting>>,
}

impl HttpConnection {
    /// Whether no byte of a request has come yet: between two requests.
    pub fn is_between_requests(&self) -> bool {
        self.scan.is_before() && self.partial.is_empty() && self.posting.is_none()
    }

    /// Takes one request, or what there is of it, from the front of `input`.
    pub fn advance(
        &mut self,
        input: &mut &mut [u8],
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Progress {
        if let Some(posting) = self.posting.take() {
            return self.read_body(posting, input, outbox);
        }
        if self.partial.is_empty() && self.pass_empty_lines(input).is_err() {
            return refuse(Refusal::Malformed, outbox);
        }
        // What is past the bound is not judged: the answer must not depend on how bytes arrive.
        let room = settings.head.bytes_max - self.partial.len();
        let within = &input[..input.len().min(room)];
        let taken = match self.scan.advance(within) {
            Err(_) => return refuse(Refusal::Malformed, outbox),
            Ok(Found::More) if input.len() > room => {
                return refuse(self.oversize(within, settings), outbox);
            }
            Ok(Found::More) => {
                self.partial.extend_from_slice(input);
                *input = &mut [];
                return Progress::More;
            }
            Ok(Found::End(length)) => length,
        };
        let (bytes, rest) = std::mem::take(input).split_at_mut(taken);
        *input = rest;
        self.requests += 1;
        let may_follow = self.requests < settings.requests_per_connection_max
            && outbox.bytes_of_turn() < PIPELINED_BYTES_MAX;
        let last = match may_follow {
            true => After::KeepAlive,
            false => After::Close,
        };
        let served = if self.partial.is_empty() {
            serve(bytes, last, settings, outbox)
        } else {
            self.partial.extend_from_slice(bytes);
            // Taken, so that an idle connection keeps no buffer.
            serve(&std::mem::take(&mut self.partial), last, settings, outbox)
        };
        match served {
            Served::Now(progress) => progress,
            Served::AfterBody(posting, expectation) => {
                // RFC 9110 §10.1.1: whoever sends the body already waits for nothing.
                if expectation == Expectation::Continue && input.is_empty() {
                    outbox.write(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                self.read_body(Box::new(posting), input, outbox)
            }
        }
    }

    /// Takes what has come of a body.
    fn read_body(
        &mut self,
        mut posting: Box<Posting>,
        input: &mut &mut [u8],
        outbox: &mut Outbox<'_>,
    ) -> Progress {
        let mut unread = &**input;
        let reading = posting.body.read(&mut unread);
        let taken = input.len() - unread.len();
        *input = &mut std::mem::take(input)[taken..];
        match reading {
            Ok(Reading::Whole) => Progress::Posted(posting.complete()),
            Ok(Reading::More) => {
                self.posting = Some(posting);
                Progress::More
            }
            Err(refusal) => posting.refuse(refusal, outbox),
        }
    }

    /// RFC 9112 §2.2: empty lines before a request are no part of it.
    fn pass_empty_lines(&mut self, input: &mut &mut [u8]) -> Result<(), Illegal> {
        let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (lines, rest) = std::mem::take(input).split_at_mut(empty);
        *input = rest;
        self.scan.advance(lines).map(|_| ())
    }

    /// Refuses what has come of a request: the rest of it is not waited for.
    pub fn give_up(&mut self, refusal: Refusal, outbox: &mut Outbox<'_>) {
        match self.posting.take() {
            Some(posting) => posting.refuse(refusal, outbox),
            None => refuse(refusal, outbox),
        };
    }

    /// Bytes of what has come of a request.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        let posting = self.posting.as_ref().map_or(0, |posting| posting.body.held_bytes());
        self.partial.capacity() + posting
    }

    /// A head that is too large is so by its target, or by its fields.
    fn oversize(&self, bytes: &[u8], settings: &Settings) -> Refusal {
        let line_bytes_max = settings.head.target_bytes_max + "OPTIONS  HTTP/1.1".len();
        let mut head = self.partial.iter().chain(bytes);
        if head.position(|&byte| byte == b'\r').is_none_or(|line| line > line_bytes_max) {
            Refusal::TargetTooLong
        } else {
            Refusal::HeadTooLarge
        }
    }
}

/// Serves a whole head; the connection may be kept as far as `most` allows.
fn serve(bytes: &[u8], most: After, settings: &Settings, outbox: &mut Outbox<'_>) -> Served {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    match head::parse(bytes, &mut fields, &settings.head) {
        Ok(head) if most == After::Close => {
            request::serve(&Head { wish: After::Close, ..head }, settings, outbox)
        }
        Ok(head) => request::serve(&head, settings, outbox),
        Err(refusal) => Served::Now(refuse(refusal, outbox)),
    }
}

/// Refuses what is no request; nothing that follows can be trusted.
fn refuse(refusal: Refusal, outbox: &mut Outbox<'_>) -> Progress {
    request::refuse(refusal, &Cors::Silent, Part::Whole, After::Close, outbox)
}
