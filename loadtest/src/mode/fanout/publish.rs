//! The publishers: events leave at intended times, or when those before have been delivered.
//!
//! They live in one thread of their own, so that no delivery holds them up. An event that the
//! server refuses to take owes nobody anything.

use std::{sync::Arc, time::Duration};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};

use super::traffic::{Phase, Ticket, Traffic};
use crate::{
    engine::{
        links::{Links, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::arrivals::{Arrivals, Pattern, Share},
    mode::echo::REOPEN_DELAY,
    wire::{
        failure::Reason,
        stamp::Stamp,
        template::{Draft, Template, greeting},
    },
};

/// When events leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many a second over all publishers.
    Open {
        /// Events a second.
        rate: f64,
        /// How they are spread.
        pattern: Pattern,
    },
    /// When those before have reached all subscribers.
    Closed {
        /// Events that may be outstanding.
        outstanding: u32,
    },
}

/// What publishers do.
#[derive(Debug, Clone)]
pub struct PublishPlan {
    /// When events leave.
    pub pace: Pace,
    /// Sent when a connection is open, in this order.
    pub hello: Vec<String>,
    /// What events look like.
    pub template: Template,
    /// What they are on the wire.
    pub kind: DataKind,
}

/// Events sent between two looks at what came back.
const TURN_EVENTS_MAX: u32 = 64;

/// In a closed loop, what is outstanding is given up when nothing is delivered for so long.
const STALL_TIME_MAX: Duration = Duration::from_secs(1);

/// Until somebody is there, this is how often that is looked at.
const ABSENCE_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Of each publisher, events whose owed deliveries are remembered.
const EVENTS_MAX: usize = 1 << 24;

/// The start of an answer that is shown.
const SAMPLE_BYTES_MAX: usize = 200;

/// All publishers.
pub struct Publish {
    plan: PublishPlan,
    traffic: Arc<Traffic>,
    seed: u64,
    keys: MaskKeys,
    lanes: Vec<Lane>,
    /// The publisher of the next event.
    next: u32,
    running: Running,
    /// When what was due was last published.
    advanced_at: Duration,
    told: Told,
}

/// One publisher.
struct Lane {
    draft: Draft,
}

/// What the publishers did.
#[derive(Debug, Default)]
pub struct Told {
    /// Events that the server took.
    pub events: u64,
    /// By publisher and event, how many deliveries it owed.
    pub owed: Vec<Vec<u32>>,
    /// Events that were due and could not be published in time.
    pub behind: u64,
    /// How often a closed loop gave up waiting.
    pub stalls: u64,
    /// Messages that publishers received.
    pub others: u64,
    /// The start of the first of them.
    pub sample: Option<String>,
}

enum Running {
    Off,
    Probe,
    Open { start: Duration, arrivals: Arrivals, due: Duration },
    Closed { outstanding: u64, settled: u64, moved_at: Duration },
}

/// What became of the attempt to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// It is on its way.
    Published,
    /// No publisher has a connection.
    NoneThere,
}

impl Publish {
    /// Of `connections` publishers.
    pub fn new(plan: PublishPlan, traffic: Arc<Traffic>, connections: u32, seed: u64) -> Self {
        let lanes = (0..connections).map(|number| Lane { draft: plan.template.draft(number) });
        Self {
            lanes: lanes.collect(),
            plan,
            traffic,
            seed,
            keys: MaskKeys::new(),
            next: 0,
            running: Running::Off,
            advanced_at: Duration::ZERO,
            told: Told::new(connections),
        }
    }

    /// Publishes an event that was due at `due`; without, it is due now.
    fn publish_next(&mut self, due: Option<Duration>, links: &mut Links) -> Tried {
        for _ in 0..links.len() {
            let link = self.next;
            self.next = (self.next + 1) % links.len();
            if links.is_open(link) && self.publish(link, due, links) == Sent::Yes {
                return Tried::Published;
            }
        }
        Tried::NoneThere
    }

    fn publish(&mut self, link: u32, due: Option<Duration>, links: &mut Links) -> Sent {
        let publisher = link as usize;
        let ticket = self.traffic.publish(publisher);
        let at = due.unwrap_or_else(|| links.clock().now());
        let link_in_stamp = self.traffic.link(link);
        let stamp = Stamp { link: link_in_stamp, sequence: ticket.sequence, at };
        let event = self.lanes[publisher].draft.stamped(stamp);
        let (key, opcode) = (Some(self.keys.draw()), Opcode::from(self.plan.kind));
        let sent = links.send(link, |_, out| emit_frame(out, key, opcode, event));
        if sent == Sent::No {
            self.traffic.withdraw(publisher, ticket);
            return sent;
        }
        links.note_sent(due);
        self.taken(publisher, ticket);
        sent
    }

    fn taken(&mut self, publisher: usize, ticket: Ticket) {
        self.told.events += 1;
        let owed = &mut self.told.owed[publisher];
        if owed.len() < EVENTS_MAX {
            owed.push(ticket.owed);
        }
    }

    fn advance_open(&mut self, links: &mut Links) -> Next {
        let now = links.now();
        for _ in 0..TURN_EVENTS_MAX {
            let Running::Open { start, arrivals, due } = &mut self.running else {
                return Next::Idle;
            };
            let at = *due;
            if at > now {
                return Next::At(at);
            }
            *due = *start + arrivals.next_due();
            if self.publish_next(Some(at), links) == Tried::NoneThere {
                links.seen.fail(Reason::NOT_CONNECTED);
            }
        }
        Next::At(now)
    }

    fn advance_closed(&mut self, links: &mut Links) -> Next {
        let now = links.now();
        for _ in 0..TURN_EVENTS_MAX {
            let Running::Closed { outstanding, settled, moved_at } = &mut self.running else {
                return Next::Idle;
            };
            let present = u64::from(self.traffic.present());
            if present == 0 {
                return Next::At(now + ABSENCE_LOOK_INTERVAL);
            }
            let settled_now = self.traffic.settled();
            if settled_now != *settled {
                (*settled, *moved_at) = (settled_now, now);
            }
            if !self.traffic.awaits_at_most((*outstanding - 1) * present) {
                if now.saturating_sub(*moved_at) < STALL_TIME_MAX {
                    return Next::At(*moved_at + STALL_TIME_MAX);
                }
                *moved_at = now;
                self.told.stalls += 1;
                self.traffic.give_up();
                return Next::At(now + STALL_TIME_MAX);
            }
            *moved_at = now;
            if self.publish_next(None, links) == Tried::NoneThere {
                return Next::At(now + ABSENCE_LOOK_INTERVAL);
            }
        }
        Next::At(now)
    }
}

impl Workload for Publish {
    type Outcome = Told;

    fn start(&mut self, start: Duration, links: &mut Links) {
        self.running = match (self.traffic.phase(), self.plan.pace) {
            (Phase::Probing, _) => Running::Probe,
            (Phase::Measuring, Pace::Open { rate, pattern }) => {
                let alone = Share { index: 0, of: 1 };
                let mut arrivals = Arrivals::new(pattern, rate, alone, self.seed);
                let due = start + arrivals.next_due();
                Running::Open { start, arrivals, due }
            }
            (Phase::Measuring, Pace::Closed { outstanding }) => Running::Closed {
                outstanding: u64::from(outstanding),
                settled: self.traffic.settled(),
                moved_at: links.now(),
            },
        };
        self.next = 0;
    }

    fn opened(&mut self, link: u32, links: &mut Links) {
        for hello in &self.plan.hello {
            let text = greeting(hello, links.number(link));
            let key = Some(self.keys.draw());
            links.send(link, |_, out| emit_frame(out, key, Opcode::Text, text.as_bytes()));
        }
    }

    fn message(&mut self, _link: u32, _kind: DataKind, payload: &[u8], _links: &mut Links) {
        self.told.others += 1;
        if self.told.sample.is_none() {
            let start = &payload[..payload.len().min(SAMPLE_BYTES_MAX)];
            self.told.sample = Some(String::from_utf8_lossy(start).into_owned());
        }
    }

    fn ended(&mut self, _link: u32, _why: Ended, _links: &mut Links) -> Then {
        Then::Reopen(REOPEN_DELAY)
    }

    fn advance(&mut self, links: &mut Links) -> Next {
        self.advanced_at = links.now();
        match self.running {
            Running::Off => Next::Idle,
            Running::Probe => {
                self.running = Running::Off;
                for link in 0..links.len() {
                    if links.is_open(link) {
                        self.publish(link, None, links);
                    }
                }
                Next::Idle
            }
            Running::Open { .. } => self.advance_open(links),
            Running::Closed { .. } => self.advance_closed(links),
        }
    }

    fn stop(&mut self, _links: &mut Links) {
        if let Running::Open { start, arrivals, due } = &mut self.running {
            while *due <= self.advanced_at {
                self.told.behind += 1;
                *due = *start + arrivals.next_due();
            }
        }
        self.running = Running::Off;
        self.traffic.end();
    }

    fn finish(&mut self, links: &mut Links) -> Told {
        std::mem::replace(&mut self.told, Told::new(links.len()))
    }
}

impl Told {
    fn new(publishers: u32) -> Self {
        Self { owed: vec![Vec::new(); publishers as usize], ..Self::default() }
    }
}
