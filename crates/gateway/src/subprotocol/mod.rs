//! The messages between clients and the gateway, independent of the transport: a [`Codec`] for each
//! subprotocol turns messages into commands, and replies into messages.
//!
//! A new subprotocol is a folder here and a line in [`Subprotocol`]; how its events look is for
//! `encoding`. Nothing here touches the hub or writes to a connection.

pub mod depth;
pub mod native;

use std::{sync::Arc, time::Duration};

use crate::{
    broker::{Awaited, Missed},
    config::settings::Settings,
    limits::COMMAND_COST,
    memory::OutOfMemory,
    session::{
        command::{Command, CommandLimits},
        command_error::{CommandError, ErrorCode, Fault},
        core_hub::CoreHub,
        perform::{self, Caller, Performed, Reply, no_memory},
    },
};

/// One subprotocol.
pub trait Codec {
    /// Reads a command.
    ///
    /// # Errors
    /// The text is not a command, or exceeds a limit.
    fn decode<'t>(
        &self,
        text: &'t str,
        limits: &CommandLimits,
    ) -> Result<Command<'t>, CommandError<'t>>;

    /// Appends the reply to a command.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing was appended.
    fn encode_reply(&self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Result<(), OutOfMemory>;

    /// Appends the reason why a command was not performed.
    fn encode_error(&self, error: &CommandError<'_>, out: &mut Vec<u8>);
}

/// The subprotocols of `/ws`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subprotocol {
    /// One JSON object in each text message.
    #[default]
    Native,
}

impl Subprotocol {
    /// The name that is negotiated.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => native::NAME,
        }
    }

    /// RFC 6455 §4.2.2: the first known one, in the client's order of preference.
    pub fn choose<'o>(mut offered: impl Iterator<Item = &'o str>) -> Option<Self> {
        offered.find_map(|name| (name == Self::Native.name()).then_some(Self::Native))
    }

    /// Its codec.
    pub fn codec(self) -> &'static dyn Codec {
        match self {
            Self::Native => &native::Native,
        }
    }
}

/// The result of a command.
#[derive(Debug)]
pub enum Verdict {
    /// The command was performed.
    Done,
    /// It was performed, but some events that it asked for have left the history: the caller
    /// reports that gap after the answer.
    DoneWithGap(Missed),
    /// It was not performed; the answer says why.
    Refused(ErrorCode),
    /// Its event has no place in the log yet; nothing was answered.
    Awaited(Arc<Awaited>),
}

/// Performs the command in `text` and appends the answer to `out`.
pub fn serve(
    codec: &dyn Codec,
    text: &str,
    caller: &mut Caller<'_>,
    hub: &mut CoreHub,
    settings: &Settings,
    now: Duration,
    out: &mut Vec<u8>,
) -> Verdict {
    hub.spend(COMMAND_COST + text.len());
    let limits = CommandLimits {
        recipients_max: settings.clients.recipients_max,
        data_depth_max: settings.clients.data_depth_max,
    };
    let reply = codec
        .decode(text, &limits)
        .and_then(|command| perform::perform(command, caller, hub, settings, now));
    match reply {
        Ok(Performed::Done(reply)) => answer(codec, Ok(reply), settings, out),
        Ok(Performed::Awaited(awaited)) => Verdict::Awaited(awaited),
        Err(error) => answer(codec, Err(error), settings, out),
    }
}

/// Appends the answer to a command.
pub fn answer(
    codec: &dyn Codec,
    reply: Result<Reply<'_>, CommandError<'_>>,
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Verdict {
    match reply {
        Ok(reply) => match codec.encode_reply(&reply, out) {
            Ok(()) => match reply {
                Reply::Subscribed { missed: Some(missed), .. } => Verdict::DoneWithGap(missed),
                _ => Verdict::Done,
            },
            Err(OutOfMemory) => refuse(codec, &no_memory(settings).of_reply(reply), out),
        },
        Err(error) => refuse(codec, &error, out),
    }
}

/// Refuses a message that is not text.
pub fn refuse_bytes(codec: &dyn Codec, out: &mut Vec<u8>) -> Verdict {
    let fault = Fault::new(ErrorCode::NotJson, "a command is JSON in UTF-8");
    refuse(codec, &fault.without_id(), out)
}

fn refuse(codec: &dyn Codec, error: &CommandError<'_>, out: &mut Vec<u8>) -> Verdict {
    codec.encode_error(error, out);
    Verdict::Refused(error.code)
}
