//! A WebSocket whose client shows its token in its first message: until the client is known it has
//! no session, is sent no event, and no command of it is performed.
//!
//! Its time and the number of such WebSockets on a core are bounded. Its client never becomes
//! anonymous.

use std::ops::ControlFlow;

use ringway_frame::CloseCode;

use crate::{
    auth::{Answer, Credentials, Identity, Secret, Ticket, TokenPlace},
    connection::{
        ClientConnection, Protocol, Turn,
        deadlines::Deadline,
        log::{EndReason, Transport},
    },
    edge::{
        admission::{self, Request, Unidentified},
        connect_params::ConnectParams,
    },
    limits::IDENTITY_TIMEOUT,
    refusal::{Refusal, TokenFault},
    session::Settled,
    transport::websocket::{InputOutcome, WebSocket},
};

/// RFC 6455 §7.4.2: codes of the IANA registry: "unauthorized" and "forbidden".
const UNAUTHORIZED: CloseCode = registered(3000);
const FORBIDDEN: CloseCode = registered(3003);

const fn registered(code: u16) -> CloseCode {
    match CloseCode::new(code) {
        Some(code) => code,
        None => panic!("the registry has this code"),
    }
}

/// A WebSocket whose client is not known.
pub(super) struct Authenticating {
    pub(super) socket: WebSocket,
    params: ConnectParams,
    /// The token has come, and its check takes time. No more input is served until it ends.
    ticket: Option<Ticket>,
}

impl Authenticating {
    /// Whether it waits for the check of its token.
    pub(super) fn is_checked(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether it waits for the answer to this ticket.
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.ticket == Some(ticket)
    }
}

impl ClientConnection {
    /// Opens the WebSocket of a request that has no token, for its first message. There must be
    /// room for it (`Identification::begin_first_message`).
    pub(super) fn await_first_message(&mut self, request: Request, turn: &mut Turn<'_>) {
        let settings = turn.context.settings;
        let mut outbox = super::outbox!(self, turn);
        let Unidentified { agreement, subprotocol, params } = request.open(&mut outbox);
        let socket = WebSocket::unidentified(agreement.as_ref(), subprotocol, settings);
        self.transport = Transport::WebSocket;
        let authenticating = Authenticating { socket, params, ticket: None };
        self.stage = Protocol::Authenticating(Box::new(authenticating));
        self.set(Deadline::Identity, settings.auth.first_message_timeout, turn);
    }

    /// Handles the outcome of input before the client is known.
    pub(super) fn heard_first(
        &mut self,
        outcome: InputOutcome,
        rest: &[u8],
        turn: &mut Turn<'_>,
    ) -> ControlFlow<()> {
        match outcome {
            InputOutcome::Presented(Some(token)) => {
                self.present(&token, turn);
                // What follows the message is served for the client that it names.
                return ControlFlow::Continue(());
            }
            InputOutcome::Presented(None) => {
                self.end_authenticating_with(Err(Refusal::Token(TokenFault::Missing)), turn);
            }
            InputOutcome::Deferred => self.put_off(rest, turn),
            InputOutcome::AwaitsInflating => {
                self.put_off(rest, turn);
                self.await_inflating(turn);
            }
            InputOutcome::Open => {}
            ended @ (InputOutcome::Ended(_) | InputOutcome::AwaitsAnswer(_)) => {
                self.leave_authenticating(turn);
                self.heard(ended, Settled::Yes, rest, turn);
            }
        }
        ControlFlow::Break(())
    }

    fn present(&mut self, token: &Secret, turn: &mut Turn<'_>) {
        let now = turn.hub.broker.wall_clock(turn.context.now);
        let certificate = self.channel.peer_name();
        let Protocol::Authenticating(waiting) = &mut self.stage else { return };
        let credentials = Credentials {
            client: waiting.params.client.as_deref(),
            token: Some((token, TokenPlace::Command)),
            certificate: certificate.as_deref(),
            now,
        };
        let answer = turn.identities.identify(self.connection, &credentials);
        turn.hub.spend(turn.identities.take_cost());
        match answer {
            Answer::Now(result) => self.end_authenticating_with(result, turn),
            Answer::Later(ticket) => {
                waiting.ticket = Some(ticket);
                self.set(Deadline::Identity, IDENTITY_TIMEOUT, turn);
            }
        }
    }

    /// The first message did not come in time, or its check took too long.
    pub(super) fn end_overdue_first_message(&mut self, turn: &mut Turn<'_>) {
        if self.is_undecided() {
            return self.end_identifying(Err(Refusal::IdentityUnavailable), turn);
        }
        self.end_authenticating_with(Err(Refusal::Token(TokenFault::Missing)), turn);
    }

    /// The client is known, or refused.
    pub(super) fn end_authenticating_with(
        &mut self,
        result: Result<Identity, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        let Protocol::Authenticating(waiting) = &mut self.stage else { return };
        let mut params = std::mem::take(&mut waiting.params);
        let result =
            result.and_then(|identity| self.admit(identity, true, turn)).and_then(|identity| {
                admission::grant(&mut params, &identity, turn.context.settings)
                    .map(|()| identity)
                    .map_err(Refusal::ConnectParams)
            });
        self.leave_authenticating(turn);
        match result {
            Ok(identity) => {
                let (session, gap) = self.enter(&params, identity, turn);
                self.begin_session(session, gap, turn);
            }
            Err(refusal) => {
                self.note_refusal(refusal, turn);
                self.note_end(EndReason::Refused);
                self.close(code_of(refusal), &reason_of(refusal), turn);
            }
        }
    }

    /// Becomes an ordinary WebSocket without a session.
    pub(super) fn leave_authenticating(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.stage, Protocol::Authenticating(_)) {
            return;
        }
        if let Protocol::Authenticating(waiting) =
            std::mem::replace(&mut self.stage, Protocol::Lingering)
        {
            turn.identities.end_first_message();
            if waiting.is_checked() {
                turn.identities.end_waiting();
            }
            self.stage = Protocol::WebSocket(waiting.socket);
        }
    }
}

/// The close code for a refusal: whether the client may come back, and with what.
fn code_of(refusal: Refusal) -> CloseCode {
    match refusal {
        _ if refusal.is_temporary() => CloseCode::TRY_AGAIN_LATER,
        Refusal::Token(_) => UNAUTHORIZED,
        _ => FORBIDDEN,
    }
}

/// The reason in the Close: the code of the refusal, and what is wrong.
fn reason_of(refusal: Refusal) -> String {
    let word = refusal.code();
    match refusal {
        Refusal::Token(TokenFault::Missing) => {
            format!("{word}: the first message is {{\"type\":\"auth\",\"token\":\"...\"}}")
        }
        _ => format!("{word}: {}", refusal.reason()),
    }
}

#[cfg(test)]
mod tests {
    use ringway_frame::CONTROL_BYTES_MAX;

    use super::*;

    #[test]
    fn every_reason_fits_in_a_close_frame() {
        let others =
            [Refusal::Revoked, Refusal::IdentityUnavailable, Refusal::Memory, Refusal::ClientFull];
        for refusal in TokenFault::ALL.map(Refusal::Token).into_iter().chain(others) {
            let reason = reason_of(refusal);
            assert!(reason.len() <= CONTROL_BYTES_MAX - 2, "{reason}");
        }
    }
}
