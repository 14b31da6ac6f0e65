//! What is wrong with a command, in a code for programs and a sentence for people.
//!
//! The codes are part of the subprotocol: they never change their meaning.

use std::{borrow::Cow, fmt};

use crate::{config::reference::ConfigReference, session::perform::Reply};

/// The stable code of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The message is not JSON.
    NotJson,
    /// There is no command of this type.
    UnknownType,
    /// The command needs a field that is not there.
    MissingField,
    /// No command has this field.
    UnknownField,
    /// A field, or the message, is not of the type that it must be.
    WrongType,
    /// A name is empty or too long, or has control characters or reserved signs.
    BadName,
    /// This is no cursor of ours.
    BadCursor,
    /// More recipients than the gateway allows.
    TooManyRecipients,
    /// More subscriptions than the gateway allows.
    TooManySubscriptions,
    /// This client may not do that.
    NotAllowed,
    /// The command has no meaning on this transport.
    NotOnThisTransport,
    /// The gateway is going away and takes no more events; the command may be sent again to another.
    GoingAway,
    /// There is no memory for the event now; the command may be sent again.
    OutOfMemory,
    /// The log does not take the event now; the command may be sent again.
    Unavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
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
        Self::NotOnThisTransport,
        Self::GoingAway,
        Self::OutOfMemory,
        Self::Unavailable,
    ];

    /// As it is written.
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

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError<'t> {
    /// For programs.
    pub code: ErrorCode,
    /// The command's own id, where it could be read.
    pub id: Option<Cow<'t, str>>,
    /// For people. It repeats nothing that the client sent but names of fields.
    pub message: Cow<'static, str>,
    /// The configuration key that it comes from, which `message` names, too.
    pub reference: Option<ConfigReference>,
}

/// What is wrong, before it is known whose command it is.
#[derive(Debug)]
pub struct Fault {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// The configuration key that it comes from.
    pub reference: Option<ConfigReference>,
}

impl Fault {
    /// Not of a limit.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), reference: None }
    }

    /// Receivers could not parse data of more levels than this.
    pub fn too_deep(depth_max: usize) -> Self {
        let limit = ConfigReference::count("clients.data_depth_max", depth_max, "levels");
        Self::of_limit(ErrorCode::WrongType, "\"data\" is nested too deep", limit)
    }

    /// As the error of a command of this id.
    pub fn of(self, id: Cow<'_, str>) -> CommandError<'_> {
        let Self { code, message, reference } = self;
        CommandError { code, id: Some(id), message, reference }
    }

    /// As the error of a command that was carried out and has this reply.
    pub fn of_reply(self, reply: Reply<'_>) -> CommandError<'_> {
        let Self { code, message, reference } = self;
        let id = match reply {
            Reply::Position { id, .. } => id,
            Reply::Accepted { id, .. } | Reply::Subscribed { id, .. } => Some(id),
        };
        CommandError { code, id, message, reference }
    }

    /// A limit was met: `message` is completed by what it is.
    pub fn of_limit(code: ErrorCode, message: &str, reference: ConfigReference) -> Self {
        let message = format!("{message}: {reference}").into();
        Self { code, message, reference: Some(reference) }
    }
}
