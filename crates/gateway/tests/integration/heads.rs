//! Malformed request heads: syntax, framing fields, sizes, and slow heads (RFC 9112). Clients and
//! applications are held to the same rules.
//!
//! After each of them the connection is closed, because nothing that follows can be trusted.

use std::time::{Duration, Instant};

use crate::support::{Client, Engine, Gateway, Request, on_each_engine};

on_each_engine!(
    bytes_that_no_head_may_contain_are_a_400,
    an_illegal_byte_is_refused_before_the_head_ends,
    ambiguous_lengths_are_a_400,
    other_http_versions_get_their_own_status,
    a_request_has_one_host,
    a_head_that_is_too_large_is_a_431,
    too_many_fields_are_a_431,
    a_target_that_is_too_long_is_a_414,
    the_largest_head_is_served,
    a_slow_handshake_is_a_408,
    a_silent_client_is_a_408,
    requests_after_a_malformed_head_are_not_served,
);

/// Sends `bytes` to both listeners, and is refused by each with `status` and a FIN.
#[track_caller]
fn is_refused(gateway: &Gateway, bytes: impl AsRef<[u8]>, status: u16) {
    let bytes = bytes.as_ref();
    for address in [gateway.address, gateway.api] {
        let mut client = Client::connect_to(address);
        client.sends_what_is_taken(bytes);
        let response = client.receives_response();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        assert_eq!(response.status, status, "{address} {shown:?} {}", response.head);
        assert_eq!(response.field("Connection"), Some("close"), "{address} {shown:?}");
        client.receives_end();
    }
}

/// RFC 9112 §2.2 (bare CR and LF), §5.1 (space before the colon), §5.2 (obs-fold); RFC 9110 §5.1
/// and §5.5 (names, NUL).
fn bytes_that_no_head_may_contain_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    for spoilt in [
        "Folded: a\r\n b",
        "Folded: a\r\n\tb",
        "Spaced : a",
        "Tabbed\t: a",
        "Nul: a\0b",
        "Control: a\x01b",
        "Delete: a\x7fb",
        "BareCr: a\rb",
        "BareLf: a\nb",
        "Bad name: a",
        "Bad(name: a",
        "Bäd: a",
        ": a",
        "Nothing",
    ] {
        for path in ["/", "/echo"] {
            is_refused(
                &gateway,
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{spoilt}\r\n\r\n"),
                400,
            );
        }
    }
    for line in [
        "GET / HTTP/1.1\n",
        "GET  / HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET nowhere HTTP/1.1",
        "GET /",
        "G(T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.1.1",
    ] {
        is_refused(&gateway, format!("{line}\r\nHost: localhost\r\n\r\n"), 400);
    }
}

/// RFC 9112 §2.2: a TLS client or a bare LF is refused at once, without waiting for a timeout.
fn an_illegal_byte_is_refused_before_the_head_ends(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_refused(&gateway, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    is_refused(&gateway, "GET / HTTP/1.1\n", 400);
    is_refused(&gateway, "GET / HTTP/1.1\r\nHost: localhost\r\n ", 400);
}

/// RFC 9112 §6.3, items 3 to 5.
fn ambiguous_lengths_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: identity\r\nContent-Length: 0",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
    ] {
        for line in ["POST / HTTP/1.1", "GET /echo HTTP/1.1"] {
            is_refused(
                &gateway,
                format!("{line}\r\nHost: localhost\r\n{fields}\r\n\r\nhello"),
                400,
            );
        }
    }
}

/// RFC 9110 §15.6.6: 505 for a valid version that is not served, 400 for an invalid one.
fn other_http_versions_get_their_own_status(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (version, status) in [
        ("HTTP/2.0", 505),
        ("HTTP/1.20", 400),
        ("HTTP/0.9", 505),
        ("HTTP/3", 505),
        ("ICY/1.1", 400),
    ] {
        is_refused(&gateway, format!("GET /echo {version}\r\nHost: localhost\r\n\r\n"), status);
    }
    is_refused(&gateway, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

/// RFC 9112 §3.2: exactly one Host.
fn a_request_has_one_host(engine: Engine) {
    let gateway = Gateway::start(engine);
    for request in [Request::of("/"), Request::upgrade()] {
        is_refused(&gateway, request.clone().without("Host").bytes(), 400);
        is_refused(&gateway, request.and("hOST", "b").bytes(), 400);
    }
}

/// RFC 6585 §5, also if the head never ends.
fn a_head_that_is_too_large_is_a_431(engine: Engine) {
    let gateway = Gateway::start_with(
        engine,
        &["limits.header_bytes_max=2KiB", "limits.target_bytes_max=256"],
    );
    let cookie = "c".repeat(2048);
    is_refused(&gateway, Request::upgrade().and("Cookie", &cookie).bytes(), 431);
    is_refused(
        &gateway,
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}{cookie}"),
        431,
    );
}

/// RFC 6585 §5.
fn too_many_fields_are_a_431(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.header_fields_max=16"]);
    let with = |count| {
        let fields: Vec<String> = (0..count).map(|number| format!("X-{number}: a\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", fields.concat())
    };
    is_refused(&gateway, with(16), 431);
    for address in [gateway.address, gateway.api] {
        let mut client = Client::connect_to(address);
        client.sends(with(15));
        assert_eq!(client.receives_response().status, 200);
    }
}

/// RFC 9112 §3: 414, also if the line never ends.
fn a_target_that_is_too_long_is_a_414(engine: Engine) {
    let settings = ["limits.target_bytes_max=256", "limits.header_bytes_max=1KiB"];
    let gateway = Gateway::start_with(engine, &settings);
    let target = |bytes| format!("/echo?{}", "q".repeat(bytes - "/echo?".len()));
    is_refused(&gateway, Request::of(&target(257)).bytes(), 414);
    is_refused(&gateway, Request::of(&target(4000)).bytes(), 414);
    is_refused(&gateway, format!("GET {}", target(4000)), 414);
    let mut client = Client::connect(&gateway);
    let line = format!("GET {} HTTP/1.1", target(256));
    client.sends(Request::upgrade().line(&line).bytes());
    client.is_upgraded();
}

/// A head of exactly `header_bytes_max`, in one segment and in many.
fn the_largest_head_is_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let empty = Request::of_api("/").and("Cookie", "").bytes().len();
    let cookie = |bytes| Request::of_api("/").and("Cookie", &"c".repeat(bytes - empty)).bytes();
    for address in [gateway.address, gateway.api] {
        let mut client = Client::connect_to(address);
        client.sends(cookie(16 * 1024));
        assert_eq!(client.receives_response().status, 200);
        for part in cookie(16 * 1024).chunks(1000) {
            client.sends(part);
        }
        assert_eq!(client.receives_response().status, 200);
    }
    is_refused(&gateway, cookie(16 * 1024 + 1), 431);
}

/// RFC 9110 §15.5.9: a byte now and then does not extend the deadline.
fn a_slow_handshake_is_a_408(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=300ms"]);
    for address in [gateway.address, gateway.api] {
        let mut client = Client::connect_to(address);
        let start = Instant::now();
        for byte in Request::upgrade().bytes().iter().take(12) {
            client.sends_what_is_taken([*byte]);
            std::thread::sleep(Duration::from_millis(30));
        }
        let response = client.receives_response();
        assert_eq!(response.status, 408);
        assert_eq!(response.field("Connection"), Some("close"));
        client.receives_end();
        assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    }
    gateway.holds(0);
}

/// The deadline counts from the connection, not from the first byte.
fn a_silent_client_is_a_408(engine: Engine) {
    let settings = ["limits.handshake_timeout=200ms", "websocket.close_timeout=200ms"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut application = Client::connect_to(gateway.api);
    let mut client = Client::connect(&gateway);
    for client in [&mut client, &mut application] {
        assert_eq!(client.receives_response().status, 408);
        client.receives_end();
    }
    // It keeps its side open, but the gateway closes the connection.
    gateway.holds(0);
}

/// RFC 9112 §2.2: the end of the request is no longer known.
fn requests_after_a_malformed_head_are_not_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let malformed = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_vec();
    is_refused(&gateway, [malformed, Request::of("/").bytes()].concat(), 400);
}
