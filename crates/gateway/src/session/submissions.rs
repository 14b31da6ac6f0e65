//! The commands of one core's clients whose events have no place in the log yet.
//!
//! An entry stays while the log's source has the event, even if the connections that wait for the
//! answer close: the answer is remembered in case the command is sent again. It writes to no
//! connection.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_acceptor::ConnectionId;

use crate::{
    broker::{
        Awaited, Broker, Receipt, Waiter,
        source::{PendingSubmission, SubmissionOutcome, Submitter},
    },
    session::core_hub::CoreHub,
};

/// The pending submissions of one core. Their number and size are bounded by [`Submitter`].
#[derive(Debug, Default)]
pub struct Submissions {
    pending: HashMap<u64, Pending>,
    /// Connections of this core that wait for an answer, to their own command or to one that they
    /// have sent again.
    waiting: HashMap<ConnectionId, Arc<Awaited>>,
}

#[derive(Debug)]
struct Pending {
    submission: PendingSubmission,
    /// The answer, except for the place.
    receipt: Receipt,
    awaited: Arc<Awaited>,
}

/// A submission whose outcome is known.
#[derive(Debug)]
pub struct Completed {
    /// The command.
    pub awaited: Arc<Awaited>,
    /// The connections that wait for its answer.
    pub waiters: Vec<Waiter>,
    /// How many submissions of all cores and of the private API are still pending.
    pub pending: usize,
}

impl Submissions {
    /// Keeps a command until its event has its place.
    pub fn insert(
        &mut self,
        submission: PendingSubmission,
        receipt: Receipt,
        awaited: Arc<Awaited>,
    ) {
        self.pending.insert(submission.number, Pending { submission, receipt, awaited });
    }

    /// Whether no submission is pending and no connection waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    /// Notes that a connection waits for an answer.
    pub fn wait(&mut self, connection: ConnectionId, awaited: Arc<Awaited>) {
        self.waiting.insert(connection, awaited);
    }

    /// The command whose answer a connection waits for.
    pub fn awaited(&self, connection: ConnectionId) -> Option<Arc<Awaited>> {
        self.waiting.get(&connection).cloned()
    }

    /// Whether a connection waits for the answer to this command.
    pub fn is_awaited(&self, connection: ConnectionId, awaited: &Arc<Awaited>) -> bool {
        self.waiting.get(&connection).is_some_and(|own| Arc::ptr_eq(own, awaited))
    }

    /// Notes that a connection no longer waits.
    #[inline]
    pub fn end_wait(&mut self, connection: ConnectionId) {
        if !self.waiting.is_empty() {
            self.waiting.remove(&connection);
        }
    }

    fn complete(
        &mut self,
        number: u64,
        result: SubmissionOutcome,
        broker: &Broker,
        submitter: &mut Submitter,
    ) -> Option<Completed> {
        let Pending { submission, mut receipt, awaited } = self.pending.remove(&number)?;
        let pending = broker.end_submission(submitter, submission);
        let outcome = result.map(|sequence| {
            broker.place(&mut receipt, sequence);
            Arc::new(receipt)
        });
        if outcome.is_err() {
            // Before the waiters are told: if they send the command again, it is a new command.
            broker.forget(&awaited);
        }
        let waiters = awaited.complete(outcome);
        Some(Completed { awaited, waiters, pending })
    }
}

impl CoreHub {
    /// Takes the outcome of a submission of this core.
    pub fn complete_submission(
        &mut self,
        number: u64,
        result: SubmissionOutcome,
    ) -> Option<Completed> {
        let Self { broker, submitter, submissions, .. } = self;
        submissions.complete(number, result, broker, submitter)
    }
}
