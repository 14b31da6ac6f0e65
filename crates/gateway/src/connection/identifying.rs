//! Between a request and its response: the client is identified, at once or later.
//!
//! A waiting connection keeps its request, and needs no buffer until the client sends more. The
//! core's mailbox delivers the answer. It is for one ticket, so an answer that arrives twice, or
//! late, changes nothing.

use std::time::Duration;

use ringway_frame::CloseCode;

use crate::{
    auth::{Answer, Identity, Ticket},
    broker::ConnectionDescription,
    connection::{ClientConnection, Protocol, Turn, deadlines::Deadline, log::EndReason, outbox},
    edge::{
        admission::Request,
        requests::{AfterHead, HttpConnection},
    },
    limits::IDENTITY_TIMEOUT,
    outbox::channel::End,
    refusal::Refusal,
    session::{core_hub::Renewed, perform},
};

/// RFC 6455 §7.4.2: a code of the IANA registry for libraries and frameworks, "unauthorized".
const TOKEN_EXPIRED: CloseCode = match CloseCode::new(3000) {
    Some(code) => code,
    None => panic!("the registry has this code"),
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
        if request.awaits_first_message() {
            return match turn.identities.begin_first_message() {
                true => self.await_first_message(request, turn),
                false => {
                    self.decide(request, Err(Refusal::IdentityUnavailable), after_head, turn);
                }
            };
        }
        let now = turn.hub.broker.wall_clock(turn.context.now);
        let certificate = self.channel.peer_name();
        let credentials = request.credentials(certificate.as_deref(), now);
        let answer = turn.identities.identify(self.connection, &credentials);
        turn.hub.spend(turn.identities.take_cost());
        match answer {
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
        let is_awaited = match &self.stage {
            Protocol::Identifying(waiting) => waiting.ticket == ticket,
            Protocol::Authenticating(waiting) => waiting.awaits(ticket),
            _ => false,
        };
        if is_awaited {
            self.end_identifying(result, turn);
        }
    }

    /// Ends the wait with a decision; input that arrived after the request is served next.
    pub(super) fn end_identifying(
        &mut self,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let (after_head, end) = self.waiting_input();
        match self.take_request(turn) {
            Some(request) => self.decide(request, result, after_head, turn),
            None => self.end_authenticating_with(result, turn),
        }
        self.judge_errors(turn);
        self.go_on_after_wait(end, turn);
    }

    /// The input that has arrived while nothing was served, and its end.
    pub(super) fn waiting_input(&self) -> (AfterHead, End) {
        match self.channel.deferred() {
            Some(deferred) if !deferred.bytes.is_empty() => (AfterHead::Bytes, deferred.end),
            Some(deferred) => (AfterHead::Nothing, deferred.end),
            None => (AfterHead::Nothing, End::Open),
        }
    }

    /// Input is served again; `end` is what follows the input that has arrived meanwhile.
    pub(super) fn go_on_after_wait(&mut self, end: End, turn: &mut Turn<'_>) {
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
        if !matches!(self.stage, Protocol::Identifying(_)) {
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

    /// Whether a request, or a first message, waits for the identity of its client or for the server
    /// of its route, or a request for its response. Nothing else is served meanwhile.
    pub(super) fn is_undecided(&self) -> bool {
        match &self.stage {
            Protocol::Relay(relay) => relay.is_opening(),
            Protocol::Proxy(proxy) => proxy.puts_off_input(),
            Protocol::Identifying(_) => true,
            Protocol::Authenticating(waiting) => waiting.is_checked(),
            _ => false,
        }
    }

    /// The identity of this connection's client ends then; `None`: with the connection.
    pub(super) fn ends_at(&mut self, expires_at: Option<Duration>, turn: &mut Turn<'_>) {
        let Some(expires_at) = expires_at else {
            return self.deadlines.cancel(Deadline::Expiry);
        };
        let now = turn.hub.broker.wall_clock(turn.context.now);
        self.set(Deadline::Expiry, expires_at.saturating_sub(now), turn);
    }

    /// The client's token has expired, unless the client has renewed it since the deadline was set.
    pub(super) fn expire_token(&mut self, turn: &mut Turn<'_>) {
        if !matches!(
            self.stage,
            Protocol::WebSocket(_) | Protocol::Stream(_) | Protocol::Poll(..) | Protocol::Relay(_)
        ) {
            return;
        }
        let expires_at = self.session_mut().and_then(|session| session.expires_at());
        let now = turn.hub.broker.wall_clock(turn.context.now);
        if expires_at.is_some_and(|expires_at| expires_at > now) {
            return self.ends_at(expires_at, turn);
        }
        // The next poll shows its own token.
        if matches!(self.stage, Protocol::Poll(..)) {
            return self.answer_poll(turn);
        }
        self.note_end(EndReason::TokenExpired);
        self.close(TOKEN_EXPIRED, "the token has expired", turn);
    }

    /// Whether the application has locked the client out. It is asked when the client is known, and
    /// again when a body has arrived.
    pub(super) fn is_revoked(&self, identity: &Identity, turn: &Turn<'_>) -> bool {
        let broker = &turn.hub.broker;
        broker.revocations.is_revoked(&identity.client, broker.wall_clock(turn.context.now))
    }

    /// The client has shown another token, which may expire before the first one.
    #[cold]
    pub(super) fn follow_renewal(&mut self, turn: &mut Turn<'_>) {
        turn.hub.renewed = Renewed::None;
        let expires_at = self.session_mut().and_then(|session| session.expires_at());
        self.ends_at(expires_at, turn);
    }

    /// A client has shown another token for this connection in a request.
    pub fn renew(&mut self, identity: &Identity, turn: &mut Turn<'_>) {
        let (connection, settings) = (self.connection, turn.context.settings);
        let Some(session) = self.session_mut() else { return };
        session.renew(identity, connection, &settings.clients, turn.hub);
        self.ends_at(identity.expires_at, turn);
    }

    /// What the private API shows of the connection; `None`: it has no session.
    pub fn describe(&mut self, core: usize) -> Option<ConnectionDescription> {
        let connection = perform::name_of(core, self.connection);
        let transport = self.transport.as_str();
        let session = self.session_mut()?;
        let (expires_at, meta) = (session.expires_at(), session.meta().map(Box::from));
        Some(ConnectionDescription { connection, transport, expires_at, meta })
    }

    /// Refuses a client that is locked out, or has as many connections as it may have.
    pub(super) fn admit(
        &self,
        identity: Identity,
        begins_session: bool,
        turn: &Turn<'_>,
    ) -> Result<Identity, Refusal> {
        let connections_max = turn.context.settings.limits.connections_per_client_max;
        let directory = &turn.hub.broker.directory;
        if self.is_revoked(&identity, turn) {
            return Err(Refusal::Revoked);
        }
        if begins_session && directory.connections(&identity.client) >= connections_max {
            return Err(Refusal::ClientFull);
        }
        Ok(identity)
    }

    fn decide(
        &mut self,
        request: Request,
        result: Result<Identity, Refusal>,
        after_head: AfterHead,
        turn: &mut Turn<'_>,
    ) {
        let begins_session = request.begins_session();
        let result = result.and_then(|identity| self.admit(identity, begins_session, turn));
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
