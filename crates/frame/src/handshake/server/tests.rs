//! Each rule of RFC 6455 §4.2.1 as a row in a table: a good request, one changed header, and the
//! answer.

use httparse::Header;

use super::*;
use crate::deflate::{Offer, Policy, WindowBits};

const GOOD: [(&str, &str); 5] = [
    ("Host", "edge.example"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// The good request; each line of `lines` replaces the lines of the same name.
fn with<'a>(lines: &[(&'a str, &'a str)]) -> Vec<Header<'a>> {
    let named = |name: &str| lines.iter().any(|line| line.0.eq_ignore_ascii_case(name));
    let kept = GOOD.iter().filter(|(name, _)| !named(name));
    kept.chain(lines).map(|&(name, value)| header(name, value)).collect()
}

fn without(name: &str) -> Vec<Header<'static>> {
    let kept = GOOD.iter().filter(|line| line.0 != name);
    kept.map(|&(name, value)| header(name, value)).collect()
}

fn header<'a>(name: &'a str, value: &'a str) -> Header<'a> {
    Header { name, value: value.as_bytes() }
}

fn verdict(headers: &[Header<'_>]) -> Result<(), HandshakeError> {
    examine("GET", 1, headers).map(|_| ())
}

fn each_is(expected: Result<(), HandshakeError>, table: &[&[(&str, &str)]]) {
    for lines in table {
        assert_eq!(verdict(&with(lines)), expected, "{lines:?}");
    }
}

#[test]
fn a_good_request_is_read() {
    let headers = with(&[
        ("Origin", "https://app.example"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("sec-websocket-protocol", "v2.chat"),
        ("Sec-WebSocket-Extensions", "x-other; a=1, permessage-deflate"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=9"),
    ]);
    let request = examine("GET", 1, &headers).unwrap();
    assert_eq!(request.key, b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(request.host, "edge.example");
    assert_eq!(request.origin, Some("https://app.example"));
    let subprotocols: Vec<&str> = request.subprotocols().collect();
    assert_eq!(subprotocols, ["chat", "superchat", "v2.chat"]);
    let names: Vec<&str> = request.extensions().iter().map(|found| found.name()).collect();
    assert_eq!(names, ["x-other", "permessage-deflate", "permessage-deflate"]);
    let offers: Vec<_> = request.extensions().iter().map(|found| Offer::parse(&found)).collect();
    assert_eq!(offers[..2], [None, Some(Offer::default())]);
    assert_eq!(offers[2].unwrap().server_max_window_bits, WindowBits::new(9));
}

#[test]
fn a_plain_request_offers_nothing() {
    let headers = with(&[]);
    let request = examine("GET", 1, &headers).unwrap();
    assert_eq!(request.origin, None);
    assert_eq!(request.subprotocols().count(), 0);
    assert_eq!(request.extensions().iter().count(), 0);
    assert_eq!(Policy::default().agree(request.extensions().iter()), None);
}

// RFC 6455 §4.2.1, item 1.
#[test]
fn method_and_version_of_http() {
    let headers = with(&[]);
    for method in ["POST", "get", "HEAD", "CONNECT", ""] {
        let error = examine(method, 1, &headers).err();
        assert_eq!(error, Some(HandshakeError::Method));
    }
    assert_eq!(examine("GET", 0, &headers).err(), Some(HandshakeError::HttpVersion));
}

// RFC 6455 §4.2.1, item 2; RFC 9112 §3.2; RFC 6454 §7.3.
#[test]
fn host_and_origin() {
    assert_eq!(verdict(&without("Host")), Err(HandshakeError::Host));
    each_is(
        Err(HandshakeError::Host),
        &[
            &[("Host", "")],
            &[("Host", "a.example"), ("Host", "a.example")],
            &[("Host", "b\u{fc}cher.example")],
            &[("Host", "a.example\u{1}")],
            &[("Host", "a.example b.example")],
        ],
    );
    each_is(
        Err(HandshakeError::Origin),
        &[
            &[("Origin", "https://a.example"), ("origin", "https://b.example")],
            &[("Origin", "https://b\u{fc}cher.example")],
        ],
    );
    each_is(Ok(()), &[&[("Origin", "null")], &[("Host", "[::1]:8080")]]);
}

// RFC 6455 §4.2.1, items 3 and 4: lists, over several lines, in any case.
#[test]
fn upgrade_and_connection() {
    assert_eq!(verdict(&without("Upgrade")), Err(HandshakeError::Upgrade));
    assert_eq!(verdict(&without("Connection")), Err(HandshakeError::Connection));
    each_is(
        Err(HandshakeError::Upgrade),
        &[
            &[("Upgrade", "")],
            &[("Upgrade", "h2c")],
            &[("Upgrade", "websockets")],
            &[("Upgrade", "web socket")],
            &[("Upgrade", "websocket/13")],
        ],
    );
    each_is(
        Err(HandshakeError::Connection),
        &[&[("Connection", "keep-alive")], &[("Connection", "upgraded")]],
    );
    each_is(
        Ok(()),
        &[
            &[("Upgrade", "WebSocket")],
            &[("upgrade", "h2c,\tWEBSOCKET ")],
            &[("Upgrade", "h2c"), ("Upgrade", "websocket")],
            &[("Connection", "keep-alive, Upgrade")],
            &[("CONNECTION", "keep-alive"), ("Connection", ",upgrade,")],
        ],
    );
}

// RFC 6455 §4.2.1, item 6, and §4.4.
#[test]
fn websocket_version() {
    assert_eq!(verdict(&without("Sec-WebSocket-Version")), Err(HandshakeError::Version));
    each_is(
        Err(HandshakeError::Version),
        &[
            &[("Sec-WebSocket-Version", "")],
            &[("Sec-WebSocket-Version", "8")],
            &[("Sec-WebSocket-Version", "013")],
            &[("Sec-WebSocket-Version", "+13")],
            &[("Sec-WebSocket-Version", "13, 8")],
            &[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")],
        ],
    );
    each_is(Ok(()), &[&[("sec-websocket-version", "\t13 ")]]);
}

// RFC 6455 §4.2.1, item 5, and erratum 3150: pad bits that are not zero.
#[test]
fn websocket_key() {
    assert_eq!(verdict(&without("Sec-WebSocket-Key")), Err(HandshakeError::Key));
    each_is(
        Err(HandshakeError::Key),
        &[
            &[("Sec-WebSocket-Key", "")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ===")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ===")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQA=")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQAA")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBs SBub25jZQ==")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBs-SBub25jZQ==")],
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==")],
            &[
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        ],
    );
    each_is(
        Ok(()),
        &[
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==")],
            &[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAA/==")],
            &[("Sec-WebSocket-Key", " dGhlIHNhbXBsZSBub25jZQ== ")],
        ],
    );
}

// RFC 9112 §6 and §11.2.
#[test]
fn a_body() {
    each_is(
        Err(HandshakeError::Body),
        &[
            &[("Content-Length", "1")],
            &[("Content-Length", "0"), ("Content-Length", "5")],
            &[("Content-Length", "-0")],
            &[("Content-Length", "")],
            &[("Transfer-Encoding", "chunked")],
            &[("Transfer-Encoding", "identity")],
            &[("transfer-encoding", "")],
        ],
    );
    each_is(Ok(()), &[&[("Content-Length", "0")]]);
}

// RFC 6455 §4.1, item 10.
#[test]
fn subprotocols() {
    each_is(
        Err(HandshakeError::Subprotocol),
        &[
            &[("Sec-WebSocket-Protocol", "")],
            &[("Sec-WebSocket-Protocol", "a,")],
            &[("Sec-WebSocket-Protocol", ",a")],
            &[("Sec-WebSocket-Protocol", "a,,b")],
            &[("Sec-WebSocket-Protocol", "a b")],
            &[("Sec-WebSocket-Protocol", "a/b")],
            &[("Sec-WebSocket-Protocol", "\"a\"")],
            &[("Sec-WebSocket-Protocol", "\u{e4}")],
            &[("Sec-WebSocket-Protocol", "a, b, a")],
            &[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "a")],
        ],
    );
    // Subprotocols are compared case-sensitively (RFC 6455 §11.5).
    each_is(Ok(()), &[&[("Sec-WebSocket-Protocol", "a, A, ringway.v1.json")]]);
}

#[test]
fn subprotocols_are_bounded() {
    let list = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",");
    let (most, more) = (list(SUBPROTOCOLS_MAX), list(SUBPROTOCOLS_MAX + 1));
    assert_eq!(verdict(&with(&[("Sec-WebSocket-Protocol", &most)])), Ok(()));
    let refused = Err(HandshakeError::Subprotocol);
    assert_eq!(verdict(&with(&[("Sec-WebSocket-Protocol", &more)])), refused);
}

// RFC 6455 §9.1.
#[test]
fn extensions() {
    for value in ["", ";", "a,", ",a", "a;", "a; b=", "a; =1", "a b", "a; b=\"\"", "a; b=\"c"] {
        let headers = with(&[("Sec-WebSocket-Extensions", value)]);
        assert_eq!(verdict(&headers), Err(HandshakeError::Extension), "{value}");
    }
}

#[test]
fn every_refusal_has_a_status_and_a_reason() {
    use HandshakeError::*;
    let table = [
        (405, &[Method][..]),
        (426, &[Upgrade, Connection, Version]),
        (400, &[HttpVersion, Host, Origin, Body, Key, Subprotocol, Extension]),
    ];
    for (status, errors) in table {
        for error in errors {
            assert_eq!(error.status(), status);
            assert_eq!(error.to_string(), error.reason());
        }
    }
}

// RFC 6455 §1.3 and §4.2.2, item 5.
#[test]
fn the_response_is_written_in_full() {
    let mut out = b"earlier;".to_vec();
    let offer = crate::extension::Extension::parse(b"permessage-deflate").unwrap();
    let agreement = Policy::default().agree([offer]).unwrap();
    emit_response(&mut out, b"dGhlIHNhbXBsZSBub25jZQ==", Some("chat"), Some(&agreement));
    let expected = "earlier;HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
