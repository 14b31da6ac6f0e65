//! `calibrate`: how much of a measured latency is the tester's own delay, on this machine.
//!
//! The server is an echo on another core that never sleeps. It writes into each message when it
//! received and returned it, and measures how long the kernel takes to carry a message: on
//! loopback, its write(2) returns when the message has arrived. A latency minus the echo's time and
//! two such passes is the tester's error.

pub mod command;
pub mod cost;
pub mod echo;

use std::time::Duration;

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::{
        arrivals::{Arrivals, Pattern, Share},
        ledger::Ledger,
        quantiles::{LATENCY_DIGITS, Times, record, times},
    },
    wire::stamp::{Coding, Stamp},
};

/// Where the echo server writes when it received a message: nanoseconds of the run's clock,
/// big-endian, after the stamp.
pub const HELD_FROM: std::ops::Range<usize> = 16..24;
/// Where it writes when it returned the message, in the same form.
pub const HELD_UNTIL: std::ops::Range<usize> = 24..32;

/// The shortest message: a stamp and two times.
pub const BYTES_MIN: usize = 32;

/// Messages sent between two reads.
const TURN_SENDS_MAX: usize = 64;

/// The workload of `calibrate`: messages to a calibrated echo server.
pub struct Calibration {
    rate: f64,
    payload: Vec<u8>,
    keys: MaskKeys,
    running: Option<Running>,
    started_at: Duration,
    outstanding: u64,
    found: Errors,
}

struct Running {
    start: Duration,
    arrivals: Arrivals,
    due: Duration,
    next: u32,
}

/// Times spent outside the echo server, including the two passes through the kernel.
#[derive(Debug)]
pub struct Errors {
    /// The total.
    pub total: Times,
    /// From the intended send time until the echo server received the message.
    pub out: Times,
    /// From when the echo server returned the message until the tester read it.
    pub back: Times,
    /// The fate of the messages.
    pub ledger: Ledger,
}

impl Default for Errors {
    fn default() -> Self {
        let none = || times(LATENCY_DIGITS);
        Self { total: none(), out: none(), back: none(), ledger: Ledger::default() }
    }
}

impl Calibration {
    /// Messages of `bytes`, at least [`BYTES_MIN`], at `rate` per second.
    pub fn new(rate: f64, bytes: usize) -> Self {
        Self {
            rate,
            payload: vec![0; bytes.max(BYTES_MIN)],
            keys: MaskKeys::new(),
            running: None,
            started_at: Duration::ZERO,
            outstanding: 0,
            found: Errors::default(),
        }
    }
}

impl Workload for Calibration {
    type Outcome = Errors;

    fn start(&mut self, start: Duration, _connections: &mut ConnectionTable) {
        let share = Share { index: 0, of: 1 };
        let mut arrivals = Arrivals::new(Pattern::Constant, self.rate, share, 0);
        let due = start.saturating_add(arrivals.next_due());
        self.running = Some(Running { start, arrivals, due, next: 0 });
        self.started_at = start;
        self.outstanding = 0;
        self.found = Errors::default();
    }

    fn message(
        &mut self,
        _connection: u32,
        _kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        let found = &mut self.found;
        let (Some(stamp), [from, until]) =
            (Coding::Binary.read(payload), [HELD_FROM, HELD_UNTIL].map(|at| time(payload, at)))
        else {
            found.ledger.corrupted += 1;
            return;
        };
        if stamp.at < self.started_at {
            return;
        }
        let now = connections.now();
        let held = until.saturating_sub(from);
        record(&mut found.total, now.saturating_sub(stamp.at).saturating_sub(held));
        record(&mut found.out, from.saturating_sub(stamp.at));
        record(&mut found.back, now.saturating_sub(until));
        found.ledger.received += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        connections.seen.answered(stamp.at, now, payload.len());
    }

    fn ended(&mut self, _connection: u32, _why: Ended, _connections: &mut ConnectionTable) -> Then {
        Then::Rest
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let now = connections.now();
        for _ in 0..TURN_SENDS_MAX {
            let Some(running) = &mut self.running else { return Next::Idle };
            if running.due > now {
                return Next::At(running.due);
            }
            let (at, connection) = (running.due, running.next);
            running.due = running.start.saturating_add(running.arrivals.next_due());
            running.next = (connection + 1) % connections.len();
            let stamp = Stamp { connection: connections.number(connection), sequence: 0, at };
            Coding::Binary.write(stamp, &mut self.payload);
            let (key, payload) = (Some(self.keys.draw()), &self.payload);
            if connections.send(connection, |_, out| emit_frame(out, key, Opcode::Binary, payload))
                == Sent::Yes
            {
                self.found.ledger.sent += 1;
                self.outstanding += 1;
                connections.note_sent(Some(at));
            }
        }
        Next::At(now)
    }

    fn is_awaiting(&self, _connections: &ConnectionTable) -> bool {
        self.outstanding > 0
    }

    fn stop(&mut self, _connections: &mut ConnectionTable) {
        self.running = None;
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.outstanding == 0
    }

    fn finish(&mut self, _connections: &mut ConnectionTable) -> Errors {
        let mut found = std::mem::take(&mut self.found);
        found.ledger.lost = found.ledger.sent.saturating_sub(found.ledger.received);
        found
    }
}

/// A time that the echo server wrote.
fn time(payload: &[u8], at: std::ops::Range<usize>) -> Duration {
    let bytes = payload.get(at).and_then(|bytes| bytes.try_into().ok());
    Duration::from_nanos(bytes.map_or(0, u64::from_be_bytes))
}
