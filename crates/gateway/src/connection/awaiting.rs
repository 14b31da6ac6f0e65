//! A connection whose command is not answered yet, because its event has no place in the log. Its
//! input waits meanwhile, so that answers keep the order of commands; events are still sent to it.
//!
//! The core knows the command that it waits for (`session::submissions`), so that an idle
//! connection needs no memory for it. It never decides the outcome of an event.

use std::sync::Arc;

use crate::{
    broker::Awaited,
    connection::{ClientConnection, HeldRequest, Protocol, Turn, deadlines::Deadline, outbox},
    edge::{action::Posted, cors::Cors},
    limits::SUBMISSION_TIME_MAX,
    outbox::channel::End,
    session::{
        command_error::{CommandError, Fault},
        perform::{self, Reply},
    },
    subprotocol::{self, Subprotocol, Verdict},
};

impl ClientConnection {
    /// Serves no input until the outcome of a command is known; the rest of the input waits.
    pub(super) fn await_answer(&mut self, awaited: Arc<Awaited>, rest: &[u8], turn: &mut Turn<'_>) {
        self.put_off(rest, turn);
        // If there was no memory for the rest, the connection is already closed.
        if self.channel.deferred().is_some() {
            turn.hub.submissions.wait(self.connection, awaited);
            self.set(Deadline::Outcome, SUBMISSION_TIME_MAX, turn);
        }
    }

    /// As [`Self::await_answer`], for a command that came in a request.
    pub(super) fn await_response(
        &mut self,
        posted: Posted,
        awaited: Arc<Awaited>,
        turn: &mut Turn<'_>,
    ) {
        let Posted { cors, after, .. } = posted;
        let cors = (cors != Cors::Silent).then(|| Box::new(cors));
        if let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering) {
            self.stage = Protocol::Posted(HeldRequest { cors, after, http });
        }
        self.await_answer(awaited, &[], turn);
    }

    /// Whether a command must be answered before more input is served.
    #[inline]
    pub fn is_awaiting(&self) -> bool {
        self.deadlines.is_set(Deadline::Outcome)
            && matches!(self.stage, Protocol::WebSocket(_) | Protocol::Posted(_))
    }

    /// Takes the outcome of a command; does nothing if this connection does not wait for it.
    pub fn outcome(&mut self, awaited: &Arc<Awaited>, turn: &mut Turn<'_>) {
        if self.is_awaiting()
            && turn.hub.submissions.is_awaited(self.connection, awaited)
            && let Some(outcome) = awaited.outcome()
        {
            self.answer_awaited(perform::reply_of(awaited.id().into(), outcome), turn);
        }
    }

    /// Stops waiting for an outcome, and answers with the fault.
    pub fn give_up_awaiting(&mut self, fault: Fault, turn: &mut Turn<'_>) {
        if let Some(awaited) = turn.hub.submissions.awaited(self.connection) {
            self.answer_awaited(Err(fault.of(awaited.id().into())), turn);
        }
    }

    fn answer_awaited(&mut self, reply: Result<Reply<'_>, CommandError<'_>>, turn: &mut Turn<'_>) {
        turn.hub.submissions.end_wait(self.connection);
        self.deadlines.cancel(Deadline::Outcome);
        let mut answer = turn.context.scratch.take_buffer();
        match &mut self.stage {
            Protocol::WebSocket(socket) => {
                let (codec, settings) = (socket.codec(), turn.context.settings);
                let verdict = subprotocol::answer(codec, reply, settings, &mut answer);
                if let Verdict::Refused(code) = verdict {
                    turn.hub.served.refuse(code);
                }
                let mut outbox = outbox!(self, turn);
                if socket.answer(&answer, &mut turn.context, &mut outbox).is_err() {
                    return self.close_for_memory(turn);
                }
                self.is_alive(turn);
                self.be_ready(turn);
            }
            Protocol::Posted(_) => {
                let codec = Subprotocol::default().codec();
                let settings = turn.context.settings;
                let verdict = subprotocol::answer(codec, reply, settings, &mut answer);
                self.respond_late(&verdict, &answer, turn);
            }
            _ => {}
        }
        turn.context.scratch.put_buffer(answer);
        self.judge_errors(turn);
    }

    fn respond_late(&mut self, verdict: &Verdict, answer: &[u8], turn: &mut Turn<'_>) {
        let Protocol::Posted(request) = std::mem::replace(&mut self.stage, Protocol::Lingering)
        else {
            return;
        };
        let HeldRequest { cors, after, http } = request;
        self.stage = Protocol::Http(http);
        let end = self.channel.deferred().map_or(End::Open, |deferred| deferred.end);
        self.respond(verdict, answer, cors.as_deref().unwrap_or(&Cors::Silent), after, turn);
        match (&self.stage, end) {
            (Protocol::Http(_), _) => self.be_ready(turn),
            (_, End::Stream) => self.end_of_stream(turn),
            (_, End::Broken) => self.end_broken(turn),
            (_, End::Open) => {}
        }
    }
}
