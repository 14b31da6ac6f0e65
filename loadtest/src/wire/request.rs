//! Requests on a persistent connection (RFC 9112), with the headers of the command line.
//!
//! It writes heads and no bodies.

use std::io::Write;

use super::{cursor, handshake::Approach};

/// The head of a POST request of the connection with this number, for a body of `length` bytes.
pub fn post(approach: &Approach, number: u32, content_type: &str, length: usize) -> Vec<u8> {
    let mut head = Vec::new();
    let (path, host) = (approach.path(number), approach.authority());
    // Writing to memory cannot fail.
    let _ = write!(head, "POST {path} HTTP/1.1\r\nHost: {host}\r\n");
    if !names(approach.headers(), "Content-Type") {
        let _ = write!(head, "Content-Type: {content_type}\r\n");
    }
    let _ = write!(head, "Content-Length: {length}\r\n");
    for (name, value) in approach.headers() {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A GET request of the connection with this number: `query` is added to its URL, and `fields` to
/// its head.
pub fn get(
    approach: &Approach,
    number: u32,
    query: Option<(&str, &str)>,
    fields: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = Vec::new();
    let (path, host) = (approach.path(number), approach.authority());
    // Writing to memory cannot fail.
    let path = query.map_or(path.clone(), |field| cursor::add(&path, field).into());
    let _ = write!(head, "GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    let own = approach.headers().iter().map(|(name, value)| (&**name, &**value));
    // Headers from the command line replace the usual ones.
    let ours = fields.iter().copied().filter(|(name, _)| !names(approach.headers(), name));
    for (name, value) in own.chain(ours) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Whether one of these headers has this name.
fn names(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(one, _)| one.eq_ignore_ascii_case(name))
}
