//! Echoes without stamps: every message is the same, and replies are counted.
//!
//! This costs less CPU than any server that reads what it echoes. In return it measures no latency,
//! and cannot tell messages apart: a duplicate reply counts as the next one.

use bytes::Bytes;
use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

use super::{EchoPlan, TURN_BYTES_MAX, TURN_SENDS_MAX};
use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::ledger::Ledger,
    mode::REOPEN_DELAY,
    wire::message::Messages,
};

/// Number of frames of the same message with different keys, which are sent in rotation.
const KEYS: usize = 16;

/// One reply in this many is compared byte by byte; of the others, only the kind and the length.
pub const SAMPLE_INTERVAL: u32 = 64;

/// One thread's echo connections.
pub struct Unstamped {
    pipeline: u32,
    kind: DataKind,
    body: Vec<u8>,
    frames: Vec<Bytes>,
    next_frame: usize,
    /// The header of each reply (RFC 6455 §5.2).
    reply_header: Vec<u8>,
    until_sample: u32,
    flows: Vec<ReplyCount>,
    outstanding: u64,
    ledger: Ledger,
    /// The first messages of all connections below this index were sent; `None` while nothing is
    /// sent.
    begun: Option<u32>,
}

/// The replies on one connection.
#[derive(Debug, Clone, Copy, Default)]
struct ReplyCount {
    /// Outstanding replies.
    outstanding: u32,
    /// Payload bytes of the current reply that have not arrived.
    left: u32,
    /// Whether the current reply is compared.
    is_compared: bool,
}

impl Unstamped {
    /// One thread's share.
    pub fn new(plan: &EchoPlan, connections: u32) -> Self {
        let kind = plan.content.kind();
        let body = Messages::body(plan.content, plan.bytes);
        let mut keys = MaskKeys::new();
        let frame = |key| {
            let mut frame = Vec::new();
            emit_frame(&mut frame, key, Opcode::from(kind), &body);
            frame
        };
        let frames = (0..KEYS).map(|_| Bytes::from(frame(Some(keys.draw())))).collect();
        let reply = frame(None);
        Self {
            pipeline: plan.pipeline,
            kind,
            frames,
            next_frame: 0,
            reply_header: reply[..reply.len() - body.len()].to_vec(),
            body,
            until_sample: 1,
            flows: vec![ReplyCount::default(); connections as usize],
            outstanding: 0,
            ledger: Ledger::default(),
            begun: None,
        }
    }

    /// Sends this many messages together.
    #[inline]
    fn send(&mut self, connection: u32, messages: u32, connections: &mut ConnectionTable) {
        self.next_frame = (self.next_frame + 1) % KEYS;
        if connections.send_shared(connection, &self.frames[self.next_frame], messages) == Sent::Yes
        {
            self.flows[connection as usize].outstanding += messages;
            self.outstanding += u64::from(messages);
            self.ledger.sent += u64::from(messages);
            connections.seen.sent += u64::from(messages);
        }
    }

    /// Counts this many complete replies.
    #[inline]
    fn count(&mut self, connection: u32, replies: u32, connections: &mut ConnectionTable) {
        let flow = &mut self.flows[connection as usize];
        let awaited = replies.min(flow.outstanding);
        flow.outstanding -= awaited;
        self.outstanding -= u64::from(awaited);
        self.ledger.received += u64::from(awaited);
        self.ledger.doubled += u64::from(replies - awaited);
        connections.seen.count(awaited, awaited as usize * self.body.len());
        if awaited > 0 && self.begun.is_some() {
            self.send(connection, awaited, connections);
        }
    }

    #[inline]
    fn is_sampled(&mut self) -> bool {
        self.until_sample -= 1;
        if self.until_sample == 0 {
            self.until_sample = SAMPLE_INTERVAL;
            return true;
        }
        false
    }

    /// Gives up the outstanding replies of this connection.
    fn give_up(&mut self, connection: u32) -> u32 {
        let lost = std::mem::take(&mut self.flows[connection as usize]).outstanding;
        self.outstanding -= u64::from(lost);
        self.ledger.lost += u64::from(lost);
        lost
    }
}

impl Workload for Unstamped {
    type Outcome = Ledger;

    fn start(&mut self, _start: std::time::Duration, _connections: &mut ConnectionTable) {
        self.begun = Some(0);
        self.ledger = Ledger::default();
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        if self.begun.is_some_and(|begun| connection < begun) && connections.is_open(connection) {
            self.send(connection, self.pipeline, connections);
        }
    }

    #[inline]
    fn skim(&mut self, connection: u32, bytes: &[u8], connections: &mut ConnectionTable) -> usize {
        let (mut taken, mut replies) = (0, 0);
        loop {
            if self.flows[connection as usize].left == 0 {
                if !bytes[taken..].starts_with(&self.reply_header) {
                    break;
                }
                taken += self.reply_header.len();
                let is_compared = self.is_sampled();
                let flow = &mut self.flows[connection as usize];
                (flow.left, flow.is_compared) = (self.body.len() as u32, is_compared);
            }
            let flow = &mut self.flows[connection as usize];
            let here = (bytes.len() - taken).min(flow.left as usize);
            if flow.is_compared {
                let expected = &self.body[self.body.len() - flow.left as usize..][..here];
                if &bytes[taken..taken + here] != expected {
                    self.ledger.corrupted += 1;
                    flow.is_compared = false;
                }
            }
            taken += here;
            flow.left -= here as u32;
            if flow.left > 0 {
                break;
            }
            replies += 1;
        }
        self.count(connection, replies, connections);
        taken
    }

    /// A reply with an unusual header, or whose header arrived in pieces.
    fn message(
        &mut self,
        connection: u32,
        kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        if kind != self.kind || payload != self.body {
            self.ledger.corrupted += 1;
            connections.seen.note_foreign(payload);
        }
        self.count(connection, 1, connections);
    }

    fn ended(&mut self, connection: u32, _why: Ended, _connections: &mut ConnectionTable) -> Then {
        self.give_up(connection);
        Then::Reopen(REOPEN_DELAY)
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let turn_sends_max = (TURN_BYTES_MAX / self.body.len()).clamp(1, TURN_SENDS_MAX);
        let mut sent = 0;
        while sent < turn_sends_max {
            let Some(begun) = &mut self.begun else { return Next::Idle };
            if *begun == connections.len() {
                return Next::Idle;
            }
            let connection = *begun;
            *begun += 1;
            self.opened(connection, connections);
            sent += self.pipeline as usize;
        }
        Next::At(connections.now())
    }

    fn stop(&mut self, _connections: &mut ConnectionTable) {
        self.begun = None;
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.outstanding == 0
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Ledger {
        for connection in 0..connections.len() {
            if self.give_up(connection) > 0 {
                // A late reply would count in the next measurement.
                connections.cut(connection);
            }
        }
        std::mem::take(&mut self.ledger)
    }
}
