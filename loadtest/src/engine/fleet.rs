//! One thread's connections and their sockets: completions in, messages to the workload.
//!
//! It knows handshakes and control frames, and nothing of what a message is for.

use std::time::Duration;

use ringway_acceptor::{Completion, Connect, Connection, Failure};
use ringway_frame::{
    DataKind, MaskKeys, Message, MessageReader, ReadLimits, emit_close, emit_pong,
};

use super::{
    exchange,
    links::{Links, State},
    opener::{Fallback, Opener},
    plan::Plan,
    workload::{Ended, Then, Workload},
};
use crate::{
    measure::quantiles::record,
    wire::{failure::Reason, message::Form, opening::Progress, response::ResponseReader},
};

/// Messages up to this are received, however short those are that are sent; it bounds what a server
/// can make each connection keep.
const MESSAGE_BYTES_MAX_MIN: u64 = 1 << 20;

/// A thread's connections.
pub(super) struct Fleet<'p, W> {
    pub(super) links: Links,
    pub(super) workload: W,
    pub(super) opener: Opener<'p>,
    /// By link; `None` when it is not open.
    readers: Vec<Option<MessageReader>>,
    /// By link; empty unless they speak HTTP.
    pub(super) responses: Vec<ResponseReader>,
    by_slot: Vec<u32>,
    limits: ReadLimits,
    keys: MaskKeys,
    /// Links whose first try is over, well or not.
    tried: u32,
    has_been_tried: Vec<bool>,
    failed: Vec<u32>,
    /// Whether what ends may be opened again.
    course: Course,
    /// What was decrypted last.
    plain: Vec<u8>,
}

/// Where a thread's connections are going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    /// All are being closed for good.
    Out,
}

impl<'p, W: Workload> Fleet<'p, W> {
    pub(super) fn new(plan: &'p Plan, mut links: Links, workload: W) -> Self {
        links.exchange = plan.approach.exchange();
        let count = links.len() as usize;
        let responses = exchange::readers(links.exchange, count);
        if plan.security.is_some() {
            links.sessions.resize_with(count, || None);
        }
        let bytes_max = (4 * plan.message_bytes as u64).max(MESSAGE_BYTES_MAX_MIN);
        Self {
            links,
            workload,
            opener: Opener::new(plan),
            readers: std::iter::repeat_with(|| None).take(count).collect(),
            responses,
            by_slot: Vec::new(),
            limits: ReadLimits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max },
            keys: MaskKeys::new(),
            tried: 0,
            has_been_tried: vec![false; count],
            failed: Vec::new(),
            course: Course::On,
            plain: Vec::new(),
        }
    }

    /// Closes all connections for good: politely where they are open.
    pub(super) fn part(&mut self) {
        self.course = Course::Out;
        self.opener.forget_wishes();
        for link in 0..self.links.len() {
            match self.links.list[link as usize].state {
                State::Open => self.links.close(link),
                State::Opening => self.links.leave(link, Ended::Unopened),
                State::Closed | State::Closing | State::ClosedBoth | State::Leaving(_) => {}
            }
        }
    }

    /// Whether each connection was opened, or tried to.
    pub(super) fn all_tried(&self) -> bool {
        self.tried == self.links.len()
    }

    /// Begins connections that are due, and ends those that take too long. Returns when there is
    /// more of that to do.
    pub(super) fn advance<D: Connect>(&mut self, driver: &mut D) -> Option<Duration> {
        let Self { links, opener, by_slot, failed, course, .. } = self;
        if *course == Course::Out {
            links.wishes.clear();
        }
        let next = opener.advance(driver, links, by_slot, failed);
        while let Some(link) = self.failed.pop() {
            self.end(link, Ended::Unopened);
        }
        while let Some(farewell) = self.links.farewells.front().copied() {
            let entry = &self.links.list[farewell.link as usize];
            let unanswered = match entry.state {
                State::Closing => Reason::named("close_unanswered"),
                _ => Reason::named("stream_not_ended"),
            };
            let is_current = entry.connection == farewell.connection
                && matches!(entry.state, State::Closing | State::ClosedBoth);
            if is_current && farewell.at > self.links.now() {
                return next.into_iter().chain([farewell.at]).min();
            }
            self.links.farewells.pop_front();
            if is_current {
                self.links.seen.fail(unanswered);
                self.links.leave(farewell.link, Ended::Closed);
            }
        }
        next
    }

    /// Takes one thing that happened.
    pub(super) fn complete(&mut self, completion: Completion<'_>) {
        match completion {
            Completion::Received { connection, bytes } => {
                if let Some(link) = self.link(connection) {
                    self.receive(link, bytes);
                }
            }
            Completion::Connected { connection } => {
                if let Some(link) = self.link(connection) {
                    self.opener.prefer_address_of(link);
                    match self.responses.is_empty() {
                        true => self.opener.connected(link, &mut self.links),
                        false => self.open_for_requests(link),
                    }
                }
            }
            Completion::EndOfStream { connection } => {
                if let Some(link) = self.link(connection) {
                    self.end_of_stream(link);
                }
            }
            Completion::Failed { connection, failure } => {
                if let Some(link) = self.link(connection) {
                    self.fail(link, failure);
                }
            }
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                if let Some(link) = self.link(connection) {
                    self.links.set_unsent(link, unsent_bytes);
                }
            }
            Completion::Drained { connection } => {
                if let Some(link) = self.link(connection) {
                    self.links.set_unsent(link, 0);
                }
            }
            Completion::Closed { connection } => {
                if let Some(link) = self.link(connection) {
                    self.let_go(link);
                }
            }
            // There is no listener, and a wake-up is its own message.
            Completion::Accepted { .. }
            | Completion::Refused { .. }
            | Completion::Progress { .. }
            | Completion::Woken => {}
        }
    }

    #[inline]
    fn link(&self, connection: Connection) -> Option<u32> {
        let link = *self.by_slot.get(connection.slot() as usize)?;
        (self.links.list.get(link as usize)?.connection == connection).then_some(link)
    }

    #[inline]
    fn receive(&mut self, link: u32, bytes: &mut [u8]) {
        if self.links.sessions.is_empty() {
            self.receive_plain(link, bytes);
        } else {
            self.receive_encrypted(link, bytes);
        }
    }

    fn receive_encrypted(&mut self, link: u32, bytes: &[u8]) {
        let Some(session) = &mut self.links.sessions[link as usize] else { return };
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let received = session.receive(bytes, &mut plain);
        // An alert goes out even if there is nothing more to be had.
        self.links.flush(link);
        if !plain.is_empty() {
            self.receive_plain(link, &mut plain);
        }
        self.plain = plain;
        if let Err(reason) = received {
            let why = match self.links.list[link as usize].state {
                State::Closed | State::Leaving(_) => return,
                State::Opening => Ended::Unopened,
                State::Open | State::Closing | State::ClosedBoth => Ended::Lost,
            };
            self.links.seen.fail(reason);
            self.links.leave(link, why);
        }
    }

    #[inline]
    fn receive_plain(&mut self, link: u32, bytes: &mut [u8]) {
        match self.links.list[link as usize].state {
            State::Open | State::Closing => self.read(link, bytes),
            State::Opening => self.open(link, bytes),
            State::ClosedBoth | State::Closed | State::Leaving(_) => {}
        }
    }

    fn open(&mut self, link: u32, bytes: &mut [u8]) {
        let Some((terms, opening)) = self.opener.opening(link) else { return };
        match terms.receive(opening, bytes) {
            Ok(Progress::Awaited) => {}
            Ok(Progress::Open(opened)) => {
                self.readers[link as usize] = Some(opened.reader);
                self.become_open(link, opened.form);
                if opened.head_bytes < bytes.len() {
                    self.read(link, &mut bytes[opened.head_bytes..]);
                }
            }
            Err(reason) => {
                self.links.seen.fail(reason);
                self.links.leave(link, Ended::Unopened);
            }
        }
    }

    pub(super) fn become_open(&mut self, link: u32, form: Form) {
        if let Some(since) = self.opener.finish(link) {
            let took = self.links.now().saturating_sub(since);
            record(&mut self.links.seen.openings, took);
        }
        let entry = &mut self.links.list[link as usize];
        entry.state = State::Open;
        entry.form = form;
        self.links.open += 1;
        self.links.seen.opened += 1;
        self.try_over(link);
        self.workload.opened(link, &mut self.links);
    }

    #[inline]
    fn read(&mut self, link: u32, mut bytes: &mut [u8]) {
        let Some(reader) = &mut self.readers[link as usize] else {
            return self.read_responses(link, bytes);
        };
        if reader.is_idle() {
            let taken = self.workload.skim(link, bytes, &mut self.links);
            bytes = &mut bytes[taken..];
        }
        loop {
            match reader.read(&mut bytes, &self.limits) {
                Ok(Some(Message::Binary(payload))) => {
                    self.workload.message(link, DataKind::Binary, &payload, &mut self.links)
                }
                Ok(Some(Message::Text(payload))) => {
                    self.workload.message(link, DataKind::Text, &payload, &mut self.links)
                }
                // RFC 6455 §5.5.3: not every Ping must be answered, and not to one who does not read.
                Ok(Some(Message::Ping(payload))) => {
                    if self.links.list[link as usize].unsent_bytes == 0 {
                        let key = Some(self.keys.draw());
                        self.links.send_raw(link, |out| emit_pong(out, key, payload));
                    }
                }
                Ok(Some(Message::Pong(payload))) => {
                    self.workload.pong(link, payload, &mut self.links)
                }
                Ok(Some(Message::Close(code, _))) => {
                    let state = &mut self.links.list[link as usize].state;
                    if *state == State::Open {
                        self.links.seen.fail(Reason::of_close(code));
                        let key = Some(self.keys.draw());
                        self.links.send_raw(link, |out| emit_close(out, key, code, ""));
                        self.links.leave(link, Ended::Lost);
                    } else if *state == State::Closing {
                        // RFC 6455 §7.1.1: the server ends the stream first.
                        *state = State::ClosedBoth;
                    }
                }
                Ok(None) => break,
                // We had closed it, and what it still had to say is of no interest.
                Err(_) if self.links.list[link as usize].state != State::Open => break,
                Err(error) => {
                    self.links.seen.fail(Reason::of_protocol(error));
                    let (key, code) = (Some(self.keys.draw()), error.close_code());
                    self.links.send_raw(link, |out| emit_close(out, key, code, ""));
                    self.links.leave(link, Ended::Lost);
                    break;
                }
            }
        }
    }

    fn end_of_stream(&mut self, link: u32) {
        match self.links.list[link as usize].state {
            State::Opening => {
                self.links.seen.fail(Reason::HANDSHAKE_CUT);
                self.links.leave(link, Ended::Unopened);
            }
            State::Open if !self.responses.is_empty() => self.end_of_responses(link),
            State::Open => {
                self.links.seen.fail(Reason::ENDED_WITHOUT_CLOSE);
                self.links.leave(link, Ended::Lost);
            }
            State::Closing | State::ClosedBoth => self.links.leave(link, Ended::Closed),
            State::Closed | State::Leaving(_) => {}
        }
    }

    fn fail(&mut self, link: u32, failure: Failure) {
        let (reason, why) = match self.links.list[link as usize].state {
            State::Opening if self.opener.next_address(link) == Fallback::Yes => {
                return self.links.leave(link, Ended::Unopened);
            }
            State::Opening => {
                let reason = match self.opener.opening(link) {
                    None => Reason::of_connect(&std::io::Error::from_raw_os_error(failure.0)),
                    Some(_) => Reason::of_handshake_failure(failure),
                };
                (reason, Ended::Unopened)
            }
            State::Open => (Reason::of_failure(failure), Ended::Lost),
            State::Closing | State::ClosedBoth => return self.links.leave(link, Ended::Closed),
            State::Closed | State::Leaving(_) => return,
        };
        self.links.seen.fail(reason);
        self.links.leave(link, why);
    }

    /// The last completion of a connection.
    fn let_go(&mut self, link: u32) {
        let entry = &mut self.links.list[link as usize];
        let State::Leaving(why) = entry.state else { return };
        entry.state = State::Closed;
        self.links.held -= 1;
        entry.connection = Connection::new(u32::MAX, 0);
        self.readers[link as usize] = None;
        if let Some(session) = self.links.sessions.get_mut(link as usize) {
            *session = None;
        }
        self.opener.finish(link);
        if why != Ended::Unopened {
            self.links.seen.ended += 1;
        }
        self.end(link, why);
    }

    fn end(&mut self, link: u32, why: Ended) {
        if self.opener.is_trying(link) {
            return self.links.open_at(link, self.links.now());
        }
        self.try_over(link);
        match self.workload.ended(link, why, &mut self.links) {
            Then::Reopen(after) if self.course == Course::On => {
                self.links.open_at(link, self.links.now() + after);
            }
            Then::Reopen(_) | Then::Rest => {}
        }
    }

    fn try_over(&mut self, link: u32) {
        let tried = &mut self.has_been_tried[link as usize];
        self.tried += u32::from(!std::mem::replace(tried, true));
    }
}
