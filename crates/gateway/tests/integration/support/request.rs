//! A request under construction: it begins as a valid upgrade, GET or POST, and tests can make it
//! invalid.
//!
//! Fields are written as given; nothing is checked.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::frames::KEY;

/// A request head.
#[derive(Clone, Debug)]
pub struct Request {
    line: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// A GET of `target`.
    pub fn of(target: &str) -> Self {
        let line = format!("GET {target} HTTP/1.1");
        Self { line, fields: Vec::new(), body: String::new() }.and("Host", "a")
    }

    /// A GET of `target` from the private API, which does not answer under every name.
    pub fn of_api(target: &str) -> Self {
        Self::of(target).with("Host", "localhost")
    }

    /// A POST of JSON to `target`.
    pub fn post(target: &str, body: &str) -> Self {
        let mut request = Self::of(target)
            .line(&format!("POST {target} HTTP/1.1"))
            .and("Content-Type", "application/json")
            .and("Content-Length", &body.len().to_string());
        body.clone_into(&mut request.body);
        request
    }

    /// RFC 6455 §4.1: the upgrade of `/echo`.
    pub fn upgrade() -> Self {
        Self::upgrade_of("/echo")
    }

    /// RFC 6455 §4.1: the upgrade of another target.
    pub fn upgrade_of(target: &str) -> Self {
        Self::of(target)
            .and("Upgrade", "websocket")
            .and("Connection", "Upgrade")
            .and("Sec-WebSocket-Key", KEY)
            .and("Sec-WebSocket-Version", "13")
    }

    /// With another request line.
    pub fn line(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    /// With one more field.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the fields of this name.
    pub fn without(mut self, name: &str) -> Self {
        let before = self.fields.len();
        self.fields.retain(|(field, _)| field != name);
        assert_ne!(self.fields.len(), before, "there was no {name}");
        self
    }

    /// With another value for the field.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }
}

/// A target with this query; every value is escaped.
pub fn target(path: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}
