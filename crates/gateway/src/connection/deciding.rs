//! The application decides whether a client may connect, and who it is: after the client is known, and
//! before anything is answered.
//!
//! A late answer finds nobody who waits for it.

use crate::{
    auth::{Grants, Identity, Ticket},
    config::{Hook, HookEvent, OnFailure},
    connection::{ClientConnection, Protocol, Turn, deadlines::Deadline, identifying::Identifying},
    edge::{admission::Request, connect_params::ConnectParams, requests::AfterHead},
    hooks::{About, Allowed, Answer, Failure},
    limits::HOOK_GRACE,
    refusal::Refusal,
    session::questions::{Asker, Open},
};

/// A client that is known, and about which the application was asked.
pub(super) struct Consulting {
    pub(super) identity: Identity,
    pub(super) open: Open,
}

/// Why a client is refused, and what the application says about it.
pub(super) type Denial = (Refusal, Box<str>);

/// What a request says about its client, for the application.
pub(super) struct Visit<'r> {
    pub(super) params: &'r ConnectParams,
    pub(super) headers: Option<&'r str>,
    pub(super) transport: &'static str,
}

impl ClientConnection {
    /// Asks the application about the client of a request, or decides at once.
    pub(super) fn consult(
        &mut self,
        request: Request,
        result: Result<Identity, Refusal>,
        after_head: AfterHead,
        turn: &mut Turn<'_>,
    ) {
        let identity = match result {
            Ok(identity) => identity,
            Err(refusal) => return self.decide(request, Err(refusal.into()), after_head, turn),
        };
        let visit = Visit {
            params: &request.params,
            headers: request.headers(),
            transport: request.transport(),
        };
        match self.ask_about(&visit, identity, turn) {
            Err(result) => self.decide(request, result, after_head, turn),
            Ok(consulting) => {
                let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering)
                else {
                    unreachable!("requests are read while the stage is HTTP");
                };
                let ticket = consulting.open.ticket;
                let consulting = Some(consulting);
                let waiting = Identifying { request, ticket, http, consulting };
                self.stage = Protocol::Identifying(Box::new(waiting));
            }
        }
    }

    /// Asks the application about a client.
    ///
    /// # Errors
    /// The decision, if it needs no wait.
    pub(super) fn ask_about(
        &mut self,
        visit: &Visit<'_>,
        identity: Identity,
        turn: &mut Turn<'_>,
    ) -> Result<Consulting, Result<Identity, Denial>> {
        let settings = turn.context.settings;
        let Some(hook) = settings.hook(HookEvent::Connect) else { return Err(Ok(identity)) };
        if self.is_revoked(&identity, turn) {
            return Err(Err(Refusal::Revoked.into()));
        }
        let is_unnamed =
            visit.params.client.is_none() && crate::auth::anonymous::contains(&identity.client);
        let client = Some(&*identity.client).filter(|_| !is_unnamed);
        let permit = self.permit.as_ref();
        let address = permit.and_then(|permit| turn.limiter.address(permit));
        let about = About {
            transport: Some(visit.transport),
            address: address.map(|address| address.to_string()),
            headers: visit.headers.and_then(|headers| serde_json::from_str(headers).ok()),
            topics: &visit.params.topics,
            ..About::client(client, identity.meta.as_deref(), identity.expires_at)
        };
        let bytes = visit.headers.map_or(0, str::len);
        let asker = Asker { client: &identity.client, connection: self.connection, bytes };
        match turn.hub.questions.ask(HookEvent::Connect, &about, None, asker) {
            Err(answer) => Err(settle(answer, identity, hook)),
            Ok(open) => {
                self.set(Deadline::Identity, hook.timeout + HOOK_GRACE, turn);
                Ok(Consulting { identity, open })
            }
        }
    }

    /// Takes the application's answer, for which nobody may wait any more.
    pub fn decided(&mut self, ticket: Ticket, answer: Answer, turn: &mut Turn<'_>) {
        let consulting = match &mut self.stage {
            Protocol::Identifying(waiting) => &mut waiting.consulting,
            Protocol::Authenticating(waiting) => &mut waiting.consulting,
            _ => return,
        };
        if consulting.as_ref().is_some_and(|consulting| consulting.open.ticket == ticket) {
            self.end_consulting(answer, turn);
        }
    }

    /// The application has not answered in time; `false`: it was not asked.
    pub(super) fn end_overdue_consulting(&mut self, turn: &mut Turn<'_>) -> bool {
        let is_asked = match &self.stage {
            Protocol::Identifying(waiting) => waiting.consulting.is_some(),
            Protocol::Authenticating(waiting) => waiting.consulting.is_some(),
            _ => false,
        };
        if is_asked {
            self.end_consulting(Answer::Failed(Failure::Timeout), turn);
        }
        is_asked
    }

    fn end_consulting(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let consulting = match &mut self.stage {
            Protocol::Identifying(waiting) => waiting.consulting.as_ref(),
            Protocol::Authenticating(waiting) => waiting.consulting.as_ref(),
            _ => None,
        };
        let Some(Consulting { identity, .. }) = consulting else { return };
        let identity = identity.clone();
        let result = match turn.context.settings.hook(HookEvent::Connect) {
            Some(hook) => settle(answer, identity, hook),
            None => Ok(identity),
        };
        self.end_identifying(result, turn);
    }
}

/// What an answer means for a client.
fn settle(answer: Answer, identity: Identity, hook: &Hook) -> Result<Identity, Denial> {
    match (answer, hook.on_failure) {
        (Answer::Allowed(allowed), _) => Ok(merged(*allowed, identity)),
        (Answer::Refused(denied), _) => Err((Refusal::ByApplication(denied.status), denied.reason)),
        (Answer::Answered(_) | Answer::Failed(_), OnFailure::Allow) => Ok(identity),
        (Answer::Answered(_) | Answer::Failed(_), OnFailure::Deny) => {
            Err(Refusal::Unanswered.into())
        }
    }
}

/// The identity of a client about which the application says this.
fn merged(allowed: Allowed, identity: Identity) -> Identity {
    let Identity { client, grants, mut topics, meta, expires_at } = identity;
    topics.extend(allowed.topics);
    Identity {
        client: allowed.client.unwrap_or(client),
        grants: allowed.grants.map_or(grants, |lists| Grants::Own(Box::new(lists))),
        topics,
        meta: allowed.meta.or(meta),
        // Nobody extends what a token says.
        expires_at: allowed.expires_at.into_iter().chain(expires_at).min(),
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        (refusal, Box::default())
    }
}
