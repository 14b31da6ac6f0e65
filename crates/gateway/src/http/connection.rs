//! A connection while it speaks HTTP: heads gathered, requests answered one after the other.
//!
//! An idle one keeps no buffer. It never reads a body, and never reads past the head that
//! upgraded it.

use std::mem::MaybeUninit;

use ringway_frame::{deflate::Agreement, handshake::server};

use super::{
    head::{self, FIELDS_MAX, Head},
    refusal::{After, Refusal},
    response::{self, Part},
    routes::{self, Route},
    scan::{Found, Illegal, Scan},
};
use crate::{limits::PIPELINED_BYTES_MAX, outbox::Outbox, settings::Settings};

/// The page at `/`.
const HOME: &str = include_str!("../web/home.html");

/// An HTTP/1.1 connection.
#[derive(Debug, Default)]
pub struct HttpConnection {
    /// The head so far, where it did not come whole.
    partial: Vec<u8>,
    scan: Scan,
    requests: u32,
}

/// What became of the bytes.
#[derive(Debug)]
pub enum Progress {
    /// More are needed; all were used.
    More,
    /// A request was answered, and the next may follow.
    Answered,
    /// The connection speaks WebSocket from here on.
    Upgraded(Upgrade),
    /// The last answer was written.
    Finished,
}

/// A WebSocket that was agreed on.
#[derive(Debug)]
pub struct Upgrade {
    /// Where it was opened.
    pub route: Route,
    /// What was agreed on for compression.
    pub agreement: Option<Agreement>,
}

impl HttpConnection {
    /// Whether no byte of a request has come yet: between two requests.
    pub fn is_between_requests(&self) -> bool {
        self.scan.is_before() && self.partial.is_empty()
    }

    /// Takes one request, or what there is of it, from the front of `input`.
    pub fn advance(
        &mut self,
        input: &mut &mut [u8],
        settings: &Settings,
        outbox: &mut Outbox<'_>,
    ) -> Progress {
        if self.partial.is_empty() && self.pass_empty_lines(input).is_err() {
            return refuse(Refusal::Malformed, Part::Whole, After::Close, outbox);
        }
        // What is past the bound is not judged: the answer must not depend on how bytes arrive.
        let room = settings.head.bytes_max - self.partial.len();
        let within = &input[..input.len().min(room)];
        let taken = match self.scan.advance(within) {
            Err(_) => return refuse(Refusal::Malformed, Part::Whole, After::Close, outbox),
            Ok(Found::More) if input.len() > room => {
                return refuse(self.oversize(within, settings), Part::Whole, After::Close, outbox);
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
        if self.partial.is_empty() {
            return answer(bytes, last, settings, outbox);
        }
        self.partial.extend_from_slice(bytes);
        // Taken, so that an idle connection keeps no buffer.
        answer(&std::mem::take(&mut self.partial), last, settings, outbox)
    }

    /// RFC 9112 §2.2: empty lines before a request are no part of it.
    fn pass_empty_lines(&mut self, input: &mut &mut [u8]) -> Result<(), Illegal> {
        let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (lines, rest) = std::mem::take(input).split_at_mut(empty);
        *input = rest;
        self.scan.advance(lines).map(|_| ())
    }

    /// Says that the request did not come in time.
    pub fn time_out(&mut self, outbox: &mut Outbox<'_>) {
        refuse(Refusal::Timeout, Part::Whole, After::Close, outbox);
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

/// Answers a whole head; the connection may be kept as far as `most` allows.
fn answer(bytes: &[u8], most: After, settings: &Settings, outbox: &mut Outbox<'_>) -> Progress {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let head = match head::parse(bytes, &mut fields, &settings.head) {
        Ok(head) if most == After::Close => Head { after: After::Close, ..head },
        Ok(head) => head,
        Err(refusal) => return refuse(refusal, Part::Whole, After::Close, outbox),
    };
    let part = if head.method == "HEAD" { Part::Head } else { Part::Whole };
    match routes::find(head.path) {
        Some(Route::Home) if matches!(head.method, "GET" | "HEAD") => {
            outbox.write(|out| {
                response::page(out, "text/html; charset=utf-8", HOME, part, head.after);
            });
            after(head.after, outbox)
        }
        Some(Route::Home) => refuse(Refusal::Method, part, head.after, outbox),
        Some(Route::Echo) => upgrade(Route::Echo, &head, part, settings, outbox),
        None => refuse(Refusal::NotFound, part, head.after, outbox),
    }
}

fn upgrade(
    route: Route,
    head: &Head<'_>,
    part: Part,
    settings: &Settings,
    outbox: &mut Outbox<'_>,
) -> Progress {
    let request = match server::examine(head.method, head.minor, head.fields) {
        Ok(request) => request,
        Err(error) => return refuse(Refusal::Handshake(error), part, head.after, outbox),
    };
    let agreement =
        settings.deflate.as_ref().and_then(|policy| policy.agree(request.extensions().iter()));
    outbox.write(|out| server::emit_response(out, request.key, None, agreement.as_ref()));
    Progress::Upgraded(Upgrade { route, agreement })
}

fn refuse(refusal: Refusal, part: Part, head_after: After, outbox: &mut Outbox<'_>) -> Progress {
    let both = match (refusal.after(), head_after) {
        (After::KeepAlive, After::KeepAlive) => After::KeepAlive,
        _ => After::Close,
    };
    outbox.write(|out| response::refuse(out, refusal, part, both));
    after(both, outbox)
}

fn after(after: After, outbox: &mut Outbox<'_>) -> Progress {
    match after {
        After::KeepAlive => Progress::Answered,
        After::Close => {
            outbox.finish();
            Progress::Finished
        }
    }
}
