//! Submissions of the application whose events have no place in the log yet, and the requests that
//! wait for their outcome.
//!
//! An entry exists as long as the log's source has the event, even if its requests are gone: the
//! answer is kept for a repeated request with the same idempotency key.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use ringway_hub::NotifyOutcome;
use tokio::{
    sync::{
        Notify,
        mpsc::{self, UnboundedReceiver},
    },
    time::{Instant, timeout},
};

use crate::{
    broker::{
        Receipt,
        source::{PendingSubmission, SubmissionOutcome, Submitter, Unavailable},
    },
    control::api::{
        Api,
        done::Done,
        idempotency::Key,
        post,
        problem::{Kind, Problem},
    },
    limits::SUBMISSION_TIME_MAX,
};

/// How often a waiting request checks whether the gateway is draining.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is known about a submission.
#[derive(Debug)]
pub enum Answer {
    /// The outcome is known.
    Done(Done),
    /// The outcome is not known yet.
    Awaited(Arc<Awaited>),
}

impl Answer {
    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Done(done) => done.bytes(),
            Self::Awaited(_) => size_of::<Awaited>(),
        }
    }
}

/// A submission that waits for its outcome.
#[derive(Debug, Default)]
pub struct Awaited {
    outcome: OnceLock<Result<Done, Unavailable>>,
    ready: Notify,
}

/// The submitter of the application's events, and the submissions that are pending. [`Submitter`]
/// bounds their number and size.
#[derive(Debug, Default)]
pub struct Submissions {
    /// Passes events to the log.
    pub submitter: Submitter,
    pending: HashMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    submission: PendingSubmission,
    /// The answer, except for the event's place.
    receipt: Receipt,
    key: Option<Key>,
    awaited: Arc<Awaited>,
}

impl Submissions {
    /// Keeps a submission until its event has a place in the log.
    pub fn insert(
        &mut self,
        submission: PendingSubmission,
        receipt: Receipt,
        key: Option<Key>,
    ) -> Answer {
        let awaited = Arc::<Awaited>::default();
        let answer = Answer::Awaited(Arc::clone(&awaited));
        self.pending.insert(submission.number, Pending { submission, receipt, key, awaited });
        answer
    }
}

impl Api {
    /// Receives outcomes on this thread, as long as the API exists.
    pub(super) fn follow_outcomes(self: &Arc<Self>) {
        // Bounded by the number of pending submissions.
        let (sender, outcomes) = mpsc::unbounded_channel();
        self.mailbox.register_control(move |number, result| {
            let _ = sender.send((number, result));
        });
        tokio::spawn(follow(Arc::downgrade(self), outcomes));
    }

    fn complete(&self, number: u64, result: SubmissionOutcome) {
        let mut submissions = self.submissions();
        let Some(pending) = submissions.pending.remove(&number) else { return };
        let Pending { submission, mut receipt, key, awaited } = pending;
        let left = self.broker.end_submission(&mut submissions.submitter, submission);
        drop(submissions);
        let outcome = result.map(|sequence| {
            self.broker.place(&mut receipt, sequence);
            self.appended.add(1);
            done_of(&receipt)
        });
        if let (Err(Unavailable), Some(key)) = (&outcome, &key) {
            // Before anyone is notified: a repeated request with this key is then a new submission.
            self.ledger.forget(key, &awaited);
        }
        let _ = awaited.outcome.set(outcome);
        awaited.ready.notify_waiters();
        // Draining cores wait for the last submission.
        if left == 0 && self.mailbox.is_draining() {
            self.mailbox.wake_all();
        }
    }

    /// The outcome of a submission, once it is known.
    ///
    /// # Errors
    /// The event was refused a place in the log, or got none in time.
    pub(super) async fn answer<'a>(&self, answer: &'a Answer) -> Result<&'a Done, Problem> {
        let awaited = match answer {
            Answer::Done(done) => return Ok(done),
            Answer::Awaited(awaited) => awaited,
        };
        let give_up = Instant::now() + SUBMISSION_TIME_MAX;
        loop {
            let ready = awaited.ready.notified();
            if let Some(outcome) = awaited.outcome.get() {
                return outcome.as_ref().map_err(|Unavailable| unavailable());
            }
            if timeout(LOOK_INTERVAL, ready).await.is_err() {
                // A later acknowledgement might no longer be sent.
                if self.mailbox.is_draining() {
                    return Err(post::going_away());
                }
                if Instant::now() >= give_up {
                    return Err(unavailable());
                }
            }
        }
    }
}

async fn follow(api: Weak<Api>, mut outcomes: UnboundedReceiver<(u64, SubmissionOutcome)>) {
    while let Some((number, result)) = outcomes.recv().await {
        let Some(api) = api.upgrade() else { return };
        api.complete(number, result);
    }
}

fn done_of(receipt: &Receipt) -> Done {
    match receipt.outcome() {
        Some(outcome) => {
            let outcome: Vec<(&str, NotifyOutcome)> = outcome.collect();
            Done::notified(receipt.cursor, &outcome)
        }
        None => Done::published(receipt.cursor),
    }
}

/// The log's source does not answer, or refuses the event.
pub fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "the log cannot accept the event now; send it again later")
}
