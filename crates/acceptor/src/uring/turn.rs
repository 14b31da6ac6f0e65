//! The enter of a turn: what it submits, how long it waits, and what follows it.
//!
//! Once it has returned without an error, the kernel reads the turn's buffers no more.

use std::{io, time::Duration};

use super::{
    UringDriver, pace,
    ring::Wait,
    user_data::{self, Kind},
};
use crate::Completion;

/// The owner of the turn's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnState {
    /// The driver: an enter has consumed all entries that pointed to them.
    Settled,
    /// The kernel.
    Queued,
}

impl UringDriver {
    /// One enter, and its immediate consequences.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.harvested.clear();
        self.reported = 0;
        self.buffers.publish();
        self.arm_waker();
        self.arm_acceptors();
        let plan = self.pace.plan();
        let timeout = match (timeout, self.acceptors.resumes_in()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        // Connections end right after the sends have run, that is, after this enter.
        let sleeps = self.to_end.is_empty() && self.events.is_empty() && self.waker.fall_asleep();
        self.ring.submit_and_wait(match timeout {
            timeout if sleeps && timeout != Some(Duration::ZERO) => {
                Wait { want: plan.want, min_wait_us: plan.min_wait_us, timeout }
            }
            _ => Wait::NONE,
        })?;
        self.turn_state = TurnState::Settled;
        if self.waker.wake_up() {
            self.events.push_back(Completion::Woken);
        }
        self.harvest()?;
        self.end_connections();
        self.counters.turns += 1;
        if self.pace.is_timed() {
            let now = self.started.elapsed();
            self.pace.observe(self.harvested.len(), now, pace::thread_cpu_time);
        }
        Ok(())
    }

    /// An enter in the middle of a turn: submits, and neither waits nor lets the kernel do other
    /// work, so what it posts is about these operations.
    pub(super) fn enter_early(&mut self) -> io::Result<()> {
        self.ring.flush()?;
        self.turn_state = TurnState::Settled;
        self.harvest()?;
        self.end_connections();
        Ok(())
    }

    /// Takes the completions out of the ring and at once handles those that decide about memory:
    /// short sends.
    fn harvest(&mut self) -> io::Result<()> {
        let mut first = self.harvested.len();
        self.ring.take_completions(&mut self.harvested);
        while self.ring.has_overflowed() {
            self.ring.submit_and_wait(Wait::NONE)?;
            self.ring.take_completions(&mut self.harvested);
        }
        while first < self.harvested.len() {
            let entry = &self.harvested[first];
            let (data, result) = (entry.user_data(), entry.result());
            if user_data::kind(data) == Kind::InlineSend {
                self.complete_inline_send(user_data::index(data) as usize, result);
            }
            first += 1;
        }
        Ok(())
    }
}
