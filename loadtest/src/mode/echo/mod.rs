//! `echo`: sends messages, and each must come back unchanged, once and in order.
//!
//! If the template names a recipient, each message must arrive at another connection, chosen at
//! random among those of the same thread, instead of coming back.
//!
//! In an open loop messages are sent at intended times, independent of replies, and latency counts
//! from those times. In a closed loop each echo triggers the next message.

pub mod command;
mod payloads;
pub mod unstamped;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ringway_frame::DataKind;

use super::{
    REOPEN_DELAY,
    pace::{Dial, Pace},
};
use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::{
        arrivals::{Arrivals, Pattern, Share},
        ledger::{Arrival, ArrivalOrder, Ledger},
    },
    wire::{
        addressed::Addressed,
        message::{Begun, Content, Corruption},
        stamp::Stamp,
        template::Template,
    },
};

use payloads::Payloads;

/// The messages of an echo.
#[derive(Debug, Clone)]
pub struct EchoPlan {
    /// When messages are sent.
    pub dial: Dial,
    /// Messages outstanding on each connection in a closed loop; messages sent at once in an open
    /// one.
    pub pipeline: u32,
    /// How messages are built.
    pub content: Content,
    /// Bytes of each message, or of the stamp and the body in a template.
    pub bytes: usize,
    /// The template that surrounds them, for a server with its own message format.
    pub template: Option<Arc<Template>>,
    /// Whether messages carry a stamp.
    pub marking: Marking,
}

impl EchoPlan {
    /// The template of messages to other connections, if they are.
    pub fn addressed(&self) -> Option<Addressed> {
        Addressed::of(self.template.as_ref()?)
    }
}

/// Whether messages carry a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// Each message has its connection, its number there and its time: everything can be checked
    /// and timed.
    Stamped,
    /// Messages have no stamp: replies are only counted.
    Unstamped,
}

/// The most messages sent between two reads ...
const TURN_SENDS_MAX: usize = 64;

/// ... and the most bytes, except for a single message.
const TURN_BYTES_MAX: usize = 1 << 20;

/// One thread's echo connections.
pub struct Echo {
    plan: EchoPlan,
    /// The pace of this measurement.
    pace: Pace,
    share: Share,
    seed: u64,
    payloads: Payloads,
    recipients: Recipients,
    flows: Vec<Flow>,
    ledger: Ledger,
    /// Messages with an earlier time belong to an earlier measurement.
    started_at: Duration,
    /// `None` while nothing is sent.
    running: Option<Running>,
    outstanding: u64,
    random: fastrand::Rng,
    /// Messages of which only a part has arrived, by connection.
    partial: HashMap<u32, PartialMessage>,
}

/// A message of which its start has arrived.
#[derive(Debug, Clone, Copy)]
struct PartialMessage {
    stamp: Stamp,
    /// Bytes that have not arrived.
    left: usize,
    /// Whether all bytes so far are unchanged.
    is_whole: bool,
}

/// Who is to receive a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipients {
    /// The connection that has sent it.
    Sender,
    /// Any connection of the thread.
    Random,
}

/// The messages that one connection has sent.
#[derive(Debug, Default)]
struct Flow {
    sent: u64,
    order: ArrivalOrder,
}

enum Running {
    Open {
        start: Duration,
        arrivals: Arrivals,
        due: Duration,
        next: u32,
        left: u32,
    },
    /// The first messages of all connections below `begun` have been sent.
    Closed {
        begun: u32,
    },
}

impl Echo {
    /// One thread's share.
    pub fn new(plan: EchoPlan, share: Share, connections: u32, seed: u64) -> Self {
        let mut flows = Vec::new();
        flows.resize_with(connections as usize, Flow::default);
        Self {
            payloads: Payloads::new(&plan),
            recipients: match plan.addressed() {
                None => Recipients::Sender,
                Some(_) => Recipients::Random,
            },
            plan,
            pace: Pace::Closed,
            share,
            seed,
            flows,
            ledger: Ledger::default(),
            started_at: Duration::ZERO,
            running: None,
            outstanding: 0,
            random: fastrand::Rng::with_seed(seed.wrapping_add(u64::from(share.index))),
            partial: HashMap::new(),
        }
    }

    /// The recipient of a message. It follows from the message, so it need not be remembered.
    #[inline]
    fn recipient(&self, sender: u32, sequence: u32) -> u32 {
        match self.recipients {
            Recipients::Sender => sender,
            Recipients::Random => {
                let mixed = (u64::from(sender) << 32 | u64::from(sequence)) ^ self.seed;
                let count = self.flows.len() as u32;
                // Another one, if there is one.
                let ahead = 1 + fastrand::Rng::with_seed(mixed).u32(..(count - 1).max(1));
                (sender + ahead) % count
            }
        }
    }

    #[inline]
    fn send(
        &mut self,
        connection: u32,
        at: Duration,
        due: Option<Duration>,
        connections: &mut ConnectionTable,
    ) {
        let sequence = self.flows[connection as usize].sent as u32;
        let stamp = Stamp { connection: connections.number(connection), sequence, at };
        let to = connections.number(self.recipient(connection, sequence));
        let payloads = &mut self.payloads;
        let sent = match payloads.plain() {
            Some(messages) if connections.sends_in_parts(connection, messages.bytes()) => {
                connections.send_in_parts(connection, |out| messages.write_head(stamp, out).clone())
            }
            _ => connections
                .send(connection, |form, out| payloads.write(connection, stamp, to, form, out)),
        };
        if sent == Sent::Yes {
            self.flows[connection as usize].sent += 1;
            self.ledger.sent += 1;
            self.outstanding += 1;
            connections.note_sent(due);
        }
    }

    /// Gives up the outstanding messages of this connection.
    fn give_up(&mut self, connection: u32) {
        let flow = &mut self.flows[connection as usize];
        let awaited = (flow.sent as u32).wrapping_sub(flow.order.next());
        flow.order.give_up_before(flow.sent as u32);
        self.outstanding = self.outstanding.saturating_sub(u64::from(awaited));
    }

    /// Sends what is due in an open loop; returns when to call it again.
    fn send_due(&mut self, turn_sends_max: usize, connections: &mut ConnectionTable) -> Next {
        let now = connections.now();
        for _ in 0..turn_sends_max {
            let Some(Running::Open { start, arrivals, due, next, left }) = &mut self.running else {
                return Next::Idle;
            };
            if *due > now {
                return Next::At(*due);
            }
            let (at, connection) = (*due, *next);
            if *left == 0 {
                *left = self.plan.pipeline;
            }
            *left -= 1;
            if *left == 0 {
                // The burst is complete: the next one is on another connection.
                *due = burst_due(*start, arrivals, self.plan.pipeline);
                *next = match self.pace {
                    Pace::Open { pattern: Pattern::Poisson, .. } => {
                        self.random.u32(..connections.len())
                    }
                    _ => (connection + 1) % connections.len(),
                };
            }
            self.send(connection, at, Some(at), connections);
        }
        Next::At(now)
    }

    /// Sends the first messages of a closed loop.
    fn begin_closed(&mut self, turn_sends_max: usize, connections: &mut ConnectionTable) -> Next {
        let mut sent = 0;
        while sent < turn_sends_max {
            let Some(Running::Closed { begun }) = &mut self.running else { return Next::Idle };
            if *begun == connections.len() {
                return Next::Idle;
            }
            let connection = *begun;
            *begun += 1;
            self.opened(connection, connections);
            sent += self.plan.pipeline as usize;
        }
        Next::At(connections.now())
    }

    /// Takes a complete message.
    #[inline]
    fn take(
        &mut self,
        connection: u32,
        stamp: Stamp,
        is_whole: bool,
        bytes: usize,
        connections: &mut ConnectionTable,
    ) {
        // A message for another connection, or one that has not been sent yet.
        let sender = stamp.connection.wrapping_sub(connections.number(0));
        let is_ours = self.flows.get(sender as usize).is_some_and(|flow| {
            flow.order.meant(stamp.sequence) < flow.sent
                && stamp.at <= connections.now()
                && self.recipient(sender, stamp.sequence) == connection
        });
        if !is_ours {
            self.ledger.corrupted += 1;
            return;
        }
        if stamp.at < self.started_at {
            return;
        }
        self.ledger.corrupted += u64::from(!is_whole);
        self.arrive(stamp, bytes, sender, connections);
    }

    /// A message of the connection `sender` has arrived.
    fn arrive(
        &mut self,
        stamp: Stamp,
        bytes: usize,
        sender: u32,
        connections: &mut ConnectionTable,
    ) {
        let flow = &mut self.flows[sender as usize];
        let before = flow.order.next();
        match flow.order.arrive(stamp.sequence) {
            Arrival::InOrder => {
                self.outstanding -= u64::from(flow.order.next() - before).min(self.outstanding);
            }
            // Messages to different recipients have no order.
            Arrival::Late if self.recipients == Recipients::Random => {}
            Arrival::Late => self.ledger.reordered += 1,
            Arrival::Again => {
                self.ledger.doubled += 1;
                return;
            }
        }
        self.ledger.received += 1;
        connections.seen.answered(stamp.at, connections.now(), bytes);
        if matches!(self.running, Some(Running::Closed { .. })) {
            self.send(sender, connections.now(), None, connections);
        }
    }
}

impl Workload for Echo {
    type Outcome = Ledger;

    fn start(&mut self, start: Duration, _connections: &mut ConnectionTable) {
        self.pace = self.plan.dial.pace();
        self.running = Some(match self.pace {
            Pace::Open { rate, pattern } => {
                let mut arrivals = Arrivals::new(pattern, rate, self.share, self.seed);
                let due = burst_due(start, &mut arrivals, self.plan.pipeline);
                Running::Open { start, arrivals, due, next: 0, left: 0 }
            }
            Pace::Closed => Running::Closed { begun: 0 },
        });
        self.started_at = start;
        // Echoes since the last measurement belonged to that one.
        self.ledger = Ledger::default();
        self.outstanding = 0;
        // Messages that a server sends before it gets one are ignored.
        self.ledger = Ledger::default();
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let Some(Running::Closed { begun }) = self.running else { return };
        if connection < begun && connections.is_open(connection) {
            for _ in 0..self.plan.pipeline {
                self.send(connection, connections.now(), None, connections);
            }
        }
    }

    fn message(
        &mut self,
        connection: u32,
        kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        let (stamp, is_whole) = match self.payloads.check(kind, payload) {
            Ok(stamp) => (stamp, true),
            Err(Corruption::Body(stamp)) => (stamp, false),
            Err(Corruption::Stamp) => {
                connections.seen.note_foreign(payload);
                // A server with its own message format may send other messages besides echoes.
                self.ledger.corrupted += u64::from(self.plan.template.is_none());
                return;
            }
        };
        self.take(connection, stamp, is_whole, payload.len(), connections);
    }

    /// Reads whole messages and parts of them in place: a large one is never assembled.
    #[inline]
    fn skim(&mut self, connection: u32, bytes: &[u8], connections: &mut ConnectionTable) -> usize {
        let mut taken = 0;
        let mut partial = match self.partial.is_empty() {
            true => None,
            false => self.partial.remove(&connection),
        };
        loop {
            let Some(messages) = self.payloads.plain() else { return 0 };
            let body = messages.after_stamp();
            let PartialMessage { stamp, left, is_whole } = match partial.take() {
                Some(partial) => partial,
                None => match messages.begin(&bytes[taken..]) {
                    Some(Begun { stamp, bytes }) => {
                        taken += bytes;
                        PartialMessage { stamp, left: body.len(), is_whole: true }
                    }
                    None => return taken,
                },
            };
            let here = left.min(bytes.len() - taken);
            let expected = &body[body.len() - left..][..here];
            let is_whole = is_whole && bytes[taken..taken + here] == *expected;
            taken += here;
            if here < left {
                let left = left - here;
                self.partial.insert(connection, PartialMessage { stamp, left, is_whole });
                return taken;
            }
            let bytes = messages.bytes();
            self.take(connection, stamp, is_whole, bytes, connections);
        }
    }

    fn ended(&mut self, connection: u32, _why: Ended, _connections: &mut ConnectionTable) -> Then {
        self.partial.remove(&connection);
        self.give_up(connection);
        Then::Reopen(REOPEN_DELAY)
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let turn_sends_max = (TURN_BYTES_MAX / self.plan.bytes.max(1)).clamp(1, TURN_SENDS_MAX);
        match self.running {
            Some(Running::Open { .. }) => self.send_due(turn_sends_max, connections),
            Some(Running::Closed { .. }) => self.begin_closed(turn_sends_max, connections),
            None => Next::Idle,
        }
    }

    fn is_awaiting(&self, _connections: &ConnectionTable) -> bool {
        self.outstanding > 0 && self.pace != Pace::Closed
    }

    fn stop(&mut self, _connections: &mut ConnectionTable) {
        self.running = None;
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.outstanding == 0
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Ledger {
        for connection in 0..connections.len() {
            self.give_up(connection);
            self.ledger.lost += self.flows[connection as usize].order.settle();
        }
        std::mem::take(&mut self.ledger)
    }
}

/// When the next burst is due.
fn burst_due(start: Duration, arrivals: &mut Arrivals, pipeline: u32) -> Duration {
    start.saturating_add(arrivals.next_due().saturating_mul(pipeline))
}
