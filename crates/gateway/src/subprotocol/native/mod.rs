//! The subprotocol `ringway.v1.json`: text messages, each of them one JSON object.
//!
//! `data` is checked once to be JSON and then passed on byte for byte, so it keeps its length and
//! precision; nothing here builds a tree of it. A field that no command has is a fault, because it
//! may be misspelt; a field of another command is ignored.
//!
//! The faults of a message and their codes; the first that applies is reported:
//!
//! | message | code |
//! |---|---|
//! | not JSON (RFC 8259): empty, cut short, a byte order mark, something after the object | `not_json` |
//! | JSON, but an array, a string, a number, `true`, `false` or `null` | `wrong_type` |
//! | a field that no command has; the message names the nearest one | `unknown_field` |
//! | a field of the subprotocol given twice, which readers would understand differently | `wrong_type` |
//! | no `type` | `missing_field` |
//! | `type` is not a string | `wrong_type` |
//! | `type` is not a command | `unknown_type` |
//! | a field that the command needs is not there | `missing_field` |
//! | a field has the wrong type; `null` is a value only of `data`, and means that an optional field is absent | `wrong_type` |
//! | a string with an escape that is half a surrogate pair, except inside `data` | `wrong_type` |
//! | `ttl` is not a whole number of seconds in plain digits, or has more than 32 bits |
//! `wrong_type` |
//! | `to` is empty | `wrong_type` |
//! | `to` has more entries than the gateway allows | `too_many_recipients` |
//! | `id`, a topic, an event name or a recipient is empty, too long, or has control characters | `bad_name` |
//! | a topic, an event name or a recipient begins with `@` or `$`, or has a wildcard (`*` or `>` between dots) | `bad_name` |

pub(crate) mod fields;
pub(crate) mod read;
pub mod reply;
#[cfg(test)]
mod tests;

use super::{Codec, depth};
use crate::{
    memory::OutOfMemory,
    session::{
        command::{Command, CommandLimits},
        command_error::{CommandError, Fault},
        perform::Reply,
    },
};
pub use read::read;

/// Its name in a WebSocket handshake (RFC 6455 §1.9).
pub const NAME: &str = "ringway.v1.json";

/// The codec of `ringway.v1.json`.
pub struct Native;

impl Codec for Native {
    fn decode<'t>(
        &self,
        text: &'t str,
        limits: &CommandLimits,
    ) -> Result<Command<'t>, CommandError<'t>> {
        match read(text, limits)? {
            // Receivers parse the data that is passed on, and not all parsers handle deep nesting.
            Command::Notify { id, data, .. } | Command::Publish { id, data, .. }
                if !depth::is_within(data, limits.data_depth_max) =>
            {
                Err(Fault::too_deep(limits.data_depth_max).of(id))
            }
            command => Ok(command),
        }
    }

    fn encode_reply(&self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Result<(), OutOfMemory> {
        reply::reply(out, reply)
    }

    fn encode_error(&self, error: &CommandError<'_>, out: &mut Vec<u8>) {
        reply::error(out, error);
    }
}
