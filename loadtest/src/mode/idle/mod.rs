//! `idle`: connections are opened and held, and nothing is sent on them but what keeps them alive.
//!
//! One that is lost stays lost. Pings are spread evenly over their period, and leave at intended
//! times.

pub mod command;

use std::{ops::AddAssign, time::Duration};

use ringway_frame::{DataKind, MaskKeys, emit_ping};

use crate::{
    engine::{
        links::{Links, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    wire::{
        failure::Reason,
        stamp::{Coding, Stamp},
    },
};

/// One thread's idle connections.
pub struct Idle {
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
    pub fn new(ping: Option<Duration>, connections: u32) -> Self {
        let pings = ping.map(|period| Pings {
            period,
            keys: MaskKeys::new(),
            start: None,
            count: 0,
            awaited: vec![0; connections as usize],
            outstanding: 0,
        });
        Self { pings, held: Held::default() }
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

    fn ended(&mut self, link: u32, why: Ended, _links: &mut Links) -> Then {
        self.held.lost += u64::from(why == Ended::Lost);
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
