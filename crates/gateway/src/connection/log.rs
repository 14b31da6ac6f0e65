//! Log lines about clients' connections: that they were opened, why they were refused, and why they
//! ended.
//!
//! Each core has one log. Lines at `info` are sampled, and the rest are at `debug`; if neither
//! level is enabled, it costs a comparison for each connection. It never sees a message.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ringway_acceptor::ConnectionId;
use ringway_tls::Reason;
use tracing::{Level, debug, enabled, info};

use crate::{
    edge::limiter::{ConnectionLimiter, CountedAddress, Permit},
    log::sampler::{Sampled, Sampler},
    outbox::channel::{Channel, Passage},
    rates::PauseReason,
    refusal::{ErrorClass, ErrorCode, Refusal},
    session::perform,
};

pub use crate::refusal::EndReason;

/// Refusals because there was no room for the connection.
const TURNED_AWAY: usize = ErrorClass::ALL.len();

/// The last use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Requests that are answered at once.
    Http,
    /// A WebSocket that echoes.
    Echo,
    /// A client of the hub on a WebSocket.
    WebSocket,
    /// Server-sent events.
    Sse,
    /// Newline-delimited JSON.
    Stream,
    /// Script blocks.
    Iframe,
    /// Polls.
    LongPoll,
    /// A WebSocket that another server serves.
    Relay,
}

impl Transport {
    /// Its name in log lines and in the private API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Echo => "echo",
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stream => "stream",
            Self::Iframe => "iframe",
            Self::LongPoll => "long-poll",
            Self::Relay => "relay",
        }
    }
}

/// How a refused client learns of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It gets a response with the reason.
    ByResponse,
    /// Its connection only ends: the handshake of its channel is not complete, so it could not read
    /// a response.
    ByEnd,
}

impl Told {
    /// How a client with this channel learns of a refusal.
    pub fn through(channel: &mut Channel) -> Self {
        match channel.outward() {
            Passage::Shut => Self::ByEnd,
            Passage::Plain | Passage::Records(_) => Self::ByResponse,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::ByResponse => "a response",
            Self::ByEnd => "only the end of the connection, before its TLS handshake",
        }
    }
}

/// The lines of one core.
#[derive(Debug)]
pub struct ConnectionLog {
    core: usize,
    limiter: Arc<ConnectionLimiter>,
    refusals: Sampler<{ TURNED_AWAY + 1 }>,
    ends: Sampler<{ EndReason::ALL.len() }>,
    commands: Sampler<{ ErrorCode::ALL.len() }>,
    pauses: Sampler<{ PauseReason::ALL.len() }>,
    handshakes: Sampler<{ Reason::WORDS.len() }>,
}

impl ConnectionLog {
    /// A log without lines.
    pub fn new(core: usize, limiter: Arc<ConnectionLimiter>) -> Self {
        Self {
            core,
            limiter,
            refusals: Sampler::default(),
            ends: Sampler::default(),
            commands: Sampler::default(),
            pauses: Sampler::default(),
            handshakes: Sampler::default(),
        }
    }

    /// A client has connected.
    pub fn opened(&self, connection: ConnectionId, address: SocketAddr) {
        debug!(
            connection = perform::name_of(self.core, connection),
            %address,
            "a client has connected"
        );
    }

    /// A connection was refused when it was accepted.
    pub fn turned_away(
        &mut self,
        refusal: Refusal,
        told: Told,
        connection: ConnectionId,
        address: IpAddr,
        now: Duration,
    ) {
        if enabled!(Level::INFO) {
            self.write_refusal(refusal, told, connection, Some(address.into()), now);
        }
    }

    /// A request was refused.
    pub fn refused(
        &mut self,
        refusal: Refusal,
        connection: ConnectionId,
        permit: Option<&Permit>,
        now: Duration,
    ) {
        if enabled!(Level::INFO) {
            let address = permit.and_then(|permit| self.limiter.address(permit));
            self.write_refusal(refusal, Told::ByResponse, connection, address, now);
        }
    }

    fn write_refusal(
        &mut self,
        refusal: Refusal,
        told: Told,
        connection: ConnectionId,
        address: Option<CountedAddress>,
        now: Duration,
    ) {
        let class = refusal.class();
        let kind = class.map_or(TURNED_AWAY, |class| class as usize);
        let Some(sampled) = written(self.refusals.judge(kind, now)) else { return };
        let reason = class.map_or("turned_away", ErrorClass::as_str);
        let (detail, status, told) = (refusal.reason(), refusal.status(), told.as_str());
        let connection = perform::name_of(self.core, connection);
        let address = address.map(tracing::field::display);
        match sampled {
            Sampled::Line { suppressed } => info!(
                reason,
                status, detail, told, address, connection, suppressed, "a client was refused"
            ),
            Sampled::Suppressed => {
                debug!(reason, status, detail, told, address, connection, "a client was refused");
            }
        }
    }

    /// A handshake has failed.
    pub fn handshake_failed(
        &mut self,
        reason: Reason,
        connection: ConnectionId,
        permit: Option<&Permit>,
        now: Duration,
    ) {
        if !enabled!(Level::INFO) {
            return;
        }
        let sampled = self.handshakes.judge(reason.number(), now);
        let Some(sampled) = written(sampled) else { return };
        let (alert, certificate) = match reason {
            Reason::Alert(number) => (Some(number), None),
            Reason::Certificate(fault) => (None, Some(fault.as_str())),
            _ => (None, None),
        };
        let reason = reason.as_str();
        let connection = perform::name_of(self.core, connection);
        let address =
            permit.and_then(|permit| self.limiter.address(permit)).map(tracing::field::display);
        let message = "a TLS handshake has failed";
        match sampled {
            Sampled::Line { suppressed } => {
                info!(reason, alert, certificate, address, connection, suppressed, "{message}");
            }
            Sampled::Suppressed => {
                debug!(reason, alert, certificate, address, connection, "{message}");
            }
        }
    }

    /// A command was not performed.
    pub fn refused_command(
        &mut self,
        code: ErrorCode,
        connection: ConnectionId,
        permit: Option<&Permit>,
        now: Duration,
    ) {
        if enabled!(Level::INFO) {
            let Some(sampled) = written(self.commands.judge(code as usize, now)) else { return };
            let message = "a command was refused";
            self.write(sampled, code.as_str(), message, connection, permit);
        }
    }

    /// Nothing is read from a client for a while.
    pub fn paused(
        &mut self,
        reason: PauseReason,
        connection: ConnectionId,
        permit: Option<&Permit>,
        now: Duration,
    ) {
        if enabled!(Level::INFO) {
            let Some(sampled) = written(self.pauses.judge(reason as usize, now)) else { return };
            let message = "a client is paused";
            self.write(sampled, reason.as_str(), message, connection, permit);
        }
    }

    fn write(
        &self,
        sampled: Sampled,
        reason: &'static str,
        message: &'static str,
        connection: ConnectionId,
        permit: Option<&Permit>,
    ) {
        let connection = perform::name_of(self.core, connection);
        let address =
            permit.and_then(|permit| self.limiter.address(permit)).map(tracing::field::display);
        match sampled {
            Sampled::Line { suppressed } => {
                info!(reason, address, connection, suppressed, "{message}");
            }
            Sampled::Suppressed => debug!(reason, address, connection, "{message}"),
        }
    }

    /// A connection has ended.
    pub fn ended(
        &mut self,
        reason: EndReason,
        transport: Transport,
        connection: ConnectionId,
        permit: Option<&Permit>,
        now: Duration,
    ) {
        if !enabled!(Level::INFO) {
            return;
        }
        let Some(sampled) = written(self.ends.judge(reason as usize, now)) else { return };
        let (reason, transport) = (reason.as_str(), transport.as_str());
        let connection = perform::name_of(self.core, connection);
        let address =
            permit.and_then(|permit| self.limiter.address(permit)).map(tracing::field::display);
        match sampled {
            Sampled::Line { suppressed } => info!(
                reason,
                transport, address, connection, suppressed, "a client's connection has ended"
            ),
            Sampled::Suppressed => {
                debug!(reason, transport, address, connection, "a client's connection has ended");
            }
        }
    }

    /// Logs how many lines were left out in a past second, if no other line does.
    pub fn catch_up(&mut self, now: Duration) {
        if !enabled!(Level::INFO) {
            return;
        }
        while let Some((kind, suppressed)) = self.refusals.overdue(now) {
            let reason = ErrorClass::ALL.get(kind).map_or("turned_away", |class| class.as_str());
            info!(reason, suppressed, "more clients were refused");
        }
        while let Some((kind, suppressed)) = self.ends.overdue(now) {
            let reason = EndReason::ALL[kind].as_str();
            info!(reason, suppressed, "more connections have ended");
        }
        while let Some((kind, suppressed)) = self.commands.overdue(now) {
            let reason = ErrorCode::ALL[kind].as_str();
            info!(reason, suppressed, "more commands were refused");
        }
        while let Some((kind, suppressed)) = self.pauses.overdue(now) {
            let reason = PauseReason::ALL[kind].as_str();
            info!(reason, suppressed, "more clients were paused");
        }
        while let Some((kind, suppressed)) = self.handshakes.overdue(now) {
            let reason = Reason::WORDS[kind];
            info!(reason, suppressed, "more TLS handshakes have failed");
        }
    }
}

/// Whether there will be a line: names and addresses are not formatted for any other.
fn written(sampled: Sampled) -> Option<Sampled> {
    (sampled != Sampled::Suppressed || enabled!(Level::DEBUG)).then_some(sampled)
}
