//! Where events get their places in the order: the local log, or an engine outside that answers
//! later.
//!
//! A source appends to the log, which the cores follow. It knows neither clients nor commands.

use ringway_hub::{Appender, Draft, Log, Sequence};
use std::time::Duration;

use crate::{
    limits::{SUBMISSIONS_BYTES_MAX, SUBMISSIONS_MAX},
    memory::OutOfMemory,
};

/// Identifies a submission to the one that has made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// Who has made it, and receives its outcome.
    pub submitter: SubmitterId,
    /// Its number among all of that submitter.
    pub number: u64,
}

/// Who submits events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SubmitterId {
    /// A core, for its clients.
    Core(usize),
    /// The control thread, for the application.
    #[default]
    Control,
}

/// What a source answers at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The event has this place in the log.
    Done(Sequence),
    /// The outcome comes later, once, with the submission's token
    /// ([`Mailbox::complete`](crate::broker::mailbox::Mailbox::complete)).
    Pending,
}

/// The event has no place in the log and will not get one; it may be sent again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// The place of a submitted event, or that it gets none.
pub type SubmissionOutcome = Result<Sequence, Unavailable>;

/// What gives events their places.
///
/// A source that completes later appends the event to the log itself, wakes the cores, and then
/// completes the submission. There is one order: what is appended for one submission has the place
/// that its outcome says.
///
/// The time and the expiry in a draft are those of the submission. Where the place comes so much later
/// that this matters, the source moves them on.
pub trait LogSource: Send + Sync {
    /// Submits an event.
    ///
    /// # Errors
    /// [`Unavailable`]; no outcome follows.
    fn submit(
        &self,
        log: &Log,
        appender: &mut Appender,
        draft: Draft,
        token: Token,
        now: Duration,
    ) -> Result<Submitted, Unavailable>;
}

/// The log of this process is the order.
pub struct LocalLog;

impl LogSource for LocalLog {
    fn submit(
        &self,
        log: &Log,
        appender: &mut Appender,
        draft: Draft,
        _: Token,
        now: Duration,
    ) -> Result<Submitted, Unavailable> {
        Ok(Submitted::Done(log.append(appender, draft, now)))
    }
}

/// A submission whose outcome has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSubmission {
    /// Its number among all of its submitter.
    pub number: u64,
    /// Bytes of the event.
    pub bytes: usize,
}

/// One that submits events: its way to the end of the log, and how much of it is pending.
#[derive(Debug, Default)]
pub struct Submitter {
    id: SubmitterId,
    pub(super) appender: Appender,
    next: u64,
    pending: usize,
    pending_bytes: usize,
}

impl Submitter {
    /// Nothing is submitted yet.
    pub fn new(id: SubmitterId) -> Self {
        Self { id, ..Self::default() }
    }

    /// The token of the next submission.
    ///
    /// # Errors
    /// Too much is pending.
    pub(super) fn token(&mut self) -> Result<Token, Unavailable> {
        if self.pending >= SUBMISSIONS_MAX || self.pending_bytes >= SUBMISSIONS_BYTES_MAX {
            return Err(Unavailable);
        }
        self.next += 1;
        Ok(Token { submitter: self.id, number: self.next })
    }

    /// A submission is pending.
    pub(super) fn begin(&mut self, token: Token, bytes: usize) -> PendingSubmission {
        self.pending += 1;
        self.pending_bytes += bytes;
        PendingSubmission { number: token.number, bytes }
    }

    /// The outcome of a submission has come.
    pub(super) fn end(&mut self, submission: PendingSubmission) {
        self.pending -= 1;
        self.pending_bytes -= submission.bytes;
    }
}

/// Why an event was not submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitError {
    /// There is no memory for it.
    OutOfMemory,
    /// The log does not take it now.
    Unavailable,
}

impl From<OutOfMemory> for SubmitError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Unavailable> for SubmitError {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}
