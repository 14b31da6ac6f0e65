//! Pages of other origins: who may read what `/poll`, `/sse`, `/stream` and `/send` answer.
//!
//! Fetch §3.3; which entries are origins is tested with their configuration.

use crate::support::{Client, Engine, Gateway, Member, Request, Response, Stream, on_each_engine};

on_each_engine!(
    allowed_origins_may_read,
    every_origin_may_be_allowed,
    preflights_say_what_may_be_sent,
    refusals_may_be_read_too,
    a_websocket_is_not_asked_for_leave,
);

const ALLOWED: &str = "cors.allowed_origins=[\"https://shop.example\", \"http://localhost:3000\"]";

/// Who may read it, and whether caches must tell origins apart.
fn verdict(response: &Response) -> (Option<&str>, Option<&str>) {
    (response.field("Access-Control-Allow-Origin"), response.field("Vary"))
}

/// One request for each of the routes; the answer's head.
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
        ("http://shop.example", None),
        ("https://shop.example.evil", None),
        ("https://evil.shop.example", None),
        ("http://localhost:3001", None),
        ("null", None),
        ("", None),
    ] {
        for response in answers(&gateway, origin) {
            assert_eq!(verdict(&response), (allowed, vary), "{origin}: {}", response.head);
            assert_eq!(response.field("Access-Control-Allow-Credentials"), None);
        }
    }
    // Nobody is allowed unless the operator says so.
    let gateway = Gateway::start(engine);
    for response in answers(&gateway, "https://shop.example") {
        assert_eq!(verdict(&response), (None, None), "{}", response.head);
    }
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
fn preflights_say_what_may_be_sent(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let mut client = Client::connect(&gateway);
    for (path, method) in [("/send", "POST"), ("/poll", "GET"), ("/sse", "GET"), ("/stream", "GET")]
    {
        for (origin, is_allowed) in [("https://shop.example", true), ("https://evil", false)] {
            let preflight = Request::of(path)
                .line(&format!("OPTIONS {path} HTTP/1.1"))
                .and("Origin", origin)
                .and("Access-Control-Request-Method", method)
                .and("Access-Control-Request-Headers", "content-type");
            client.sends(preflight.bytes());
            let response = client.receives_head();
            assert_eq!(response.status, 204);
            let yes = |value| is_allowed.then_some(value);
            assert_eq!(verdict(&response), (yes(origin), Some("Origin")), "{path}");
            for (field, value) in [
                ("Access-Control-Allow-Methods", method),
                ("Access-Control-Allow-Headers", "content-type, last-event-id"),
            ] {
                assert_eq!(response.field(field), yes(value), "{path} {field}");
            }
            let age = response.field("Access-Control-Max-Age");
            assert_eq!(age.is_some_and(|age| age.parse::<u32>().unwrap() > 0), is_allowed);
        }
    }
    // The connection goes on, with what was asked for.
    let request =
        Request::post("/send", r#"{"type":"ping"}"#).and("Origin", "https://shop.example");
    assert_eq!(client.requests(&request).status, 200);
}

/// A page that is not told why would have nothing to say to its user.
fn refusals_may_be_read_too(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    for (request, status) in [
        (Request::of("/sse?cursor=x"), 400),
        (Request::of("/poll?wait=x"), 400),
        (Request::of("/poll").line("POST /poll HTTP/1.1"), 405),
        (Request::post("/send", "{"), 400),
        (Request::post("/send", "{}").with("Content-Type", "text/html"), 415),
    ] {
        let request = request.and("Origin", "https://shop.example");
        let response = Client::connect(&gateway).requests(&request);
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(verdict(&response).0, Some("https://shop.example"), "{request:?}");
    }
}

fn a_websocket_is_not_asked_for_leave(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[ALLOWED]);
    let request = Request::upgrade_of("/ws?client=ann").and("Origin", "https://elsewhere.example");
    let mut ann = Member::upgrades(&gateway, &request);
    ann.notifies("1", &["ann"], 1);
    ann.receives_event(1);
}
