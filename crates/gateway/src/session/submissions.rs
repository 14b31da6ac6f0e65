//! Clients' commands of one core whose events have no place in the log yet.
//!
//! An entry is there while the log's source has the event, whatever happens to the connections that
//! wait for the answer: the answer is remembered for a command that comes again. It writes to no
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
    /// Connections of this core that wait for an answer: that of their own command, or of one that
    /// they have sent again.
    waiting: HashMap<ConnectionId, Arc<Awaited>>,
}

#[derive(Debug)]
struct Pending {
    submission: PendingSubmission,
    /// What the answer will be, except for the place.
    receipt: Receipt,
    awaited: Arc<Awaited>,
}

/// A submission has its outcome.
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

    /// Whether there is none, and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    /// A connection waits for an answer.
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

    /// A connection waits no longer.
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
            // Before the waiters are told: a command that they send again is a new one.
            broker.forget(&awaited);
        }
        let waiters = awaited.complete(outcome);
        Some(Completed { awaited, waiters, pending })
    }
}

impl CoreHub {
    /// The outcome of a submission of this core has come.
    pub fn complete_submission(
        &mut self,
        number: u64,
        result: SubmissionOutcome,
    ) -> Option<Completed> {
        let Self { broker, submitter, submissions, .. } = self;
        submissions.complete(number, result, broker, submitter)
    }
}
