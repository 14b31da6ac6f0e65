//! The gateway's messages, written: each appends one JSON object to a buffer.
//!
//! They are written with every text escaped, and without line breaks outside `data`, which is
//! passed on byte for byte. No cursor is made here.

use ringway_hub::Cursor;

/// The bytes of a cursor in an event. All cursors are as long, so that an event can be written
/// before its place in the log is known.
pub const CURSOR_BYTES: usize = Cursor::TEXT_BYTES;

/// What stands in an event until its cursor is known.
const CURSOR_PLACEHOLDER: &str = "000000000000-0000000000000000";

/// More than what stands around the names and the data of an event.
const EVENT_BYTES: usize = 128;

const _: () = assert!(CURSOR_PLACEHOLDER.len() == CURSOR_BYTES);

/// More than an outcome has with its quotes, and a recipient's.
const OUTCOME_BYTES: usize = 24;

/// What an event says beside its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventParts<'e> {
    /// The client that sent it; the application may send without a name.
    pub from: Option<&'e str>,
    /// The topic, unless it is addressed to clients.
    pub topic: Option<&'e str>,
    /// What kind of event it is.
    pub name: Option<&'e str>,
    /// One JSON value.
    pub data: &'e str,
}

impl EventParts<'_> {
    /// No fewer bytes than the object has: a character is escaped with six at most.
    pub fn bytes_max(&self) -> usize {
        let names = [self.from, self.topic, self.name];
        let names: usize = names.into_iter().flatten().map(|name| 16 + 6 * name.len()).sum();
        EVENT_BYTES + names + self.data.len()
    }
}

/// Appends `{"type":"event","cursor":"…","from":…,"topic":…,"event":…,"data":…}` and says where in
/// `out` the [`CURSOR_BYTES`] are that the cursor must be written over.
///
/// ```
/// use ringway::encoding::native::{CURSOR_BYTES, EventParts, event};
/// let mut out = Vec::new();
/// let parts = EventParts { from: Some("ann"), topic: None, name: None, data: "[1]" };
/// let cursor_at = event(&mut out, parts);
/// out[cursor_at..cursor_at + CURSOR_BYTES].copy_from_slice(b"0193c5f2a1b4-0000000000000042");
/// assert!(out.ends_with(br#""cursor":"0193c5f2a1b4-0000000000000042","from":"ann","data":[1]}"#));
/// ```
pub fn event(out: &mut Vec<u8>, parts: EventParts<'_>) -> usize {
    let EventParts { from, topic, name, data } = parts;
    out.reserve(EVENT_BYTES + data.len());
    out.extend_from_slice(br#"{"type":"event","cursor":""#);
    let cursor_at = out.len();
    out.extend_from_slice(CURSOR_PLACEHOLDER.as_bytes());
    out.push(b'"');
    for (field, value) in [("from", from), ("topic", topic), ("event", name)] {
        if let Some(value) = value {
            member(out, field, value);
        }
    }
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
    cursor_at
}

/// The first message: who the client is, and where it joins the log.
pub fn welcome(out: &mut Vec<u8>, client: &str, connection: &str, cursor: &str) {
    begin(out, "welcome");
    member(out, "client", client);
    member(out, "connection", connection);
    member(out, "cursor", cursor);
    out.push(b'}');
}

/// The command `id` was carried out, at this place of the log.
pub fn ack(out: &mut Vec<u8>, id: &str, cursor: &str) {
    begin(out, "ack");
    member(out, "id", id);
    member(out, "cursor", cursor);
    out.push(b'}');
}

/// No fewer bytes than [`ack_with_outcome`] writes: a character is escaped with six at most.
pub fn ack_bytes_max<'n>(id: &str, recipients: impl Iterator<Item = &'n str>) -> usize {
    let names = recipients.map(|name| 6 * name.len() + OUTCOME_BYTES);
    128 + 6 * id.len() + names.sum::<usize>()
}

/// As [`ack`], with what became of the event for each recipient. Recipients must differ.
pub fn ack_with_outcome<'o>(
    out: &mut Vec<u8>,
    id: &str,
    cursor: &str,
    outcome: impl IntoIterator<Item = (&'o str, &'o str)>,
) {
    begin(out, "ack");
    member(out, "id", id);
    member(out, "cursor", cursor);
    out.extend_from_slice(br#","outcome":{"#);
    for (position, (recipient, outcome)) in outcome.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        string(out, recipient);
        out.push(b':');
        string(out, outcome);
    }
    out.extend_from_slice(b"}}");
}

/// Events after the first cursor, to the second one, have left the history unread.
pub fn gap(out: &mut Vec<u8>, from: &str, to: &str) {
    begin(out, "gap");
    member(out, "from", from);
    member(out, "to", to);
    out.push(b'}');
}

/// The client has seen everything up to this cursor.
///
/// It answers the ping of this id, or comes by itself.
pub fn pong(out: &mut Vec<u8>, cursor: &str, id: Option<&str>) {
    begin(out, "pong");
    if let Some(id) = id {
        member(out, "id", id);
    }
    member(out, "cursor", cursor);
    out.push(b'}');
}

/// Begins an object of this type.
pub fn begin(out: &mut Vec<u8>, kind: &str) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
}

/// A further member of an object; `name` needs no escaping.
pub fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(out, value);
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON, and memory takes it");
}
