//! Pages of other origins: which may use the gateway and read its responses.
//!
//! Fetch §3.3; the parsing of origins is tested with the configuration.

use serde_json::Value;

use crate::support::{Client, Engine, Gateway, Member, Request, Response, Stream, on_each_engine};

on_each_engine!(
    allowed_origins_may_read,
    every_origin_may_be_allowed,
    preflights_list_the_allowed_headers_and_methods,
    refusals_may_be_read_too,
    foreign_pages_open_nothing_and_send_nothing,
    pages_have_a_content_security_policy,
);

const ALLOWED: &str = "cors.allowed_origins=[\"https://shop.example\", \"http://localhost:3000\"]";

/// The origin that may read the response, and whether it varies by origin.
fn verdict(response: &Response) -> (Option<&str>, Option<&str>) {
    (response.field("Access-Control-Allow-Origin"), response.field("Vary"))
}

/// Sends one request to each of the routes; returns the head of the response.
#[track_caller]
fn answers(gateway: &Gateway, origin: &str) -> Vec<Response> {
    let from = |request: Request| match origin {
        "" => request,
        _ => request.and("Origin", origin),
    };
    let streams = ["/sse", "/stream", "/stream?format=iframe"]
        .map(|target| Stream::requests(gateway, &from(Request::of(target))).response);
    let others = [Request::of("/poll?wait=0"), Request::post("/send", r#"{"type":"ping"}"#)]
        .map(|request| Client::connect(gateway).requests(&from(request)));
    streams.into_iter().chain(others).collect()
}

fn allowed_origins_may_read(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let vary = Some("Origin");
    for (origin, allowed) in [
        ("https://shop.example", Some("https://shop.example")),
        ("http://localhost:3000", Some("http://localhost:3000")),
        ("http://a", None),
        ("", None),
    ] {
        for response in answers(&gateway, origin) {
            assert_eq!(verdict(&response), (allowed, vary), "{origin}: {}", response.head);
            assert_eq!(response.field("Access-Control-Allow-Credentials"), None);
        }
    }
    // No origin is allowed unless the operator configures it.
    let gateway = Gateway::start(engine);
    let request = Request::of("/poll?wait=0").and("Origin", "https://shop.example");
    let response = Client::connect(&gateway).requests(&request);
    assert_eq!((response.status, verdict(&response)), (403, (None, None)), "{}", response.head);
}

fn every_origin_may_be_allowed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["cors.allowed_origins=[\"*\"]"]);
    for origin in ["https://shop.example", "null", ""] {
        for response in answers(&gateway, origin) {
            assert_eq!(verdict(&response), (Some("*"), None), "{origin}: {}", response.head);
        }
    }
}

/// Fetch §4.8.
fn preflights_list_the_allowed_headers_and_methods(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let mut client = Client::connect(&gateway);
    for (path, method) in [("/send", "POST"), ("/poll", "GET"), ("/sse", "GET"), ("/stream", "GET")]
    {
        for (origin, is_allowed) in [("https://shop.example", true), ("https://evil", false)] {
            let preflight = Request::of(path)
                .line(&format!("OPTIONS {path} HTTP/1.1"))
                .and("Origin", origin)
                .and("Access-Control-Request-Method", method)
                .and("Access-Control-Request-Headers", "cache-control,last-event-id");
            client.sends(preflight.bytes());
            let response = client.receives_head();
            assert_eq!(response.status, 204);
            let yes = |value| is_allowed.then_some(value);
            assert_eq!(verdict(&response), (yes(origin), Some("Origin")), "{path}");
            for (field, value) in [
                ("Access-Control-Allow-Methods", method),
                ("Access-Control-Allow-Headers", "cache-control, last-event-id"),
            ] {
                assert_eq!(response.field(field), yes(value), "{path} {field}");
            }
            let age = response.field("Access-Control-Max-Age");
            assert_eq!(age.is_some_and(|age| age.parse::<u32>().unwrap() > 0), is_allowed);
        }
    }
    // The connection continues with the request itself.
    let request =
        Request::post("/send", r#"{"type":"ping"}"#).and("Origin", "https://shop.example");
    assert_eq!(client.requests(&request).status, 200);
}

/// A page that cannot read the reason could not tell its user, and would retry forever.
fn refusals_may_be_read_too(engine: Engine) {
    let settings = [ALLOWED, "clients.subscriptions_max=2", "websocket.message_bytes_max=200"];
    let gateway = Gateway::start_with(engine, &settings);
    let origin = Some("https://shop.example");
    let (long, many) = ("x".repeat(9000), "x".repeat(16_400));
    let header = |count: usize| (0..count).fold(Request::of("/poll"), |one, _| one.and("A", "b"));
    for (request, status, code, key, allowed) in [
        (Request::of("/sse?cursor=x"), 400, "query", None, origin),
        (Request::of("/poll?wait=x"), 400, "query", None, origin),
        (
            Request::of("/sse?topic=a&topic=b&topic=c"),
            400,
            "too_many_subscriptions",
            Some("clients.subscriptions_max"),
            origin,
        ),
        (Request::of("/none"), 404, "not_found", None, origin),
        (Request::of("/poll").line("POST /poll HTTP/1.1"), 405, "method", None, origin),
        (Request::post("/send", "{}").with("Content-Type", "a/b"), 415, "media_type", None, origin),
        (
            Request::post("/send", &many),
            413,
            "body_too_large",
            Some("websocket.message_bytes_max"),
            origin,
        ),
        (
            Request::of(&format!("/poll?client={long}")),
            414,
            "target_too_long",
            Some("limits.target_bytes_max"),
            Some("*"),
        ),
        (
            Request::of("/poll").and("B", &many),
            431,
            "head_too_large",
            Some("limits.header_bytes_max"),
            Some("*"),
        ),
        (header(70), 431, "too_many_fields", Some("limits.header_fields_max"), Some("*")),
    ] {
        let request = request.and("Origin", "https://shop.example");
        let response = Client::connect(&gateway).requests(&request);
        assert_eq!(response.status, status, "{code}");
        assert_eq!(verdict(&response).0, allowed, "{code}");
        assert_eq!(response.field("Content-Type"), Some("application/problem+json"), "{code}");
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["key"].as_str(), key, "{problem}");
        assert_eq!(problem["temporary"], false, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(key.is_none_or(|key| detail.contains(key)), "{problem}");
    }
    let request = Request::post("/send", "{").and("Origin", "https://shop.example");
    let response = Client::connect(&gateway).requests(&request);
    assert_eq!((response.status, verdict(&response).0), (400, origin));
    // A client over the limit is refused before its request is read.
    let full = ["limits.connections_max=1", ALLOWED];
    let gateway = Gateway::start_with(engine, &full);
    let _first = Client::connect(&gateway);
    gateway.holds(1);
    let mut second = Client::connect(&gateway);
    let response = second.receives_response();
    assert_eq!((response.status, verdict(&response).0), (503, Some("*")));
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&problem["temporary"], &problem["retry_after"]), (&true.into(), &5.into()));
    assert_eq!(problem["key"], "limits.connections_max");
}

/// RFC 6455 §10.2; Fetch §2.2.2: requests that a page may send without a preflight.
fn foreign_pages_open_nothing_and_send_nothing(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let beacon = Request::post("/send", r#"{"type":"ping"}"#).with("Content-Type", "text/plain");
    let upgrades = ["/ws?client=ann", "/echo"].map(Request::upgrade_of);
    let gets = ["/sse", "/poll?wait=0", "/stream", "/stream?format=iframe"].map(Request::of);
    let all = upgrades.iter().chain(&gets).chain([&beacon]);
    let asks = |request: &Request| {
        let mut client = Client::connect(&gateway);
        client.sends(request.bytes());
        client.receives_head()
    };
    for request in all {
        for origin in ["https://evil.example", "null", "http://a:81", "https://a.evil", ""] {
            let response = asks(&request.clone().and("Origin", origin));
            assert_eq!(response.status, 403, "{origin} {request:?}");
            assert_eq!(verdict(&response).0, None, "{origin} {request:?}");
        }
        for site in ["cross-site", "same-site"] {
            let response = asks(&request.clone().and("Sec-Fetch-Site", site));
            assert_eq!(response.status, 403, "{site} {request:?}");
        }
        // A program, a page of the gateway itself, and an allowed page. `Host` is `a`.
        for (name, value) in [
            ("X-None", ""),
            ("Sec-Fetch-Site", "same-origin"),
            ("Origin", "http://a"),
            ("Origin", "https://a"),
            ("Origin", "https://shop.example"),
        ] {
            let response = asks(&request.clone().and(name, value));
            assert!(matches!(response.status, 101 | 200), "{name} {value} {request:?}");
        }
    }
    // The request for a frame has no Origin: only an allowed page gets the events.
    let framed = "/stream?format=iframe&origin=https%3A%2F%2Fshop.example";
    let response = asks(&Request::of(framed).and("Sec-Fetch-Site", "cross-site"));
    assert_eq!(response.status, 200);
    let bypass = "/send?format=iframe&origin=https%3A%2F%2Fshop.example";
    let response = asks(&Request::post(bypass, "{}").and("Origin", "https://evil.example"));
    assert_eq!(response.status, 403);
    assert!(gateway.metric("ringway_refused_requests_total{reason=\"origin\"}") > 0);
    // If every origin is allowed, WebSockets are, too.
    let gateway = Gateway::start_with(engine, &["cors.allowed_origins=[\"*\"]"]);
    let request = Request::upgrade_of("/ws?client=ann").and("Origin", "https://elsewhere.example");
    let mut ann = Member::upgrades(&gateway, &request);
    ann.notifies("1", &["ann"], 1);
    ann.receives_event(1);
}

fn pages_have_a_content_security_policy(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let home = Client::connect(&gateway).requests(&Request::of("/"));
    let framed = Stream::opens(&gateway, "/stream?format=iframe").response;
    for (response, ancestors) in [
        (&home, "frame-ancestors 'none'"),
        (&framed, "frame-ancestors 'self' https://shop.example http://localhost:3000"),
    ] {
        let policy = response.field("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.ends_with(ancestors), "{policy}");
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(response.field("Referrer-Policy"), Some("no-referrer"));
    }
    let script = Client::connect(&gateway).requests(&Request::of("/ringway.js"));
    assert_eq!(script.field("X-Content-Type-Options"), Some("nosniff"));
}
