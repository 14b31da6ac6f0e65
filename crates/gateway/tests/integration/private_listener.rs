//! Connections of the private listener: they follow the edge's rules (RFC 9112), their number is
//! bounded, and silent ones are closed.
//!
//! Heads are tested in `heads`, for both listeners.

use std::time::{Duration, Instant};

use crate::support::{
    Application, Client, Engine, Gateway, Launch, Request, application::post, eventually,
    on_each_engine,
};

on_each_engine!(
    a_head_request_gets_the_head_of_a_get,
    every_status_is_described,
    the_dashboard_has_a_content_security_policy,
    silent_connections_are_bounded_and_do_not_block_others,
    connections_that_send_slowly_do_not_block_others,
    an_idle_connection_is_closed,
    the_requests_of_a_connection_are_limited,
    requests_may_follow_each_other_without_a_pause,
    a_request_may_be_cut_anywhere,
    invalid_bodies_are_refused,
    other_versions_are_served_without_chunks,
);

const BODY: &str = r#"{"topic":"news","data":1}"#;
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// Descriptors of a gateway in addition to those of its connections, with room for those of a test.
const OTHER_DESCRIPTORS: usize = 60;

/// More than the listener holds: an eighth of the open files.
fn silent_connections_are_bounded_and_do_not_block_others(engine: Engine) {
    let settings = ["limits.handshake_timeout=2s", "websocket.close_timeout=200ms"];
    let gateway = Launch::with_descriptors(engine, 400).set(&settings).start();
    let mut application = Application::of(&gateway);
    assert_eq!(application.asks("/readyz").status, 200);
    let crowd: Vec<Client> = (0..300).map(|_| Client::connect_to(gateway.api)).collect();
    for _ in 0..5 {
        assert_eq!(gateway.api("/healthz").status, 200);
    }
    let descriptors = gateway.descriptors();
    assert!(descriptors < 400 / 8 + OTHER_DESCRIPTORS, "{descriptors}");
    // Connections that were not closed to make room are told of the timeout.
    eventually("all are closed", || gateway.descriptors() < OTHER_DESCRIPTORS);
    crowd.into_iter().for_each(|mut client| client.is_cut_off());
}

/// A request whose body comes a byte at a time is never silent for long.
fn connections_that_send_slowly_do_not_block_others(engine: Engine) {
    let gateway = Launch::with_descriptors(engine, 400).start();
    let head = post("/v1/publish", &JSON).and("Content-Length", "100").bytes();
    let mut crowd: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = Client::connect_to(gateway.api);
            client.sends(&head);
            client
        })
        .collect();
    for _ in 0..5 {
        crowd.iter_mut().for_each(|client| client.sends_what_is_taken(" "));
        assert_eq!(gateway.api("/healthz").status, 200);
    }
    // The oldest connection was closed to make room, with this status, unless this machine was too
    // slow to send its bytes in time.
    let status = crowd[0].receives_response().status;
    assert!([400, 408].contains(&status), "{status}");
}

fn an_idle_connection_is_closed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.keep_alive_timeout=1s"]);
    let mut application = Application::of(&gateway);
    assert_eq!(application.asks("/healthz").status, 200);
    let start = Instant::now();
    application.client.receives_end();
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
}

fn the_requests_of_a_connection_are_limited(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.requests_per_connection_max=3"]);
    let mut application = Application::of(&gateway);
    for _ in 0..2 {
        assert_eq!(application.asks("/healthz").field("Connection"), None);
    }
    assert_eq!(application.asks("/healthz").field("Connection"), Some("close"));
    application.client.receives_end();
}

/// RFC 9112 §9.3.2.
fn requests_may_follow_each_other_without_a_pause(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let length = BODY.len().to_string();
    let publish = post("/v1/publish", &JSON).and("Content-Length", &length).bytes();
    let chunked = post("/v1/publish", &JSON).and("Transfer-Encoding", "chunked").bytes();
    let chunks = format!("{:x};a=b\r\n{BODY}\r\n0\r\nTrailer: a\r\n\r\n", BODY.len());
    let one = [&publish, BODY.as_bytes(), b"\r\n", &chunked, chunks.as_bytes()].concat();
    application.client.sends(one.repeat(100));
    for _ in 0..200 {
        assert_eq!(application.client.receives_response().status, 200);
    }
    assert_eq!(gateway.metric("ringway_events_total"), 200);
}

/// How bytes are cut into segments must not matter.
fn a_request_may_be_cut_anywhere(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let chunked = post("/v1/publish", &JSON).and("Transfer-Encoding", "chunked").bytes();
    let chunks = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let request = [&chunked, chunks.as_bytes()].concat();
    for cut in (1..request.len()).step_by(3) {
        application.client.sends(&request[..cut]);
        application.client.sends(&request[cut..]);
        assert_eq!(application.client.receives_response().status, 200, "{cut}");
    }
    application.client.sends_one_byte_a_segment(&request);
    assert_eq!(application.client.receives_response().status, 200);
}

/// As on the edge, RFC 9112 §6.3 and §7.1, RFC 9110 §10.1.1: requests after them are not served.
fn invalid_bodies_are_refused(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (fields, body, status) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello!\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "0\nA", 400),
        ("Transfer-Encoding: chunked\r\n", "5\nhello", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("Content-Length: 5\r\nExpect: more\r\n", "hello", 417),
    ] {
        let mut client = Client::connect_to(gateway.api);
        let head =
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let next = String::from_utf8(Request::of("/").bytes()).unwrap();
        client.sends_what_is_taken(format!("{head}{fields}\r\n{body}{next}"));
        assert_eq!(client.receives_response().status, status, "{fields} {body:?}");
        client.receives_end();
    }
    assert_eq!(gateway.metric("ringway_events_total"), 0);
}

/// RFC 9112 §6.1: HTTP/1.0 has no chunks, so an answer of unknown length ends with the connection.
fn other_versions_are_served_without_chunks(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect_to(gateway.api);
    client.sends("GET /healthz HTTP/1.0\r\n\r\n");
    let response = client.receives_response();
    assert_eq!((response.status, &*response.body), (200, &b"ok\n"[..]));
    client.receives_end();
    let mut client = Client::connect_to(gateway.api);
    let length = BODY.len();
    client.sends(format!(
        "POST /v1/publish HTTP/1.0\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {length}\r\n\r\n{BODY}"
    ));
    let head = client.receives_head();
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None));
    client.is_cut_off();
    let mut client = Client::connect_to(gateway.api);
    client
        .sends("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.receives_head_alone().field("Content-Length"), Some("3"));
    assert_eq!(client.receives_response().body, b"ok\n");
}

/// RFC 9110 §9.3.2: the same fields, including the length, and no body.
fn a_head_request_gets_the_head_of_a_get(engine: Engine) {
    let gateway = Gateway::start(engine);
    for target in ["/healthz", "/readyz", "/", "/v1/openapi.json", "/v1/topics/news/history"] {
        let mut client = Client::connect_to(gateway.api);
        let mut heads = ["GET", "HEAD"].map(|method| {
            client.sends(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            let response = match method {
                "GET" => client.receives_response(),
                _ => client.receives_head_alone(),
            };
            response.head.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        heads.iter_mut().for_each(|head| head.retain(|line| !line.starts_with("Date:")));
        heads.iter_mut().for_each(|head| head.sort());
        assert_eq!(heads[0], heads[1], "{target}");
        // No body follows the head: the next answer begins at once.
        client.sends("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.receives_response().status, 200, "{target}");
    }
}

/// The OpenAPI description lists each status that the listener can answer with.
fn every_status_is_described(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=300ms"]);
    let description = gateway.api("/v1/openapi.json").json();
    let head = |fields: &str| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let long = "x".repeat(20_000);
    for (request, status) in [
        ("GET /healthz HTTP/1.1\n\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\n".to_owned(), 408),
        (head("Content-Length: 18446744073709551615\r\n"), 413),
        (format!("GET /healthz?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", &long[..9000]), 414),
        (head("Expect: more\r\n"), 417),
        (head("").replace("Host: localhost", "Host: shop.example"), 421),
        (head(&format!("A: {long}\r\n")), 431),
        (head("Transfer-Encoding: gzip\r\n"), 501),
        (head("").replace("HTTP/1.1", "HTTP/2.0"), 505),
    ] {
        let mut client = Client::connect_to(gateway.api);
        client.sends_what_is_taken(&request);
        let response = client.receives_response();
        assert_eq!(response.status, status, "{}", response.head);
        assert_eq!(response.json()["type"], "about:blank");
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let said = &operation["responses"][status.to_string()];
                assert!(said.is_object(), "{status} of {method} {path}");
            }
        }
    }
}

fn the_dashboard_has_a_content_security_policy(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect_to(gateway.api);
    client.sends("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = client.receives_response();
    let policy = page.field("Content-Security-Policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = String::from_utf8(page.body.clone()).unwrap();
    for (inline, file) in [("<style", "dashboard.css"), ("<script>", "dashboard.js")] {
        assert!(!text.contains(inline) && text.contains(file), "{text}");
        assert_eq!(gateway.api(&format!("/{file}")).status, 200);
    }
    assert_eq!(page.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(page.field("Referrer-Policy"), Some("no-referrer"));
}
