//! The body of a poll: every event since the client's cursor at once, and the cursor after them.
//!
//! The events are written in one pass, before it is known which is the last. It writes no head.

use crate::encoding::native::CURSOR_BYTES;

const BEGIN: &[u8] = br#"{"cursor":""#;
const PLACEHOLDER: &[u8; CURSOR_BYTES] = &[b'0'; CURSOR_BYTES];

/// A body that is being written: [`begin`](Self::begin), [`next`](Self::next) before each object,
/// [`end`](Self::end), all with the same buffer.
///
/// ```
/// use ringway::encoding::poll::Body;
/// let mut out = Vec::new();
/// let mut body = Body::begin(&mut out);
/// body.next(&mut out);
/// out.extend_from_slice(b"{}");
/// body.end(&mut out, "0193c5f2a1b4-0000000000000042");
/// assert_eq!(out, br#"{"cursor":"0193c5f2a1b4-0000000000000042","events":[{}]}"#);
/// ```
#[derive(Debug)]
pub struct Body {
    /// The start of the body in the buffer.
    start: usize,
    /// The number of objects so far.
    items: usize,
}

impl Body {
    /// Begins a body at the end of `out`.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(BEGIN);
        out.extend_from_slice(PLACEHOLDER);
        out.extend_from_slice(br#"","events":["#);
        Self { start, items: 0 }
    }

    /// Begins the next object, which the caller appends.
    pub fn next(&mut self, out: &mut Vec<u8>) {
        if self.items > 0 {
            out.push(b',');
        }
        self.items += 1;
    }

    /// Ends the body with `cursor`, of [`CURSOR_BYTES`], from which the next poll continues.
    pub fn end(self, out: &mut Vec<u8>, cursor: &str) {
        let cursor_at = self.start + BEGIN.len();
        out[cursor_at..cursor_at + CURSOR_BYTES].copy_from_slice(cursor.as_bytes());
        out.extend_from_slice(b"]}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CURSOR: &str = "0193c5f2a1b4-0000000000000042";

    #[test]
    fn a_body_contains_its_objects_unchanged() {
        let hostile = "{\"a\":\"</script>]]>-->\u{2028}\",\n\"b\":[1.0]}";
        for objects in [&[][..], &["{}"], &["{}", hostile, "{\"c\":1}"]] {
            let mut out = b"head".to_vec();
            let mut body = Body::begin(&mut out);
            for object in objects {
                body.next(&mut out);
                out.extend_from_slice(object.as_bytes());
            }
            body.end(&mut out, CURSOR);
            let read: Value = serde_json::from_slice(&out[4..]).expect("JSON");
            let events: Vec<Value> =
                objects.iter().map(|one| serde_json::from_str(one).expect("JSON")).collect();
            assert_eq!(read, json!({"cursor": CURSOR, "events": events}));
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(objects.iter().all(|one| text.contains(one)), "byte for byte");
        }
    }
}
