//! Objects as script blocks, for a hidden frame that passes them to the page that embeds it.
//!
//! Each object is a JavaScript string for `JSON.parse`, so that the page gets the same value as on
//! any other transport: as source code, a key `__proto__` would set a prototype, and deep nesting
//! would exhaust the engine's parser. Nothing that a client sends can end a string or a script
//! block. It writes no head and no chunk.

use std::fmt;

/// The longest name of a function.
const CALLBACK_BYTES_MAX: usize = 64;

/// Some browsers run nothing of a page before its first KiB has arrived.
const PROLOGUE_BYTES: usize = 1024;

/// A function of the page that embeds the frame, called with each object.
///
/// It is one identifier, looked up on `parent`: a path such as `opener.document.forms.pay.submit`
/// would let the author of the URL run any method of this origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(Box<str>);

impl Callback {
    /// The name of a function: ASCII letters, digits and `_`, not beginning with a digit; at most
    /// 64 bytes.
    ///
    /// ```
    /// use ringway::encoding::iframe::Callback;
    /// assert!(Callback::parse("onEvent").is_some());
    /// assert!(Callback::parse("parent.onEvent").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let is_identifier = text
            .starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        (text.len() <= CALLBACK_BYTES_MAX && is_identifier).then(|| Self(text.into()))
    }
}

/// The default name of the embedding page's function.
impl Default for Callback {
    fn default() -> Self {
        Self("ringway".into())
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How the page that embeds the frame gets each object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receiver {
    /// By a function call, in a page of the same origin.
    Callback(Callback),
    /// By `postMessage`, in a page of this origin. Browsers do not let a page call another origin's
    /// functions. The value has been checked to be an origin.
    Origin(Box<str>),
}

impl Default for Receiver {
    fn default() -> Self {
        Self::Callback(Callback::default())
    }
}

/// Header lines of the document: only its own blocks run in it, and only pages of `ancestors` embed
/// it.
pub fn policy(ancestors: &str) -> String {
    format!(
        "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}\r\n\
         Referrer-Policy: no-referrer\r\n"
    )
}

/// The beginning of the document, which defines the function that the blocks call.
///
/// A document that is not embedded, as in a window that another page opened, passes nothing on.
pub fn prologue(out: &mut Vec<u8>, receiver: &Receiver) {
    let start = out.len();
    out.extend_from_slice(b"<!doctype html><meta charset=\"utf-8\"><title>events</title>");
    let call = match receiver {
        Receiver::Callback(callback) => format!("parent.{callback}(JSON.parse(text))"),
        Receiver::Origin(origin) => {
            format!("parent.postMessage(JSON.parse(text),\"{origin}\")")
        }
    };
    out.extend_from_slice(b"<script>const deliver=text=>{if(parent!==self)");
    out.extend_from_slice(call.as_bytes());
    out.extend_from_slice(b"}</script>");
    out.resize(out.len().max(start + PROLOGUE_BYTES - 1), b' ');
    out.push(b'\n');
}

/// One object as a call: `<script>deliver("…")</script>` and a line feed.
pub fn script(out: &mut Vec<u8>, text: &str) {
    out.reserve(64 + text.len() + text.len() / 4);
    out.extend_from_slice(b"<script>deliver(\"");
    escape(out, text);
    out.extend_from_slice(b"\")</script>\n");
}

/// Writes the inside of a JavaScript string in double quotes (ECMA-262 §12.9.4), without characters
/// that are special to an HTML parser.
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    // Of the characters to escape, only U+2028 and U+2029 begin with this byte. Old engines treat
    // them as line ends.
    const SEPARATOR: u8 = 0xe2;
    let is_of_interest =
        |byte: &u8| matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | ..b' ' | 0x7f | &SEPARATOR);
    while let Some(at) = rest.iter().position(is_of_interest) {
        out.extend_from_slice(&rest[..at]);
        let mut bytes = 1;
        match &rest[at..] {
            [SEPARATOR, 0x80, last @ (0xa8 | 0xa9), ..] => {
                bytes = 3;
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            }
            [SEPARATOR, ..] => out.push(SEPARATOR),
            [byte @ (b'"' | b'\\'), ..] => out.extend_from_slice(&[b'\\', *byte]),
            [byte, ..] => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            [] => unreachable!("a byte was found there"),
        }
        rest = &rest[at + bytes..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
