//! Writes the gateway's messages: each function appends one JSON object to a buffer.
//!
//! All texts are escaped, and there are no line breaks outside `data`, which is passed on byte for
//! byte. It creates no cursor.

use std::{borrow::Cow, io::Write, time::Duration};

use ringway_hub::{Audience, Cursor, Draft, Event};

use crate::memory::OutOfMemory;

/// The bytes of a cursor in an event. All cursors have the same length, so that an event can be
/// written before its place in the log is known.
pub const CURSOR_BYTES: usize = Cursor::TEXT_BYTES;

const EVENT_BEGIN: &str = r#"{"type":"event","cursor":""#;
/// The placeholder in an event until its cursor is known.
const CURSOR_PLACEHOLDER: &str = "000000000000-0000000000000000";
/// The beginnings of an event's names: its sender, its topic, its own name.
const EVENT_NAMES: [&str; 3] = [r#","from":""#, r#","topic":""#, r#","event":""#];
const EVENT_DATA: &str = r#","data":"#;

const _: () = assert!(CURSOR_PLACEHOLDER.len() == CURSOR_BYTES);

/// More than an outcome and the quotes of a recipient add.
const OUTCOME_BYTES: usize = 24;

/// More than `,"time":` and its number add.
pub const TIME_BYTES: usize = 32;

/// The fields of an event except its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventParts<'e> {
    /// The client that sent it; `None` for the application.
    pub from: Option<&'e str>,
    /// The topic, unless the event is addressed to clients.
    pub topic: Option<&'e str>,
    /// The event's name.
    pub name: Option<&'e str>,
    /// One JSON value.
    pub data: &'e str,
}

/// An event for the log, in the one allocation that it has there:
/// `{"type":"event","cursor":"…","from":…,"topic":…,"event":…,"data":…}`, followed by the names
/// that had to be escaped in it. `room` bytes more can be appended without another allocation.
///
/// ```
/// use ringway::encoding::native::{EventParts, event};
/// let parts = EventParts { from: Some("ann"), topic: None, name: None, data: "[1]" };
/// let draft = event(parts, 0)?;
/// assert!(draft.text.starts_with(r#"{"type":"event","cursor":"000000000000-"#));
/// assert!(draft.text.ends_with(r#"","from":"ann","data":[1]}"#));
/// assert_eq!(&draft.text[draft.fields.data.start()..draft.fields.data.end()], "[1]");
/// # Ok::<(), ringway::memory::OutOfMemory>(())
/// ```
///
/// # Errors
/// [`OutOfMemory`].
pub fn event(parts: EventParts<'_>, room: usize) -> Result<Draft, OutOfMemory> {
    let EventParts { from, topic, name, data } = parts;
    let names = [from, topic, name].map(|name| name.map(|name| (name, escaped(name))));
    let names_bytes = EVENT_NAMES.iter().zip(&names).map(|(begin, name)| match name {
        None => 0,
        Some((_, as_it_is @ Cow::Borrowed(_))) => begin.len() + as_it_is.len() + 1,
        Some((name, escaped)) => begin.len() + escaped.len() + 1 + name.len(),
    });
    let begin_bytes = EVENT_BEGIN.len() + CURSOR_BYTES + 1;
    let bytes = begin_bytes + names_bytes.sum::<usize>() + EVENT_DATA.len() + data.len() + 1;
    let mut text = String::new();
    text.try_reserve_exact(bytes + room).map_err(|_| OutOfMemory)?;
    for part in [EVENT_BEGIN, CURSOR_PLACEHOLDER, "\""] {
        text.push_str(part);
    }
    let mut spans = [None; 3];
    for ((begin, name), span) in EVENT_NAMES.iter().zip(&names).zip(&mut spans) {
        let Some((_, escaped)) = name else { continue };
        text.push_str(begin);
        *span = Some((text.len()..text.len() + escaped.len()).into());
        text.push_str(escaped);
        text.push('"');
    }
    text.push_str(EVENT_DATA);
    let data_at = text.len()..text.len() + data.len();
    text.push_str(data);
    text.push('}');
    let mut draft = Draft::new(text, EVENT_BEGIN.len());
    for (name, span) in names.iter().zip(&mut spans) {
        if let Some((name, Cow::Owned(_))) = name {
            *span = Some(draft.push(name));
        }
    }
    let [from, topic, name] = spans;
    draft.fields.data = data_at.into();
    (draft.fields.from, draft.fields.name) = (from, name);
    draft.fields.audience = topic.map_or(draft.fields.audience, Audience::Topic);
    Ok(draft)
}

/// A name as the inside of a JSON string.
fn escaped(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        return name.into();
    }
    let mut json = Vec::new();
    string(&mut json, name);
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    json[1..json.len() - 1].to_owned().into()
}

/// Appends an event as the history lists it: before its data is the time at which it was appended,
/// in milliseconds since 1970. It is at most [`TIME_BYTES`] longer than the event's text.
pub fn event_with_time(out: &mut Vec<u8>, event: &Event) {
    let (names, data) = event.text().split_at(event.data().start() - EVENT_DATA.len());
    write!(out, "{names},\"time\":{}{data}", event.time_ms())
        .expect("writing to a Vec cannot fail");
}

/// The first message: the client's name, and its position in the log.
pub fn welcome(out: &mut Vec<u8>, client: &str, connection: &str, cursor: &str) {
    begin(out, "welcome");
    member(out, "client", client);
    member(out, "connection", connection);
    member(out, "cursor", cursor);
    out.push(b'}');
}

/// The command `id` was performed, at this position of the log.
pub fn ack(out: &mut Vec<u8>, id: &str, cursor: &str) {
    begin(out, "ack");
    member(out, "id", id);
    member(out, "cursor", cursor);
    out.push(b'}');
}

/// As [`ack`], with the time until which a token is good, in milliseconds since 1970.
pub fn ack_until(out: &mut Vec<u8>, id: &str, cursor: &str, expires_at: Option<Duration>) {
    ack(out, id, cursor);
    if let Some(expires_at) = expires_at {
        out.pop();
        let milliseconds = expires_at.as_millis();
        out.extend_from_slice(format!(",\"expires_at\":{milliseconds}}}").as_bytes());
    }
}

/// An upper bound on what [`ack_with_outcome`] writes: an escape takes six bytes at most.
pub fn ack_bytes_max<'n>(id: &str, recipients: impl Iterator<Item = &'n str>) -> usize {
    let names = recipients.map(|name| 6 * name.len() + OUTCOME_BYTES);
    128 + 6 * id.len() + names.sum::<usize>()
}

/// As [`ack`], with the outcome for each recipient. Recipients must differ.
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

/// Events after the first cursor, up to the second one, left the history before they were read.
pub fn gap(out: &mut Vec<u8>, from: &str, to: &str) {
    begin(out, "gap");
    member(out, "from", from);
    member(out, "to", to);
    out.push(b'}');
}

/// The client has seen everything up to this cursor.
///
/// It answers the ping with this id, or is sent without one.
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
    serde_json::to_writer(out, text)
        .expect("a string is valid JSON, and writing to memory cannot fail");
}
