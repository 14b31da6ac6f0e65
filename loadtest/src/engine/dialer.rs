//! Opens connections: how fast, how many at a time, and how long a handshake may take.
//!
//! It only starts them; `connections` passes on the bytes that their sockets receive.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use ringway_acceptor::{ConnectFailure, Connector, Failure};
use ringway_frame::MaskKeys;

use super::{
    plan::{Cut, Plan},
    table::{self, ConnectionTable, Deadline, State},
    workload::Ended,
};
use crate::wire::{
    failure::Reason,
    handshake::{Handshake, Terms},
};

/// Connections started in one turn; the bound lets open ones be read in between.
const TURN_BEGUN_MAX: usize = 16;

/// The slowest ramp: one connection per year.
const PACE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Opens a thread's connections.
pub(super) struct Dialer<'p> {
    plan: &'p Plan,
    terms: Terms<'p>,
    /// One connector for each address of the server.
    connectors: Vec<Connector>,
    /// The address that was connected to last, which is tried first.
    preferred: usize,
    /// Connections whose last attempt failed at one address, and that will try the next.
    tries: HashMap<u32, Try>,
    /// Connections to open, the earliest first; the second number keeps the order of requests.
    due: BinaryHeap<Reverse<(Duration, u64, u32)>>,
    wishes: u64,
    /// The time between two attempts, if there is a ramp, and when the next one may start.
    pace: Option<Duration>,
    next_at: Duration,
    under_way: HashMap<u32, UnderWay>,
    deadlines: VecDeque<Deadline>,
    random: MaskKeys,
}

/// The addresses that a connection has tried.
#[derive(Debug, Clone, Copy)]
struct Try {
    /// When the first address was tried.
    since: Duration,
    /// The index of that address.
    first: usize,
    /// How many addresses have failed.
    failed: usize,
}

struct UnderWay {
    at: Try,
    /// `None` until the request is sent.
    opening: Option<Handshake>,
}

/// Whether plain text may be sent on a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secured {
    Yes,
    /// After the handshake of TLS.
    Later,
}

/// Whether another address of the server will be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    Yes,
    No,
}

/// Whether descriptors ran out: another address would need one, too.
fn is_for_want_of_descriptors(failure: ConnectFailure) -> bool {
    match failure {
        ConnectFailure::NoSlot => true,
        ConnectFailure::Kernel(Failure(errno)) => matches!(errno, libc::EMFILE | libc::ENFILE),
        ConnectFailure::Cancelled => false,
    }
}

/// A nonce, of bytes that were drawn from the kernel with many others.
fn nonce(random: &mut MaskKeys) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce.chunks_exact_mut(4).for_each(|part| part.copy_from_slice(&random.draw()));
    nonce
}

impl<'p> Dialer<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let threads = f64::from(plan.threads);
        let connectors = plan.approach.target().addresses().iter().map(|address| {
            let connector = Connector::new(*address);
            match plan.cut {
                Cut::Fin => connector,
                Cut::Reset => connector.with_reset_at_close(),
            }
        });
        Self {
            plan,
            terms: Terms::of(&plan.approach),
            connectors: connectors.collect(),
            preferred: 0,
            tries: HashMap::new(),
            due: BinaryHeap::new(),
            wishes: 0,
            pace: plan.ramp.map(|rate| {
                Duration::try_from_secs_f64(threads / rate).unwrap_or(PACE_MAX).min(PACE_MAX)
            }),
            next_at: Duration::ZERO,
            under_way: HashMap::new(),
            deadlines: VecDeque::new(),
            random: MaskKeys::new(),
        }
    }

    /// Starts the attempts that are due. Returns when to call it again, if that is known.
    pub(super) fn advance(&mut self, table: &mut ConnectionTable) -> Option<Duration> {
        let now = table.now();
        for wish in table.wishes.drain(..) {
            self.due.push(Reverse((wish.at, self.wishes, wish.connection)));
            self.wishes += 1;
        }
        let mut begun = 0;
        while let Some(&Reverse((at, _, connection))) = self.due.peek() {
            if at.max(self.next_at) > now || self.under_way.len() >= table.under_way_max {
                break;
            }
            if begun == TURN_BEGUN_MAX {
                return Some(now);
            }
            self.due.pop();
            if table.list[connection as usize].state != State::Closed {
                continue;
            }
            begun += 1;
            if let Some(pace) = self.pace {
                // Missed attempts are not made up for: a ramp must not become a burst.
                self.next_at = self.next_at.max(now.saturating_sub(pace)) + pace;
            }
            self.begin(connection, table);
        }
        self.expire(table);
        let begins_at = match self.due.peek() {
            Some(Reverse((at, _, _))) if self.under_way.len() < table.under_way_max => {
                Some((*at).max(self.next_at))
            }
            _ => None,
        };
        let expires_at = self.deadlines.front().map(|deadline| deadline.at);
        begins_at.into_iter().chain(expires_at).min()
    }

    /// Forgets all connections that are still to be opened.
    pub(super) fn forget_wishes(&mut self) {
        self.due.clear();
        self.tries.clear();
    }

    /// After a failed attempt: whether the server has another address to try.
    fn next_address(&mut self, connection: u32) -> Fallback {
        let Some(UnderWay { at, opening: None }) = self.under_way.get(&connection) else {
            return Fallback::No;
        };
        if at.failed + 1 >= self.connectors.len() {
            return Fallback::No;
        }
        self.tries.insert(connection, Try { failed: at.failed + 1, ..*at });
        Fallback::Yes
    }

    /// Whether a connection that failed will try another address.
    pub(super) fn is_trying(&self, connection: u32) -> bool {
        self.tries.contains_key(&connection)
    }

    /// Called when a socket is connected: other connections will probably succeed at this address.
    pub(super) fn prefer_address_of(&mut self, connection: u32) {
        if let Some(UnderWay { at, .. }) = self.under_way.get(&connection) {
            self.preferred = (at.first + at.failed) % self.connectors.len();
        }
    }

    fn begin(&mut self, connection: u32, table: &mut ConnectionTable) {
        let now = table.clock().now();
        let at = self.tries.remove(&connection).unwrap_or(Try {
            since: now,
            first: self.preferred,
            failed: 0,
        });
        table.last_begun_at = now;
        let entry = &mut table.list[connection as usize];
        entry.attempt = entry.attempt.wrapping_add(1);
        entry.state = State::Opening;
        let attempt = entry.attempt;
        table.held += 1;
        let connector = self.connectors[(at.first + at.failed) % self.connectors.len()];
        let mut request = connector.request(table::token(connection, attempt));
        request.source = self.plan.source(table.number(connection));
        table.operations.connect(request);
        self.under_way.insert(connection, UnderWay { at, opening: None });
        let at = table.now() + self.plan.handshake_time_max;
        self.deadlines.push_back(Deadline { at, connection, attempt });
    }

    /// Why an attempt counts as failed; `None` if another address will be tried.
    pub(super) fn failed(&mut self, connection: u32, failure: ConnectFailure) -> Option<Reason> {
        if !is_for_want_of_descriptors(failure) && self.next_address(connection) == Fallback::Yes {
            return None;
        }
        Some(match failure {
            ConnectFailure::NoSlot => Reason::named("no_slot_left"),
            ConnectFailure::Cancelled => Reason::named("connect_timed_out"),
            ConnectFailure::Kernel(failure) => Reason::of_connect(failure),
        })
    }

    /// Called when plain text may be sent: sends the request.
    pub(super) fn request(&mut self, connection: u32, table: &mut ConnectionTable) {
        let Some(under_way) = self.under_way.get_mut(&connection) else { return };
        let mut request = Vec::new();
        let cursor = self.plan.cursor.as_deref().zip(table.cursor(connection));
        match self.terms.begin(
            nonce(&mut self.random),
            table.number(connection),
            cursor,
            &mut request,
        ) {
            Ok(opening) => {
                under_way.opening = Some(opening);
                table.send_raw(connection, |out| out.extend_from_slice(&request));
            }
            Err(_) => {
                table.seen.fail(Reason::named("request_invalid"));
                table.leave(connection, Ended::Unopened);
            }
        }
    }

    /// Starts TLS on a connected socket, if required.
    pub(super) fn secure(&self, connection: u32, table: &mut ConnectionTable) -> Secured {
        let Some(client) = &self.plan.tls else { return Secured::Yes };
        let (mut session, mut records) = (client.connect(), Vec::new());
        match session.start(&mut records) {
            Ok(()) => {
                table.sessions[connection as usize] = Some(Box::new(session));
                table.send_records(connection, &mut records);
            }
            Err(fault) => {
                table.seen.fail(Reason::of_tls(fault));
                table.leave(connection, Ended::Unopened);
            }
        }
        Secured::Later
    }

    /// The handshake of a connection, and the terms that its response must meet.
    pub(super) fn opening(&mut self, connection: u32) -> Option<(&Terms<'p>, &mut Handshake)> {
        let opening = self.under_way.get_mut(&connection)?.opening.as_mut()?;
        Some((&self.terms, opening))
    }

    /// Ends a handshake, in success or failure, and returns when its connection was started.
    pub(super) fn finish(&mut self, connection: u32) -> Option<Duration> {
        self.under_way.remove(&connection).map(|under_way| under_way.at.since)
    }

    /// Gives up handshakes that take too long.
    fn expire(&mut self, table: &mut ConnectionTable) {
        while let Some(&Deadline { at, connection, attempt }) = self.deadlines.front() {
            let entry = &table.list[connection as usize];
            let is_current = entry.attempt == attempt && entry.state == State::Opening;
            if is_current && at > table.now() {
                break;
            }
            self.deadlines.pop_front();
            if is_current {
                if entry.id != table::unconnected() {
                    table.seen.fail(Reason::HANDSHAKE_TIMED_OUT);
                } else if self.next_address(connection) == Fallback::No {
                    table.seen.fail(Reason::named("connect_timed_out"));
                }
                table.leave(connection, Ended::Unopened);
            }
        }
    }
}
