//! A core's side of identification: it asks the source, and bounds how many requests wait for a
//! later answer.

use std::sync::Arc;

use ringway_acceptor::ConnectionId;

use crate::{
    auth::{Credentials, Decision, Identity, IdentitySource},
    limits::{FIRST_MESSAGES_MAX, IDENTITIES_WAITING_MAX},
    refusal::Refusal,
};

/// Identifies a waiting request. The next request of the same connection gets another ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The connection's core.
    pub core: usize,
    /// The connection.
    pub connection: ConnectionId,
    number: u64,
}

/// When a request is decided.
#[derive(Debug)]
pub enum Answer {
    /// It is decided now.
    Now(Result<Identity, Refusal>),
    /// It is decided later: the core's mailbox gets the answer for this ticket.
    Later(Ticket),
}

/// Identifies the clients of one core.
pub struct Identification {
    source: Arc<dyn IdentitySource>,
    core: usize,
    /// The number of waiting requests.
    waiting: usize,
    /// The number of tickets issued so far.
    tickets: u64,
    /// WebSockets that have not shown their token yet.
    first_messages: usize,
}

impl Identification {
    /// Asks this source.
    pub fn new(source: Arc<dyn IdentitySource>, core: usize) -> Self {
        Self { source, core, waiting: 0, tickets: 0, first_messages: 0 }
    }

    /// Identifies the sender of these credentials. If the request must wait, it is refused if too
    /// many requests wait already; otherwise [`Self::end_waiting`] must follow when its wait ends.
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

    /// What identifying has cost since this was last called, in the unit of `limits`.
    pub fn take_cost(&self) -> usize {
        self.source.take_cost()
    }

    /// A request no longer waits: it was decided, or given up.
    pub fn end_waiting(&mut self) {
        self.waiting -= 1;
    }

    /// Counts a WebSocket that will show its token in its first message; `false`: there are too
    /// many. Each that was counted must be followed by [`Self::end_first_message`].
    pub fn begin_first_message(&mut self) -> bool {
        let has_room = self.first_messages < FIRST_MESSAGES_MAX;
        self.first_messages += usize::from(has_room);
        has_room
    }

    /// A WebSocket has shown its token, or has ended without.
    pub fn end_first_message(&mut self) {
        self.first_messages -= 1;
    }

    /// The number of WebSockets that have not shown their token.
    pub fn first_messages(&self) -> usize {
        self.first_messages
    }

    /// The number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
