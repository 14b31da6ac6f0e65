//! The codes of commands that were not performed.
//!
//! They are part of the subprotocol: they never change their meaning.

use std::fmt;

/// The stable code of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The message is not JSON.
    NotJson,
    /// No command has this type.
    UnknownType,
    /// The command lacks a required field.
    MissingField,
    /// No command has this field.
    UnknownField,
    /// A field, or the message, has the wrong type.
    WrongType,
    /// A name is empty or too long, or has control characters or reserved characters.
    BadName,
    /// The cursor was not issued by this gateway.
    BadCursor,
    /// The command has more recipients than the gateway allows.
    TooManyRecipients,
    /// The client would have more subscriptions than the gateway allows.
    TooManySubscriptions,
    /// The client lacks the grant.
    NotAllowed,
    /// The token of a `refresh` is not valid.
    TokenRefused,
    /// The command has no meaning on this transport.
    NotOnThisTransport,
    /// The gateway is going away and takes no more events; the command may be sent to another
    /// gateway.
    GoingAway,
    /// There is no memory for the event now; the command may be sent again.
    OutOfMemory,
    /// The log cannot take the event now; the command may be sent again.
    Unavailable,
    /// The client sends more events than it may; the error says when to send the command again.
    Rate,
}

impl ErrorCode {
    /// Every code, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::NotJson,
        Self::UnknownType,
        Self::MissingField,
        Self::UnknownField,
        Self::WrongType,
        Self::BadName,
        Self::BadCursor,
        Self::TooManyRecipients,
        Self::TooManySubscriptions,
        Self::NotAllowed,
        Self::TokenRefused,
        Self::NotOnThisTransport,
        Self::GoingAway,
        Self::OutOfMemory,
        Self::Unavailable,
        Self::Rate,
    ];

    /// The status of a response with this error.
    pub fn status(self) -> u16 {
        match self {
            Self::GoingAway | Self::OutOfMemory | Self::Unavailable => 503,
            // RFC 6585 §4
            Self::Rate => 429,
            _ => 400,
        }
    }

    /// Whether the client has made a mistake, or did not wait as it was told to.
    pub fn is_clients_fault(self) -> bool {
        self.status() < 500
    }

    /// The code as text.
    ///
    /// ```
    /// use ringway::session::command_error::ErrorCode;
    /// assert_eq!(ErrorCode::NotJson.as_str(), "not_json");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::UnknownType => "unknown_type",
            Self::MissingField => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::WrongType => "wrong_type",
            Self::BadName => "bad_name",
            Self::BadCursor => "bad_cursor",
            Self::TooManyRecipients => "too_many_recipients",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::NotAllowed => "not_allowed",
            Self::TokenRefused => "token_refused",
            Self::NotOnThisTransport => "not_on_this_transport",
            Self::GoingAway => "going_away",
            Self::OutOfMemory => "out_of_memory",
            Self::Unavailable => "unavailable",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
