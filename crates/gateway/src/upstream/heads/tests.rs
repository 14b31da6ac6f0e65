//! Heads on their way through the gateway, in both directions.

use std::{
    mem::MaybeUninit,
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;
use ringway_http::{
    Asked, HttpError, KeepAlive, Part, ResponseHead, ResponseLimits, ResponseReader,
    head::{self, FIELDS_MAX, Head, HeadLimits},
    head_reader::HeadReader,
};

use super::*;
use crate::{config::ForwardedFields, upstream::framing::RequestBody};

const LIMITS: HeadLimits = HeadLimits { bytes_max: 16_384, fields_max: 64, target_bytes_max: 8192 };

const STRANGER: Sender = Sender {
    address: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
    trust: Trust::Stranger,
    has_tls: true,
};

const RULES: RequestRules<'_> = RequestRules {
    host: HostRule::Keep("upstream:9000"),
    forwarded: ForwardedFields::Both,
    signer: None,
};

/// Reads a head as a listener does, and uses it.
fn with_head<T>(
    bytes: &str,
    serve: impl FnOnce(&Head<'_>) -> Result<T, HttpError>,
) -> Result<T, HttpError> {
    let mut bytes = bytes.as_bytes().to_vec();
    let mut input = &mut bytes[..];
    let whole = HeadReader::default().read(&mut input, &LIMITS)?.expect("the head is whole");
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    serve(&head::parse(&whole, &mut fields, &LIMITS)?)
}

fn passed_by(
    bytes: &str,
    rules: &RequestRules<'_>,
    change: impl FnOnce(&mut Passing<'_>),
) -> Result<String, HttpError> {
    with_head(bytes, |head| {
        check_target(head)?;
        let body = RequestBody::of(head)?;
        let mut passing = Passing { sender: STRANGER, client: None, body, upgrade: None };
        change(&mut passing);
        let mut out = Vec::new();
        emit_request(&mut out, head, rules, &passing)?;
        Ok(String::from_utf8(out).unwrap())
    })
}

fn passed(bytes: &str) -> Result<String, HttpError> {
    passed_by(bytes, &RULES, |_| {})
}

/// The values of a field in a head.
fn values<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[test]
fn a_request_is_passed_on_without_what_concerns_one_connection() {
    let passed = passed(
        "POST /chat/a%20b?q=1&q=2 HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\
         Connection: Keep-Alive, x-private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\nCookie: a=b\r\nCookie: c=d\r\nVia: 1.0 fred\r\n\
         Content-Length: 5\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    assert_eq!(
        passed,
        "POST /chat/a%20b?q=1&q=2 HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\
         Cookie: a=b\r\nCookie: c=d\r\nVia: 1.0 fred\r\nContent-Type: text/plain\r\n\
         Expect: 100-continue\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: example.org\r\n\
         Forwarded: for=192.0.2.7;host=\"example.org\";proto=https\r\nVia: 1.1 ringway\r\n\
         Content-Length: 5\r\n\r\n"
    );
}

#[test]
fn what_connection_names_is_dropped_even_if_it_is_the_framing() {
    let passed = passed(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host, close\r\n\
         Content-Length: 3\r\n\r\n",
    )
    .unwrap();
    assert_eq!(values(&passed, "Host"), ["a"]);
    assert_eq!(values(&passed, "Content-Length"), ["3"]);
    assert!(values(&passed, "Connection").is_empty());
}

#[test]
fn host_is_kept_set_or_taken_from_the_target() {
    let keep = RULES;
    let set = RequestRules { host: HostRule::Set("internal"), ..RULES };
    for (rules, request, host) in [
        (keep, "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", "a:80"),
        (keep, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "b"),
        (keep, "GET / HTTP/1.0\r\n\r\n", "upstream:9000"),
        (set, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "internal"),
    ] {
        let passed = passed_by(request, &rules, |_| {}).unwrap();
        assert!(passed.starts_with("GET / HTTP/1.1\r\n"), "{passed}");
        assert_eq!(values(&passed, "Host"), [host]);
    }
}

#[test]
fn a_client_cannot_say_where_it_comes_from() {
    let lies = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\
                X_Forwarded_For: 127.0.0.1\r\nX-Forwarded-Proto: ftp\r\nX-Forwarded-Port: 1\r\n\
                x-forwarded-host: evil\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\r\n";
    for forwarded in [
        ForwardedFields::Standard,
        ForwardedFields::Older,
        ForwardedFields::Both,
        ForwardedFields::None,
    ] {
        let rules = RequestRules { forwarded, ..RULES };
        let passed = passed_by(lies, &rules, |_| {}).unwrap();
        for lie in ["127.0.0.1", "ftp", "evil", "Port"] {
            assert!(!passed.contains(lie), "{passed}");
        }
        let has_standard = matches!(forwarded, ForwardedFields::Standard | ForwardedFields::Both);
        let has_older = matches!(forwarded, ForwardedFields::Older | ForwardedFields::Both);
        assert_eq!(values(&passed, "Forwarded").len(), usize::from(has_standard));
        assert_eq!(values(&passed, "X-Forwarded-For").len(), usize::from(has_older));
    }
}

#[test]
fn what_a_trusted_proxy_wrote_is_continued() {
    let request = "GET / HTTP/1.1\r\nHost: a\"b\r\nX-Forwarded-For: 198.51.100.1\r\n\
                   X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n\
                   Forwarded: for=198.51.100.1\r\nX-Forwarded-Port: 8443\r\n\r\n";
    let passed = passed_by(request, &RULES, |passing| {
        passing.sender.trust = Trust::Proxy;
        passing.sender.address = Some("fd00::1".parse().unwrap());
    })
    .unwrap();
    for (name, value) in [
        ("X-Forwarded-For", "198.51.100.1, 203.0.113.9, fd00::1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "a\"b"),
        ("X-Forwarded-Port", "8443"),
        ("Forwarded", "for=198.51.100.1, for=\"[fd00::1]\";host=\"a\\\"b\";proto=https"),
    ] {
        assert_eq!(values(&passed, name), [value]);
    }
}

#[test]
fn the_identity_is_signed_and_cannot_be_forged() {
    let signer = Signer::new(b"0123456789abcdef0123456789abcdef");
    let forged = "GET / HTTP/1.1\r\nHost: a\r\nRingway-Client: root\r\nRINGWAY_CLIENT: root\r\n\
                  Ringway-Signature: v1=0\r\nRingway-Later: x\r\n\r\n";
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
    for (signer, client, wanted) in [
        (
            Some(&signer),
            Some("räume, 7"),
            Some((
                "r%C3%A4ume%2C%207",
                "v1=b2fdebf02a3f107be3d22aa5ac8d0e6c971124218a0c8af63f742cf785f91471",
            )),
        ),
        (Some(&signer), None, None),
        (None, Some("ann"), None),
    ] {
        let rules = RequestRules { signer, ..RULES };
        let passed = passed_by(forged, &rules, |passing| {
            passing.client = client.map(|client| (client, time));
        })
        .unwrap();
        assert!(!passed.contains("root") && !passed.contains("Later"), "{passed}");
        let wanted_time = wanted.map(|_| "1700000000");
        assert_eq!(values(&passed, "Ringway-Client"), Vec::from_iter(wanted.map(|(id, _)| id)));
        assert_eq!(values(&passed, "Ringway-Time"), Vec::from_iter(wanted_time));
        assert_eq!(values(&passed, "Ringway-Signature"), Vec::from_iter(wanted.map(|(_, s)| s)));
    }
}

#[test]
fn max_forwards_counts_down_for_options() {
    let request = |method: &str, left: &str| {
        format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n\r\n")
    };
    let passed_left = |method, left| {
        let passed = passed(&request(method, left)).unwrap();
        values(&passed, "Max-Forwards").join("|")
    };
    assert_eq!(passed_left("OPTIONS", "3"), "2");
    assert_eq!(passed_left("GET", "0"), "0");
    assert_eq!(passed_left("OPTIONS", "x"), "x");
    let is_last =
        |method, left| with_head(&request(method, left), |head| Ok(is_last_hop(head))).unwrap();
    assert!(is_last("OPTIONS", "0") && is_last("TRACE", "0"));
    assert!(!is_last("OPTIONS", "1") && !is_last("GET", "0"));
}

#[test]
fn trailers_and_upgrades_are_announced_again() {
    let trailers = passed("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip;q=1\r\n\r\n").unwrap();
    assert_eq!(values(&trailers, "TE"), ["trailers"]);
    assert_eq!(values(&trailers, "Connection"), ["TE"]);
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket, x\r\nConnection: upgrade\r\n\
                   Sec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: p\r\n\r\n";
    let upgrade =
        passed_by(upgrade, &RULES, |passing| passing.upgrade = Some("websocket")).unwrap();
    assert_eq!(values(&upgrade, "Upgrade"), ["websocket"]);
    assert_eq!(values(&upgrade, "Connection"), ["Upgrade"]);
    assert_eq!(values(&upgrade, "Sec-WebSocket-Key"), ["k"]);
    assert_eq!(values(&upgrade, "Sec-WebSocket-Protocol"), ["p"]);
    let mut out = Vec::new();
    emit_trailers(&mut out, b"Checksum: 1\r\nContent-Length: 3\r\nX-Forwarded-For: x\r\n\r\n");
    assert_eq!(out, b"Checksum: 1\r\n\r\n");
}

/// Heads that two servers may read differently.
#[test]
fn ambiguous_requests_are_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for (fields, error) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", HttpError::Framing),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3", HttpError::Framing),
        ("Content-Length: 3\r\nContent-Length: 4", HttpError::Framing),
        ("Content-Length: 3\r\nContent-Length: 3", HttpError::Framing),
        ("Content-Length: 0\r\nContent-Length: 0", HttpError::Framing),
        ("Content-Length: 3, 3", HttpError::Framing),
        ("Content-Length: +3", HttpError::Framing),
        ("Content-Length: -3", HttpError::Framing),
        ("Content-Length: 0x3", HttpError::Framing),
        ("Content-Length: 3 4", HttpError::Framing),
        ("Content-Length:", HttpError::Framing),
        ("Content-Length: 18446744073709551616", HttpError::Framing),
        ("Content-Length : 3", HttpError::Malformed),
        ("Content-Length\t: 3", HttpError::Malformed),
        (" Content-Length: 3", HttpError::Malformed),
        ("A: b\r\n Content-Length: 3", HttpError::Malformed),
        ("A: b\r\n\tTransfer-Encoding: chunked", HttpError::Malformed),
        ("A: b\nContent-Length: 3", HttpError::Malformed),
        ("A: b\rContent-Length: 3", HttpError::Malformed),
        ("A: b\0", HttpError::Malformed),
        ("Transfer-Encoding: chunked, chunked", HttpError::Framing),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", HttpError::Framing),
        ("Transfer-Encoding: chunked, identity", HttpError::Framing),
        ("Transfer-Encoding: identity", HttpError::Framing),
        ("Transfer-Encoding: xchunked", HttpError::Framing),
        ("Transfer-Encoding: \"chunked\"", HttpError::Framing),
        ("Transfer-Encoding: chunked;a=b", HttpError::Framing),
        ("Transfer-Encoding:", HttpError::Framing),
        ("Transfer-Encoding: \x0bchunked", HttpError::Malformed),
        ("Transfer-Encoding : chunked", HttpError::Malformed),
        ("Transfer\u{2011}Encoding: chunked", HttpError::Malformed),
        ("Host: b", HttpError::Host),
    ] {
        let result = passed(&with(fields));
        assert_eq!(result, Err(error), "{fields:?}");
        assert_eq!(error.status(), 400);
    }
    for (request, error) in [
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HttpError::Framing),
        ("POST  / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("POST /\tHTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("POST / HTTP/1.1\r\n\r\n", HttpError::Host),
        ("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a/%2E%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a/..%2fb HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a/..%5Cb HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a/..;x=1/b HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a/. HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::Malformed),
    ] {
        assert_eq!(passed(request), Err(error), "{request:?}");
    }
    // RFC 9112 §6.1: well formed, but with a coding that is not known here.
    assert_eq!(passed(&with("Transfer-Encoding: gzip, chunked")), Err(HttpError::Coding));
    for request in ["GET /a/.b/..c/d.. HTTP/1.1\r\nHost: a\r\n\r\n", &with("Content-Length: 0")] {
        assert!(passed(request).is_ok(), "{request:?}");
    }
}

fn with_response<T>(bytes: &str, asked: Asked, serve: impl FnOnce(&ResponseHead<'_>) -> T) -> T {
    let limits = ResponseLimits { head_bytes_max: 8192, fields_max: 64, body_bytes_max: 8192 };
    let mut reader = ResponseReader::default();
    match reader.read(&mut bytes.as_bytes(), asked, &limits).unwrap().unwrap() {
        Part::Head(head) | Part::Interim(head) => serve(&head),
        part => panic!("{part:?}"),
    }
}

fn answered(bytes: &str, asked: Asked, minor: u8, after: KeepAlive) -> String {
    with_response(bytes, asked, |head| {
        let delimited = Delimited::of(head, asked == Asked::Head, minor).unwrap();
        let mut out = Vec::new();
        emit_response(&mut out, head, delimited, after);
        String::from_utf8(out).unwrap()
    })
}

#[test]
fn a_response_is_passed_on_with_its_own_framing() {
    use Asked::{Content, Head};
    use KeepAlive::{Close, Yes};
    for (asked, minor, after, from, to) in [
        (
            Content,
            1,
            Yes,
            "200 Fine\r\nContent-Length: 2\r\nA: b",
            "200 Fine\r\nA: b\r\nContent-Length: 2",
        ),
        (
            Content,
            1,
            Yes,
            "200 OK\r\nTransfer-Encoding: chunked",
            "200 OK\r\nTransfer-Encoding: chunked",
        ),
        (Content, 0, Close, "200 OK\r\nTransfer-Encoding: chunked", "200 OK\r\nConnection: close"),
        (Content, 1, Yes, "200 OK", "200 OK\r\nTransfer-Encoding: chunked"),
        (Content, 1, Yes, "204 No\r\nContent-Length: 2", "204 No"),
        (Content, 1, Yes, "304 No\r\nContent-Length: 2", "304 No\r\nContent-Length: 2"),
        (Head, 1, Yes, "200 OK\r\nContent-Length: 2", "200 OK\r\nContent-Length: 2"),
        (Head, 1, Yes, "200 OK\r\nTransfer-Encoding: chunked", "200 OK"),
        (Content, 1, Yes, "200 OK\r\nContent-Length: 2, 2", "200 OK\r\nContent-Length: 2"),
        (
            Content,
            1,
            Close,
            "200 OK\r\nConnection: close, X\r\nX: 1\r\nKeep-Alive: a\r\nUpgrade: h2c\r\nContent-Length: 2",
            "200 OK\r\nContent-Length: 2\r\nConnection: close",
        ),
        (
            Content,
            1,
            Yes,
            "426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0",
            "426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade",
        ),
    ] {
        let from = format!("HTTP/1.1 {from}\r\n\r\n");
        assert_eq!(answered(&from, asked, minor, after), format!("HTTP/1.1 {to}\r\n\r\n"));
    }
    let lower = answered("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Content, 1, Yes);
    assert!(lower.starts_with("HTTP/1.1 200 OK\r\n"));
    let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    let result = with_response(coded, Content, |head| Delimited::of(head, false, 1));
    assert_eq!(result, Err(HttpError::Coding));
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\n\r\n";
    let mut out = Vec::new();
    with_response(hints, Content, |head| emit_interim(&mut out, head));
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

proptest! {
    /// Whatever fields a client sends, the server gets a head that is valid, with one Host, at most
    /// one framing, the gateway's own statements, and nothing that concerns one connection.
    #[test]
    fn every_head_that_is_passed_on_is_valid(
        fields in proptest::collection::vec(
            (
                prop_oneof![
                    Just("Connection"), Just("TE"), Just("X-Forwarded-For"), Just("Forwarded"),
                    Just("Ringway-Client"), Just("Upgrade"), Just("A"), Just("Cookie"),
                    Just("Keep-Alive"), Just("Via"), Just("Max-Forwards"),
                ],
                "[ -~]{0,20}",
            ),
            0..12,
        ),
        method in prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS"), Just("BREW")],
        length in proptest::option::of(any::<u64>()),
        proxied in any::<bool>(),
    ) {
        let mut request = format!("{method} /x HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in &fields {
            request += &format!("{name}: {value}\r\n");
        }
        request += &length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
        request += "\r\n";
        let passed = passed_by(&request, &RULES, |passing| {
            passing.sender.trust = if proxied { Trust::Proxy } else { Trust::Stranger };
        }).unwrap();
        let again = with_head(&passed, |head| {
            let body = RequestBody::of(head)?;
            Ok((body, head.host().map(<[u8]>::to_vec)))
        });
        let body = length.map_or(RequestBody::None, RequestBody::Length);
        prop_assert_eq!(again, Ok((body, Some(b"a".to_vec()))));
        for name in ["Keep-Alive", "Upgrade", "Ringway-Client"] {
            prop_assert!(values(&passed, name).is_empty());
        }
        prop_assert!(values(&passed, "Connection").iter().all(|value| *value == "TE"));
        prop_assert!(values(&passed, "X-Forwarded-For")[0].ends_with("192.0.2.7"));
        prop_assert!(values(&passed, "Forwarded")[0].ends_with("proto=https"));
        let is_ours = values(&passed, "Via").last() == Some(&"1.1 ringway");
        prop_assert!(is_ours);
        for (name, value) in fields.iter().filter(|(name, _)| *name == "Cookie") {
            let is_named = fields.iter().any(|(other, value)| {
                *other == "Connection" && value.to_ascii_lowercase().contains("cookie")
            });
            prop_assert!(is_named || values(&passed, name).contains(&value.trim()));
        }
    }
}
