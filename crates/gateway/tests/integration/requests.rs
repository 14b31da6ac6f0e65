//! Plain HTTP on the edge listener: pages, refusals, and connections with many requests.
//!
//! The rules are those of RFC 9112 §9. Malformed heads are tested in `heads`.

use std::time::{Duration, Instant};

use crate::support::{Client, Engine, Gateway, Request, eventually, frames, on_each_engine};

on_each_engine!(
    the_home_page_is_served,
    head_is_the_page_without_its_body,
    unknown_paths_are_a_404,
    one_connection_carries_many_requests,
    pipelined_requests_are_answered_in_order,
    an_upgrade_may_end_a_pipeline,
    close_is_honoured,
    http_1_0_is_answered_and_closed,
    a_post_with_a_body_is_a_405_and_its_body_is_not_a_request,
    a_post_without_a_body_keeps_the_connection,
    absolute_targets_are_accepted,
    empty_lines_before_a_request_are_skipped,
    an_idle_connection_is_closed,
    empty_lines_do_not_extend_the_timeout,
    a_started_request_has_the_handshake_timeout,
    the_last_allowed_request_closes_the_connection,
    a_client_that_reads_no_answers_is_bounded,
    a_long_pipeline_may_be_cut_between_answers,
);

fn the_home_page_is_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let response = Client::connect(&gateway).requests(&Request::of("/"));
    assert_eq!(response.status, 200);
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(response.field("Date").unwrap().ends_with(" GMT"));
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("<title>Ringway") && body.contains("home.js"));
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/?a=b")).status, 200);
}

/// RFC 9110 §9.3.2: the same fields without a body; the next request is found after it.
fn head_is_the_page_without_its_body(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    let length_of_get = client.requests(&Request::of("/")).body.len().to_string();
    for (target, status) in [("/", 200), ("/none", 404), ("/echo", 426)] {
        client.sends(Request::of(target).line(&format!("HEAD {target} HTTP/1.1")).bytes());
        let response = client.receives_head_alone();
        assert_eq!(response.status, status, "{target}");
        if status == 200 {
            assert_eq!(response.field("Content-Length"), Some(&*length_of_get));
        }
    }
    assert_eq!(client.requests(&Request::of("/")).status, 200);
}

fn unknown_paths_are_a_404(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for target in ["/none", "/echo/", "//", "/ECHO", "/healthz", "/metrics", "/%65cho", "*"] {
        let response = client.requests(&Request::of(target));
        assert_eq!(response.status, 404, "{target}");
        assert!(!response.body.is_empty());
    }
    let upgrade = Request::upgrade().line("GET /none HTTP/1.1");
    assert_eq!(client.requests(&upgrade).status, 404);
}

/// RFC 9112 §9.3.
fn one_connection_carries_many_requests(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for _ in 0..100 {
        assert_eq!(client.requests(&Request::of("/")).status, 200);
    }
    assert_eq!(gateway.metric("ringway_accepted_total"), 1);
}

/// RFC 9112 §9.3.2, in one segment and in segments of seven bytes.
fn pipelined_requests_are_answered_in_order(engine: Engine) {
    let gateway = Gateway::start(engine);
    let targets = ["/", "/none", "/", "/", "/nowhere", "/"];
    let pipeline: Vec<u8> = targets.iter().flat_map(|target| Request::of(target).bytes()).collect();
    for segment_bytes in [pipeline.len(), 7] {
        let mut client = Client::connect(&gateway);
        pipeline.chunks(segment_bytes).for_each(|segment| client.sends(segment));
        for target in targets {
            let status = if target == "/" { 200 } else { 404 };
            assert_eq!(client.receives_response().status, status, "{target}");
        }
    }
}

/// RFC 9110 §7.8: the upgrade comes after the answers to the earlier requests.
fn an_upgrade_may_end_a_pipeline(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    let bytes = [
        Request::of("/").bytes(),
        Request::of("/none").bytes(),
        Request::of("/echo").bytes(),
        Request::upgrade().bytes(),
        frames::frame(frames::FIN | frames::TEXT, "hello"),
    ];
    client.sends(bytes.concat());
    assert_eq!([(); 3].map(|()| client.receives_response().status), [200, 404, 426]);
    client.is_upgraded();
    client.receives_text("hello");
}

/// RFC 9112 §9.6: no request after a `close` is answered.
fn close_is_honoured(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (target, status) in [("/", 200), ("/none", 404), ("/echo", 426)] {
        let mut client = Client::connect(&gateway);
        let request = Request::of(target).and("Connection", "x, Close");
        client.sends([request.bytes(), Request::of("/").bytes()].concat());
        let response = client.receives_response();
        assert_eq!(response.status, status);
        assert!(response.field("Connection").unwrap().contains("close"));
        client.receives_end();
    }
}

/// RFC 9112 §9.3: HTTP/1.0 does not keep connections, and needs no Host.
fn http_1_0_is_answered_and_closed(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends("GET / HTTP/1.0\r\n\r\n");
    let response = client.receives_response();
    assert_eq!(response.status, 200);
    assert_eq!(response.field("Connection"), Some("close"));
    client.receives_end();
}

/// RFC 9112 §9.3: a body that is not read must not be taken for the next request.
fn a_post_with_a_body_is_a_405_and_its_body_is_not_a_request(engine: Engine) {
    let gateway = Gateway::start(engine);
    for framing in ["Content-Length: 31", "Transfer-Encoding: chunked"] {
        for (target, allow) in [("/", "GET, HEAD"), ("/echo", "GET")] {
            let mut client = Client::connect(&gateway);
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            client.sends([head.into_bytes(), Request::of("/none").bytes()].concat());
            let response = client.receives_response();
            assert_eq!(response.status, 405, "{framing} {target}");
            assert_eq!(response.field("Allow"), Some(allow));
            assert_eq!(response.field("Connection"), Some("close"));
            client.receives_end();
        }
    }
}

fn a_post_without_a_body_keeps_the_connection(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for length in ["0", "000"] {
        let post = Request::of("/").line("POST / HTTP/1.1").and("Content-Length", length);
        assert_eq!(client.requests(&post).status, 405);
    }
    assert_eq!(client.requests(&Request::of("/")).status, 200);
}

/// RFC 9112 §3.2.2: a server accepts the absolute form; RFC 3986 §3.1: schemes have no case.
fn absolute_targets_are_accepted(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for (target, status) in [
        ("http://a/", 200),
        ("http://a", 200),
        ("http://a?q", 200),
        ("HTTP://A/", 200),
        ("https://a:8080/none", 404),
        ("http://a/echo", 426),
    ] {
        assert_eq!(client.requests(&Request::of(target)).status, status, "{target}");
    }
    client.sends(Request::upgrade().line("GET http://a/echo HTTP/1.1").bytes());
    client.is_upgraded();
}

/// RFC 9112 §2.2.
fn empty_lines_before_a_request_are_skipped(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends("\r\n\r\n");
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    client.sends_one_byte_a_segment("\r\n");
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    client.sends_one_byte_a_segment([b"\r\n".to_vec(), Request::of("/").bytes()].concat());
    assert_eq!(client.receives_response().status, 200);
}

/// RFC 9112 §9.5: closed without a response after `keep_alive_timeout`.
fn an_idle_connection_is_closed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.keep_alive_timeout=1s"]);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    let start = Instant::now();
    client.receives_end();
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    gateway.holds(0);
}

/// RFC 9112 §2.2: empty lines are skipped, and do not count as a request.
fn empty_lines_do_not_extend_the_timeout(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.keep_alive_timeout=1s"]);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    let start = Instant::now();
    eventually("the connection is closed", || {
        client.sends_what_is_taken("\r\n");
        gateway.metric("ringway_connections") == 0
    });
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// An incomplete second request has `handshake_timeout`, however long the keep-alive timeout is.
fn a_started_request_has_the_handshake_timeout(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=200ms"]);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    client.receives_nothing_for(Duration::from_millis(400));
    client.sends("GET / HT");
    assert_eq!(client.receives_response().status, 408);
    client.receives_end();
}

/// `requests_per_connection_max`, at the last request and one over it.
fn the_last_allowed_request_closes_the_connection(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.requests_per_connection_max=3"]);
    let mut client = Client::connect(&gateway);
    client.sends(Request::of("/").bytes().repeat(4));
    for last in [false, false, true] {
        let response = client.receives_response();
        assert_eq!(response.status, 200);
        assert_eq!(response.field("Connection"), last.then_some("close"));
    }
    client.receives_end();
}

/// A client cannot fill the gateway's memory by pipelining, although an answer is much longer than
/// its request.
fn a_client_that_reads_no_answers_is_bounded(engine: Engine) {
    let settings = [
        "limits.requests_per_connection_max=1000000",
        "limits.keep_alive_timeout=1s",
        "websocket.close_timeout=500ms",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let before = gateway.resident_bytes();
    let mut client = Client::connect(&gateway);
    client.sends_until_it_stalls(&Request::of("/").bytes().repeat(1000), 32 << 20);
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 12 << 20, "{grown} bytes for one client");
    gateway.holds(0);
}

/// RFC 9112 §9.3.2: the connection may be closed after any answer; that answer says so, and is
/// complete.
fn a_long_pipeline_may_be_cut_between_answers(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends(Request::of("/poll?client=ann&wait=0").bytes().repeat(900));
    let mut answers = 0;
    loop {
        let response = client.receives_response();
        assert_eq!(response.status, 200);
        answers += 1;
        if response.field("Connection") == Some("close") {
            client.receives_end();
            break;
        }
        if answers == 900 {
            break;
        }
    }
    assert!(answers >= 100, "only {answers} answers");
}
