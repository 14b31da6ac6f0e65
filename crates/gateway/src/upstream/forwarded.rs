//! The request for a WebSocket as a server gets it (RFC 9110 §7.6): without the fields that are for
//! the gateway alone, and with the address of the client.
//!
//! The client's key, subprotocols and extensions are passed on: the two ends agree on them.

use std::net::IpAddr;

use httparse::Header;
use ringway_http::head::{self, Head};

/// RFC 9110 §7.6.1: fields for the next recipient alone. RFC 9112 §6: and the framing of a body.
const HOP_BY_HOP: [&str; 10] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Content-Length",
];

/// Whether a field with this name is passed on; `named` are the names in `Connection`.
pub(super) fn is_end_to_end<'n>(name: &str, mut named: impl Iterator<Item = &'n [u8]>) -> bool {
    !HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name))
        && !named.any(|other| other.eq_ignore_ascii_case(name.as_bytes()))
}

/// A request that is passed on.
#[derive(Debug)]
pub struct Forwarded {
    /// Its head, as far as it does not depend on the client's address.
    head: Vec<u8>,
    /// The addresses in `X-Forwarded-For`.
    earlier: Vec<u8>,
}

impl Forwarded {
    /// A valid request for a WebSocket.
    pub fn of(head: &Head<'_>) -> Self {
        let mut out = Vec::with_capacity(512);
        for part in ["GET ", head.path] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = head.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        let mut earlier = Vec::new();
        for Header { name, value } in head.fields {
            if name.eq_ignore_ascii_case("X-Forwarded-For") {
                append_element(&mut earlier, value);
            } else if is_end_to_end(name, head::elements(head.fields, "Connection")) {
                emit_field(&mut out, name.as_bytes(), value);
            }
        }
        Self { head: out, earlier }
    }

    /// Writes the head for a client at this address.
    pub fn emit(&self, client: Option<IpAddr>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        let mut addresses = self.earlier.clone();
        if let Some(client) = client {
            append_element(&mut addresses, client.to_canonical().to_string().as_bytes());
        }
        if !addresses.is_empty() {
            emit_field(out, b"X-Forwarded-For", &addresses);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The values of each field with this name.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        fields(&self.head)
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.head.capacity() + self.earlier.capacity()
    }
}

/// The fields of a valid head, after its first line.
pub(super) fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|&byte| byte == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// RFC 9110 §5.6.1: the elements of lists.
pub(super) fn elements<'v>(
    values: impl Iterator<Item = &'v [u8]>,
) -> impl Iterator<Item = &'v [u8]> {
    let elements = values.flat_map(|value| value.split(|&byte| byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Writes a field.
pub(super) fn emit_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn append_element(list: &mut Vec<u8>, element: &[u8]) {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element);
}

#[cfg(test)]
pub(super) mod tests {
    use std::mem::MaybeUninit;

    use ringway_http::head::{FIELDS_MAX, HeadLimits};

    use super::*;

    /// The request with these lines.
    pub(in crate::upstream) fn request(lines: &str) -> Forwarded {
        let text = format!("GET /a?b=c HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let limits = HeadLimits { bytes_max: 8192, fields_max: 64, target_bytes_max: 64 };
        Forwarded::of(&head::parse(text.as_bytes(), &mut fields, &limits).unwrap())
    }

    fn emitted(lines: &str, client: Option<IpAddr>) -> String {
        let mut out = Vec::new();
        request(lines).emit(client, &mut out);
        String::from_utf8(out).unwrap()
    }

    const BEGIN: &str =
        "GET /a?b=c HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: h\r\n";

    #[test]
    fn only_fields_for_both_ends_are_passed_on() {
        let lines = "Connection: upgrade, X-Own\r\nUpgrade: websocket, h2c\r\nX-Own: 1\r\n\
                     Keep-Alive: timeout=1\r\nTE: trailers\r\nCookie: a=b\r\n\
                     Sec-WebSocket-Key: k\r\nContent-Length: 0\r\n";
        let wanted = format!("{BEGIN}Cookie: a=b\r\nSec-WebSocket-Key: k\r\n\r\n");
        assert_eq!(emitted(lines, None), wanted);
    }

    #[test]
    fn the_clients_address_is_the_last_one() {
        let client = Some("::ffff:10.0.0.9".parse().unwrap());
        for (lines, wanted) in [
            ("", "10.0.0.9"),
            ("X-Forwarded-For: a, b\r\nx-forwarded-for: c\r\n", "a, b, c, 10.0.0.9"),
        ] {
            let wanted = format!("{BEGIN}X-Forwarded-For: {wanted}\r\n\r\n");
            assert_eq!(emitted(lines, client), wanted);
        }
    }
}
