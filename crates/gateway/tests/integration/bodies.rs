//! Bodies of `POST /send`: framing, bounds, slow bodies, and requests after them (RFC 9112 §6, §7).
//!
//! Their content is tested elsewhere.

use std::time::{Duration, Instant};

use crate::support::{Client, Engine, Gateway, Request, on_each_engine};

on_each_engine!(
    a_request_with_a_body_is_answered_and_the_next_one_served,
    a_body_that_is_too_large_is_a_413_before_it_arrives,
    invalid_bodies_are_refused,
    a_client_that_waits_for_a_100_gets_one,
    a_slow_body_is_a_408,
    the_timeout_of_the_head_includes_the_body,
);

fn post(fields: &str, body: &str) -> String {
    format!("POST /send HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// RFC 9112 §9.3: in one segment with the next request, in two segments, and in one byte per
/// segment.
fn a_request_with_a_body_is_answered_and_the_next_one_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for sent in [
        post("Content-Length: 7\r\n", "no json"),
        post("Transfer-Encoding: chunked\r\n", "3;a=b\r\nno \r\n4\r\njson\r\n0\r\nA: b\r\n\r\n"),
    ] {
        let next = String::from_utf8(Request::of("/").bytes()).unwrap();
        client.sends(format!("{sent}{next}"));
        client.receives_response();
        assert_eq!(client.receives_response().status, 200);
        let (first, second) = sent.split_at(sent.len() - 4);
        client.sends(first);
        client.receives_nothing_for(Duration::from_millis(50));
        client.sends(second);
        client.receives_response();
        client.sends_one_byte_a_segment(format!("{sent}{next}"));
        client.receives_response();
        assert_eq!(client.receives_response().status, 200);
    }
}

/// RFC 9110 §15.5.14.
fn a_body_that_is_too_large_is_a_413_before_it_arrives(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.message_bytes_max=1000"]);
    for (fields, body) in [
        ("Content-Length: 1001\r\n", ""),
        ("Content-Length: 1001\r\nExpect: 100-continue\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "3e9\r\n"),
    ] {
        let mut client = Client::connect(&gateway);
        client.sends(post(fields, body));
        let response = client.receives_response();
        assert_eq!(response.status, 413, "{fields}");
        assert_eq!(response.field("Connection"), Some("close"));
        client.receives_end();
    }
    let mut client = Client::connect(&gateway);
    client.sends(post("Content-Length: 1000\r\n", &"x".repeat(1000)));
    assert_ne!(client.receives_response().status, 413);
}

/// RFC 9112 §6.3 and §7.1, RFC 9110 §10.1.1 and §15.5.16.
fn invalid_bodies_are_refused(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (fields, body, status) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello!\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "0\nA", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("Content-Length: 5\r\nExpect: more\r\n", "hello", 417),
        ("Content-Length: 5\r\nContent-Type: text/html\r\n", "hello", 415),
    ] {
        let mut client = Client::connect(&gateway);
        let next = String::from_utf8(Request::of("/").bytes()).unwrap();
        client.sends_what_is_taken(format!("{}{next}", post(fields, body)));
        let response = client.receives_response();
        assert_eq!(response.status, status, "{fields} {body:?}");
        assert_eq!(response.field("Connection"), Some("close"));
        client.receives_end();
    }
}

/// RFC 9110 §10.1.1.
fn a_client_that_waits_for_a_100_gets_one(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends(post("Expect: 100-continue\r\nContent-Length: 7\r\n", ""));
    assert_eq!(client.receives_head().head, "HTTP/1.1 100 Continue\r\n\r\n");
    client.sends("no json");
    assert_ne!(client.receives_response().status, 100);
    assert_eq!(client.requests(&Request::of("/")).status, 200);
}

/// RFC 9110 §15.5.9: a byte now and then does not extend the deadline.
fn a_slow_body_is_a_408(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=300ms"]);
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(&gateway);
        let start = Instant::now();
        client.sends(post(&format!("{framing}\r\n"), ""));
        for _ in 0..12 {
            client.sends_what_is_taken("0");
            std::thread::sleep(Duration::from_millis(15));
        }
        let response = client.receives_response();
        assert_eq!(response.status, 408, "{framing}");
        assert_eq!(response.field("Connection"), Some("close"));
        client.receives_end();
        assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    }
    gateway.holds(0);
}

/// The second request of a connection whose keep-alive timeout is long.
fn the_timeout_of_the_head_includes_the_body(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=200ms"]);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    client.receives_nothing_for(Duration::from_millis(300));
    client.sends(post("Content-Length: 5\r\n", "hell"));
    assert_eq!(client.receives_response().status, 408);
    client.receives_end();
}
