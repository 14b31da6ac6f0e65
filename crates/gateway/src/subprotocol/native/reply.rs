//! Writes replies and errors.

use crate::{
    config::reference::ConfigReference,
    encoding::native::{ack, ack_bytes_max, ack_until, ack_with_outcome, begin, member, pong},
    memory::{OutOfMemory, make_room},
    session::{command_error::CommandError, perform::Reply},
};

/// Appends a reply.
///
/// # Errors
/// [`OutOfMemory`]; nothing was appended.
pub fn reply(out: &mut Vec<u8>, reply: &Reply<'_>) -> Result<(), OutOfMemory> {
    match reply {
        Reply::Position { id, cursor } => pong(out, &cursor.to_string(), id.as_deref()),
        Reply::Subscribed { id, cursor, .. } => ack(out, id, &cursor.to_string()),
        Reply::Refreshed { id, cursor, expires_at } => {
            ack_until(out, id, &cursor.to_string(), *expires_at);
        }
        Reply::Accepted { id, receipt } => {
            let cursor = receipt.cursor.to_string();
            let (Some(outcome), Some(names)) = (receipt.outcome(), receipt.outcome()) else {
                ack(out, id, &cursor);
                return Ok(());
            };
            make_room(out, ack_bytes_max(id, names.map(|(name, _)| name)))?;
            ack_with_outcome(out, id, &cursor, outcome.map(|(name, of)| (name, of.as_str())));
        }
    }
    Ok(())
}

/// The command was not performed.
pub fn error(out: &mut Vec<u8>, error: &CommandError<'_>) {
    begin(out, "error");
    if let Some(id) = &error.id {
        member(out, "id", id);
    }
    member(out, "code", error.code.as_str());
    member(out, "message", &error.message);
    if let Some(ConfigReference { key, limit }) = error.reference {
        member(out, "key", key);
        if let Some(limit) = limit {
            out.extend_from_slice(format!(",\"limit\":{}", limit.to_number()).as_bytes());
        }
    }
    out.push(b'}');
}
