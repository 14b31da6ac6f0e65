//! Newline-delimited JSON: one object per line.
//!
//! It only encodes: it writes no head and no chunk, and never decides what is sent.

/// One object on a line of its own. Its own line breaks become spaces: in JSON they can only
/// stand between tokens, where both are white space (RFC 8259 §2).
///
/// ```
/// let mut out = Vec::new();
/// ringway::encoding::ndjson::line(&mut out, "{\n\"a\":1}");
/// assert_eq!(out, b"{ \"a\":1}\n");
/// ```
pub fn line(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 1);
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_object_is_one_line_and_keeps_its_meaning() {
        let objects = [
            "{\"a\":1}",
            "{\r\n\t\"a\" :\r1,\n\n\"b\":\"x\\n\\r y\"\n}",
            "{\"a\":\"</script>]]>-->\u{2028}\u{85}\\u000a\"}",
        ];
        let mut out = b"before\n".to_vec();
        for object in objects {
            line(&mut out, object);
        }
        let text = String::from_utf8(out).expect("UTF-8");
        let mut lines = text.split_terminator(['\n', '\r']);
        assert_eq!(lines.next(), Some("before"));
        for object in objects {
            let read: Value = serde_json::from_str(lines.next().expect("a line")).expect("JSON");
            assert_eq!(read, serde_json::from_str::<Value>(object).expect("JSON"));
        }
        assert_eq!(lines.next(), None);
    }
}
