//! What is wrong with a command, as a code for programs and a sentence for people.
//!
//! The codes are part of the subprotocol: they never change their meaning.

use std::{borrow::Cow, fmt};

use crate::{config::reference::ConfigReference, session::perform::Reply};

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
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 15] = [
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
    ];

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
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a command was not performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError<'t> {
    /// For programs.
    pub code: ErrorCode,
    /// The command's own id, if it could be read.
    pub id: Option<Cow<'t, str>>,
    /// For people. Of the client's input it repeats only field names.
    pub message: Cow<'static, str>,
    /// The configuration key of the limit; `message` names it, too.
    pub reference: Option<ConfigReference>,
}

/// What is wrong, before the command's id is known.
#[derive(Debug)]
pub struct Fault {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// The configuration key of the limit.
    pub reference: Option<ConfigReference>,
}

impl Fault {
    /// A fault that is not about a limit.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), reference: None }
    }

    /// The data has more levels than this, which receivers could not parse.
    pub fn too_deep(depth_max: usize) -> Self {
        let limit = ConfigReference::count("clients.data_depth_max", depth_max, "levels");
        Self::of_limit(ErrorCode::WrongType, "\"data\" is nested too deep", limit)
    }

    /// The error of the command with this id.
    pub fn of(self, id: Cow<'_, str>) -> CommandError<'_> {
        let Self { code, message, reference } = self;
        CommandError { code, id: Some(id), message, reference }
    }

    /// The error of a command that was performed and has this reply.
    pub fn of_reply(self, reply: Reply<'_>) -> CommandError<'_> {
        let Self { code, message, reference } = self;
        let id = match reply {
            Reply::Position { id, .. } => id,
            Reply::Accepted { id, .. }
            | Reply::Subscribed { id, .. }
            | Reply::Refreshed { id, .. } => Some(id),
        };
        CommandError { code, id, message, reference }
    }

    /// A limit was exceeded; `message` is followed by its value and key.
    pub fn of_limit(code: ErrorCode, message: &str, reference: ConfigReference) -> Self {
        let message = format!("{message}: {reference}").into();
        Self { code, message, reference: Some(reference) }
    }
}
