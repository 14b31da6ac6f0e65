//! Why a request is refused, and with which status.
//!
//! A peer's fault: small, `Copy`, and nothing is allocated for it.

use ringway_frame::handshake::HandshakeError;

/// A refused request. The connection is closed after all but `NotFound`, `Method` and
/// `Handshake` faults, whose requests were read to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 9112: the head is not one.
    Malformed,
    /// RFC 9112 §3: the target is longer than `target_bytes_max`.
    TargetTooLong,
    /// RFC 6585 §5: the head is longer than `header_bytes_max`.
    HeadTooLarge,
    /// RFC 6585 §5: more fields than `header_fields_max`.
    TooManyFields,
    /// RFC 9110 §15.6.6: not HTTP/1.
    Version,
    /// RFC 9112 §3.2: no Host, or two.
    Host,
    /// RFC 9112 §6.3: Content-Length with Transfer-Encoding, or not one number.
    Framing,
    /// The head did not come in time.
    Timeout,
    /// Nothing is here.
    NotFound,
    /// The page is read with GET or HEAD.
    Method,
    /// RFC 6455 §4.2.2: no WebSocket handshake.
    Handshake(HandshakeError),
    /// No room for another connection.
    Full,
    /// This address has its share of connections.
    AddressFull,
}

/// What becomes of the connection after the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may follow.
    KeepAlive,
    /// Nothing that follows can be trusted, or is wanted.
    Close,
}

impl Refusal {
    /// Status code and its phrase.
    pub fn status(self) -> (u16, &'static str) {
        match self {
            Self::Malformed | Self::Host | Self::Framing => (400, "Bad Request"),
            Self::NotFound => (404, "Not Found"),
            Self::Method => (405, "Method Not Allowed"),
            Self::Timeout => (408, "Request Timeout"),
            Self::TargetTooLong => (414, "URI Too Long"),
            Self::HeadTooLarge | Self::TooManyFields => (431, "Request Header Fields Too Large"),
            Self::Full => (503, "Service Unavailable"),
            Self::AddressFull => (429, "Too Many Requests"),
            Self::Version => (505, "HTTP Version Not Supported"),
            Self::Handshake(error) => match error.status() {
                405 => (405, "Method Not Allowed"),
                426 => (426, "Upgrade Required"),
                _ => (400, "Bad Request"),
            },
        }
    }

    /// A sentence for whoever reads the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "This is not an HTTP/1.1 request.",
            Self::TargetTooLong => "The request target is too long.",
            Self::HeadTooLarge => "The request's header is too large.",
            Self::TooManyFields => "The request has too many header fields.",
            Self::Version => "This server speaks HTTP/1.1.",
            Self::Host => "A request has exactly one Host field.",
            Self::Framing => "The length of the request's body is ambiguous.",
            Self::Timeout => "The request did not arrive in time.",
            Self::NotFound => "Nothing is here.",
            Self::Method => "This page is read with GET or HEAD.",
            Self::Full => "The server holds as many connections as it can.",
            Self::AddressFull => "Too many connections come from this address.",
            Self::Handshake(error) => error.reason(),
        }
    }

    /// Header lines that the status calls for.
    pub fn fields(self) -> &'static str {
        match self.status().0 {
            // RFC 9110 §15.5.6
            405 if self == Self::Method => "Allow: GET, HEAD\r\n",
            405 => "Allow: GET\r\n",
            // RFC 6455 §4.4, RFC 9110 §15.5.22
            426 => "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
            429 | 503 => "Retry-After: 5\r\n",
            _ => "",
        }
    }

    /// Whether the connection can carry another request.
    pub fn after(self) -> After {
        match self {
            Self::NotFound | Self::Method => After::KeepAlive,
            Self::Handshake(HandshakeError::Body) => After::Close,
            Self::Handshake(_) => After::KeepAlive,
            _ => After::Close,
        }
    }
}
