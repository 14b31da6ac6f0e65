//! A client's command whose event has no place in the log yet, and the connections that wait for
//! its answer: the sender's, and those on which the sender has sent it again.
//!
//! It is stored with the answers to commands, so that a repeated command waits for the same answer.
//! It writes to no connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway_acceptor::ConnectionId;

use crate::{
    broker::{Receipt, source::Unavailable},
    limits::SUBMISSION_WAITERS_MAX,
};

/// What is known about an earlier command.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Its outcome.
    Given(Arc<Receipt>),
    /// Its outcome is not known yet.
    Awaited(Arc<Awaited>),
}

impl Answer {
    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Given(receipt) => receipt.bytes(),
            Self::Awaited(awaited) => awaited.bytes,
        }
    }
}

/// A command that waits for its outcome.
#[derive(Debug)]
pub struct Awaited {
    client: Box<str>,
    id: Box<str>,
    bytes: usize,
    state: Mutex<AwaitedState>,
}

/// A connection that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// Its core.
    pub core: usize,
    /// The connection.
    pub connection: ConnectionId,
}

/// The answer to a command.
pub type CommandOutcome = Result<Arc<Receipt>, Unavailable>;

#[derive(Debug)]
enum AwaitedState {
    Waiting(Vec<Waiter>),
    Known(CommandOutcome),
}

impl Awaited {
    /// The command `id` of `client`, for which one connection waits. Its answer will take about as
    /// much memory as `receipt`.
    pub fn new(client: &str, id: &str, waiter: Waiter, receipt: &Receipt) -> Arc<Self> {
        let bytes = size_of::<Self>() + client.len() + id.len() + receipt.bytes();
        let state = Mutex::new(AwaitedState::Waiting(vec![waiter]));
        Arc::new(Self { client: client.into(), id: id.into(), bytes, state })
    }

    /// The client that sent it.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The sender's name for the command.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the outcome if it is known; otherwise the connection is told later.
    pub fn join(&self, waiter: Waiter) -> Option<CommandOutcome> {
        match &mut *self.state() {
            AwaitedState::Known(outcome) => Some(outcome.clone()),
            AwaitedState::Waiting(waiters) if waiters.contains(&waiter) => None,
            AwaitedState::Waiting(waiters) if waiters.len() >= SUBMISSION_WAITERS_MAX => {
                Some(Err(Unavailable))
            }
            AwaitedState::Waiting(waiters) => {
                waiters.push(waiter);
                None
            }
        }
    }

    /// Notes the outcome; returns the connections that wait for it.
    pub fn complete(&self, outcome: CommandOutcome) -> Vec<Waiter> {
        match std::mem::replace(&mut *self.state(), AwaitedState::Known(outcome)) {
            AwaitedState::Waiting(waiters) => waiters,
            AwaitedState::Known(_) => Vec::new(),
        }
    }

    /// The outcome, if it is known.
    pub fn outcome(&self) -> Option<CommandOutcome> {
        match &*self.state() {
            AwaitedState::Known(outcome) => Some(outcome.clone()),
            AwaitedState::Waiting(_) => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, AwaitedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
