//! One server of a pool: whether it may get a connection now, and how much of the load it gets.
//!
//! Two things take it out: an active check that failed, for as long as checks fail; and a number of
//! failed connections in a row, for a time that grows each time (a circuit breaker). After that time
//! one connection tries it; its outcome decides. A server that comes back gets its share of the
//! load gradually.

use std::time::Duration;

use crate::upstream::pool::servers::Policy;

/// The share of its weight that a server gets when it comes back, in 1/1024.
const SHARE_AT_START: u64 = 102;
pub(super) const SHARE_WHOLE: u64 = 1024;

/// The ejection time doubles this many times at most.
const DOUBLINGS_MAX: u32 = 5;

/// The state of a server.
#[derive(Debug)]
pub(super) struct Endpoint<A> {
    pub address: A,
    pub weight: u32,
    /// Hash of the address, for rendezvous hashing.
    pub hash: u64,
    /// Connections that are being opened or are open.
    pub connections: u32,
    /// What the smooth round robin has saved up for it.
    pub credit: i64,
    /// The pool no longer lists it; it is forgotten when its last connection ends.
    pub is_removed: bool,
    checked: Checked,
    breaker: Breaker,
    /// When its share of the load began to grow; `None`: it has its whole share.
    started: Option<Duration>,
}

/// The result of the last active checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It answers, or it is not checked.
    Up,
    /// It does not answer as it should.
    Down,
}

/// Whether failed connections keep a server out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    /// It gets connections; so many failed in a row.
    Closed { failures: u32 },
    /// It gets none before `until`, and then one at a time: the lease with this number.
    Open { until: Duration, ejections: u32, trial: Option<u64> },
}

/// Whether a server may get a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// An active check failed: never.
    Down,
    /// It failed a short time ago: only if there is no healthy server.
    Ejected,
    /// It is healthy.
    Healthy,
}

impl<A> Endpoint<A> {
    pub fn new(address: A, weight: u32, hash: u64) -> Self {
        Self {
            address,
            weight,
            hash,
            connections: 0,
            credit: 0,
            is_removed: false,
            checked: Checked::Up,
            breaker: Breaker::Closed { failures: 0 },
            started: None,
        }
    }

    pub fn fitness(&self, now: Duration) -> Fitness {
        match (self.checked, self.breaker) {
            _ if self.is_removed => Fitness::Down,
            (Checked::Down, _) => Fitness::Down,
            (Checked::Up, Breaker::Open { until, trial, .. }) if now < until || trial.is_some() => {
                Fitness::Ejected
            }
            (Checked::Up, _) => Fitness::Healthy,
        }
    }

    /// Whether it may have one more connection, apart from its health.
    pub fn has_room(&self, policy: &Policy) -> bool {
        let is_tried = matches!(self.breaker, Breaker::Open { trial: Some(_), .. });
        !is_tried && self.connections < policy.connections_max
    }

    /// Its share of the load: its weight, or less while it comes back.
    pub fn share(&self, policy: &Policy, now: Duration) -> u64 {
        let whole = u64::from(self.weight) * SHARE_WHOLE;
        let Some(started) = self.started else { return whole };
        let (age, ramp) = (now.saturating_sub(started), policy.slow_start);
        if age >= ramp {
            return whole;
        }
        let grown = (SHARE_WHOLE - SHARE_AT_START) * age.as_millis() as u64
            / (ramp.as_millis() as u64).max(1);
        u64::from(self.weight) * (SHARE_AT_START + grown)
    }

    /// A connection to it begins, with the lease of this number.
    pub fn begin(&mut self, lease: u64) {
        self.connections += 1;
        if let Breaker::Open { trial, .. } = &mut self.breaker {
            *trial = Some(lease);
        }
    }

    /// A connection to it, or a request on it, has succeeded.
    pub fn succeeded(&mut self, lease: u64, now: Duration) {
        match &mut self.breaker {
            Breaker::Closed { failures } => *failures = 0,
            Breaker::Open { trial, .. } if *trial == Some(lease) => {
                self.breaker = Breaker::Closed { failures: 0 };
                self.started = Some(now);
            }
            // Only the trial proves anything: this connection is from before the ejection.
            Breaker::Open { .. } => {}
        }
    }

    /// A connection to it, or a request on it, has failed.
    pub fn failed(&mut self, lease: u64, policy: &Policy, now: Duration) {
        let eject = |ejections: u32| Breaker::Open {
            until: now + policy.eject_time * 2u32.pow(ejections.min(DOUBLINGS_MAX)),
            ejections: ejections + 1,
            trial: None,
        };
        self.breaker = match self.breaker {
            Breaker::Closed { failures } if failures + 1 < policy.failures_max => {
                Breaker::Closed { failures: failures + 1 }
            }
            Breaker::Closed { .. } => eject(0),
            Breaker::Open { ejections, trial, .. } if trial == Some(lease) => eject(ejections),
            open @ Breaker::Open { .. } => open,
        };
    }

    /// A connection to it has ended. If it was the trial and showed nothing, another may follow.
    pub fn end(&mut self, lease: u64) {
        self.connections -= 1;
        if let Breaker::Open { trial, .. } = &mut self.breaker {
            trial.take_if(|trial| *trial == lease);
        }
    }

    /// An active check has ended.
    pub fn check(&mut self, checked: Checked, now: Duration) {
        if (self.checked, checked) == (Checked::Down, Checked::Up) {
            self.started = Some(now);
            self.breaker = Breaker::Closed { failures: 0 };
        }
        self.checked = checked;
    }
}
