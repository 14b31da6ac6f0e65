//! From a request for a WebSocket that another server serves to its answer: a connection to one of
//! the route's servers, the request, and the 101, which opens the relay, or the refusal, which the
//! client gets.
//!
//! Until a server has answered, another one is tried. The client's input waits.

use std::net::SocketAddr;

use ringway_acceptor::{ConnectFailure, ConnectToken, ConnectionId, Operation};
use ringway_http::{HttpError, KeepAlive};

use super::{Direction, Leaving, Relay};
use crate::{
    connection::{
        ClientConnection, Protocol, Turn,
        deadlines::Deadline,
        log::{EndReason, Transport},
        outbox,
    },
    edge::{
        action::{Action, Relayed},
        limiter::Origin,
        requests::{AfterHead, HttpConnection},
        response::{Part, Refused},
    },
    limits::UPSTREAM_ATTEMPTS_MAX,
    outbox::channel::Passage,
    refusal::{Refusal, UpstreamFault},
    upstream::{
        answer::{Answer, AnswerFault, AnswerReader, PassedRefusal},
        end::UpstreamEnd,
        heads::{Sender, Trust},
        pool::{NoServer, Outcome, Tried},
    },
};

/// What is kept of a request until it is answered.
pub(super) struct Opening {
    relayed: Relayed,
    /// The client's connection, which continues after a refusal.
    http: HttpConnection,
    answer: AnswerReader,
    tried: Tried,
    /// Decides the server, if the route hashes.
    key: u64,
    /// Where the server that was picked last listens.
    server: SocketAddr,
    /// The attempt to connect in progress.
    pub(super) attempt: Option<ConnectToken>,
    /// The fault of the last server.
    fault: UpstreamFault,
}

impl Opening {
    /// Bytes of memory held.
    pub(super) fn held_bytes(&self) -> usize {
        self.relayed.forwarded.held_bytes() + self.answer.held_bytes()
    }
}

impl ClientConnection {
    /// Connects a client to a server of its route.
    pub(in crate::connection) fn open_relay(&mut self, relayed: Relayed, turn: &mut Turn<'_>) {
        let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering) else {
            unreachable!("requests are read while the stage is HTTP");
        };
        self.ends_at(relayed.identity.expires_at, turn);
        let route = relayed.route.clone();
        let address = relayed.client_address;
        let address = address.or_else(|| turn.upstreams.address_of(self.connection));
        let key = relayed.forwarded.key(&route, &relayed.identity.client, address);
        let opening = Opening {
            relayed,
            http,
            answer: AnswerReader::default(),
            tried: Tried::default(),
            key,
            server: SocketAddr::from(([0, 0, 0, 0], 0)),
            attempt: None,
            fault: UpstreamFault::Unavailable,
        };
        self.stage = Protocol::Relay(Box::new(Relay {
            route,
            server: None,
            end: None,
            opening: Some(Box::new(opening)),
            out: Direction::default(),
            back: Direction::default(),
            active: turn.context.now,
        }));
        self.transport = Transport::Relay;
        self.try_server(turn);
    }

    /// Connects to the next server; without one, refuses the request.
    fn try_server(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        let Some(opening) = &mut relay.opening else { return };
        let picked = match opening.tried.count() < UPSTREAM_ATTEMPTS_MAX {
            true => {
                let pool = turn.upstreams.pool(&relay.route);
                pool.pick(opening.key, &mut opening.tried, turn.context.now)
            }
            false => Err(NoServer::Unhealthy),
        };
        let picked = match picked {
            Ok(picked) => picked,
            Err(NoServer::Full) => {
                return self.refuse_relay(Refusal::Upstream(UpstreamFault::Unavailable), turn);
            }
            Err(NoServer::Unhealthy) => {
                let refusal = Refusal::Upstream(opening.fault);
                return self.refuse_relay(refusal, turn);
            }
        };
        opening.server = picked.connector.target;
        let token = turn.upstreams.begin(self.connection);
        turn.operations.connect(picked.connector.request(token));
        opening.attempt = Some(token);
        opening.answer = AnswerReader::default();
        relay.server = Some(picked.server);
        let time = relay.route.connect_timeout;
        self.set(Deadline::Upstream, time, turn);
    }

    /// Where a request comes from, for the server.
    pub(in crate::connection) fn sender(&mut self, turn: &Turn<'_>) -> Sender {
        let is_proxy = self.permit.as_ref().is_some_and(|one| one.origin() == Origin::Proxy);
        Sender {
            address: turn.upstreams.address_of(self.connection),
            trust: if is_proxy { Trust::Proxy } else { Trust::Stranger },
            has_tls: self.channel.has_layer(),
        }
    }

    /// An attempt to connect has succeeded. `false`: this client does not wait for it any more.
    pub fn server_connected(
        &mut self,
        token: ConnectToken,
        server: ConnectionId,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Protocol::Relay(relay) = &mut self.stage else {
            return self.proxy_connected(token, server, turn);
        };
        let Some(opening) = &mut relay.opening else { return false };
        if opening.attempt.take_if(|awaited| *awaited == token).is_none() {
            return false;
        }
        turn.upstreams.join(server, self.connection);
        let Some(channel) = turn.upstreams.channel(&relay.route, opening.server) else {
            turn.operations.push(Operation::Reset(server));
            self.refuse_relay(Refusal::Upstream(UpstreamFault::Unavailable), turn);
            return true;
        };
        let end = relay.end.insert(UpstreamEnd::new(server, channel));
        match end.channel.inward() {
            // Its request follows its handshake, within the time to connect.
            Passage::Records(layer) => {
                let mut out = turn.context.scratch.take_records();
                layer.begin(&mut out);
                end.outbox(turn.operations, turn.context.now).write_past(&out);
                turn.context.scratch.put_records(out);
            }
            Passage::Plain | Passage::Shut => self.send_handshake(turn),
        }
        true
    }

    /// Sends the request to the server, which has this long to answer.
    pub(super) fn send_handshake(&mut self, turn: &mut Turn<'_>) {
        let (sender, now) = (self.sender(turn), turn.context.now);
        let Protocol::Relay(relay) = &mut self.stage else { return };
        let (Some(opening), Some(end)) = (&relay.opening, &mut relay.end) else { return };
        let (forwarded, name) = (&opening.relayed.forwarded, opening.server.to_string());
        end.outbox(turn.operations, now).write(|out| {
            forwarded.emit(&relay.route, &name, sender, Some("websocket"), out);
        });
        let time = relay.route.response_timeout;
        self.set(Deadline::Upstream, time, turn);
    }

    /// An attempt to connect has failed.
    pub fn server_unconnected(
        &mut self,
        token: ConnectToken,
        failure: ConnectFailure,
        turn: &mut Turn<'_>,
    ) {
        let Protocol::Relay(relay) = &mut self.stage else {
            return self.proxy_unconnected(token, failure, turn);
        };
        let Some(opening) = &mut relay.opening else { return };
        if opening.attempt.take_if(|awaited| *awaited == token).is_none() {
            return;
        }
        match failure {
            // The core has no room for it: no server is to blame.
            ConnectFailure::NoSlot => {
                self.refuse_relay(Refusal::Upstream(UpstreamFault::Unavailable), turn);
            }
            _ => self.try_another(Outcome::Unreachable, UpstreamFault::Unreachable, turn),
        }
    }

    /// The server broke the connection before it has answered.
    pub(super) fn lose_server(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        let Some(opening) = &mut relay.opening else { return };
        match opening.answer.is_before() {
            true => self.try_another(Outcome::Unreachable, UpstreamFault::Unreachable, turn),
            false => self.refuse_invalid(turn),
        }
    }

    /// The server did not connect or answer in time.
    pub(in crate::connection) fn give_up_server(&mut self, turn: &mut Turn<'_>) {
        self.try_another(Outcome::TimedOut, UpstreamFault::TimedOut, turn);
    }

    fn try_another(&mut self, outcome: Outcome, fault: UpstreamFault, turn: &mut Turn<'_>) {
        self.note_outcome(outcome, turn);
        let Protocol::Relay(relay) = &mut self.stage else { return };
        relay.leave_server(Leaving::Reset, turn);
        if let Some(opening) = &mut relay.opening {
            opening.fault = fault;
        }
        self.try_server(turn);
    }

    fn note_outcome(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        if let Some(server) = relay.server {
            turn.upstreams.pool(&relay.route).note(server, outcome, turn.context.now);
        }
    }

    /// Reads the server's answer; after a 101 the rest of the input is for the client.
    pub(super) fn read_answer(&mut self, mut input: &[u8], turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        let Some(opening) = &mut relay.opening else { return };
        match opening.answer.read(&mut input, &opening.relayed.forwarded) {
            Ok(Answer::More) => {}
            Ok(Answer::Opened(head)) => self.begin_relay(&head, input, turn),
            Ok(Answer::Refused(refusal)) => self.pass_refusal(&refusal, turn),
            Err(AnswerFault::Http(HttpError::OutOfMemory)) => {
                self.refuse_relay(Refusal::Memory, turn);
            }
            Err(_) => self.refuse_invalid(turn),
        }
    }

    /// The server has ended its stream, which may complete its answer.
    pub(super) fn end_answer(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Relay(relay) = &mut self.stage else { return };
        let Some(opening) = &mut relay.opening else { return };
        if opening.answer.is_before() {
            return self.lose_server(turn);
        }
        match opening.answer.end() {
            Ok(refusal) => self.pass_refusal(&refusal, turn),
            Err(_) => self.refuse_invalid(turn),
        }
    }

    fn begin_relay(&mut self, head: &[u8], rest: &[u8], turn: &mut Turn<'_>) {
        let (_, end) = self.waiting_input();
        self.note_outcome(Outcome::Answered, turn);
        let Protocol::Relay(relay) = &mut self.stage else { return };
        relay.opening = None;
        relay.active = turn.context.now;
        let time = relay.route.idle_timeout;
        turn.context.metrics.relays.add(1);
        let mut outbox = outbox!(self, turn);
        let written = outbox.try_write(head.len() + rest.len(), |out| {
            out.extend_from_slice(head);
            out.extend_from_slice(rest);
        });
        if written.is_err() {
            return self.close_for_memory(turn);
        }
        self.set(Deadline::RelayIdle, time, turn);
        self.go_on_after_wait(end, turn);
    }

    fn refuse_invalid(&mut self, turn: &mut Turn<'_>) {
        self.note_outcome(Outcome::Invalid, turn);
        self.refuse_relay(Refusal::Upstream(UpstreamFault::Invalid), turn);
    }

    /// Refuses the request because of its servers.
    pub(in crate::connection) fn refuse_relay(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        let (_, end) = self.waiting_input();
        let Some(relayed) = self.take_relayed(turn) else { return };
        let Relayed { cors, after, .. } = relayed;
        let refused = Refused::by(refusal, turn.context.settings);
        let action = Action::refused(refused, &cors, Part::Whole, after, &mut outbox!(self, turn));
        self.proceed(action, AfterHead::Nothing, turn);
        self.go_on_after_wait(end, turn);
    }

    /// The client gets the server's refusal.
    fn pass_refusal(&mut self, refusal: &PassedRefusal, turn: &mut Turn<'_>) {
        self.note_outcome(Outcome::Answered, turn);
        let (_, end) = self.waiting_input();
        let Some(relayed) = self.take_relayed(turn) else { return };
        turn.context.metrics.relays_refused.add(1);
        let mut outbox = outbox!(self, turn);
        if outbox.make_room(refusal.bytes_max()).is_err() {
            return self.close_for_memory(turn);
        }
        outbox.write(|out| refusal.emit(relayed.after, out));
        match relayed.after {
            KeepAlive::Yes => self.await_request(turn),
            KeepAlive::Close => {
                self.note_end(EndReason::Refused);
                self.finish(turn);
            }
        }
        self.go_on_after_wait(end, turn);
    }

    /// Takes the request that is not answered yet, and leaves its server.
    fn take_relayed(&mut self, turn: &mut Turn<'_>) -> Option<Relayed> {
        let Protocol::Relay(relay) = &mut self.stage else { return None };
        relay.leave_server(Leaving::Close, turn);
        let Opening { relayed, http, .. } = *relay.opening.take()?;
        self.stage = Protocol::Http(http);
        self.transport = Transport::Http;
        self.deadlines.cancel(Deadline::Upstream);
        Some(relayed)
    }
}
