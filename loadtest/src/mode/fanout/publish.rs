//! The publishers: events are sent at intended times, or when earlier events have been delivered.
//!
//! They have a separate thread, so that deliveries do not delay them. Over HTTP each publisher
//! waits for the response before its next event, or its next lines of events. An event that the
//! server refuses owes no deliveries; an event without a response owes them.

use std::{sync::Arc, time::Duration};

use ringway_frame::{DataKind, MaskKeys, Opcode, emit_frame};
use ringway_http::Part;

use super::{
    sides::{PublishPlan, Published, Way},
    traffic::{Phase, Ticket, Traffic},
};
use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::arrivals::{Arrivals, Share},
    mode::{REOPEN_DELAY, pace::Pace},
    wire::{
        failure::Reason,
        stamp::Stamp,
        template::{Draft, greeting},
    },
};

/// Events sent between two reads.
const TURN_EVENTS_MAX: u32 = 64;

/// In a closed loop, outstanding events are given up when nothing is delivered for this long.
const STALL_TIME_MAX: Duration = Duration::from_secs(1);

/// How often to check for a publisher or a subscriber while there is none.
const ABSENCE_LOOK_INTERVAL: Duration = Duration::from_millis(10);

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
    /// When events that were due were last published.
    advanced_at: Duration,
    published: Published,
}

/// One publisher.
struct Lane {
    draft: Draft,
    state: PublisherState,
    /// Over HTTP, the events that wait for their response, and when they were due.
    awaited: Option<(Ticket, Duration)>,
    /// When the latest response arrived; an event that was due before is not the tester's delay.
    freed_at: Duration,
    status: u16,
}

/// Whether a publisher has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PublisherState {
    Open,
    /// It reopens at once: events that are due wait.
    Returning,
    Away,
}

enum Running {
    Off,
    Probe,
    Open { start: Duration, arrivals: Arrivals, due: Duration },
    Closed { outstanding: u64, settled: u64, moved_at: Duration },
}

/// The result of an attempt to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// The event was sent.
    Published,
    /// Each publisher waits for a response.
    Busy,
    /// No publisher has a connection.
    NoneThere,
}

impl Publish {
    /// The workload of `connections` publishers.
    pub fn new(plan: PublishPlan, traffic: Arc<Traffic>, connections: u32, seed: u64) -> Self {
        let lanes = (0..connections).map(|number| Lane {
            draft: plan.way.draft(&plan.template, number),
            state: PublisherState::Away,
            awaited: None,
            freed_at: Duration::ZERO,
            status: 0,
        });
        Self {
            lanes: lanes.collect(),
            plan,
            traffic,
            seed,
            keys: MaskKeys::new(),
            next: 0,
            running: Running::Off,
            advanced_at: Duration::ZERO,
            published: Published::new(connections),
        }
    }

    /// Publishes an event that was due at `due`, or is due now if there is none.
    fn publish_next(&mut self, due: Option<Duration>, connections: &mut ConnectionTable) -> Tried {
        let mut tried = Tried::NoneThere;
        for _ in 0..connections.len() {
            let connection = self.next;
            self.next = (self.next + 1) % connections.len();
            let Lane { state, awaited, .. } = &self.lanes[connection as usize];
            if awaited.is_some() || *state == PublisherState::Returning {
                tried = Tried::Busy;
            } else if connections.is_open(connection)
                && self.publish(connection, due, connections) == Sent::Yes
            {
                return Tried::Published;
            }
        }
        tried
    }

    fn publish(
        &mut self,
        connection: u32,
        due: Option<Duration>,
        connections: &mut ConnectionTable,
    ) -> Sent {
        let publisher = connection as usize;
        let ticket = self.traffic.publish(publisher, self.plan.way.bulk());
        let at = due.unwrap_or_else(|| connections.clock().now());
        let sender = self.traffic.connection(connection);
        let stamp = |line| Stamp { connection: sender, sequence: ticket.sequence + line, at };
        let lane = &mut self.lanes[publisher];
        let event = lane.draft.stamped(stamp);
        let sent = match self.plan.way {
            Way::Messages(kind) => {
                let key = Some(self.keys.draw());
                connections
                    .send(connection, |_, out| emit_frame(out, key, Opcode::from(kind), event))
            }
            Way::Requests { .. } => {
                connections.send(connection, |_, out| out.extend_from_slice(event))
            }
        };
        if sent == Sent::No {
            self.traffic.withdraw(publisher, ticket);
            return sent;
        }
        for _ in 0..ticket.events {
            connections.note_sent(due.map(|due| due.max(lane.freed_at)));
        }
        match self.plan.way {
            Way::Messages(_) => self.published.take(publisher, ticket),
            Way::Requests { .. } => lane.awaited = Some((ticket, at)),
        }
        sent
    }

    /// A response is complete.
    fn respond(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let lane = &mut self.lanes[connection as usize];
        let status = std::mem::take(&mut lane.status);
        let Some((ticket, at)) = lane.awaited.take() else {
            connections.seen.fail(Reason::named("response_unasked"));
            return;
        };
        lane.freed_at = connections.clock().now();
        if (200..=299).contains(&status) {
            connections.seen.answered(at, connections.now(), 0);
            self.published.take(connection as usize, ticket);
        } else {
            connections.seen.fail(Reason::named(format!("publish_status_{status}")));
            self.traffic.withdraw(connection as usize, ticket);
        }
    }

    fn advance_open(&mut self, connections: &mut ConnectionTable) -> Next {
        let now = connections.now();
        for _ in 0..TURN_EVENTS_MAX {
            let Running::Open { due, .. } = self.running else { return Next::Idle };
            if due > now {
                return Next::At(due);
            }
            match self.publish_next(Some(due), connections) {
                Tried::Published => {}
                Tried::Busy => return Next::Idle,
                Tried::NoneThere => connections.seen.fail(Reason::NOT_CONNECTED),
            }
            if let Running::Open { start, arrivals, due } = &mut self.running {
                *due = *start + arrivals.next_due();
            }
        }
        Next::At(now)
    }

    fn advance_closed(&mut self, connections: &mut ConnectionTable) -> Next {
        let now = connections.now();
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
                self.published.stalls += 1;
                self.traffic.give_up();
                return Next::At(now + STALL_TIME_MAX);
            }
            *moved_at = now;
            match self.publish_next(None, connections) {
                Tried::Published => {}
                Tried::Busy => return Next::Idle,
                Tried::NoneThere => return Next::At(now + ABSENCE_LOOK_INTERVAL),
            }
        }
        Next::At(now)
    }
}

impl Workload for Publish {
    type Outcome = Published;

    fn start(&mut self, start: Duration, connections: &mut ConnectionTable) {
        self.running = match (self.traffic.phase(), self.plan.dial.pace()) {
            (Phase::Probing, _) => Running::Probe,
            (Phase::Measuring, Pace::Open { rate, pattern }) => {
                let alone = Share { index: 0, of: 1 };
                let mut arrivals = Arrivals::new(pattern, rate, alone, self.seed);
                let due = start + arrivals.next_due();
                Running::Open { start, arrivals, due }
            }
            (Phase::Measuring, Pace::Closed) => Running::Closed {
                outstanding: u64::from(self.plan.outstanding),
                settled: self.traffic.settled(),
                moved_at: connections.now(),
            },
        };
        self.next = 0;
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        self.lanes[connection as usize].state = PublisherState::Open;
        for hello in &self.plan.hello {
            let text = greeting(hello, connections.number(connection));
            let key = Some(self.keys.draw());
            connections
                .send(connection, |_, out| emit_frame(out, key, Opcode::Text, text.as_bytes()));
        }
    }

    fn message(
        &mut self,
        _connection: u32,
        _kind: DataKind,
        payload: &[u8],
        _connections: &mut ConnectionTable,
    ) {
        self.published.others += 1;
        self.published.show(payload);
    }

    fn response(&mut self, connection: u32, part: Part<'_>, connections: &mut ConnectionTable) {
        match part {
            Part::Interim(_) => {}
            Part::Head(head) => self.lanes[connection as usize].status = head.status,
            Part::Body(body) => {
                if !(200..=299).contains(&self.lanes[connection as usize].status) {
                    self.published.show(body);
                }
            }
            Part::End(_) => self.respond(connection, connections),
        }
    }

    fn ended(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then {
        let lane = &mut self.lanes[connection as usize];
        if let Some((ticket, _)) = lane.awaited.take() {
            // The server may have accepted the event, so its deliveries are owed.
            connections.seen.fail(Reason::named("publish_unanswered"));
            self.published.take(connection as usize, ticket);
        }
        match (&self.plan.way, why) {
            (Way::Requests { .. }, Ended::Closed) => {
                lane.state = PublisherState::Returning;
                Then::Reopen(Duration::ZERO)
            }
            _ => {
                lane.state = PublisherState::Away;
                Then::Reopen(REOPEN_DELAY)
            }
        }
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        self.advanced_at = connections.now();
        match self.running {
            Running::Off => Next::Idle,
            Running::Probe => {
                self.running = Running::Off;
                for connection in 0..connections.len() {
                    if connections.is_open(connection)
                        && self.lanes[connection as usize].awaited.is_none()
                    {
                        self.publish(connection, None, connections);
                    }
                }
                Next::Idle
            }
            Running::Open { .. } => self.advance_open(connections),
            Running::Closed { .. } => self.advance_closed(connections),
        }
    }

    fn stop(&mut self, _connections: &mut ConnectionTable) {
        if let Running::Open { start, arrivals, due } = &mut self.running {
            while *due <= self.advanced_at {
                self.published.behind += 1;
                *due = *start + arrivals.next_due();
            }
        }
        self.running = Running::Off;
        self.traffic.end();
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.lanes.iter().all(|lane| lane.awaited.is_none())
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Published {
        for connection in 0..connections.len() {
            if let Some((ticket, _)) = self.lanes[connection as usize].awaited.take() {
                connections.seen.fail(Reason::named("publish_unanswered"));
                self.published.take(connection as usize, ticket);
                // Its response would count for a later event.
                connections.cut(connection);
            }
        }
        std::mem::replace(&mut self.published, Published::new(connections.len()))
    }
}
