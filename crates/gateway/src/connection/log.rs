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
    refusal::{ErrorClass, Refusal},
    session::perform,
};

/// Refusals because there was no room for the connection.
const TURNED_AWAY: usize = ErrorClass::ALL.len();

/// Why a connection has ended; the first reason counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Another reason, which has lines or counters of its own.
    Other,
    /// The client closed its WebSocket.
    ClientClosed,
    /// The client ended its side of the connection.
    ClientEnded,
    /// The connection broke.
    ConnectionLost,
    /// The last answer was sent.
    Answered,
    /// No request came within `limits.keep_alive_timeout`.
    Idle,
    /// A request did not arrive in time.
    RequestTimeout,
    /// A request was refused, and the connection could not be kept.
    Refused,
    /// The connection was over a limit.
    TurnedAway,
    /// A message was not complete in time.
    MessageTimeout,
    /// It held much memory when the budget was exceeded.
    Memory,
    /// The client broke the rules of WebSockets.
    ProtocolFault,
    /// It did not begin with the PROXY protocol header of a trusted proxy.
    ProxyHeader,
    /// The handshake of its channel failed.
    HandshakeFailed,
    /// The handshake of its channel was not complete in time.
    HandshakeTimeout,
    /// The handshake of its channel had to make room for others.
    HandshakeDisplaced,
    /// Its core had begun too many handshakes in that second.
    HandshakeRate,
    /// The client began with HTTP in plain text, where TLS is spoken.
    PlainHttp,
    /// The client began with TLS, where its listener speaks plain text.
    TlsOnPlain,
    /// A record of its channel was forged, damaged or too long.
    RecordFault,
    /// The client ended its side of the connection in the middle of a record.
    RecordCut,
    /// The client did not answer a Ping, or did not read.
    NoSignOfLife,
    /// Events that the client still had to read have left the history.
    TooSlow,
    /// The client's token has expired.
    TokenExpired,
    /// The application closed the connection.
    ClosedByApplication,
    /// The gateway is going away.
    GoingAway,
}

impl EndReason {
    const COUNT: usize = Self::GoingAway as usize + 1;

    fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::ClientClosed => "client_closed",
            Self::ClientEnded => "client_ended",
            Self::ConnectionLost => "connection_lost",
            Self::Answered => "answered",
            Self::Idle => "idle",
            Self::RequestTimeout => "request_timeout",
            Self::Refused => "refused",
            Self::TurnedAway => "turned_away",
            Self::MessageTimeout => "message_timeout",
            Self::Memory => "memory",
            Self::ProtocolFault => "protocol_fault",
            Self::ProxyHeader => "proxy_header",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeDisplaced => "handshake_displaced",
            Self::HandshakeRate => "handshake_rate",
            Self::PlainHttp => "plain_http_on_tls",
            Self::TlsOnPlain => "tls_on_plain_port",
            Self::RecordFault => "record_fault",
            Self::RecordCut => "record_cut",
            Self::NoSignOfLife => "no_sign_of_life",
            Self::TooSlow => "too_slow",
            Self::TokenExpired => "token_expired",
            Self::ClosedByApplication => "closed_by_application",
            Self::GoingAway => "going_away",
        }
    }
}

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
    ends: Sampler<{ EndReason::COUNT }>,
    handshakes: Sampler<{ Reason::WORDS.len() }>,
}

impl ConnectionLog {
    /// A log without lines.
    pub fn new(core: usize, limiter: Arc<ConnectionLimiter>) -> Self {
        let (refusals, ends) = (Sampler::default(), Sampler::default());
        Self { core, limiter, refusals, ends, handshakes: Sampler::default() }
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
        let reason = class.map_or("turned_away", ErrorClass::as_str);
        let (detail, status, told) = (refusal.reason(), refusal.status(), told.as_str());
        let connection = perform::name_of(self.core, connection);
        let address = address.map(tracing::field::display);
        match self.refusals.judge(kind, now) {
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
        let alert = if let Reason::Alert(number) = reason { Some(number) } else { None };
        let reason = reason.as_str();
        let connection = perform::name_of(self.core, connection);
        let address =
            permit.and_then(|permit| self.limiter.address(permit)).map(tracing::field::display);
        match sampled {
            Sampled::Line { suppressed } => {
                info!(reason, alert, address, connection, suppressed, "a TLS handshake has failed");
            }
            Sampled::Suppressed => {
                debug!(reason, alert, address, connection, "a TLS handshake has failed");
            }
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
        let sampled = self.ends.judge(reason as usize, now);
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
            let reason = ENDS[kind].as_str();
            info!(reason, suppressed, "more connections have ended");
        }
        while let Some((kind, suppressed)) = self.handshakes.overdue(now) {
            let reason = Reason::WORDS[kind];
            info!(reason, suppressed, "more TLS handshakes have failed");
        }
    }
}

/// All reasons, in the order of their declaration.
const ENDS: [EndReason; EndReason::COUNT] = [
    EndReason::Other,
    EndReason::ClientClosed,
    EndReason::ClientEnded,
    EndReason::ConnectionLost,
    EndReason::Answered,
    EndReason::Idle,
    EndReason::RequestTimeout,
    EndReason::Refused,
    EndReason::TurnedAway,
    EndReason::MessageTimeout,
    EndReason::Memory,
    EndReason::ProtocolFault,
    EndReason::ProxyHeader,
    EndReason::HandshakeFailed,
    EndReason::HandshakeTimeout,
    EndReason::HandshakeDisplaced,
    EndReason::HandshakeRate,
    EndReason::PlainHttp,
    EndReason::TlsOnPlain,
    EndReason::RecordFault,
    EndReason::RecordCut,
    EndReason::NoSignOfLife,
    EndReason::TooSlow,
    EndReason::TokenExpired,
    EndReason::ClosedByApplication,
    EndReason::GoingAway,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_reasons_are_found_by_their_number() {
        for (number, reason) in ENDS.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
