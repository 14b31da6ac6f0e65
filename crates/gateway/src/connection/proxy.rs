//! A request that another server answers: the request and its body on their way to the server, and
//! the response on its way to the client, both as they arrive. `response` is the way back.
//!
//! A side that does not read pauses the other one. Until the server has answered, and if nothing can
//! be done twice by it, another server is tried.

mod response;

use std::{net::SocketAddr, time::Duration};

use ringway_acceptor::{ConnectFailure, ConnectToken, ConnectionId, Operation};
use ringway_http::{HttpError, KeepAlive, ResponseReader, chunk::Reading};

use crate::{
    connection::{
        ClientConnection, Protocol, Turn, deadlines::Deadline, log::EndReason, outbox,
        relay::Leaving,
    },
    edge::{
        action::{Action, Proxied},
        requests::{AfterHead, HttpConnection},
        response::Refused,
    },
    limits::UPSTREAM_ATTEMPTS_MAX,
    outbox::channel::Channel,
    refusal::{Refusal, UpstreamFault},
    upstream::{
        end::UpstreamEnd,
        framing::{BodyPassage, RequestBody},
        heads::Delimited,
        pool::{Lease, NoServer, Outcome, Tried},
    },
};

/// A request, and the connection to its server.
pub(super) struct Proxy {
    proxied: Proxied,
    /// The client's connection, which continues after the response.
    http: HttpConnection,
    /// The server that was picked last, until its connection has ended.
    server: Option<Lease>,
    /// Where it listens.
    target: SocketAddr,
    /// The attempt to connect in progress.
    attempt: Option<ConnectToken>,
    end: Option<UpstreamEnd>,
    /// Whether the connection has carried another request before.
    origin: ConnectionOrigin,
    tried: Tried,
    /// The servers that were tried before the last one.
    tried_before: Tried,
    /// Decides the server, if the route hashes.
    key: u64,
    /// The fault of the last server.
    fault: UpstreamFault,
    request: Progress,
    response: ResponseReader,
    /// How the response is delimited, once its head was passed on.
    answered: Option<Delimited>,
    /// Whether the client's connection is kept after the response.
    after: KeepAlive,
    /// When bytes last came from either side.
    active: Duration,
}

/// Where the connection to a server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionOrigin {
    Fresh,
    /// Its server may have closed it just before the request arrived.
    Reused,
}

/// How much of the request was passed on.
enum Progress {
    /// Nothing, or the head.
    Before,
    /// The head, and perhaps a part of the body.
    Body { passage: BodyPassage, has_begun: bool },
    /// All of it.
    Whole,
}

impl Proxy {
    /// Whether the client's input waits: for the server, or for the response.
    pub(super) fn puts_off_input(&self) -> bool {
        self.end.is_none() || !matches!(self.request, Progress::Body { .. })
    }

    /// Whether the client has got nothing of a response.
    pub(super) fn is_unanswered(&self) -> bool {
        self.answered.is_none()
    }

    /// The connection to the server.
    pub(super) fn end_mut(&mut self) -> &mut Option<UpstreamEnd> {
        &mut self.end
    }

    /// Bytes that are kept.
    pub(super) fn held_bytes(&self, kernel_queue_bytes: usize) -> usize {
        let passage = match &self.request {
            Progress::Body { passage, .. } => passage.held_bytes(),
            Progress::Before | Progress::Whole => 0,
        };
        let end = self.end.as_ref().map_or(0, |end| end.held_bytes(kernel_queue_bytes));
        let kept = self.proxied.forwarded.held_bytes() + self.http.held_bytes();
        passage + end + kept + self.response.held_bytes()
    }

    /// Whether the server has got something that must not be sent to it, or another one, again
    /// (RFC 9110 §9.2.2).
    fn must_not_repeat(&self) -> bool {
        match &self.request {
            Progress::Before => false,
            Progress::Body { has_begun: true, .. } => true,
            Progress::Body { .. } => !self.proxied.forwarded.is_idempotent(),
            Progress::Whole => {
                self.proxied.forwarded.body().has_content()
                    || !self.proxied.forwarded.is_idempotent()
            }
        }
    }

    /// Leaves the server, or gives up connecting to one.
    fn leave_server(&mut self, leaving: Leaving, turn: &mut Turn<'_>) {
        if let Some(token) = self.attempt.take() {
            turn.operations.push(Operation::CancelConnect(token));
        }
        match (self.end.take(), leaving) {
            (Some(mut end), Leaving::Close) => end.close(turn.operations, turn.context.now),
            (Some(mut end), Leaving::Reset) => end.reset(turn.operations),
            (None, _) => {}
        }
        self.release(turn);
    }

    fn release(&mut self, turn: &mut Turn<'_>) {
        if let Some(server) = self.server.take() {
            turn.upstreams.pool(&self.proxied.route).release(server);
        }
    }

    fn note(&mut self, outcome: Outcome, turn: &mut Turn<'_>) {
        if let Some(server) = self.server {
            turn.upstreams.pool(&self.proxied.route).note(server, outcome, turn.context.now);
        }
    }
}

impl ClientConnection {
    /// Passes a request on to a server of its route.
    pub(super) fn open_proxy(&mut self, proxied: Proxied, turn: &mut Turn<'_>) {
        let Protocol::Http(http) = std::mem::replace(&mut self.stage, Protocol::Lingering) else {
            unreachable!("requests are read while the stage is HTTP");
        };
        turn.context.metrics.proxied.add(1);
        let address = proxied.client_address;
        let address = address.or_else(|| turn.upstreams.address_of(self.connection));
        let key = proxied.forwarded.key(&proxied.route, &proxied.identity.client, address);
        self.stage = Protocol::Proxy(Box::new(Proxy {
            after: proxied.after,
            proxied,
            http,
            server: None,
            target: SocketAddr::from(([0, 0, 0, 0], 0)),
            attempt: None,
            end: None,
            origin: ConnectionOrigin::Fresh,
            tried: Tried::default(),
            tried_before: Tried::default(),
            key,
            fault: UpstreamFault::Unavailable,
            request: Progress::Before,
            response: ResponseReader::default(),
            answered: None,
            active: turn.context.now,
        }));
        self.reach_server(ConnectionOrigin::Reused, turn);
    }

    /// Takes an idle connection to the next server if `best` allows it, or connects; without a server,
    /// refuses the request.
    fn reach_server(&mut self, best: ConnectionOrigin, turn: &mut Turn<'_>) {
        let (client, now) = (self.connection, turn.context.now);
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        proxy.request = Progress::Before;
        proxy.response = ResponseReader::default();
        proxy.tried_before = proxy.tried;
        let picked = match proxy.tried.count() < UPSTREAM_ATTEMPTS_MAX {
            true => {
                let pool = turn.upstreams.pool(&proxy.proxied.route);
                pool.pick(proxy.key, &mut proxy.tried, now)
            }
            false => Err(NoServer::Unhealthy),
        };
        let picked = match picked {
            Ok(picked) => picked,
            Err(NoServer::Full) => return self.refuse_upstream(UpstreamFault::Unavailable, turn),
            Err(NoServer::Unhealthy) => {
                let fault = proxy.fault;
                return self.refuse_upstream(fault, turn);
            }
        };
        proxy.server = Some(picked.server);
        proxy.target = picked.connector.target;
        proxy.origin = ConnectionOrigin::Fresh;
        // What is not idempotent could not be repeated if the server has just closed the connection.
        if best == ConnectionOrigin::Reused
            && proxy.proxied.forwarded.is_idempotent()
            && let Some(end) = turn.upstreams.take_idle(proxy.target, client, now)
        {
            proxy.end = Some(end);
            proxy.origin = ConnectionOrigin::Reused;
            return self.send_request(turn);
        }
        let token = turn.upstreams.begin(client);
        turn.operations.connect(picked.connector.request(token));
        proxy.attempt = Some(token);
        let time = proxy.proxied.route.connect_timeout;
        self.set(Deadline::Upstream, time, turn);
    }

    /// An attempt to connect has succeeded. `false`: this client does not wait for it any more.
    pub(super) fn proxy_connected(
        &mut self,
        token: ConnectToken,
        server: ConnectionId,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Protocol::Proxy(proxy) = &mut self.stage else { return false };
        if proxy.attempt.take_if(|awaited| *awaited == token).is_none() {
            return false;
        }
        turn.upstreams.join(server, self.connection);
        proxy.end = Some(UpstreamEnd::new(server, Channel::default()));
        self.send_request(turn);
        true
    }

    /// An attempt to connect has failed.
    pub(super) fn proxy_unconnected(
        &mut self,
        token: ConnectToken,
        failure: ConnectFailure,
        turn: &mut Turn<'_>,
    ) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        if proxy.attempt.take_if(|awaited| *awaited == token).is_none() {
            return;
        }
        match failure {
            // The core has no room for it: no server is to blame.
            ConnectFailure::NoSlot => self.refuse_upstream(UpstreamFault::Unavailable, turn),
            _ => self.reach_another(Outcome::Unreachable, UpstreamFault::Unreachable, turn),
        }
    }

    /// Writes the head; the body follows as it comes.
    fn send_request(&mut self, turn: &mut Turn<'_>) {
        let (_, waiting_end) = self.waiting_input();
        let (sender, now) = (self.sender(turn), turn.context.now);
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        let Some(end) = &mut proxy.end else { return };
        let (route, name) = (&proxy.proxied.route, proxy.target.to_string());
        let forwarded = &proxy.proxied.forwarded;
        end.outbox(turn.operations, now).write(|out| {
            forwarded.emit(route, &name, sender, None, out);
        });
        proxy.active = now;
        let body = forwarded.body();
        let (answer_time, idle_time) = (route.response_timeout, route.idle_timeout);
        if body.has_content() {
            let passage = BodyPassage::new(body);
            proxy.request = Progress::Body { passage, has_begun: false };
            self.set(Deadline::RelayIdle, idle_time, turn);
            return self.go_on_after_wait(waiting_end, turn);
        }
        proxy.request = Progress::Whole;
        self.set(Deadline::Upstream, answer_time, turn);
    }

    /// Passes on what the client has sent of the body; the rest of the input waits.
    pub(super) fn pass_body(&mut self, input: &[u8], turn: &mut Turn<'_>) {
        let now = turn.context.now;
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        let (Progress::Body { passage, has_begun }, Some(end)) =
            (&mut proxy.request, &mut proxy.end)
        else {
            return self.put_off(input, turn);
        };
        proxy.active = now;
        *has_begun = true;
        let (mut rest, mut reading) = (input, Ok(Reading::More));
        let room = RequestBody::passed_bytes_max(input.len());
        let written = end.outbox(turn.operations, now).try_write(room, |out| {
            reading = passage.pass(&mut rest, out);
        });
        if written.is_err() {
            return self.close_for_memory(turn);
        }
        match reading {
            Ok(Reading::More) => {}
            Ok(Reading::Whole) => {
                proxy.request = Progress::Whole;
                if proxy.answered.is_none() {
                    let time = proxy.proxied.route.response_timeout;
                    self.set(Deadline::Upstream, time, turn);
                }
                if !rest.is_empty() {
                    self.put_off(rest, turn);
                }
            }
            Err(error) => self.refuse_body(error, turn),
        }
    }

    /// The body is broken: the server must not take it for a whole one.
    fn refuse_body(&mut self, error: HttpError, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        proxy.leave_server(Leaving::Reset, turn);
        match proxy.is_unanswered() {
            true => self.refuse_proxied(error.into(), turn),
            false => self.reset(turn),
        }
    }

    /// The client has ended its stream before its request was whole.
    pub(super) fn end_unfinished_request(&mut self, turn: &mut Turn<'_>) {
        self.note_end(EndReason::ClientEnded);
        self.leave_proxy(Leaving::Reset, turn);
        self.end(turn);
    }

    /// The server did not connect or answer in time.
    pub(super) fn give_up_proxied(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        if proxy.end.is_none() {
            return self.reach_another(Outcome::TimedOut, UpstreamFault::TimedOut, turn);
        }
        // The server may be busy with the request, so it is not sent to another one.
        proxy.note(Outcome::TimedOut, turn);
        self.refuse_upstream(UpstreamFault::TimedOut, turn);
    }

    /// Nothing has passed for as long as the route allows, unless something has meanwhile.
    pub(super) fn end_idle_proxy(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &self.stage else { return };
        let since = turn.context.now.saturating_sub(proxy.active);
        let time = proxy.proxied.route.idle_timeout;
        if since < time {
            return self.set(Deadline::RelayIdle, time - since, turn);
        }
        match proxy.is_unanswered() {
            // The client has stopped in the middle of its body.
            true => self.refuse_proxied(Refusal::Timeout, turn),
            false => {
                self.note_end(EndReason::RelayIdle);
                self.reset(turn);
            }
        }
    }

    /// The connection to the server has ended, and nothing of a response has come on it.
    fn lose_proxied(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        let must_not_repeat = proxy.must_not_repeat();
        if proxy.origin == ConnectionOrigin::Reused && !must_not_repeat {
            // The server has closed an idle connection, which says nothing about its health.
            proxy.leave_server(Leaving::Reset, turn);
            proxy.tried = proxy.tried_before;
            return self.reach_server(ConnectionOrigin::Fresh, turn);
        }
        if must_not_repeat {
            proxy.note(Outcome::Unreachable, turn);
            return self.refuse_upstream(UpstreamFault::Unreachable, turn);
        }
        self.reach_another(Outcome::Unreachable, UpstreamFault::Unreachable, turn);
    }

    fn reach_another(&mut self, outcome: Outcome, fault: UpstreamFault, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        proxy.note(outcome, turn);
        proxy.leave_server(Leaving::Reset, turn);
        proxy.fault = fault;
        self.reach_server(ConnectionOrigin::Reused, turn);
    }

    fn refuse_upstream(&mut self, fault: UpstreamFault, turn: &mut Turn<'_>) {
        self.refuse_proxied(Refusal::Upstream(fault), turn);
    }

    /// Refuses a request of which the client has got no response.
    pub(super) fn refuse_proxied(&mut self, refusal: Refusal, turn: &mut Turn<'_>) {
        let (_, waiting_end) = self.waiting_input();
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        proxy.leave_server(Leaving::Reset, turn);
        // An unread body hides the next request.
        let is_read = matches!(proxy.request, Progress::Whole);
        let is_read = is_read || !proxy.proxied.forwarded.body().has_content();
        let after = if is_read { proxy.after } else { KeepAlive::Close };
        let Some(Proxy { proxied, .. }) = self.take_proxy() else { return };
        let refused = Refused::by(refusal, turn.context.settings);
        let (cors, part) = (&proxied.cors, proxied.part);
        let action = Action::refused(refused, cors, part, after, &mut outbox!(self, turn));
        self.proceed(action, AfterHead::Nothing, turn);
        self.go_on_after_wait(waiting_end, turn);
    }

    /// Takes the request, whose connection continues.
    fn take_proxy(&mut self) -> Option<Proxy> {
        if !matches!(self.stage, Protocol::Proxy(_)) {
            return None;
        }
        let Protocol::Proxy(proxy) = std::mem::replace(&mut self.stage, Protocol::Lingering) else {
            return None;
        };
        let mut proxy = *proxy;
        self.stage = Protocol::Http(std::mem::take(&mut proxy.http));
        self.deadlines.cancel(Deadline::Upstream);
        self.deadlines.cancel(Deadline::RelayIdle);
        Some(proxy)
    }

    /// Leaves the server, if there is one: the client's connection ends.
    pub(super) fn leave_proxy(&mut self, leaving: Leaving, turn: &mut Turn<'_>) {
        if let Protocol::Proxy(proxy) = &mut self.stage {
            proxy.leave_server(leaving, turn);
            self.stage = Protocol::Lingering;
        }
    }
}
