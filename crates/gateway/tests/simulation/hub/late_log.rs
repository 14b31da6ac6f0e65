//! A log's source that answers later, as an external ordered engine would: some turns after the
//! submission, in another order than the submissions, and sometimes with a refusal.
//!
//! It never loses an event that it has acknowledged, and never places one that it has refused.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use ringway::broker::{
    mailbox::Mailbox,
    source::{LogSource, SubmissionOutcome, Submitted, Token, Unavailable},
};
use ringway_hub::{Appender, Draft, Expiry, Log};

/// The source of one world.
pub struct LateLog {
    state: Mutex<LateState>,
}

struct LateState {
    rng: Rng,
    appender: Appender,
    /// Submitted events that are not in the log yet.
    waiting: Vec<Waiting>,
    /// Events that are in the log or refused, and whose submitters do not know it yet.
    untold: VecDeque<(Token, SubmissionOutcome)>,
}

struct Waiting {
    token: Token,
    draft: Draft,
    at: Duration,
}

impl LateLog {
    /// A log with random decisions from `seed`.
    pub fn new(seed: u64) -> Self {
        let (rng, appender) = (Rng::with_seed(seed), Appender::default());
        let state = LateState { rng, appender, waiting: Vec::new(), untold: VecDeque::new() };
        Self { state: Mutex::new(state) }
    }

    /// Places some of the waiting events, and reports some outcomes.
    pub fn turn(&self, log: &Log, mailbox: &Mailbox, now: Duration) {
        let LateState { rng, appender, waiting, untold } = &mut *self.state();
        while !waiting.is_empty() && rng.u8(0..3) == 0 {
            let Waiting { token, mut draft, at } = waiting.swap_remove(rng.usize(0..waiting.len()));
            if rng.u8(0..12) == 0 {
                untold.push_back((token, Err(Unavailable)));
                continue;
            }
            // The event's time is that of its place in the log, and its time to live counts from
            // there.
            draft.time_ms += (now.as_millis() - at.as_millis()) as u64;
            if let Expiry::Until(end) = &mut draft.keep {
                *end += now - at;
            }
            untold.push_back((token, Ok(log.append(appender, draft, now))));
            mailbox.wake_all();
        }
        while !untold.is_empty() && rng.u8(0..3) == 0 {
            // Outcomes for other submitters may overtake.
            let place = rng.usize(0..untold.len());
            let (token, result) = untold.remove(place).expect("it is there");
            mailbox.complete(token, result);
        }
    }

    /// Whether all events were placed and reported.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.untold.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, LateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSource for LateLog {
    fn submit(
        &self,
        log: &Log,
        appender: &mut Appender,
        draft: Draft,
        token: Token,
        now: Duration,
    ) -> Result<Submitted, Unavailable> {
        let LateState { rng, waiting, .. } = &mut *self.state();
        match rng.u8(0..16) {
            0 => Err(Unavailable),
            1 => Ok(Submitted::Done(log.append(appender, draft, now))),
            _ => {
                waiting.push(Waiting { token, draft, at: now });
                Ok(Submitted::Pending)
            }
        }
    }
}
