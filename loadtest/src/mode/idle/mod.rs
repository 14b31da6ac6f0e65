//! `idle`: connections are opened and held, and nothing is sent on them but what makes the server hold
//! them and what keeps them alive.
//!
//! Over HTTP, what is held is the response to one request. One that is lost stays lost. Pings are spread evenly over their period, and leave at intended
//! times.

pub mod command;

use std::{collections::BTreeSet, ops::AddAssign, time::Duration};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame, emit_ping};

use crate::{
    engine::{
        links::{Links, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    wire::{
        failure::Reason,
        opening::Approach,
        request,
        response::Part,
        stamp::{Coding, Stamp},
        template::greeting,
    },
};

/// What is held.
#[derive(Debug, Clone, Default)]
pub struct IdlePlan {
    /// How often each connection is pinged.
    pub ping: Option<Duration>,
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// Where the request goes whose response is held; a WebSocket is held without.
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

/// What came in a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Messages that came unasked.
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
    /// Pings that were due in it.
    count: u64,
    /// Pings without an answer, by connection.
    awaited: Vec<u32>,
    /// The sum of them.
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

    /// There is no response to hold on this connection any more.
    fn lose(&mut self, link: u32, reason: Reason, links: &mut Links) {
        if self.gone.insert(link) {
            links.seen.fail(reason);
            self.held.lost += 1;
            links.cut(link);
        }
    }
}

impl Pings {
    fn due(&self, start: Duration) -> Duration {
        start + self.period.mul_f64(self.count as f64 / self.awaited.len() as f64)
    }

    fn send(&mut self, due: Duration, links: &mut Links) {
        let link = (self.count % self.awaited.len() as u64) as u32;
        // A connection that was lost is counted already.
        if !links.is_open(link) {
            return;
        }
        let mut payload = [0; Coding::Binary.bytes()];
        let sequence = self.count as u32;
        Coding::Binary.write(Stamp { link: links.number(link), sequence, at: due }, &mut payload);
        let key = Some(self.keys.draw());
        if links.send(link, |_, out| emit_ping(out, key, &payload)) == Sent::Yes {
            links.note_sent(Some(due));
            self.awaited[link as usize] += 1;
            self.outstanding += 1;
        }
    }

    /// Nothing comes any more on this connection.
    fn give_up(&mut self, link: u32) -> u32 {
        let awaited = std::mem::take(&mut self.awaited[link as usize]);
        self.outstanding -= u64::from(awaited);
        awaited
    }
}

impl Workload for Idle {
    type Outcome = Held;

    fn start(&mut self, start: Duration, _links: &mut Links) {
        if let Some(pings) = &mut self.pings {
            (pings.start, pings.count) = (Some(start), 0);
        }
    }

    fn opened(&mut self, link: u32, links: &mut Links) {
        let number = links.number(link);
        if let Some(approach) = &self.request {
            let request = request::get(approach, number, None, &[]);
            links.send(link, |_, out| out.extend_from_slice(&request));
        }
        for hello in &self.hello {
            let (text, key) = (greeting(hello, number), Some(self.keys.draw()));
            links.send(link, |_, out| emit_frame(out, key, Opcode::Text, text.as_bytes()));
        }
    }

    fn response(&mut self, link: u32, part: Part<'_>, links: &mut Links) {
        match part {
            Part::Head(head) if head.status != 200 => {
                let reason = format!("response_status_{}", head.status);
                self.lose(link, Reason::named(reason), links);
            }
            Part::Head(_) | Part::Body(_) => {}
            Part::End(_) => self.lose(link, Reason::named("response_ended"), links),
        }
    }

    fn message(&mut self, _link: u32, _kind: DataKind, _payload: &[u8], _links: &mut Links) {
        self.held.messages += 1;
    }

    fn pong(&mut self, link: u32, payload: &[u8], links: &mut Links) {
        let Some(pings) = &mut self.pings else { return };
        let Some(stamp) = Coding::Binary.read(payload) else { return };
        let awaited = &mut pings.awaited[link as usize];
        if stamp.link == links.number(link) && *awaited > 0 {
            *awaited -= 1;
            pings.outstanding -= 1;
            links.seen.answered(stamp.at, links.now(), payload.len());
        }
    }

    fn ended(&mut self, link: u32, why: Ended, links: &mut Links) -> Then {
        self.held.lost += u64::from(why == Ended::Lost);
        if why == Ended::Closed && self.request.is_some() {
            // Between two exchanges that would be no failure.
            self.lose(link, Reason::named("closed_without_response"), links);
        }
        if let Some(pings) = &mut self.pings {
            pings.give_up(link);
        }
        Then::Rest
    }

    fn advance(&mut self, links: &mut Links) -> Next {
        let Some(pings) = &mut self.pings else { return Next::Idle };
        let Some(start) = pings.start else { return Next::Idle };
        loop {
            let due = pings.due(start);
            if due > links.now() {
                return Next::At(due);
            }
            pings.send(due, links);
            pings.count += 1;
        }
    }

    fn stop(&mut self, _links: &mut Links) {
        if let Some(pings) = &mut self.pings {
            pings.start = None;
        }
    }

    fn is_awaiting(&self, _links: &Links) -> bool {
        self.pings.as_ref().is_some_and(|pings| pings.outstanding > 0)
    }

    fn is_drained(&self, _links: &Links) -> bool {
        self.pings.as_ref().is_none_or(|pings| pings.outstanding == 0)
    }

    fn finish(&mut self, links: &mut Links) -> Held {
        if let Some(pings) = &mut self.pings {
            for link in 0..links.len() {
                for _ in 0..pings.give_up(link) {
                    links.seen.fail(Reason::named("ping_unanswered"));
                }
            }
        }
        std::mem::take(&mut self.held)
    }
}
