//! `churn`: opens and closes connections, one after another. Each may echo one message in between.
//!
//! In an open loop connections are due at intended times, independent of earlier ones, and the time
//! to 101, or to the echo, counts from the intended time. In a closed loop the next connection is
//! opened when one has ended.

pub mod command;

use std::{collections::VecDeque, ops::AddAssign, time::Duration};

use ringway_frame::DataKind;

use super::pace::{Dial, Pace};
use crate::{
    engine::{
        table::{ConnectionTable, Sent},
        workload::{Ended, Next, Then, Workload},
    },
    measure::{
        arrivals::{Arrivals, Share},
        ledger::Ledger,
    },
    wire::{
        failure::Reason,
        message::{Content, Corruption, Messages},
        stamp::Stamp,
    },
};

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// With Close frames.
    Polite,
    /// Without Close frames.
    Abrupt,
}

/// What to do with connections.
#[derive(Debug, Clone)]
pub struct ChurnPlan {
    /// When connections are opened.
    pub dial: Dial,
    /// How they end.
    pub farewell: Farewell,
    /// The message that each echoes before it ends, if any.
    pub echo: Option<(Content, usize)>,
}

/// In a closed loop, the wait before a connection that failed to open is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Connections started between two reads.
const TURN_BEGUN_MAX: u32 = 64;

/// One thread's connections.
pub struct Churn {
    plan: ChurnPlan,
    share: Share,
    seed: u64,
    /// The messages to echo, if any.
    messages: Option<Messages>,
    /// By connection, its current use; `None` while it is closed.
    visits: Vec<Option<Visit>>,
    under_way: u32,
    /// `None` while nothing is started.
    running: Option<Running>,
    churned: Churned,
}

/// The use of one connection.
#[derive(Debug, Clone, Copy)]
struct Visit {
    /// When it was due.
    due: Duration,
    /// How many were started before it.
    sequence: u32,
    /// Whether it waits for the echo of its message.
    awaits_echo: bool,
}

enum Running {
    Open {
        start: Duration,
        arrivals: Arrivals,
        due: Duration,
        /// Connections that are closed.
        free: Vec<u32>,
        /// Connections that are due, and wait for another one to end.
        waiting: VecDeque<Duration>,
    },
    Closed,
}

/// The results of a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Churned {
    /// Connections started.
    pub begun: u64,
    /// Connections that first had to wait for another one to end.
    pub waited: u64,
    /// Connections that were opened, and ended as they should.
    pub completed: u64,
    /// Connections that have resumed a TLS session.
    pub resumed: u64,
    /// The fate of their messages.
    pub ledger: Ledger,
}

impl AddAssign for Churned {
    fn add_assign(&mut self, other: Self) {
        self.begun += other.begun;
        self.waited += other.waited;
        self.completed += other.completed;
        self.resumed += other.resumed;
        self.ledger += other.ledger;
    }
}

impl Churn {
    /// One thread's share.
    pub fn new(plan: ChurnPlan, share: Share, connections: u32, seed: u64) -> Self {
        Self {
            messages: plan.echo.map(|(content, bytes)| Messages::new(content, bytes)),
            plan,
            share,
            seed,
            visits: vec![None; connections as usize],
            under_way: 0,
            running: None,
            churned: Churned::default(),
        }
    }

    fn begin(&mut self, connection: u32, due: Duration, connections: &mut ConnectionTable) {
        let sequence = self.churned.begun as u32;
        self.visits[connection as usize] = Some(Visit { due, sequence, awaits_echo: false });
        self.under_way += 1;
        self.churned.begun += 1;
        connections.open_at(connection, due);
    }

    /// Sends the message to be echoed.
    fn send(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let (Some(messages), Some(visit)) =
            (&mut self.messages, &mut self.visits[connection as usize])
        else {
            return;
        };
        let stamp = Stamp {
            connection: connections.number(connection),
            sequence: visit.sequence,
            at: visit.due,
        };
        visit.awaits_echo =
            connections.send(connection, |form, out| messages.write(stamp, form, out)) == Sent::Yes;
        self.churned.ledger.sent += u64::from(visit.awaits_echo);
    }

    /// Closes a connection that has done its work.
    fn part(&self, connection: u32, connections: &mut ConnectionTable) {
        match self.plan.farewell {
            Farewell::Polite => connections.close(connection),
            Farewell::Abrupt => connections.cut(connection),
        }
    }

    /// A connection has ended: returns what to do next.
    fn go_on(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then {
        match &mut self.running {
            None => Then::Rest,
            Some(Running::Open { free, waiting, .. }) => {
                match waiting.pop_front() {
                    Some(due) => self.begin(connection, due, connections),
                    None => free.push(connection),
                }
                Then::Rest
            }
            Some(Running::Closed) => {
                let pause = if why == Ended::Unopened { RETRY_DELAY } else { Duration::ZERO };
                self.begin(connection, connections.now() + pause, connections);
                connections.note_sent(None);
                Then::Rest
            }
        }
    }
}

impl Workload for Churn {
    type Outcome = Churned;

    const OPENS_FIRST: bool = false;

    fn start(&mut self, start: Duration, connections: &mut ConnectionTable) {
        connections.open_without_bound();
        let idle =
            (0..connections.len()).filter(|connection| self.visits[*connection as usize].is_none());
        match self.plan.dial.pace() {
            Pace::Open { rate, pattern } => {
                let mut arrivals = Arrivals::new(pattern, rate, self.share, self.seed);
                let (due, free) = (start + arrivals.next_due(), idle.rev().collect());
                let waiting = VecDeque::new();
                self.running = Some(Running::Open { start, arrivals, due, free, waiting });
            }
            Pace::Closed => {
                self.running = Some(Running::Closed);
                for connection in idle.collect::<Vec<_>>() {
                    self.begin(connection, start, connections);
                    connections.note_sent(None);
                }
            }
        }
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        self.churned.resumed += u64::from(connections.is_resumed(connection) == Some(true));
        if self.messages.is_some() {
            return self.send(connection, connections);
        }
        if let Some(visit) = self.visits[connection as usize] {
            connections.seen.answered(visit.due, connections.now(), 0);
        }
        self.part(connection, connections);
    }

    fn message(
        &mut self,
        connection: u32,
        kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        let (Some(messages), Some(visit)) = (&self.messages, &mut self.visits[connection as usize])
        else {
            return;
        };
        let ledger = &mut self.churned.ledger;
        let stamp = match messages.check(kind, payload) {
            Ok(stamp) => stamp,
            Err(corruption) => {
                ledger.corrupted += 1;
                let Corruption::Body(stamp) = corruption else {
                    connections.seen.note_foreign(payload);
                    return;
                };
                stamp
            }
        };
        if (stamp.connection, stamp.sequence) != (connections.number(connection), visit.sequence) {
            ledger.corrupted += 1;
        } else if !std::mem::take(&mut visit.awaits_echo) {
            ledger.doubled += 1;
        } else {
            ledger.received += 1;
            connections.seen.answered(visit.due, connections.now(), payload.len());
            self.part(connection, connections);
        }
    }

    fn ended(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then {
        if let Some(visit) = self.visits[connection as usize].take() {
            self.under_way -= 1;
            self.churned.completed += u64::from(why == Ended::Closed);
            self.churned.ledger.lost += u64::from(visit.awaits_echo);
        }
        self.go_on(connection, why, connections)
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let now = connections.now();
        for _ in 0..TURN_BEGUN_MAX {
            let Some(Running::Open { start, arrivals, due, free, waiting }) = &mut self.running
            else {
                return Next::Idle;
            };
            if *due > now {
                return Next::At(*due);
            }
            let at = std::mem::replace(due, *start + arrivals.next_due());
            match free.pop() {
                Some(connection) => {
                    self.begin(connection, at, connections);
                    connections.note_sent(Some(at));
                }
                None => {
                    // The server is late, not the tester.
                    waiting.push_back(at);
                    self.churned.waited += 1;
                    connections.note_sent(None);
                }
            }
        }
        Next::At(now)
    }

    fn stop(&mut self, connections: &mut ConnectionTable) {
        if let Some(Running::Open { waiting, .. }) = self.running.take() {
            for _ in waiting {
                connections.seen.fail(Reason::named("never_begun"));
            }
        }
    }

    fn is_awaiting(&self, _connections: &ConnectionTable) -> bool {
        // A closed loop always has work to do, or waits for the server.
        self.under_way > 0 && matches!(self.running, Some(Running::Open { .. }))
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.under_way == 0
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Churned {
        for visit in self.visits.iter_mut().filter_map(Option::take) {
            connections.seen.fail(Reason::named("not_finished"));
            self.churned.ledger.lost += u64::from(visit.awaits_echo);
        }
        self.under_way = 0;
        std::mem::take(&mut self.churned)
    }
}
