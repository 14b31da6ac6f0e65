//! A core's side of its applications: it asks them, and bounds how many requests and commands wait for
//! an answer.
//!
//! It never waits, and never decides what an answer means.

use std::{collections::HashMap, sync::Arc};

use ringway_acceptor::ConnectionId;

use crate::{
    auth::Ticket,
    config::HookEvent,
    hooks::{About, Answer, Asked, Failure, HookSource, Question},
    limits::{HOOK_WAITING_BYTES_MAX, HOOK_WAITING_MAX, HOOK_WAITING_OF_CLIENT_MAX},
    session::perform,
};

/// The questions of one core.
#[derive(Default)]
pub struct Questions {
    source: Option<Arc<dyn HookSource>>,
    core: usize,
    /// The number of tickets issued so far.
    tickets: u64,
    waiting: usize,
    /// The bytes that are kept for what waits.
    bytes: usize,
    of_clients: HashMap<Box<str>, usize>,
}

/// A question that has no answer yet: [`Questions::end`] must follow when its wait ends.
#[derive(Debug)]
pub struct Open {
    /// The ticket that its answer has.
    pub ticket: Ticket,
    client: Box<str>,
    bytes: usize,
}

/// Whom a question is from.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The client, for whom only some questions may wait.
    pub client: &'a str,
    /// Its connection.
    pub connection: ConnectionId,
    /// The bytes that are kept until the answer comes.
    pub bytes: usize,
}

impl Questions {
    /// The questions of this core, to this source.
    pub fn new(source: Arc<dyn HookSource>, core: usize) -> Self {
        Self { source: Some(source), core, ..Self::default() }
    }

    /// Asks an application; `id` is the client's name for a request.
    ///
    /// # Errors
    /// The answer is known at once, or too many questions wait.
    pub fn ask(
        &mut self,
        event: HookEvent,
        about: &About<'_>,
        id: Option<&str>,
        asker: Asker<'_>,
    ) -> Result<Open, Answer> {
        let Asker { client, connection, bytes } = asker;
        let of_client = self.of_clients.get(client).copied().unwrap_or_default();
        let has_room = self.waiting < HOOK_WAITING_MAX
            && self.bytes + bytes <= HOOK_WAITING_BYTES_MAX
            && of_client < HOOK_WAITING_OF_CLIENT_MAX;
        let Some(source) = self.source.as_ref().filter(|_| has_room) else {
            return Err(Answer::Failed(Failure::Full));
        };
        self.tickets += 1;
        let ticket = Ticket::new(self.core, connection, self.tickets);
        let name = perform::name_of(self.core, connection);
        match source.ask(Question::new(event, about, &name, id, ticket)) {
            Asked::Now(answer) => Err(answer),
            Asked::Later => {
                self.waiting += 1;
                self.bytes += bytes;
                *self.of_clients.entry(client.into()).or_default() += 1;
                Ok(Open { ticket, client: client.into(), bytes })
            }
        }
    }

    /// Nobody waits for the answer to a question any more.
    pub fn end(&mut self, open: Open) {
        let Open { client, bytes, .. } = open;
        self.waiting -= 1;
        self.bytes -= bytes;
        if let Some(count) = self.of_clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.of_clients.remove(&client);
            }
        }
    }

    /// How many requests and commands wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The bytes that are kept for them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
