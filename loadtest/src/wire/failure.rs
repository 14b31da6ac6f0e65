//! The reason for which a connection could not be opened or was lost: a name under which it is
//! counted.
//!
//! The names are part of the JSON output, so they are stable. It does not decide what to do next.

use std::{borrow::Cow, fmt};

use ringway_acceptor::Failure;
use ringway_frame::{CloseCode, ProtocolError, handshake::client::ResponseError};
use ringway_http::HttpError;
use ringway_tls::{Fault, Reason as HandshakeFault};

/// A reason, as one word with underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(Cow<'static, str>);

impl Reason {
    /// The response to the handshake did not arrive in time.
    pub const HANDSHAKE_TIMED_OUT: Self = Self(Cow::Borrowed("handshake_timed_out"));
    /// The server ended the stream before its response was complete.
    pub const HANDSHAKE_CUT: Self = Self(Cow::Borrowed("handshake_cut"));
    /// The head of the response is too long.
    pub const HANDSHAKE_TOO_LONG: Self = Self(Cow::Borrowed("handshake_too_long"));
    /// The stream ended without a Close frame.
    pub const ENDED_WITHOUT_CLOSE: Self = Self(Cow::Borrowed("ended_without_close"));
    /// No port is left for a connection from this address to the server, or this host does not have
    /// the address.
    pub const NO_PORT_LEFT: Self = Self(Cow::Borrowed("no_port_left"));
    /// A message was due on a connection that was not open, and was not sent.
    pub const NOT_CONNECTED: Self = Self(Cow::Borrowed("not_connected"));
    /// A message was due while the server had too much to read, and was not sent.
    pub const SERVER_DOES_NOT_READ: Self = Self(Cow::Borrowed("server_does_not_read"));

    /// A name that contains a measured value.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// connect(2), or a step before it, failed.
    pub fn of_connect(failure: Failure) -> Self {
        Self(match failure.0 {
            libc::ECONNREFUSED => "connect_refused".into(),
            libc::ETIMEDOUT => "connect_timed_out".into(),
            libc::ENETUNREACH | libc::EHOSTUNREACH => "connect_unreachable".into(),
            libc::ECONNRESET => "connect_reset".into(),
            libc::EADDRNOTAVAIL => return Self::NO_PORT_LEFT,
            libc::EMFILE | libc::ENFILE => "no_descriptor_left".into(),
            errno => format!("connect_errno_{errno}").into(),
        })
    }

    /// An open connection broke.
    pub fn of_failure(failure: Failure) -> Self {
        match failure.0 {
            _ if failure.is_reset() => Self("reset".into()),
            libc::ETIMEDOUT => Self("timed_out".into()),
            errno => Self(format!("errno_{errno}").into()),
        }
    }

    /// A connection broke between connect(2) and the response.
    pub fn of_handshake_failure(failure: Failure) -> Self {
        Self(match failure.0 {
            _ if failure.is_reset() => "handshake_reset".into(),
            libc::ETIMEDOUT => "handshake_timed_out".into(),
            errno => format!("handshake_errno_{errno}").into(),
        })
    }

    /// The response was not a 101, or did not match the request.
    pub fn of_response(error: ResponseError) -> Self {
        Self(match error {
            ResponseError::Malformed => "handshake_not_http".into(),
            ResponseError::Status(status) => format!("handshake_status_{status}").into(),
            ResponseError::Upgrade | ResponseError::Connection => "handshake_no_upgrade".into(),
            ResponseError::Accept => "handshake_wrong_accept".into(),
            ResponseError::Subprotocol => "handshake_wrong_subprotocol".into(),
            ResponseError::Extension => "handshake_wrong_extension".into(),
        })
    }

    /// A response was not valid HTTP.
    pub fn of_http(error: HttpError) -> Self {
        Self::named(match error {
            HttpError::HeadTooLarge | HttpError::TooManyFields | HttpError::TrailersTooLarge => {
                "response_too_long"
            }
            _ => "response_not_http",
        })
    }

    /// The server violated TLS, or its certificate is not trusted.
    pub fn of_tls(fault: Fault) -> Self {
        Self(match fault {
            Fault::Handshake(HandshakeFault::Certificate(fault)) => {
                format!("tls_certificate_{}", fault.as_str()).into()
            }
            Fault::Handshake(HandshakeFault::Alert(alert)) | Fault::Alert(alert) => {
                format!("tls_alert_{alert}").into()
            }
            Fault::Handshake(HandshakeFault::NotTls) | Fault::PlainHttp => "tls_not_tls".into(),
            Fault::Handshake(HandshakeFault::Version | HandshakeFault::NothingInCommon) => {
                "tls_incompatible".into()
            }
            Fault::Handshake(HandshakeFault::Protocol | HandshakeFault::Other)
            | Fault::Record
            | Fault::OutOfMemory => "tls_error".into(),
        })
    }

    /// The server violated RFC 6455; the code is the one with which a client would close.
    pub fn of_protocol(error: ProtocolError) -> Self {
        Self(format!("protocol_error_{}", u16::from(error.close_code())).into())
    }

    /// The server closed the connection, with its close code.
    pub fn of_close(code: Option<CloseCode>) -> Self {
        Self(match code {
            Some(code) => format!("closed_{}", u16::from(code)).into(),
            None => "closed_without_code".into(),
        })
    }

    /// The name of the reason.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
