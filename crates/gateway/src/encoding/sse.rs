//! Server-sent events: the blocks of a `text/event-stream` (WHATWG HTML §9.2).
//!
//! It only encodes: it writes no head and no chunk, and never decides what is sent.

use std::{io::Write, time::Duration};

/// Whether `/sse` names its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// An event with a name is dispatched under that name.
    #[default]
    On,
    /// Each object is dispatched as a `message`, including heartbeats (as `pong`).
    Off,
}

/// One event: `id`, `event` if it has a name, and the text, line by line.
///
/// The name has no line break, because names cannot have one. The client joins the lines of the
/// text with line feeds, whatever ended them before (§9.2.6).
///
/// ```
/// let mut out = Vec::new();
/// ringway::encoding::sse::event(&mut out, "CURSOR", Some("chat"), "{}");
/// assert_eq!(out, b"id: CURSOR\nevent: chat\ndata: {}\n\n");
/// ```
pub fn event(out: &mut Vec<u8>, cursor: &str, name: Option<&str>, text: &str) {
    out.reserve(64 + text.len());
    field(out, "id", cursor);
    if let Some(name) = name {
        field(out, "event", name);
    }
    let mut rest = text;
    while let Some(end) = rest.bytes().position(|byte| matches!(byte, b'\r' | b'\n')) {
        field(out, "data", &rest[..end]);
        let break_bytes = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + break_bytes..];
    }
    field(out, "data", rest);
    out.push(b'\n');
}

/// The time that a client must wait before it reconnects.
pub fn retry(out: &mut Vec<u8>, after: Duration) {
    write!(out, "retry: {}\n\n", after.as_millis()).expect("writing to memory cannot fail");
}

/// A heartbeat with the cursor from which the client resumes: an empty block dispatches nothing,
/// but its `id` counts (§9.2.6).
pub fn heartbeat(out: &mut Vec<u8>, cursor: &str) {
    out.extend_from_slice(b": heartbeat\n");
    field(out, "id", cursor);
    out.push(b'\n');
}

/// The space after the colon is not part of the value (§9.2.6), so a value may begin with one.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert!(!value.contains(['\r', '\n']), "a field is one line");
    for part in [name, ": ", value, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a client parses from a stream, following §9.2.6 to the letter.
    #[derive(Debug, Default, PartialEq)]
    struct Client {
        last_id: String,
        retry: Option<u64>,
        dispatched: Vec<(String, String)>,
    }

    fn received(stream: &[u8]) -> Client {
        let text = std::str::from_utf8(stream).expect("UTF-8").replace("\r\n", "\n");
        let (mut client, mut kind, mut data) = (Client::default(), String::new(), String::new());
        let lines = text.strip_suffix('\n').expect("it ends a line").split(['\r', '\n']);
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                _ if line.is_empty() => {
                    let (kind, mut data) = (std::mem::take(&mut kind), std::mem::take(&mut data));
                    if data.pop().is_some() {
                        client.dispatched.push((kind, data));
                    }
                }
                "id" => client.last_id = value.to_owned(),
                "event" => kind = value.to_owned(),
                "data" => {
                    data.push_str(value);
                    data.push('\n');
                }
                "retry" => client.retry = value.parse().ok(),
                "" => {}
                _ => panic!("unknown field {name}"),
            }
        }
        assert_eq!((kind, data), Default::default(), "the last block is complete");
        client
    }

    #[test]
    fn a_stream_is_parsed() {
        let mut out = Vec::new();
        retry(&mut out, Duration::from_secs(2));
        event(&mut out, "c-1", Some("welcome"), r#"{"type":"welcome"}"#);
        event(&mut out, "c-2", None, "{\n \"a\":\r\n1,\r\"b\":2\n\n}");
        heartbeat(&mut out, "c-3");
        assert_eq!(
            String::from_utf8(out.clone()).expect("UTF-8"),
            "retry: 2000\n\n\
             id: c-1\nevent: welcome\ndata: {\"type\":\"welcome\"}\n\n\
             id: c-2\ndata: {\ndata:  \"a\":\ndata: 1,\ndata: \"b\":2\ndata: \ndata: }\n\n\
             : heartbeat\nid: c-3\n\n"
        );
        let client = received(&out);
        assert_eq!((client.last_id.as_str(), client.retry), ("c-3", Some(2000)));
        assert_eq!(
            client.dispatched,
            [
                ("welcome".to_owned(), r#"{"type":"welcome"}"#.to_owned()),
                (String::new(), "{\n \"a\":\n1,\n\"b\":2\n\n}".to_owned()),
            ]
        );
    }

    #[test]
    fn no_text_can_start_a_new_event() {
        for text in [
            "data: x",
            "\n\nevent: admin\ndata: x\n\n",
            "\r\rid: stolen\r\r",
            "\r\n\r\n",
            "\n\r\n\r",
            ": comment",
            "</script>\u{2028}]]>-->\u{85}",
            "",
        ] {
            let mut out = Vec::new();
            event(&mut out, "c-1", Some(" data: x: "), text);
            let client = received(&out);
            assert_eq!(client.last_id, "c-1", "{text:?}");
            let expected = text.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(client.dispatched, [(" data: x: ".to_owned(), expected)], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn line_breaks_are_preserved(pieces in prop::collection::vec(
            prop::sample::select(vec!["\r", "\n", "\r\n", "data:", " ", "{}", "é", ""]), 0..12)
        ) {
            let text = pieces.concat();
            let mut out = Vec::new();
            event(&mut out, "c-1", None, &text);
            let expected = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(received(&out).dispatched, [(String::new(), expected)]);
        }
    }
}
