//! The subprotocol's messages, as a client writes and reads them. Each module tests one direction;
//! none of them knows how the parser works.

mod hostile;
mod properties;
mod reading;
mod writing;

use crate::{
    session::{
        command::{Command, CommandLimits},
        command_error::{CommandError, ErrorCode},
    },
    subprotocol::native::read,
};

const LIMITS: CommandLimits = CommandLimits { recipients_max: 3, data_depth_max: 128 };

fn fault(text: &str) -> CommandError<'_> {
    match read(text, &LIMITS) {
        Err(error) => error,
        Ok(command) => panic!("{text:.200} is {command:?}"),
    }
}

fn code(text: &str) -> ErrorCode {
    fault(text).code
}

fn accepted(text: &str) -> Command<'_> {
    read(text, &LIMITS).unwrap_or_else(|error| panic!("{text:.200}: {error:?}"))
}
