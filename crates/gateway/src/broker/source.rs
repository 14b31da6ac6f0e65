//! Where events get their places in the log's order: the local log, or an external engine that
//! answers later.
//!
//! A source appends to the log, which the cores follow. It knows neither clients nor commands.

#[cfg(test)]
pub(crate) mod held;

use ringway_hub::{Appender, Crowded, Draft, Log, Publisher, Sequence};
use std::time::Duration;

use crate::{
    limits::{SUBMISSIONS_BYTES_MAX, SUBMISSIONS_MAX},
    memory::OutOfMemory,
};

/// Identifies a submission to its submitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The submitter, which receives the outcome.
    pub submitter: SubmitterId,
    /// The number of the submission among this submitter's.
    pub number: u64,
}

/// A submitter of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SubmitterId {
    /// A core, for its clients.
    Core(usize),
    /// The control thread, for the application.
    #[default]
    Control,
}

/// A source's immediate answer.
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

/// The place of a submitted event, or an error if it gets none.
pub type SubmissionOutcome = Result<Sequence, Unavailable>;

/// Gives events their places in the log.
///
/// A source that completes later appends the event to the log itself, wakes the cores, and then
/// completes the submission. The event of a submission must be at the place that its outcome
/// states.
///
/// The time and the expiry in a draft are those of the submission. If the place is assigned so much
/// later that this matters, the source adjusts them.
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

/// The local log gives the places.
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

/// A submission whose outcome is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSubmission {
    /// The number of the submission among its submitter's.
    pub number: u64,
    /// Bytes of the event.
    pub bytes: usize,
}

/// A submitter's access to the end of the log, and its pending submissions.
#[derive(Debug)]
pub struct Submitter {
    id: SubmitterId,
    /// Who is responsible for the next events.
    pub publisher: Publisher,
    /// Bytes of the last event.
    pub submitted_bytes: usize,
    pub(super) appender: Appender,
    next: u64,
    pending: usize,
    pending_bytes: usize,
}

impl Default for Submitter {
    /// The application's.
    fn default() -> Self {
        Self {
            id: SubmitterId::Control,
            publisher: Publisher::APPLICATION,
            submitted_bytes: 0,
            appender: Appender::default(),
            next: 0,
            pending: 0,
            pending_bytes: 0,
        }
    }
}

impl Submitter {
    /// A submitter without submissions.
    pub fn new(id: SubmitterId) -> Self {
        Self { id, ..Self::default() }
    }

    /// The token of the next submission.
    ///
    /// # Errors
    /// Too many submissions, or too many bytes, are pending.
    pub(super) fn token(&mut self) -> Result<Token, Unavailable> {
        if self.pending >= SUBMISSIONS_MAX || self.pending_bytes >= SUBMISSIONS_BYTES_MAX {
            return Err(Unavailable);
        }
        self.next += 1;
        Ok(Token { submitter: self.id, number: self.next })
    }

    /// Counts a submission as pending.
    pub(super) fn begin(&mut self, token: Token, bytes: usize) -> PendingSubmission {
        self.pending += 1;
        self.pending_bytes += bytes;
        PendingSubmission { number: token.number, bytes }
    }

    /// Counts a submission as complete.
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
    /// The log cannot take it now.
    Unavailable,
    /// It would displace events of those who have less than their share of the history.
    Crowded(Crowded),
}

impl From<Crowded> for SubmitError {
    fn from(crowded: Crowded) -> Self {
        Self::Crowded(crowded)
    }
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
