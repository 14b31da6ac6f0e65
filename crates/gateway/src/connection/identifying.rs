//! Between a request and its response: the client is identified, at once or later.
//!
//! A waiting connection keeps its request, and needs no buffer until the client sends more. The
//! core's mailbox delivers the answer. It is for one ticket, so an answer that arrives twice, or
//! late, changes nothing.

use crate::{
    auth::{Answer, Identity, Ticket},
    connection::{ClientConnection, Protocol, Turn, deadlines::Deadline, outbox},
    edge::{
        admission::Request,
        requests::{AfterHead, HttpConnection},
    },
    limits::IDENTITY_TIMEOUT,
    outbox::channel::End,
    refusal::Refusal,
};

/// A request whose client is being identified.
pub(super) struct Identifying {
    pub(super) request: Request,
    ticket: Ticket,
    /// The connection, which continues after the decision.
    http: HttpConnection,
}

impl ClientConnection {
    /// Identifies the client of a request before anything is answered.
    pub(super) fn identify(
        &mut self,
        request: Request,
        after_head: AfterHead,
        turn: &mut Turn<'_>,
    ) {
        if let (Some(client), Some(permit)) = (request.client_address, &mut self.permit)
            && let Err(refusal) = turn.limiter.serve(permit, client)
        {
            turn.context.metrics.refused.of(refusal).add(1);
            return self.decide(request, Err(refusal), after_head, turn);
        }
        let now = turn.hub.broker.wall_clock(turn.context.now);
        match turn.identities.identify(self.connection, &request.credentials(now)) {
            Answer::Now(result) => self.decide(request, result, after_head, turn),
            Answer::Later(ticket) => {
                let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering)
                else {
                    unreachable!("requests are read while the stage is HTTP");
                };
                let identifying = Identifying { request, ticket, http };
                self.stage = Protocol::Identifying(Box::new(identifying));
                self.set(Deadline::Identity, IDENTITY_TIMEOUT, turn);
            }
        }
    }

    /// Takes the source's decision on a request, which may have been given up since.
    pub fn identified(
        &mut self,
        ticket: Ticket,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        if matches!(&self.stage, Protocol::Identifying(waiting) if waiting.ticket == ticket) {
            self.end_identifying(result, turn);
        }
    }

    /// Ends the wait with a decision; input that arrived after the request is served next.
    pub(super) fn end_identifying(
        &mut self,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let Some(request) = self.take_request(turn) else { return };
        let (after_head, end) = match self.channel.deferred() {
            Some(deferred) if !deferred.bytes.is_empty() => (AfterHead::Bytes, deferred.end),
            Some(deferred) => (AfterHead::Nothing, deferred.end),
            None => (AfterHead::Nothing, End::Open),
        };
        self.decide(request, result, after_head, turn);
        match end {
            _ if self.channel.deferred().is_some() => self.be_ready(turn),
            // The answer was the last one, so no input after the request is served.
            End::Stream => self.end_of_stream(turn),
            End::Broken => self.end_broken(turn),
            End::Open => {}
        }
    }

    /// Takes the waiting request and ends its wait.
    pub(super) fn take_request(&mut self, turn: &mut Turn<'_>) -> Option<Request> {
        if !self.is_identifying() {
            return None;
        }
        match std::mem::replace(&mut self.stage, Protocol::Lingering) {
            Protocol::Identifying(waiting) => {
                let Identifying { request, http, .. } = *waiting;
                turn.identities.end_waiting();
                self.stage = Protocol::Http(http);
                Some(request)
            }
            _ => None,
        }
    }

    /// Whether a request waits for the identity of its client. Nothing else is served meanwhile.
    pub(super) fn is_identifying(&self) -> bool {
        matches!(self.stage, Protocol::Identifying(_))
    }

    fn decide(
        &mut self,
        request: Request,
        result: Result<Identity, Refusal>,
        after_head: AfterHead,
        turn: &mut Turn<'_>,
    ) {
        let Protocol::Http(http) = &mut self.stage else { return };
        let settings = turn.context.settings;
        let mut outbox = outbox!(self, turn);
        let action = match result {
            Ok(identity) => http.admit(request, identity, after_head, settings, &mut outbox),
            Err(refusal) => request.refuse(refusal, settings, &mut outbox),
        };
        self.proceed(action, after_head, turn);
    }
}
