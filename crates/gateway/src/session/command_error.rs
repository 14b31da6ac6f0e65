//! What is wrong with a command, as a code for programs and a sentence for people.
//!
//! The codes are part of the subprotocol: they never change their meaning.

use std::{borrow::Cow, time::Duration};

pub use crate::refusal::ErrorCode;
use crate::{config::reference::ConfigReference, session::perform::Reply};

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
    /// When the command may be sent again, if the client has only been too fast.
    pub retry_after: Option<Duration>,
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
    /// As in [`CommandError`].
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault that is not about a limit.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), reference: None, retry_after: None }
    }

    /// The data has more levels than this, which receivers could not parse.
    pub fn too_deep(depth_max: usize) -> Self {
        let limit = ConfigReference::count("clients.data_depth_max", depth_max, "levels");
        Self::of_limit(ErrorCode::WrongType, "\"data\" is nested too deep", limit)
    }

    /// The error of the command with this id.
    pub fn of(self, id: Cow<'_, str>) -> CommandError<'_> {
        CommandError { id: Some(id), ..self.without_id() }
    }

    /// The error of a command that was performed and has this reply.
    pub fn of_reply(self, reply: Reply<'_>) -> CommandError<'_> {
        let id = match reply {
            Reply::Position { id, .. } => id,
            Reply::Accepted { id, .. }
            | Reply::Subscribed { id, .. }
            | Reply::Refreshed { id, .. } => Some(id),
        };
        CommandError { id, ..self.without_id() }
    }

    /// The error of a command whose id is not known.
    pub fn without_id<'t>(self) -> CommandError<'t> {
        let Self { code, message, reference, retry_after } = self;
        CommandError { code, id: None, message, reference, retry_after }
    }

    /// A limit was exceeded; `message` is followed by its value and key.
    pub fn of_limit(code: ErrorCode, message: &str, reference: ConfigReference) -> Self {
        let message = format!("{message}: {reference}").into();
        Self { code, message, reference: Some(reference), retry_after: None }
    }
}
