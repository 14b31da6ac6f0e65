//! What an HTTP action means for the connection: a request answered, a session opened on a
//! transport, a command performed.
//!
//! Requests are refused before this, in `edge`; beginning a transport does not fail.

use std::time::Duration;

use crate::connection::HeldRequest;

use crate::subprotocol::{self, Subprotocol, Verdict};
use crate::{
    auth::{Grants, Identity},
    broker::Missed,
    connection::{
        ClientConnection, Deadline, Protocol, Turn,
        delivery::RESPONSE_HEAD_BYTES,
        log::{EndReason, Transport},
        outbox,
    },
    edge::{
        action::{Action, Opened, Polled, Posted, Upgrade},
        connect_params::ConnectParams,
        cors::Cors,
        limiter::Origin,
        requests::AfterHead,
        response::{self, Part, Refused},
        routes::Route,
    },
    encoding::Encoding,
    refusal::{ErrorCode, Refusal},
    session::{
        Pace, Session, Start,
        delivery::{EventWriter, ServerMessage},
        perform::{self, Caller},
    },
    transport::{
        long_poll::LongPoll,
        stream::{Stream, StreamForm, StreamFormat},
        websocket::WebSocket,
    },
};

use ringway_http::KeepAlive;
use ringway_hub::Publisher;

impl ClientConnection {
    /// Performs the action that HTTP leaves to the connection.
    pub(super) fn proceed(&mut self, action: Action, after_head: AfterHead, turn: &mut Turn<'_>) {
        match action {
            Action::More => {
                let Protocol::Http(http) = &self.stage else { return };
                // A request that has begun has this long, however slowly it arrives.
                if !self.deadlines.is_set(Deadline::Request) && !http.is_between_requests() {
                    let time = turn.context.settings.limits.handshake_timeout;
                    self.set(Deadline::Request, time, turn);
                }
            }
            Action::Answered => self.await_request(turn),
            Action::Refused(refusal, after) => {
                self.note_refusal(refusal, turn);
                turn.hub.served.errors += u32::from(!refusal.is_temporary());
                match after {
                    KeepAlive::Yes => self.await_request(turn),
                    KeepAlive::Close => {
                        self.note_end(EndReason::Refused);
                        self.linger(turn);
                    }
                }
            }
            Action::Requested(request) => self.identify(request, after_head, turn),
            Action::Upgraded(upgrade) => self.upgrade(upgrade, turn),
            Action::Opened(opened) => self.open_stream(opened, turn),
            Action::Polled(polled) => self.open_poll(polled, turn),
            Action::Posted(posted) => self.carry_out(posted, turn),
            Action::Proxied(proxied) => self.open_proxy(proxied, turn),
            Action::Relayed(relayed) => self.open_relay(relayed, turn),
            Action::Tls(refusal) => {
                self.note_refusal(refusal, turn);
                self.note_end(EndReason::TlsOnPlain);
                self.linger(turn);
            }
            Action::Finished => {
                self.note_end(EndReason::Answered);
                self.linger(turn);
            }
        }
    }

    /// Waits for the next request, within the keep-alive timeout.
    pub(super) fn await_request(&mut self, turn: &mut Turn<'_>) {
        if let Some(permit) = &mut self.permit
            && permit.origin() == Origin::Proxy
        {
            turn.limiter.end_serving(permit);
        }
        self.set(Deadline::KeepAlive, turn.context.settings.limits.keep_alive_timeout, turn);
    }

    fn upgrade(&mut self, upgrade: Upgrade, turn: &mut Turn<'_>) {
        // The native subprotocol is the default for a client that offers none.
        let subprotocol = upgrade.subprotocol.unwrap_or_default();
        if upgrade.route != Route::Ws {
            self.transport = Transport::Echo;
            self.stage = Protocol::WebSocket(WebSocket::echoing(
                upgrade.agreement.as_ref(),
                subprotocol,
                turn.context.settings,
            ));
            self.ends_at(upgrade.identity.expires_at, turn);
            return self.is_alive(turn);
        }
        let (session, gap) = self.enter(&upgrade.params, upgrade.identity, turn);
        self.transport = Transport::WebSocket;
        let settings = turn.context.settings;
        let agreement = upgrade.agreement.as_ref();
        let socket = WebSocket::unidentified(agreement, subprotocol, settings);
        self.stage = Protocol::WebSocket(socket);
        self.begin_session(session, gap, turn);
    }

    /// Begins the session of an open WebSocket.
    pub(super) fn begin_session(
        &mut self,
        session: Session,
        gap: Option<Missed>,
        turn: &mut Turn<'_>,
    ) {
        let stage = std::mem::replace(&mut self.stage, Protocol::Lingering);
        let Protocol::WebSocket(mut socket) = stage else {
            unreachable!("only a WebSocket has a session that begins later");
        };
        socket.identify(Box::new(session));
        if let Some((session, mut frames)) = socket.delivery() {
            turn.context.metrics.sessions.websocket.add(1);
            if frames.shared() == Some(Encoding::Deflated) {
                turn.hub.deflated += 1;
            }
            self.greet(session, &mut frames, gap, turn);
        }
        self.stage = Protocol::WebSocket(socket);
        self.is_alive(turn);
        self.after_commands(turn);
    }

    fn open_stream(&mut self, opened: Opened, turn: &mut Turn<'_>) {
        let format = opened.format();
        self.transport = match format {
            StreamFormat::Lines => Transport::Stream,
            StreamFormat::Iframe(_) => Transport::Iframe,
            StreamFormat::Sse(_) => Transport::Sse,
        };
        format.counter(&turn.context.metrics.sessions).add(1);
        let writer = StreamForm { format, framing: opened.framing };
        let mut outbox = outbox!(self, turn);
        outbox.write(|out| opened.emit_head(turn.context.settings, out));
        let (session, gap) = self.enter(&opened.params, opened.identity, turn);
        let mut stream = Stream { session: Box::new(session), writer };
        let mut outbox = outbox!(self, turn);
        stream.writer.begin(turn.context.settings.http.retry, &mut outbox);
        let Stream { session, writer } = &mut stream;
        self.greet(session, writer, gap, turn);
        self.stage = Protocol::Stream(stream);
        self.is_alive(turn);
        self.after_commands(turn);
    }

    fn open_poll(&mut self, polled: Polled, turn: &mut Turn<'_>) {
        let Polled { params, identity, cors, after } = polled;
        let (session, gap) = self.enter(&params, identity, turn);
        let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering) else {
            unreachable!("requests are read while the stage is HTTP");
        };
        self.transport = Transport::LongPoll;
        turn.context.metrics.sessions.long_poll.add(1);
        let wait = params.wait.unwrap_or(turn.context.settings.http.poll_wait);
        let wait = wait.min(turn.context.settings.http.poll_wait_max);
        let is_live = session.pace() == Pace::Live && gap.is_none();
        let session = Box::new(session);
        let cors = (cors != Cors::Silent).then(|| Box::new(cors));
        let mut poll = LongPoll { session, collected: None };
        if let Some(gap) = gap {
            turn.context.metrics.gaps.add(1);
            poll.note(gap);
        }
        self.stage = Protocol::Poll(poll, HeldRequest { cors, after, http });
        if wait == Duration::ZERO {
            return self.answer_poll(turn);
        }
        self.set(Deadline::PollAnswer, wait, turn);
        if !is_live {
            self.try_to_answer(turn);
        }
    }

    fn carry_out(&mut self, posted: Posted, turn: &mut Turn<'_>) {
        if self.is_revoked(&posted.identity, turn) {
            let refused = Refused::by(Refusal::Revoked, turn.context.settings);
            let mut outbox = outbox!(self, turn);
            let Posted { cors, after, .. } = &posted;
            let action = Action::refused(refused, cors, Part::Whole, *after, &mut outbox);
            return self.proceed(action, AfterHead::Nothing, turn);
        }
        let mut answer = turn.context.scratch.take_buffer();
        let codec = Subprotocol::default().codec();
        let verdict = match std::str::from_utf8(&posted.body) {
            Ok(text) => {
                let connection = self.connection;
                let publisher = self.publisher(&posted.identity, turn);
                let caller =
                    &mut Caller::Request { identity: &posted.identity, publisher, connection };
                subprotocol::serve(
                    codec,
                    text,
                    caller,
                    turn.hub,
                    turn.context.settings,
                    turn.context.now,
                    &mut answer,
                )
            }
            Err(_) => subprotocol::refuse_bytes(codec, &mut answer),
        };
        match verdict {
            Verdict::Awaited(awaited) => self.await_response(posted, awaited, turn),
            verdict => self.respond(&verdict, &answer, &posted.cors, posted.after, turn),
        }
        turn.context.scratch.put_buffer(answer);
    }

    /// Responds to a request with the answer to its command.
    pub(super) fn respond(
        &mut self,
        verdict: &Verdict,
        answer: &[u8],
        cors: &Cors,
        after: KeepAlive,
        turn: &mut Turn<'_>,
    ) {
        let (status, after) = match *verdict {
            Verdict::Refused(code) => {
                turn.hub.served.refuse(code);
                let goes_on = if code == ErrorCode::GoingAway { KeepAlive::Close } else { after };
                (code.status(), goes_on)
            }
            Verdict::Done | Verdict::DoneWithGap(_) | Verdict::Awaited(_) => (200, after),
        };
        let mut outbox = outbox!(self, turn);
        if outbox.make_room(answer.len() + RESPONSE_HEAD_BYTES).is_err() {
            // A client that sends the command again gets the answer to the first one.
            return self.close_for_memory(turn);
        }
        outbox.write(|out| {
            response::json(out, status, cors, after, |out| out.extend_from_slice(answer));
        });
        match after {
            KeepAlive::Yes => self.await_request(turn),
            KeepAlive::Close => self.finish(turn),
        }
    }

    pub(super) fn enter(
        &mut self,
        params: &ConnectParams,
        identity: Identity,
        turn: &mut Turn<'_>,
    ) -> (Session, Option<Missed>) {
        let start = match params.cursor {
            Some(cursor) => Start::At(cursor),
            None => {
                let last =
                    params.last.map(|last| (last, turn.context.settings.clients.last_events_max));
                let sent = turn.hub.departures.sent_to(self.connection, &identity.client);
                Start::Now { last, sent }
            }
        };
        self.ends_at(identity.expires_at, turn);
        let (slot, publisher) = (self.connection.slot(), self.publisher(&identity, turn));
        let (mut session, gap) =
            Session::enter(identity, &params.topics, start, slot, turn.context.now, turn.hub);
        session.publisher = publisher;
        (session, gap)
    }

    /// Who is responsible for a client's events: the client, if its token proves its name, or else
    /// the holder of its certificate. Other clients can choose any number of names, so all at one
    /// address count as one, unless any number of connections may come from there.
    fn publisher(&mut self, identity: &Identity, turn: &Turn<'_>) -> Publisher {
        let log = &turn.hub.broker.log;
        if let Grants::Own(_) = identity.grants {
            return log.publisher(&*identity.client);
        }
        if let Some(holder) = self.channel.peer_name() {
            return log.publisher(&*holder);
        }
        let permit = self.permit.as_ref();
        match permit.and_then(|permit| turn.limiter.bounded_address(permit)) {
            Some(address) => log.publisher(address),
            None => log.publisher(&*identity.client),
        }
    }

    /// Sends the first messages, on any transport but a poll.
    fn greet(
        &mut self,
        session: &Session,
        writer: &mut impl EventWriter,
        gap: Option<Missed>,
        turn: &mut Turn<'_>,
    ) {
        turn.hub.report_connect(session, self.connection, self.transport.as_str());
        let connection = perform::name_of(turn.hub.core, self.connection);
        // If the connection breaks before the client has read the gap, it is sent the gap again.
        let cursor = gap.map_or_else(|| session.cursor(turn.hub), |(from, _)| from);
        let mut outbox = outbox!(self, turn);
        let welcome =
            ServerMessage::Welcome { client: session.client(), connection: &connection, cursor };
        writer.server_message(welcome, turn.context.scratch, &mut outbox);
        if let Some((from, to)) = gap {
            turn.context.metrics.gaps.add(1);
            writer.server_message(
                ServerMessage::Gap { from, to },
                turn.context.scratch,
                &mut outbox,
            );
        }
    }
}
