//! `storm`: all connections drop simultaneously, return, and are counted when they have resumed.
//!
//! A measurement is either a hold, in which nothing happens, or a storm. A connection that cannot
//! return tries again after a random delay that doubles each time, as good clients do.

pub mod command;
mod missed;

use std::{collections::VecDeque, time::Duration};

use ringway_frame::DataKind;

use super::REOPEN_DELAY;
use crate::{
    engine::{
        table::ConnectionTable,
        workload::{Ended, Next, Then, Workload},
    },
    report,
    wire::{cursor, failure::Reason},
};

/// How connections drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// Without a Close frame.
    Cut,
    /// With a Close frame.
    Close,
}

/// The plan of storms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StormPlan {
    /// How connections drop.
    pub drop: Drop,
    /// The sequence of measurements.
    pub turns: Turns,
    /// Each stays away for this long at least ...
    pub away: Duration,
    /// ... and returns at a random time within this.
    pub return_within: Duration,
    /// The text in a message that shows that a connection has resumed; `None` if it only has to be
    /// open.
    pub expected: Option<Vec<u8>>,
    /// The longest time to wait for that message once the connection is open.
    pub expected_within: Duration,
    /// No attempt is made after this.
    pub timeout: Duration,
    /// The field of a message that says how far a connection has read.
    pub cursor: Option<String>,
}

/// The sequence of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// Each is a storm.
    Storms,
    /// The first is a hold, the next a storm, and so on.
    HoldsAndStorms,
}

/// The wait after the first failed attempt; it doubles with each.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The results of a storm on one thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Connections that dropped.
    pub dropped: u64,
    /// From the start of the storm to each resumption.
    pub back: Vec<Duration>,
    /// How many of those had a cursor.
    pub with_cursor: u64,
    /// Failed attempts.
    pub tries_failed: u64,
    /// From the start of the storm to the last connect(2).
    pub begun: Duration,
}

/// The workload of one thread's connections.
pub struct Storm {
    plan: StormPlan,
    stage: StormStage,
    /// By connection.
    returns: Vec<ReturnState>,
    /// Connections that have dropped, and have neither resumed nor been given up.
    down: u64,
    /// Connections that wait for their first message, each with its deadline and its attempt.
    awaited: VecDeque<(Duration, u32, u32)>,
    random: fastrand::Rng,
    round: Round,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StormStage {
    BeforeHold,
    Holding,
    BeforeStorm,
    Storming { start: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReturnState {
    /// It takes no part, or has resumed.
    Aside,
    /// It has dropped, was to return at `due`, and has made this many attempts.
    Down { due: Duration, tries: u32 },
    /// It has dropped and will not try again.
    GivenUp,
}

impl Round {
    /// Adds the results of another thread.
    pub fn add(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.with_cursor += other.with_cursor;
        self.back.extend(other.back);
        self.tries_failed += other.tries_failed;
        self.begun = self.begun.max(other.begun);
    }

    /// Converts to the form of a report.
    pub fn figures(&mut self) -> report::Storm {
        self.back.sort_unstable();
        let back = |share: f64| {
            let last = ((share * self.dropped as f64).ceil() as usize).checked_sub(1)?;
            self.back.get(last).map(|time| 1e3 * time.as_secs_f64())
        };
        report::Storm {
            dropped: self.dropped,
            resumed: self.back.len() as u64,
            tries_failed: self.tries_failed,
            begun_100_ms: (self.tries_failed == 0).then_some(1e3 * self.begun.as_secs_f64()),
            back_50_ms: back(0.5),
            back_90_ms: back(0.9),
            back_99_ms: back(0.99),
            back_100_ms: back(1.0),
        }
    }
}

impl Storm {
    /// One thread's share.
    pub fn new(plan: StormPlan, thread: u32, connections: u32, seed: u64) -> Self {
        let stage = match plan.turns {
            Turns::Storms => StormStage::BeforeStorm,
            Turns::HoldsAndStorms => StormStage::BeforeHold,
        };
        Self {
            plan,
            stage,
            returns: vec![ReturnState::Aside; connections as usize],
            down: 0,
            awaited: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed.wrapping_add(u64::from(thread))),
            round: Round::default(),
        }
    }

    fn break_loose(&mut self, start: Duration, connections: &mut ConnectionTable) {
        connections.open_without_bound();
        for connection in 0..connections.len() {
            if !connections.is_open(connection) {
                continue;
            }
            let due = start + self.plan.away + self.plan.return_within.mul_f64(self.random.f64());
            self.returns[connection as usize] = ReturnState::Down { due, tries: 0 };
            self.down += 1;
            self.round.dropped += 1;
            self.round.with_cursor += u64::from(connections.cursor(connection).is_some());
            connections.note_sent(None);
            match self.plan.drop {
                Drop::Cut => connections.cut(connection),
                Drop::Close => connections.close(connection),
            }
        }
    }

    fn resume(
        &mut self,
        connection: u32,
        start: Duration,
        due: Duration,
        connections: &mut ConnectionTable,
    ) {
        self.returns[connection as usize] = ReturnState::Aside;
        self.down -= 1;
        self.round.back.push(connections.now().saturating_sub(start));
        connections.seen.answered(due, connections.now(), 0);
    }

    /// An attempt has failed: schedules the next, if there is time for it.
    fn retry(
        &mut self,
        connection: u32,
        tries: u32,
        start: Duration,
        connections: &ConnectionTable,
    ) -> Then {
        self.round.tries_failed += 1;
        let whole = BACK_OFF_MIN.saturating_mul(1 << (tries - 1).min(16)).min(BACK_OFF_MAX);
        let pause = whole.mul_f64(0.5 + 0.5 * self.random.f64());
        if connections.now() + pause < start + self.plan.timeout {
            return Then::Reopen(pause);
        }
        self.returns[connection as usize] = ReturnState::GivenUp;
        self.down -= 1;
        Then::Rest
    }
}

impl Workload for Storm {
    type Outcome = Round;

    fn start(&mut self, start: Duration, connections: &mut ConnectionTable) {
        // Connections that are not open get another attempt, and take part from then on.
        for connection in 0..connections.len() {
            if !connections.is_open(connection) {
                connections.open_at(connection, start);
            }
        }
        if self.stage == StormStage::BeforeHold {
            self.stage = StormStage::Holding;
        } else {
            self.stage = StormStage::Storming { start };
            self.break_loose(start, connections);
        }
    }

    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let (StormStage::Storming { start }, ReturnState::Down { due, tries }) =
            (self.stage, self.returns[connection as usize])
        else {
            return;
        };
        if self.plan.expected.is_some() {
            self.awaited.push_back((
                connections.now() + self.plan.expected_within,
                connection,
                tries,
            ));
        } else {
            self.resume(connection, start, due, connections);
        }
    }

    fn message(
        &mut self,
        connection: u32,
        _kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    ) {
        let name = self.plan.cursor.as_deref();
        if let Some(cursor) = name.and_then(|name| cursor::find(payload, name)) {
            connections.set_cursor(connection, cursor);
        }
        let (StormStage::Storming { start }, ReturnState::Down { due, .. }, Some(expected)) =
            (self.stage, self.returns[connection as usize], &self.plan.expected)
        else {
            return;
        };
        // Messages on a connection that is being closed belong to the time before.
        if connections.is_open(connection) && contains(payload, expected) {
            self.resume(connection, start, due, connections);
        }
    }

    fn ended(&mut self, connection: u32, _why: Ended, connections: &mut ConnectionTable) -> Then {
        let (StormStage::Storming { start }, ReturnState::Down { due, tries }) =
            (self.stage, self.returns[connection as usize])
        else {
            return match self.returns[connection as usize] {
                ReturnState::GivenUp => Then::Rest,
                _ => Then::Reopen(REOPEN_DELAY),
            };
        };
        self.returns[connection as usize] = ReturnState::Down { due, tries: tries + 1 };
        match tries {
            0 => Then::Reopen(due.saturating_sub(connections.now())),
            _ => self.retry(connection, tries, start, connections),
        }
    }

    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        while let Some(&(deadline, connection, tries)) = self.awaited.front() {
            let is_awaited = connections.is_open(connection)
                && matches!(self.returns[connection as usize],
                    ReturnState::Down { tries: latest, .. } if latest == tries);
            if is_awaited && deadline > connections.now() {
                return Next::At(deadline);
            }
            self.awaited.pop_front();
            if is_awaited {
                connections.seen.fail(Reason::named("expected_message_missing"));
                connections.cut(connection);
            }
        }
        Next::Idle
    }

    fn is_drained(&self, _connections: &ConnectionTable) -> bool {
        self.down == 0
    }

    fn finish(&mut self, connections: &mut ConnectionTable) -> Round {
        if let StormStage::Storming { start } = self.stage {
            self.round.begun = connections.last_begun_at().saturating_sub(start);
        }
        self.stage = match (self.stage, self.plan.turns) {
            (StormStage::Storming { .. }, Turns::HoldsAndStorms) => StormStage::BeforeHold,
            _ => StormStage::BeforeStorm,
        };
        for state in &mut self.returns {
            if std::mem::replace(state, ReturnState::Aside) != ReturnState::Aside {
                connections.seen.fail(Reason::named("never_resumed"));
            }
        }
        self.down = 0;
        self.awaited.clear();
        std::mem::take(&mut self.round)
    }
}

fn contains(payload: &[u8], expected: &[u8]) -> bool {
    expected.is_empty() || payload.windows(expected.len()).any(|part| part == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(dropped: u64, back: u64) -> Round {
        let back = (1..=back).rev().map(Duration::from_millis).collect();
        Round { dropped, back, ..Round::default() }
    }

    #[test]
    fn shares_are_of_all_dropped_connections() {
        let figures = round(200, 199).figures();
        assert_eq!((figures.dropped, figures.resumed), (200, 199));
        assert_eq!(figures.back_50_ms, Some(100.0));
        assert_eq!(figures.back_99_ms, Some(198.0));
        assert_eq!(figures.back_100_ms, None, "one is missing");
        assert_eq!(round(3, 3).figures().back_100_ms, Some(3.0));
        assert_eq!(round(0, 0).figures().back_50_ms, None);
    }

    #[test]
    fn a_text_is_found_at_any_position() {
        let payload = br#"{"type":"welcome"}"#;
        assert!(contains(payload, b"welcome") && contains(payload, payload));
        assert!(!contains(payload, b"gap") && !contains(b"wel", b"welcome"));
    }
}
