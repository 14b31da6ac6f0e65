//! Why a request is refused, and with which status.
//!
//! A peer's fault: small, `Copy`, and nothing is allocated for it.

mod connect_fault;

use ringway_frame::handshake::HandshakeError;
use ringway_http::{HttpError, KeepAlive};

pub use self::connect_fault::{Parameter, VisitFault};

use crate::{
    config::{reference::ConfigReference, settings::Settings},
    memory::OutOfMemory,
};

/// A refused request or connection. The connection is closed after all but those whose head was
/// sound, so that the end of the request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The message is not sound HTTP, or larger than it may be.
    Http(HttpError),
    /// The request did not come in time.
    Timeout,
    /// RFC 9110 §15.6.5: who the client is was not found out in time, or too many wait for that.
    IdentityUnavailable,
    /// Nothing is here.
    NotFound,
    /// The route allows only these methods.
    Method(Methods),
    /// The query is unsound.
    ConnectParams(VisitFault),
    /// RFC 6455 §4.2.2: no WebSocket handshake.
    Handshake(HandshakeError),
    /// A page of another origin, which may not use the gateway.
    ForeignOrigin,
    /// RFC 9110 §15.5.20: a name under which the private API must not be asked for.
    ForeignHost,
    /// No room for another connection.
    Full,
    /// This address has its share of connections.
    AddressFull,
    /// What may be buffered for clients is used up.
    Memory,
}

/// The class of a refusal, as the metrics and the log count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// No sound HTTP.
    Malformed,
    /// Something is longer than it may be.
    TooLarge,
    /// It did not come in time.
    Timeout,
    /// No such route, or not for this method.
    Route,
    /// The query.
    Query,
    /// The type of the body, or what was expected of it.
    Body,
    /// The WebSocket handshake.
    Handshake,
    /// The page that it comes from.
    Origin,
    /// The gateway is short of memory.
    Memory,
    /// Who the client is could not be found out.
    Identity,
}

impl ErrorClass {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
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

    /// The word.
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
        }
    }
}

/// The methods that a route knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// Of a page.
    Page,
    /// Of what is only read as it happens.
    Events,
    /// Of what is only sent to.
    Send,
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
            | Self::ConnectParams(
                VisitFault::Forbidden | VisitFault::NotGranted | VisitFault::ForeignOrigin,
            ) => 403,
            Self::ConnectParams(_) => 400,
            Self::NotFound => 404,
            Self::Method(_) => 405,
            Self::Timeout => 408,
            Self::AddressFull => 429,
            Self::Full | Self::Memory => 503,
            Self::IdentityUnavailable => 504,
            Self::Http(error) => error.status(),
            Self::Handshake(error) => error.status(),
        }
    }

    /// What it is for; `None`: there was no request yet.
    pub fn class(self) -> Option<ErrorClass> {
        Some(match self {
            Self::Http(error) => ErrorClass::of(error),
            Self::Timeout => ErrorClass::Timeout,
            Self::NotFound | Self::Method(_) => ErrorClass::Route,
            Self::ForeignOrigin | Self::ForeignHost => ErrorClass::Origin,
            Self::ConnectParams(_) => ErrorClass::Query,
            Self::Handshake(_) => ErrorClass::Handshake,
            Self::Memory => ErrorClass::Memory,
            Self::IdentityUnavailable => ErrorClass::Identity,
            Self::Full | Self::AddressFull => return None,
        })
    }

    /// A sentence for the reader of the response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Http(error) => error.reason(),
            Self::Timeout => "The request did not arrive in time.",
            Self::IdentityUnavailable => "The client could not be identified in time.",
            Self::NotFound => "Nothing is here.",
            Self::Method(Methods::Page) => "This page is read with GET or HEAD.",
            Self::Method(Methods::Events) => "Events are read with GET, or asked about with HEAD.",
            Self::Method(Methods::Send) => "This is sent to with POST.",
            Self::ConnectParams(fault) => fault.reason(),
            Self::ForeignOrigin => "Pages of this origin may not use this server.",
            Self::ForeignHost => "The private API is not known by this Host name.",
            Self::Full => "The server holds as many connections as it can.",
            Self::AddressFull => "Too many connections come from this address.",
            Self::Memory => HttpError::OutOfMemory.reason(),
            Self::Handshake(error) => error.reason(),
        }
    }

    /// The stable word for programs.
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
            Self::Handshake(_) => "handshake",
            Self::ForeignHost => "foreign_host",
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::Memory => HttpError::OutOfMemory.code(),
        }
    }

    /// What it says of the configuration.
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
                | Self::Memory
                | Self::IdentityUnavailable
        )
    }

    /// Header lines that the status calls for.
    pub fn fields(self) -> &'static str {
        match self {
            // RFC 9110 §15.5.6
            Self::Method(methods) => methods.allow(),
            _ => match self.status() {
                405 => "Allow: GET\r\n",
                // RFC 6455 §4.4, RFC 9110 §15.5.22
                426 => "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
                429 | 503 | 504 => "Retry-After: 5\r\n",
                _ => "",
            },
        }
    }

    /// Whether the connection can carry another request.
    pub fn after(self) -> KeepAlive {
        match self {
            Self::NotFound
            | Self::IdentityUnavailable
            | Self::Method(_)
            | Self::ConnectParams(_)
            | Self::ForeignOrigin
            | Self::Http(HttpError::MediaType | HttpError::Expectation) => KeepAlive::Yes,
            Self::Handshake(HandshakeError::Body) => KeepAlive::Close,
            Self::Handshake(_) => KeepAlive::Yes,
            _ => KeepAlive::Close,
        }
    }
}

impl Methods {
    /// The header line that names them.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Page => "Allow: GET, HEAD\r\n",
            Self::Events => "Allow: GET, HEAD, OPTIONS\r\n",
            Self::Send => "Allow: POST, OPTIONS\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use ringway_frame::handshake::HandshakeError;
    use serde_json::Value;

    use super::*;
    use crate::config::Config;
    use crate::edge::cors::Cors;
    use crate::edge::response::Part;
    use crate::edge::response::Refused;

    /// All that have no parts, and one of each kind that has.
    const ALL: [Refusal; 28] = [
        Refusal::Http(HttpError::Malformed),
        Refusal::Http(HttpError::TargetTooLong),
        Refusal::Http(HttpError::HeadTooLarge),
        Refusal::Http(HttpError::TooManyFields),
        Refusal::Http(HttpError::Version),
        Refusal::Http(HttpError::Host),
        Refusal::Http(HttpError::Framing),
        Refusal::Http(HttpError::Coding),
        Refusal::Http(HttpError::Chunk),
        Refusal::Http(HttpError::TrailersTooLarge),
        Refusal::Http(HttpError::BodyTooLarge),
        Refusal::Http(HttpError::MediaType),
        Refusal::Http(HttpError::Expectation),
        Refusal::Timeout,
        Refusal::IdentityUnavailable,
        Refusal::NotFound,
        Refusal::Method(Methods::Page),
        Refusal::ConnectParams(VisitFault::Cursor),
        Refusal::ConnectParams(VisitFault::TooManyTopics),
        Refusal::ConnectParams(VisitFault::Forbidden),
        Refusal::ConnectParams(VisitFault::ForeignOrigin),
        Refusal::Handshake(HandshakeError::Body),
        Refusal::ForeignOrigin,
        Refusal::ForeignHost,
        Refusal::Full,
        Refusal::AddressFull,
        Refusal::Memory,
        Refusal::Method(Methods::Send),
    ];

    /// Keys that list what is allowed, and limit no number.
    const LISTS: [&str; 3] =
        ["cors.allowed_origins", "clients.may_subscribe", "server.api_allowed_hosts"];

    #[test]
    fn every_refusal_with_a_key_says_the_value_of_its_limit() {
        let settings = Settings::from_config(&Config::default());
        let settings = Settings { connections_max: 7, memory_bytes: 1 << 30, ..settings };
        let mut limits = 0;
        for refusal in ALL {
            let mut out = Vec::new();
            Refused::by(refusal, &settings).write(
                &mut out,
                &Cors::Silent,
                Part::Whole,
                KeepAlive::Close,
            );
            let text = String::from_utf8(out).unwrap();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let problem: Value = serde_json::from_str(body).unwrap();
            let detail = problem["detail"].as_str().unwrap();
            let Some(key) = problem["key"].as_str() else {
                let of_limit = [408, 413, 414, 429, 431, 503].contains(&refusal.status());
                assert!(
                    !of_limit || refusal == Refusal::Http(HttpError::TrailersTooLarge),
                    "{problem}"
                );
                continue;
            };
            assert!(detail.contains(key), "{problem}");
            if LISTS.contains(&key) {
                assert_eq!(problem.get("limit"), None, "{problem}");
                continue;
            }
            let limit = problem["limit"].as_u64().unwrap_or_else(|| panic!("{problem}"));
            assert!(detail.contains(&format!("at most {limit} ")), "{problem}");
            limits += 1;
        }
        assert_eq!(limits, 9);
    }
}
