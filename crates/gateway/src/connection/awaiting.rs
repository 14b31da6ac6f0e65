//! A connection whose command has no answer yet, as its event has no place in the log. Its input
//! waits meanwhile, so that answers keep the order of commands; events are still sent to it.
//!
//! It never decides what became of the event.

use std::sync::Arc;

use crate::{
    broker::{Awaited, CommandOutcome},
    connection::{ClientConnection, Deadline, Protocol, Turn, deferring::End},
    edge::cors::Cors,
    limits::SUBMISSION_TIME_MAX,
    outbox::Outbox,
    session::{
        command_error::{CommandError, Fault},
        perform::{self, Reply},
    },
    subprotocol::{self, Subprotocol},
};

use ringway_http::KeepAlive;

/// A command that is to be answered.
pub(super) struct Awaiting {
    awaited: Arc<Awaited>,
    answer_as: AnswerAs,
}

/// How the answer is sent.
pub(super) enum AnswerAs {
    /// As a message of this subprotocol.
    Message(Subprotocol),
    /// As the response to a request.
    Response {
        /// Who may read it.
        cors: Cors,
        /// What becomes of the connection after it.
        after: KeepAlive,
    },
}

impl ClientConnection {
    /// Serves no input until the outcome of a command is known; the rest of the input waits.
    pub(super) fn await_answer(
        &mut self,
        awaited: Arc<Awaited>,
        answer_as: AnswerAs,
        rest: &[u8],
        turn: &mut Turn<'_>,
    ) {
        self.put_off(rest, turn);
        // Without memory for the rest, the connection is closed.
        let Some(deferred) = &mut self.deferred else { return };
        deferred.awaiting = Some(Awaiting { awaited, answer_as });
        self.deadline = Deadline::AnswerDue;
        turn.wheel.touch(self.connection.slot(), turn.context.now + SUBMISSION_TIME_MAX);
    }

    /// Whether a command is to be answered.
    #[inline]
    pub fn is_awaiting(&self) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| deferred.awaiting.is_some())
    }

    /// The outcome of a command is known. A connection that does not wait for it is not concerned.
    pub fn outcome(&mut self, awaited: &Arc<Awaited>, turn: &mut Turn<'_>) {
        let Some(deferred) = &mut self.deferred else { return };
        let is_it = |awaiting: &mut Awaiting| Arc::ptr_eq(&awaiting.awaited, awaited);
        if let Some(awaiting) = deferred.awaiting.take_if(is_it)
            && let Some(outcome) = awaited.outcome()
        {
            self.answer_awaited(awaiting, outcome_reply(awaited, outcome), turn);
        }
    }

    /// Does not wait for an outcome any longer: answers why.
    pub fn give_up_awaiting(&mut self, fault: Fault, turn: &mut Turn<'_>) {
        if let Some(awaiting) = self.deferred.as_mut().and_then(|own| own.awaiting.take()) {
            let awaited = Arc::clone(&awaiting.awaited);
            self.answer_awaited(awaiting, Err(fault.of(awaited.id().into())), turn);
        }
    }

    fn answer_awaited(
        &mut self,
        awaiting: Awaiting,
        reply: Result<Reply<'_>, CommandError<'_>>,
        turn: &mut Turn<'_>,
    ) {
        let mut answer = turn.context.scratch.take_buffer();
        match awaiting.answer_as {
            AnswerAs::Message(subprotocol) => {
                subprotocol::answer(subprotocol.codec(), reply, turn.context.settings, &mut answer);
                let mut outbox = Outbox::new(
                    self.connection,
                    &mut self.sending,
                    turn.operations,
                    turn.context.now,
                );
                let answered = match &mut self.stage {
                    Protocol::WebSocket(socket) => {
                        socket.answer(&answer, &mut turn.context, &mut outbox)
                    }
                    _ => Ok(()),
                };
                if answered.is_err() {
                    return self.close_for_memory(turn);
                }
                self.is_alive(turn);
                self.be_ready(turn);
            }
            AnswerAs::Response { cors, after } => {
                let codec = Subprotocol::default().codec();
                let verdict = subprotocol::answer(codec, reply, turn.context.settings, &mut answer);
                let end = self.deferred.as_ref().map_or(End::Open, |deferred| deferred.end);
                self.respond(&verdict, &answer, &cors, after, turn);
                match (&self.stage, end) {
                    (Protocol::Http(_), _) => self.be_ready(turn),
                    (_, End::Stream) => self.end_of_stream(turn),
                    (_, End::Open) => {}
                }
            }
        }
        turn.context.scratch.put_buffer(answer);
    }
}

fn outcome_reply(
    awaited: &Awaited,
    outcome: CommandOutcome,
) -> Result<Reply<'_>, CommandError<'_>> {
    perform::reply_of(awaited.id().into(), outcome)
}
