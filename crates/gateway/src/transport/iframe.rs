//! Objects as script blocks, for a hidden frame that calls a function of its page.
//!
//! Nothing that a client sends can end a script block or begin another one, and no name is called
//! that was not checked. It writes no head and no chunk.

use std::fmt;

/// The longest name of a function.
const CALLBACK_BYTES_MAX: usize = 64;

/// Some browsers run nothing of a page before its first KiB has come.
const PROLOGUE_BYTES: usize = 1024;

/// The function that is called with each object: identifiers with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(Box<str>);

impl Callback {
    /// The name of a function: ASCII letters, digits and `_`, and dots between its parts, of
    /// which none begins with a digit; at most 64 bytes.
    ///
    /// ```
    /// use ringway::transport::iframe::Callback;
    /// assert!(Callback::parse("parent.onEvent").is_some());
    /// assert!(Callback::parse("alert(1)//").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let is_identifier = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        (text.len() <= CALLBACK_BYTES_MAX && text.split('.').all(is_identifier))
            .then(|| Self(text.into()))
    }
}

/// What a page that embeds a stream calls its function, unless it says otherwise.
impl Default for Callback {
    fn default() -> Self {
        Self("parent.ringway".into())
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The beginning of the document.
pub fn prologue(out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"<!doctype html><meta charset=\"utf-8\"><title>events</title>");
    out.resize(start + PROLOGUE_BYTES - 1, b' ');
    out.push(b'\n');
}

/// One object as a call: `<script>f({…})</script>` and a line feed.
///
/// What could end the block, or a line of it in old engines, is escaped. In JSON such characters
/// stand in strings only, so that the escapes are the same JSON (RFC 8259 §7).
pub fn script(out: &mut Vec<u8>, callback: &Callback, text: &str) {
    out.reserve(64 + text.len());
    for part in ["<script>", &callback.0, "("] {
        out.extend_from_slice(part.as_bytes());
    }
    escape(out, text);
    out.extend_from_slice(b")</script>\n");
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    // U+2028 and U+2029 are the only characters of interest that begin with this byte.
    const SEPARATOR: u8 = 0xe2;
    while let Some(at) =
        rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&' | &SEPARATOR))
    {
        out.extend_from_slice(&rest[..at]);
        let (escaped, bytes): (&[u8], usize) = match &rest[at..] {
            [b'<', ..] => (b"\\u003c", 1),
            [b'>', ..] => (b"\\u003e", 1),
            [b'&', ..] => (b"\\u0026", 1),
            [SEPARATOR, 0x80, 0xa8, ..] => (b"\\u2028", 3),
            [SEPARATOR, 0x80, 0xa9, ..] => (b"\\u2029", 3),
            _ => (&[SEPARATOR], 1),
        };
        out.extend_from_slice(escaped);
        rest = &rest[at + bytes..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_callback_is_a_path_of_identifiers() {
        let longest = "a".repeat(64);
        for good in ["f", "_", "parent.ringway", "a1.b_2", "A.B.C", &longest] {
            let callback = Callback::parse(good).unwrap_or_else(|| panic!("{good}"));
            assert_eq!(callback.to_string(), good);
        }
        let too_long = "a".repeat(65);
        for bad in [
            "", ".", "a.", ".a", "a..b", "1a", "a.1", "a b", "a(", "a;", "a[0]", "a-b", "$", "é",
            "a\n", "a\0", "a/*", "<script>", "a'", &too_long,
        ] {
            assert_eq!(Callback::parse(bad), None, "{bad:?}");
        }
        let default = Callback::default();
        assert_eq!(Callback::parse(&default.to_string()), Some(default));
    }

    /// What is escaped, and its neighbours.
    const PIECES: &[&str] =
        &["<", ">", "&", "\u{2028}", "\u{2029}", "\u{e2}", "\u{2000}", "\\", "\""];

    /// The object of a block, found as a browser would find the block's end.
    fn called(block: &[u8]) -> Value {
        let text = std::str::from_utf8(block).expect("UTF-8");
        let inside = text.strip_prefix("<script>f(").expect("a call");
        let (object, end) = inside.split_once('<').expect("an end");
        assert_eq!(end, "/script>\n", "the first tag ends the block");
        let object = object.strip_suffix(')').expect("the call's end");
        assert!(!object.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{object}");
        serde_json::from_str(object).expect("JSON")
    }

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        script(&mut out, &Callback::parse("f").expect("a name"), text);
        out
    }

    #[test]
    fn nothing_ends_a_block_but_its_end() {
        for hostile in [
            "</script><script>alert(1)</script>",
            "<!--<script>",
            "]]>",
            "-->",
            "&lt;/script&gt;",
            "\u{2028}\u{2029}\u{202a}\u{20ac}\u{2027}",
            "\\</script>",
            "\n\r\0\"')",
        ] {
            let object = json!({"data": hostile, hostile: [hostile]});
            assert_eq!(called(&written(&object.to_string())), object, "{hostile:?}");
        }
        let spaced = "{\n\"a\" :\r\n1 }";
        assert_eq!(called(&written(spaced)), json!({"a": 1}));
    }

    #[test]
    fn a_document_begins_with_a_kilobyte_that_shows_nothing() {
        let mut out = b"head".to_vec();
        prologue(&mut out);
        assert_eq!(out.len(), 4 + 1024);
        assert!(out.is_ascii() && out.ends_with(b" \n"));
    }

    proptest! {
        #[test]
        fn every_text_means_the_same(
            text in any::<String>(),
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..9),
        ) {
            let object = json!({"a": text, "b": pieces.concat()});
            prop_assert_eq!(called(&written(&object.to_string())), object);
        }
    }
}
