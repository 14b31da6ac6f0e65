//! `idle`: opens connections and holds them. It sends only what makes the server hold them and what
//! keeps them alive.
//!
//! Over HTTP, it holds the response to one request. A connection that is lost is not opened again.
//! Pings are spread evenly over their period, and are sent at intended times.

pub mod command;

use std::{collections::BTreeSet, ops::AddAssign, time::Duration};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame, emit_ping};
use ringway_http::Part;

use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    wire::{
        failure::Reason,
        handshake::Approach,
        request,
        stamp::{Coding, Stamp},
        template::greeting,
    },
};

/// The plan of idle connections.
#[derive(Debug, Clone, Default)]
pub struct IdlePlan {
    /// How often each connection is pinged.
    pub ping: Option<Duration>,
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// The target of the request whose response is held; `None` for a WebSocket.
    pub request: Option<Approach>,
}

/// One thread's idle connections.
pub struct Idle {
    hello: Vec<String>,
    request: Option<Approach>,
    /// Connections whose response has ended.
    gone: BTreeSet<u32>,
    keys: MaskKeys,
    pings: Option<Pings>,
    held: Held,
}

/// The results of a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Messages that arrived without a request.
    pub messages: u64,
    /// Connections that ended.
    pub lost: u64,
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.lost += other.lost;
    }
}

struct Pings {
    period: Duration,
    keys: MaskKeys,
    /// When the measurement started, while it runs.
    start: Option<Duration>,
    /// Pings that were due in the measurement.
    count: u64,
    /// Pings without an answer, by connection.
    awaited: Vec<u32>,
    /// The sum of `awaited`.
    outstanding: u64,
}

impl Idle {
    /// One thread's share.
    pub fn new(plan: IdlePlan, connections: u32) -> Self {
        let IdlePlan { ping, hello, request } = plan;
        let pings = ping.map(|period| Pings {
            period,
            keys: MaskKeys::new(),
            start: None,
            count: 0,
            awaited: vec![0; connections as usize],
            outstanding: 0,
        });
        let gone = BTreeSet::new();
        Self { hello, request, gone, keys: MaskKeys::new(), pings, held: Held::default() }
    }

    /// Records that this connection no longer has a response to hold.
    fn lose(&mut self, connection: u32, reason: Reason, connections: &mut ConnectionTable) {
        if self.gone.insert(connection) {
            connections.seen.fail(reason);
            self.held.lost += 1;
            connections.cut(connection);
        }
    }
}

impl Pings {
    fn due(&self, start: Duration) -> Duration {
        start + self.period.mul_f64(self.count as f64 / self.awaited.len() as f64)
    }

    fn send(&mut self, due: Duration, connections: &mut ConnectionTable) {
        let connection = (self.count % self.awaited.len() as u64) as u32;
        // A connection that was lost is already counted.
        if !connections.is_open(connection) {
            return;
        }
        let mut payload = [0; Coding::Binary.bytes()];
        let sequence = self.count as u32;
        Coding::Binary.write(
            Stamp { connection: connections.number(connection), sequence, at: due },
            &mut payload,
        );
        let key = Some(self.keys.draw());
        if connections.send(connection, |_, out| emit_ping(out, key, &payload)) == Sent::Yes {
            connections.note_sent(Some(due));
            self.awaited[connection as usize] += 1;
            self.outstanding += 1;
        }
    }

    /// Gives up the outstanding Pings of this connection.
    fn give_up(&mut self, connection: u32) -> u32 {
        let awaited = std::mem::take(&mut self.awaited[connection as usize]);
        self.outstanding -= u64::from(awaited);
        awaited
    }
}

impl Workload for Idle {
    type Outcome = Held;

    fn start(&mut self, start: Duration, _connections: &mut ConnectionTable) {
        if let Some(pings) = &mut self.pings {
            (pings.start, pings.count) = (Some(start), 0);
        }
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let number = connections.number(connection);
        if let Some(approach) = &self.request {
            let request = request::get(approach, number, None, &[]);
            connections.send(connection, |_, out| out.extend_from_slice(&request));
        }
        for hello in &self.hello {
            let (text, key) = (greeting(hello, number), Some(self.keys.draw()));
            connections
                .send(connection, |_, out| emit_frame(out, key, Opcode::Text, text.as_bytes()));
        }
    }

    fn response(&mut self, connection: u32, part: Part<'_>, connections: &mut ConnectionTable) {
        match part {
            Part::Head(head) if head.status != 200 => {
                let reason = format!("response_status_{}", head.status);
                self.lose(connection, Reason::named(reason), connections);
            }
            Part::Interim(_) | Part::Head(_) | Part::Body(_) => {}
            Part::End(_) => self.lose(connection, Reason::named("response_ended"), connections),
        }
    }

    fn message(
        &mut self,
        _connection: u32,
        _kind: DataKind,
        _payload: &[u8],
        _connections: &mut ConnectionTable,
    ) {
        self.held.messages += 1;
    }

    fn pong(&mut self, connection: u32, payload: &[u8], connections: &mut ConnectionTable) {
        let Some(pings) = &mut self.pings else { return };
        let Some(stamp) = Coding::Binary.read(payload) else { return };
        let awaited = &mut pings.awaited[connection as usize];
        if stamp.connection == connections.number(connection) && *awaited > 0 {
            *awaited -= 1;
            pings.outstanding -= 1;
            connections.seen.answered(stamp.at, connections.now(), payload.len());
        }
    }

    fn ended(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then {
        self.held.lost += u64::from(why == Ended::Lost);
        if why == Ended::Closed && self.request.is_some() {
            // Between two exchanges this would not be a failure.
            self.lose(connection, Reason::named("closed_without_response"), connections);
        }
        if let Some(pings) = &mut self.pings {
            pings.give_up(connection);
        }
        Then::Rest
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let Some(pings) = &mut self.pings else { return Next::Idle };
        let Some(start) = pings.start else { return Next::Idle };
        loop {
            let due = pings.due(start);
            if due > connections.now() {
                return Next::At(due);
            }
            pings.send(due, connections);
            pings.count += 1;
        }
    }

    fn stop(&mut self, _connections: &mut ConnectionTable) {
        if let Some(pings) = &mut self.pings {
            pings.start = None;
        }
    }

    fn is_awaiting(&self, _connections: &ConnectionTable) -> bool {
        self.pings.as_ref().is_some_and(|pings| pings.outstanding > 0)
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.pings.as_ref().is_none_or(|pings| pings.outstanding == 0)
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Held {
        if let Some(pings) = &mut self.pings {
            for connection in 0..connections.len() {
                for _ in 0..pings.give_up(connection) {
                    connections.seen.fail(Reason::named("ping_unanswered"));
                }
            }
        }
        std::mem::take(&mut self.held)
    }
}
