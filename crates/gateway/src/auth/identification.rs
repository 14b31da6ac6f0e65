//! A core's side of identification: it asks the source, and bounds how many requests wait for an
//! answer that comes later.

use std::sync::Arc;

use ringway_acceptor::ConnectionId;

use crate::{
    auth::{Credentials, Decision, Identity, IdentitySource},
    limits::IDENTITIES_WAITING_MAX,
    refusal::Refusal,
};

/// Names a request that waits. The next request of the same connection has another ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The core that has the connection.
    pub core: usize,
    /// The connection.
    pub connection: ConnectionId,
    number: u64,
}

/// When a request is decided.
#[derive(Debug)]
pub enum Answer {
    /// It is now.
    Now(Result<Identity, Refusal>),
    /// The core's mailbox gets the answer to this ticket.
    Later(Ticket),
}

/// Identifies the clients of one core.
pub struct Identification {
    source: Arc<dyn IdentitySource>,
    core: usize,
    /// Requests that wait now.
    waiting: usize,
    /// Tickets so far.
    tickets: u64,
}

impl Identification {
    /// By this source.
    pub fn new(source: Arc<dyn IdentitySource>, core: usize) -> Self {
        Self { source, core, waiting: 0, tickets: 0 }
    }

    /// Who sends a request with these credentials. One that has to wait is refused where too many
    /// wait already; otherwise [`Self::end_waiting`] must follow when it waits no more.
    pub fn identify(&mut self, connection: ConnectionId, credentials: &Credentials<'_>) -> Answer {
        let question = match self.source.identify(credentials) {
            Decision::Identified(identity) => return Answer::Now(Ok(identity)),
            Decision::Refused(refusal) => return Answer::Now(Err(refusal)),
            Decision::Waiting(question) => question,
        };
        if self.waiting >= IDENTITIES_WAITING_MAX {
            return Answer::Now(Err(Refusal::IdentityUnavailable));
        }
        self.waiting += 1;
        self.tickets += 1;
        let ticket = Ticket { core: self.core, connection, number: self.tickets };
        question(ticket);
        Answer::Later(ticket)
    }

    /// A request waits no more: it was decided, or given up.
    pub fn end_waiting(&mut self) {
        self.waiting -= 1;
    }

    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
