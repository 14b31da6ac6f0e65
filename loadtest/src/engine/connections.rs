//! One thread's connections and their sockets: reads completions, and passes messages to the
//! workload.
//!
//! It handles handshakes and control frames, and does not know what messages mean.

use std::time::Duration;

use ringway_acceptor::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Failure, Operation,
};
use ringway_frame::{
    DataKind, MaskKeys, Message, MessageReader, ProtocolError, ProtocolState, ReadLimits,
    ReadyState, Received, Role,
};
use ringway_http::ResponseReader;
use ringway_tls::{Fault, Opened};

use super::{
    dialer::{Dialer, Secured},
    plan::Plan,
    table::{self, ConnectionTable, State},
    workload::{Ended, Then, Workload},
};
use crate::{
    measure::quantiles::record,
    wire::{
        failure::Reason,
        handshake::{Exchange, HandshakeProgress},
        message::Form,
    },
};

/// Messages up to at least this size are received, even if the messages that are sent are shorter.
/// It bounds what a server can make each connection hold.
const MESSAGE_BYTES_MAX_MIN: u64 = 1 << 20;

/// A thread's connections.
pub(super) struct Connections<'p, W> {
    pub(super) table: ConnectionTable,
    pub(super) workload: W,
    pub(super) dialer: Dialer<'p>,
    /// By connection; `None` while it is not open.
    readers: Vec<Option<MessageReader>>,
    /// By connection; empty unless connections use HTTP.
    pub(super) responses: Vec<ResponseReader>,
    by_slot: Vec<u32>,
    limits: ReadLimits,
    keys: MaskKeys,
    /// Connections whose first attempt has ended, in success or failure.
    tried: u32,
    has_been_tried: Vec<bool>,
    /// Whether ended connections may be opened again.
    course: Course,
    /// Records to send that TLS sessions write while they read; empty between reads.
    records: Vec<u8>,
}

/// Whether a thread still opens connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    /// All connections are being closed for good.
    Out,
}

impl<'p, W: Workload> Connections<'p, W> {
    pub(super) fn new(plan: &'p Plan, mut table: ConnectionTable, workload: W) -> Self {
        table.exchange = plan.approach.exchange();
        let count = table.len() as usize;
        let is_http = table.exchange == Exchange::Requests;
        let responses = if is_http { count } else { 0 };
        if plan.tls.is_some() {
            table.sessions.resize_with(count, || None);
        }
        let bytes_max = (4 * plan.message_bytes as u64).max(MESSAGE_BYTES_MAX_MIN);
        Self {
            table,
            workload,
            dialer: Dialer::new(plan),
            readers: std::iter::repeat_with(|| None).take(count).collect(),
            responses: std::iter::repeat_with(ResponseReader::default).take(responses).collect(),
            by_slot: Vec::new(),
            limits: ReadLimits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max },
            keys: MaskKeys::new(),
            tried: 0,
            has_been_tried: vec![false; count],
            course: Course::On,
            records: Vec::new(),
        }
    }

    /// Closes all connections for good; open ones with a Close frame.
    pub(super) fn part(&mut self) {
        self.course = Course::Out;
        self.dialer.forget_wishes();
        for connection in 0..self.table.len() {
            match self.table.list[connection as usize].state {
                State::Live(_) => self.table.close(connection),
                State::Opening => self.table.leave(connection, Ended::Unopened),
                State::Closed | State::Leaving(_) => {}
            }
        }
    }

    /// Whether each connection was opened, or its first attempt has failed.
    pub(super) fn all_tried(&self) -> bool {
        self.tried == self.table.len()
    }

    /// Opens connections that are due, and ends those that take too long. Returns when to call it
    /// again.
    pub(super) fn advance(&mut self) -> Option<Duration> {
        if self.course == Course::Out {
            self.table.wishes.clear();
        }
        let next = self.dialer.advance(&mut self.table);
        while let Some(farewell) = self.table.farewells.front().copied() {
            let entry = &self.table.list[farewell.connection as usize];
            let awaited = match entry.state {
                State::Live(protocol) if entry.attempt == farewell.attempt => {
                    match protocol.ready_state() {
                        ReadyState::Open => None,
                        ReadyState::Closing | ReadyState::Failed => Some("close_unanswered"),
                        ReadyState::Closed => Some("stream_not_ended"),
                    }
                }
                _ => None,
            };
            if awaited.is_some() && farewell.at > self.table.now() {
                return next.into_iter().chain([farewell.at]).min();
            }
            self.table.farewells.pop_front();
            if let Some(reason) = awaited {
                self.table.seen.fail(Reason::named(reason));
                self.table.leave(farewell.connection, Ended::Closed);
            }
        }
        next
    }

    /// Handles one completion.
    pub(super) fn complete(&mut self, completion: Completion<'_>) {
        match completion {
            Completion::Received { connection: id, bytes } => {
                if let Some(connection) = self.connection(id) {
                    self.receive(connection, bytes);
                }
            }
            Completion::Connected { connection: id, token } => self.connected(id, token),
            Completion::ConnectFailed { token, failure } => self.unconnected(token, failure),
            Completion::EndOfStream { connection: id } => {
                if let Some(connection) = self.connection(id) {
                    self.end_of_stream(connection);
                }
            }
            Completion::Failed { connection: id, failure } => {
                if let Some(connection) = self.connection(id) {
                    self.fail(connection, failure);
                }
            }
            Completion::Backlogged { connection: id, unsent_bytes, .. } => {
                if let Some(connection) = self.connection(id) {
                    self.table.set_unsent(connection, unsent_bytes);
                }
            }
            Completion::Drained { connection: id } => {
                if let Some(connection) = self.connection(id) {
                    self.table.set_unsent(connection, 0);
                }
            }
            Completion::Closed { connection: id } => {
                if let Some(connection) = self.connection(id) {
                    self.let_go(connection);
                }
            }
            // There is no listener and no place, and a wake-up carries nothing else.
            Completion::Accepted { .. }
            | Completion::Placed { .. }
            | Completion::Refused { .. }
            | Completion::Progress { .. }
            | Completion::Woken => {}
        }
    }

    #[inline]
    fn connection(&self, id: ConnectionId) -> Option<u32> {
        let connection = *self.by_slot.get(id.slot() as usize)?;
        (self.table.list.get(connection as usize)?.id == id).then_some(connection)
    }

    #[inline]
    fn receive(&mut self, connection: u32, bytes: &mut [u8]) {
        if self.table.sessions.is_empty() {
            self.receive_plain(connection, bytes);
        } else {
            self.receive_encrypted(connection, bytes);
        }
    }

    fn receive_encrypted(&mut self, connection: u32, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let Some(session) = &mut self.table.sessions[connection as usize] else { return };
            let was_established = session.is_established();
            let opened = session.open(&mut bytes, &mut self.records);
            if opened.is_err() {
                session.close(&mut self.records);
            }
            let is_new = !was_established && session.is_established();
            self.table.send_records(connection, &mut self.records);
            match opened {
                Ok(Opened::InPlace(plain)) => self.receive_plain(connection, plain),
                Ok(Opened::Assembled(mut plain)) => self.receive_plain(connection, &mut plain),
                Ok(Opened::Nothing) if is_new => self.secured(connection),
                // After `close_notify` comes the end of the stream.
                Ok(Opened::Nothing | Opened::Ended) => {}
                Err(fault) => return self.break_records(connection, fault),
            }
        }
    }

    /// Handles a violation of TLS by the server.
    fn break_records(&mut self, connection: u32, fault: Fault) {
        let why = match self.table.list[connection as usize].state {
            State::Closed | State::Leaving(_) => return,
            State::Opening => Ended::Unopened,
            State::Live(_) => Ended::Lost,
        };
        self.table.seen.fail(Reason::of_tls(fault));
        self.table.leave(connection, why);
    }

    #[inline]
    fn receive_plain(&mut self, connection: u32, bytes: &mut [u8]) {
        match self.table.list[connection as usize].state {
            State::Live(_) => self.read(connection, bytes),
            State::Opening => self.open(connection, bytes),
            State::Closed | State::Leaving(_) => {}
        }
    }

    fn open(&mut self, connection: u32, bytes: &mut [u8]) {
        let Some((terms, opening)) = self.dialer.opening(connection) else { return };
        match terms.receive(opening, bytes) {
            Ok(HandshakeProgress::Awaited) => {}
            Ok(HandshakeProgress::Open(opened)) => {
                self.readers[connection as usize] = Some(opened.reader);
                self.become_open(connection, opened.form);
                if opened.head_bytes < bytes.len() {
                    self.read(connection, &mut bytes[opened.head_bytes..]);
                }
            }
            Err(reason) => {
                self.table.seen.fail(reason);
                self.table.leave(connection, Ended::Unopened);
            }
        }
    }

    pub(super) fn become_open(&mut self, connection: u32, form: Form) {
        if let Some(since) = self.dialer.finish(connection) {
            let took = self.table.now().saturating_sub(since);
            record(&mut self.table.seen.openings, took);
        }
        let entry = &mut self.table.list[connection as usize];
        entry.state = State::Live(ProtocolState::new(Role::Client));
        entry.form = form;
        self.table.open += 1;
        self.table.seen.opened += 1;
        self.try_over(connection);
        self.workload.opened(connection, &mut self.table);
    }

    #[inline]
    fn read(&mut self, connection: u32, mut bytes: &mut [u8]) {
        let Some(reader) = &mut self.readers[connection as usize] else {
            return self.read_responses(connection, bytes);
        };
        if reader.is_idle() && !reader.is_finished() {
            let taken = self.workload.skim(connection, bytes, &mut self.table);
            bytes = &mut bytes[taken..];
        }
        loop {
            let message = match reader.read(&mut bytes, &self.limits) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(fault) => return self.break_off(connection, fault),
            };
            let entry = &mut self.table.list[connection as usize];
            // The workload may have cut the connection.
            let State::Live(protocol) = &mut entry.state else { break };
            // Data messages bypass `Received`, because moving them through it costs 8 ns.
            let message = match message {
                Message::Text(payload) if protocol.is_open() => {
                    self.workload.message(connection, DataKind::Text, &payload, &mut self.table);
                    continue;
                }
                Message::Binary(payload) if protocol.is_open() => {
                    self.workload.message(connection, DataKind::Binary, &payload, &mut self.table);
                    continue;
                }
                message => message,
            };
            match protocol.receive(message) {
                Received::Data(kind, payload) | Received::Late(kind, payload) => {
                    self.workload.message(connection, kind, &payload, &mut self.table)
                }
                // RFC 6455 §5.5.3: not every Ping needs a Pong; a server that does not read gets
                // none.
                Received::Ping(pong) if entry.unsent_bytes == 0 => {
                    let key = Some(self.keys.draw());
                    self.table.send_raw(connection, |out| pong.emit(out, key));
                }
                Received::Ping(_) | Received::Discarded => {}
                Received::Pong(payload) => self.workload.pong(connection, payload, &mut self.table),
                Received::Close { code, answer: Some(answer), .. } => {
                    self.table.open -= 1;
                    self.table.seen.fail(Reason::of_close(code));
                    let key = Some(self.keys.draw());
                    self.table.send_raw(connection, |out| answer.emit(out, key));
                    self.table.leave(connection, Ended::Lost);
                }
                // RFC 6455 §7.1.1: the server ends the stream first.
                Received::Close { answer: None, .. } => {}
            }
        }
    }

    /// Handles a protocol violation by the server. It is ignored while the connection is closing.
    fn break_off(&mut self, connection: u32, fault: ProtocolError) {
        let State::Live(protocol) = &mut self.table.list[connection as usize].state else { return };
        if let Some(close) = protocol.fail(fault.close_code(), "") {
            self.table.open -= 1;
            self.table.seen.fail(Reason::of_protocol(fault));
            let key = Some(self.keys.draw());
            self.table.send_raw(connection, |out| close.emit(out, key));
            self.table.leave(connection, Ended::Lost);
        }
    }

    fn end_of_stream(&mut self, connection: u32) {
        match self.table.list[connection as usize].state {
            State::Opening => {
                self.table.seen.fail(Reason::HANDSHAKE_CUT);
                self.table.leave(connection, Ended::Unopened);
            }
            State::Live(_) if !self.responses.is_empty() => self.end_of_responses(connection),
            State::Live(protocol) if protocol.is_open() => {
                self.table.seen.fail(Reason::ENDED_WITHOUT_CLOSE);
                self.table.leave(connection, Ended::Lost);
            }
            State::Live(_) => self.table.leave(connection, Ended::Closed),
            State::Closed | State::Leaving(_) => {}
        }
    }

    fn connected(&mut self, id: ConnectionId, token: ConnectToken) {
        let connection = table::begun_by(token);
        let slot = id.slot() as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, u32::MAX);
        }
        self.by_slot[slot] = connection;
        let entry = &mut self.table.list[connection as usize];
        entry.id = id;
        if matches!(entry.state, State::Leaving(_)) {
            // The attempt was given up in this turn, so the cancel comes too late.
            return self.table.operations.push(Operation::Close(id));
        }
        self.dialer.prefer_address_of(connection);
        if self.dialer.secure(connection, &mut self.table) == Secured::Yes {
            self.secured(connection);
        }
    }

    /// Called when plain text may be sent.
    fn secured(&mut self, connection: u32) {
        if self.table.list[connection as usize].state != State::Opening {
            return;
        }
        match self.responses.is_empty() {
            true => self.dialer.request(connection, &mut self.table),
            false => self.open_for_requests(connection),
        }
    }

    fn unconnected(&mut self, token: ConnectToken, failure: ConnectFailure) {
        let connection = table::begun_by(token);
        if self.table.list[connection as usize].state == State::Opening {
            if let Some(reason) = self.dialer.failed(connection, failure) {
                self.table.seen.fail(reason);
            }
            self.table.list[connection as usize].state = State::Leaving(Ended::Unopened);
        }
        self.let_go(connection);
    }

    fn fail(&mut self, connection: u32, failure: Failure) {
        let (reason, why) = match self.table.list[connection as usize].state {
            State::Opening => (Reason::of_handshake_failure(failure), Ended::Unopened),
            State::Live(protocol) if protocol.is_open() => {
                (Reason::of_failure(failure), Ended::Lost)
            }
            State::Live(_) => return self.table.leave(connection, Ended::Closed),
            State::Closed | State::Leaving(_) => return,
        };
        self.table.seen.fail(reason);
        self.table.leave(connection, why);
    }

    /// Handles the last completion of a connection.
    fn let_go(&mut self, connection: u32) {
        let entry = &mut self.table.list[connection as usize];
        let State::Leaving(why) = entry.state else { return };
        entry.state = State::Closed;
        self.table.held -= 1;
        entry.id = table::unconnected();
        self.readers[connection as usize] = None;
        if let Some(session) = self.table.sessions.get_mut(connection as usize) {
            *session = None;
        }
        self.dialer.finish(connection);
        if why != Ended::Unopened {
            self.table.seen.ended += 1;
        }
        self.end(connection, why);
    }

    fn end(&mut self, connection: u32, why: Ended) {
        if self.dialer.is_trying(connection) {
            return self.table.open_at(connection, self.table.now());
        }
        self.try_over(connection);
        match self.workload.ended(connection, why, &mut self.table) {
            Then::Reopen(after) if self.course == Course::On => {
                self.table.open_at(connection, self.table.now() + after);
            }
            Then::Reopen(_) | Then::Rest => {}
        }
    }

    fn try_over(&mut self, connection: u32) {
        let tried = &mut self.has_been_tried[connection as usize];
        self.tried += u32::from(!std::mem::replace(tried, true));
    }
}
