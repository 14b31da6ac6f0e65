//! The reasons for refusing a request, and their status codes.
//!
//! These are faults of a peer: small, `Copy`, and without an allocation.

mod certificate_fault;
mod connect_fault;
mod end_reason;
mod error_code;
mod methods;
#[cfg(test)]
mod tests;
mod token_fault;
mod upstream_fault;

use ringway_frame::handshake::HandshakeError;
use ringway_http::{HttpError, KeepAlive};

pub use self::{
    certificate_fault::CertificateFault,
    connect_fault::{Parameter, VisitFault},
    end_reason::EndReason,
    error_code::ErrorCode,
    methods::Methods,
    token_fault::TokenFault,
    upstream_fault::UpstreamFault,
};

use crate::{
    config::{reference::ConfigReference, settings::Settings},
    memory::OutOfMemory,
    rates::Measure,
};

/// A refused request or connection. The connection stays open only after a request with a valid
/// head, because only then the end of the request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The message is not valid HTTP, or too large.
    Http(HttpError),
    /// The request did not arrive in time.
    Timeout,
    /// RFC 9110 §15.6.5: the client was not identified in time, or too many requests wait for that.
    IdentityUnavailable,
    /// The route does not exist.
    NotFound,
    /// The route allows only these methods.
    Method(Methods),
    /// The query is invalid.
    ConnectParams(VisitFault),
    /// RFC 9110 §15.5.2: the token is not accepted.
    Token(TokenFault),
    /// RFC 9110 §15.5.4: the client's certificate does not name this client.
    Certificate(CertificateFault),
    /// The application has revoked the client.
    Revoked,
    /// The application has refused the client, with this status.
    ByApplication(u16),
    /// RFC 9110 §15.6.5: the application was asked about the client, and has not answered.
    Unanswered,
    /// RFC 6455 §4.2.2: not a valid WebSocket handshake.
    Handshake(HandshakeError),
    /// The page's origin may not use the gateway.
    ForeignOrigin,
    /// RFC 9110 §15.5.20: a Host name that is not allowed for the private API.
    ForeignHost,
    /// The process is at its limit of connections.
    Full,
    /// This address is at its limit of connections.
    AddressFull,
    /// This client is at its limit of connections.
    ClientFull,
    /// The connection has sent more than it may of this, and such connections are closed.
    TooFast(Measure),
    /// The memory for client buffers is used up.
    Memory,
    /// Another server should serve the request, and does not.
    Upstream(UpstreamFault),
}

/// The class of a refusal in metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Invalid HTTP.
    Malformed,
    /// A part of the request exceeds its limit.
    TooLarge,
    /// The request did not arrive in time.
    Timeout,
    /// The route does not exist, or not for this method.
    Route,
    /// The query is invalid.
    Query,
    /// The body's type, or the request's `Expect` field, is not supported.
    Body,
    /// The WebSocket handshake is invalid.
    Handshake,
    /// The page's origin is not allowed.
    Origin,
    /// The gateway is short of memory.
    Memory,
    /// The client could not be identified.
    Identity,
    /// The client has as many connections as it may have.
    ClientFull,
    /// The connection has sent more than it may.
    Rate,
    /// The server of the route did not serve it.
    Upstream,
}

impl ErrorClass {
    /// All classes, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Timeout,
        Self::Route,
        Self::Query,
        Self::Body,
        Self::Handshake,
        Self::Origin,
        Self::Memory,
        Self::Identity,
        Self::ClientFull,
        Self::Rate,
        Self::Upstream,
    ];

    fn of(error: HttpError) -> Self {
        match error {
            HttpError::Malformed
            | HttpError::Version
            | HttpError::Host
            | HttpError::Framing
            | HttpError::Coding
            | HttpError::Chunk => Self::Malformed,
            HttpError::TargetTooLong
            | HttpError::HeadTooLarge
            | HttpError::TooManyFields
            | HttpError::TrailersTooLarge
            | HttpError::BodyTooLarge => Self::TooLarge,
            HttpError::MediaType | HttpError::Expectation => Self::Body,
            HttpError::OutOfMemory => Self::Memory,
        }
    }

    /// The class's label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Route => "route",
            Self::Query => "query",
            Self::Body => "body",
            Self::Handshake => "handshake",
            Self::Origin => "origin",
            Self::Memory => "memory",
            Self::Identity => "identity",
            Self::ClientFull => "client_full",
            Self::Rate => "rate",
            Self::Upstream => "upstream",
        }
    }
}

impl From<HttpError> for Refusal {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::OutOfMemory => Self::Memory,
            error => Self::Http(error),
        }
    }
}

impl From<OutOfMemory> for Refusal {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::Memory
    }
}

impl Refusal {
    /// The status code.
    pub fn status(self) -> u16 {
        match self {
            Self::ForeignHost => 421,
            Self::ForeignOrigin
            | Self::Revoked
            | Self::Certificate(_)
            | Self::ConnectParams(
                VisitFault::Forbidden | VisitFault::NotGranted | VisitFault::ForeignOrigin,
            ) => 403,
            Self::ConnectParams(_) => 400,
            Self::Token(_) => 401,
            Self::NotFound => 404,
            Self::Method(_) => 405,
            Self::Timeout => 408,
            Self::AddressFull | Self::ClientFull | Self::TooFast(_) => 429,
            Self::Full | Self::Memory => 503,
            Self::IdentityUnavailable | Self::Unanswered => 504,
            Self::ByApplication(status) => status,
            Self::Http(error) => error.status(),
            Self::Handshake(error) => error.status(),
            Self::Upstream(fault) => fault.status(),
        }
    }

    /// The refusal's class; `None` if it came before any request.
    pub fn class(self) -> Option<ErrorClass> {
        Some(match self {
            Self::Http(error) => ErrorClass::of(error),
            Self::Timeout => ErrorClass::Timeout,
            Self::NotFound | Self::Method(_) => ErrorClass::Route,
            Self::ForeignOrigin | Self::ForeignHost => ErrorClass::Origin,
            Self::ConnectParams(_) => ErrorClass::Query,
            Self::Handshake(_) => ErrorClass::Handshake,
            Self::Memory => ErrorClass::Memory,
            Self::IdentityUnavailable
            | Self::Token(_)
            | Self::Certificate(_)
            | Self::Revoked
            | Self::ByApplication(_)
            | Self::Unanswered => ErrorClass::Identity,
            Self::ClientFull => ErrorClass::ClientFull,
            Self::TooFast(_) => ErrorClass::Rate,
            Self::Upstream(_) => ErrorClass::Upstream,
            Self::Full | Self::AddressFull => return None,
        })
    }

    /// The `detail` of the response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Http(error) => error.reason(),
            Self::Timeout => "The request did not arrive in time.",
            Self::IdentityUnavailable => "The client could not be identified in time.",
            Self::NotFound => "Nothing is here.",
            Self::Method(Methods::Page) => "This page is read with GET or HEAD.",
            Self::Method(Methods::Events) => "Events are read with GET, or asked about with HEAD.",
            Self::Method(Methods::Proxied) => "This method is not passed on to servers.",
            Self::Method(Methods::Send) => "Requests to this path use POST.",
            Self::ConnectParams(fault) => fault.reason(),
            Self::Token(fault) => fault.reason(),
            Self::Certificate(fault) => fault.reason(),
            Self::Revoked => "This client was revoked and may not connect until that ends.",
            Self::ByApplication(_) => "The application refuses this client.",
            Self::Unanswered => "The application was asked about this client and has not answered.",
            Self::ForeignOrigin => "Pages of this origin may not use this server.",
            Self::ForeignHost => "The private API does not accept this Host name.",
            Self::Full => "The server holds as many connections as it can.",
            Self::AddressFull => "Too many connections come from this address.",
            Self::ClientFull => "This client has too many connections.",
            Self::TooFast(measure) => measure.excess(),
            Self::Memory => HttpError::OutOfMemory.reason(),
            Self::Handshake(error) => error.reason(),
            Self::Upstream(fault) => fault.reason(),
        }
    }

    /// The stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Http(error) => error.code(),
            Self::Timeout => "timeout",
            Self::IdentityUnavailable => "identity_unavailable",
            Self::NotFound => "not_found",
            Self::Method(_) => "method",
            Self::ForeignOrigin | Self::ConnectParams(VisitFault::ForeignOrigin) => {
                "foreign_origin"
            }
            Self::ConnectParams(VisitFault::Forbidden | VisitFault::NotGranted) => "not_allowed",
            Self::ConnectParams(VisitFault::TooManyTopics) => "too_many_subscriptions",
            Self::ConnectParams(_) => "query",
            Self::Token(fault) => fault.code(),
            Self::Certificate(_) => "certificate",
            Self::Revoked => "revoked",
            Self::ByApplication(_) => "refused",
            Self::Unanswered => "application_unavailable",
            Self::Handshake(_) => "handshake",
            Self::ForeignHost => "foreign_host",
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::ClientFull => "client_full",
            Self::TooFast(_) => "rate",
            Self::Memory => HttpError::OutOfMemory.code(),
            Self::Upstream(fault) => fault.code(),
        }
    }

    /// The configuration key that the refusal refers to.
    pub fn reference(self, settings: &Settings) -> Option<ConfigReference> {
        let clients = &settings.clients;
        Some(match self {
            Self::Http(error) => return Self::reference_of(error, settings),
            Self::Timeout => {
                ConfigReference::time("limits.handshake_timeout", settings.limits.handshake_timeout)
            }
            Self::ForeignOrigin | Self::ConnectParams(VisitFault::ForeignOrigin) => {
                ConfigReference::list("cors.allowed_origins")
            }
            Self::ConnectParams(VisitFault::Forbidden) => {
                ConfigReference::list("clients.may_subscribe")
            }
            Self::ConnectParams(VisitFault::TooManyTopics) => ConfigReference::count(
                "clients.subscriptions_max",
                clients.subscriptions_max,
                "topics per client",
            ),
            Self::ForeignHost => ConfigReference::list("server.api_allowed_hosts"),
            Self::Full => ConfigReference::count(
                "limits.connections_max",
                settings.connections_max as usize,
                "connections",
            ),
            Self::AddressFull => ConfigReference::count(
                "limits.connections_per_address_max",
                settings.limits.connections_per_address_max as usize,
                "connections per address",
            ),
            Self::ClientFull => ConfigReference::count(
                "limits.connections_per_client_max",
                settings.limits.connections_per_client_max as usize,
                "connections per client",
            ),
            Self::TooFast(measure) => measure.reference(&settings.limits),
            Self::Memory => ConfigReference::memory(settings.memory_bytes),
            _ => return None,
        })
    }

    fn reference_of(error: HttpError, settings: &Settings) -> Option<ConfigReference> {
        let head = settings.head();
        Some(match error {
            HttpError::TargetTooLong => {
                ConfigReference::bytes("limits.target_bytes_max", head.target_bytes_max)
            }
            HttpError::HeadTooLarge => {
                ConfigReference::bytes("limits.header_bytes_max", head.bytes_max)
            }
            HttpError::TooManyFields => {
                ConfigReference::count("limits.header_fields_max", head.fields_max, "header fields")
            }
            HttpError::BodyTooLarge => {
                let most = settings.websocket.message_bytes_max;
                ConfigReference::bytes("websocket.message_bytes_max", most)
            }
            _ => return None,
        })
    }

    /// Whether the same request may succeed later.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Full
                | Self::AddressFull
                | Self::ClientFull
                | Self::TooFast(_)
                | Self::Memory
                | Self::IdentityUnavailable
                | Self::Unanswered
                | Self::ByApplication(408 | 425 | 429 | 500..=599)
                | Self::Upstream(_)
                | Self::Token(TokenFault::KeyAwaited)
        )
    }

    /// Header fields that the status requires.
    pub fn fields(self) -> &'static str {
        match self {
            // RFC 9110 §15.5.6
            Self::Method(methods) => methods.allow(),
            // RFC 6750 §3: no error code for a request without a token.
            Self::Token(TokenFault::Missing) => "WWW-Authenticate: Bearer\r\n",
            Self::Token(TokenFault::KeyAwaited) => {
                "WWW-Authenticate: Bearer error=\"invalid_token\"\r\nRetry-After: 5\r\n"
            }
            Self::Token(_) => "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
            _ => match self.status() {
                405 => "Allow: GET\r\n",
                // RFC 6455 §4.4, RFC 9110 §15.5.22
                426 => "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
                429 | 502..=504 => "Retry-After: 5\r\n",
                _ => "",
            },
        }
    }

    /// Whether the connection can carry another request.
    pub fn after(self) -> KeepAlive {
        match self {
            Self::NotFound
            | Self::IdentityUnavailable
            | Self::Upstream(_)
            | Self::Method(_)
            | Self::ConnectParams(_)
            | Self::Token(_)
            | Self::Revoked
            | Self::ByApplication(_)
            | Self::Unanswered
            | Self::ClientFull
            | Self::ForeignOrigin
            | Self::Http(HttpError::MediaType | HttpError::Expectation) => KeepAlive::Yes,
            Self::Handshake(HandshakeError::Body) => KeepAlive::Close,
            Self::Handshake(_) => KeepAlive::Yes,
            _ => KeepAlive::Close,
        }
    }
}
