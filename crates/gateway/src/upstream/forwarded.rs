//! A request that is passed on, kept until its server is known, and for another one if that fails.
//!
//! It is kept as it was received; `heads` decides what of it a server gets.

use std::{mem::MaybeUninit, net::IpAddr, time::SystemTime};

use ringway_http::{
    HttpError,
    head::{self, FIELDS_MAX, Head, HeadLimits},
};

use crate::{
    config::{
        Route,
        balance::{Balance, HashKey},
    },
    upstream::{
        framing::RequestBody,
        heads::{self, HostRule, Passing, RequestRules, Sender, hops},
        pool,
    },
};

/// The bounds were checked when the head was received.
const LIMITS: HeadLimits =
    HeadLimits { bytes_max: usize::MAX, fields_max: FIELDS_MAX, target_bytes_max: usize::MAX };

/// Whether a field with this name is passed on; `named` are the names in `Connection`.
pub(super) fn is_end_to_end<'n>(name: &str, named: impl Iterator<Item = &'n [u8]>) -> bool {
    !name.eq_ignore_ascii_case("Content-Length") && !hops::ends_here(name.as_bytes(), named)
}

/// A request that is passed on.
#[derive(Debug)]
pub struct Forwarded {
    /// Its head. The target is in origin form.
    head: Vec<u8>,
    body: RequestBody,
    /// The hash of the field that decides the server.
    field_key: Option<u64>,
}

impl Forwarded {
    /// A valid request for this route.
    ///
    /// # Errors
    /// See [`heads::check_target`], [`RequestBody::of`] and [`ringway_http::body::expectation`].
    pub fn of(head: &Head<'_>, route: &Route) -> Result<Self, HttpError> {
        heads::check_target(head)?;
        ringway_http::body::expectation(head)?;
        let body = RequestBody::of(head)?;
        let mut out = Vec::with_capacity(512);
        for part in [head.method, " ", head.path] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = head.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(if head.minor == 0 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
        if let Some(authority) = head.authority {
            emit_field(&mut out, b"Host", authority.as_bytes());
        }
        for field in head.fields {
            if head.authority.is_none() || !field.name.eq_ignore_ascii_case("Host") {
                emit_field(&mut out, field.name.as_bytes(), field.value);
            }
        }
        out.extend_from_slice(b"\r\n");
        let field_key = match &route.balance {
            Balance::Hash(HashKey::Header(name)) => {
                let named = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                named.map(|field| pool::hash(field.value))
            }
            _ => None,
        };
        Ok(Self { head: out, body, field_key })
    }

    /// RFC 9110 §9.2.2: whether doing it twice has the effect of doing it once.
    pub fn is_idempotent(&self) -> bool {
        let method = self.head.split(|&byte| byte == b' ').next();
        let known = [&b"GET"[..], b"HEAD", b"PUT", b"DELETE", b"OPTIONS"];
        method.is_some_and(|method| known.contains(&method))
    }

    /// The body that follows.
    pub fn body(&self) -> RequestBody {
        self.body
    }

    /// What decides the server of a client at this address, if the route hashes.
    pub fn key(&self, route: &Route, client: &str, address: Option<IpAddr>) -> u64 {
        let of_address =
            || address.map_or(0, |one| pool::hash(one.to_canonical().to_string().as_bytes()));
        match &route.balance {
            Balance::RoundRobin | Balance::LeastConnections => 0,
            Balance::Hash(HashKey::Client) => pool::hash(client.as_bytes()),
            Balance::Hash(HashKey::Address) => of_address(),
            Balance::Hash(HashKey::Header(_)) => self.field_key.unwrap_or_else(of_address),
        }
    }

    /// Writes the head for a server of the route, which is called `server`.
    pub fn emit(
        &self,
        route: &Route,
        server: &str,
        sender: Sender,
        upgrade: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let head = head::parse(&self.head, &mut fields, &LIMITS).expect("it was valid before");
        let host = match &*route.send_host {
            "" => HostRule::Keep(server),
            host => HostRule::Set(host),
        };
        let rules = RequestRules { host, forwarded: route.forwarded, signer: None };
        let client: Option<(&str, SystemTime)> = None;
        let passing = Passing { sender, client, body: self.body, upgrade };
        heads::emit_request(out, &head, &rules, &passing).expect("its expectation was checked");
    }

    /// The values of each field with this name.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        fields(&self.head)
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        self.head.capacity()
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
        let head = head::parse(text.as_bytes(), &mut fields, &limits).unwrap();
        Forwarded::of(&head, &pool::tests::route("/", 1)).unwrap()
    }

    #[test]
    fn a_request_is_kept_for_another_server() {
        let lines = "Connection: upgrade, X-Own\r\nUpgrade: websocket, h2c\r\nX-Own: 1\r\n\
                     X-Forwarded-For: a\r\nSec-WebSocket-Key: k\r\nContent-Length: 0\r\n";
        let (request, route) = (request(lines), pool::tests::route("/", 1));
        let address = Some("::ffff:10.0.0.9".parse().unwrap());
        let sender = Sender { address, trust: heads::Trust::Stranger, has_tls: false };
        for _ in 0..2 {
            let mut out = Vec::new();
            request.emit(&route, "127.0.0.1:1", sender, Some("websocket"), &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                "GET /a?b=c HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\n\
                 X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n\
                 Forwarded: for=10.0.0.9;host=\"h\";proto=http\r\nVia: 1.1 ringway\r\n\
                 Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            );
        }
    }

    #[test]
    fn the_key_is_what_the_route_hashes() {
        let request = |route: &Route| {
            let text = "GET / HTTP/1.1\r\nHost: h\r\nX-Room: 7\r\n\r\n";
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let head = head::parse(text.as_bytes(), &mut fields, &LIMITS).unwrap();
            Forwarded::of(&head, route).unwrap()
        };
        let address = Some("::ffff:10.0.0.9".parse().unwrap());
        for (balance, key) in [
            ("hash(header:x-room)", &b"7"[..]),
            ("hash(header:x-other)", b"10.0.0.9"),
            ("hash(ip)", b"10.0.0.9"),
            ("hash(client)", b"ann"),
        ] {
            let balance = balance.parse().unwrap();
            let route = Route { balance, ..pool::tests::route("/", 2) };
            assert_eq!(request(&route).key(&route, "ann", address), pool::hash(key));
        }
    }
}
