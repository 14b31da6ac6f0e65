//! Methods, preflights and queries of each route; and the files of the client for browsers.
//!
//! The purpose of each route is tested elsewhere.

use std::io::Read;

use crate::support::{Application, Client, Engine, Gateway, Request, on_each_engine};

on_each_engine!(
    each_route_lists_its_methods,
    head_has_the_fields_of_get_on_every_route,
    a_preflight_is_answered,
    invalid_queries_are_a_400,
    the_files_of_the_client_are_served_once,
);

/// RFC 9110 §15.5.6; RFC 9112 §9.3: the connection is kept open.
fn each_route_lists_its_methods(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for (line, allow) in [
        ("POST /sse", "GET, HEAD, OPTIONS"),
        ("PUT /poll", "GET, HEAD, OPTIONS"),
        ("DELETE /stream", "GET, HEAD, OPTIONS"),
        ("GET /send", "POST, OPTIONS"),
        ("POST /ringway.js", "GET, HEAD"),
        ("POST /ws", "GET"),
    ] {
        let response = client.requests(&Request::of("/").line(&format!("{line} HTTP/1.1")));
        assert_eq!(response.status, 405, "{line}");
        assert_eq!(response.field("Allow"), Some(allow), "{line}");
    }
    for (line, status, content_type) in [
        ("HEAD /sse", 200, "text/event-stream"),
        ("HEAD /poll?client=ann&wait=20", 200, "application/json"),
        ("HEAD /stream", 200, "application/x-ndjson"),
        ("HEAD /poll?wait=soon", 400, "application/problem+json"),
        ("HEAD /send", 405, "application/problem+json"),
        ("HEAD /none", 404, "application/problem+json"),
    ] {
        client.sends(Request::of("/").line(&format!("{line} HTTP/1.1")).bytes());
        let response = client.receives_head_alone();
        assert_eq!(response.status, status, "{line}");
        assert_eq!(response.field("Content-Type"), Some(content_type), "{line}");
    }
    assert_eq!(gateway.metric("ringway_sessions"), 0);
    // RFC 9110 §2.5: every version of HTTP/1 is served, with the features that it has.
    for (line, status) in [
        ("GET /poll?wait=0 HTTP/1.0", 200),
        ("POST /send HTTP/1.0", 400),
        ("GET / HTTP/1.0", 200),
        ("GET /ws HTTP/1.0", 400),
    ] {
        let mut client = Client::connect(&gateway);
        let response = client.requests(&Request::of("/").line(line).without("Host"));
        assert_eq!(response.status, status, "{line}");
        client.receives_end();
    }
    // RFC 9112 §6.1: without chunks, a stream ends with the connection.
    for target in ["/sse", "/stream", "/stream?format=iframe"] {
        let query = if target.contains('?') { "&client=old" } else { "?client=old" };
        let mut old = Client::connect(&gateway);
        old.sends(format!("GET {target}{query} HTTP/1.0\r\n\r\n"));
        let head = old.receives_head();
        assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None), "{target}");
        assert_eq!(head.field("Connection"), Some("close"));
        let mut application = Application::of(&gateway);
        application.posts("/v1/notify", r#"{"to":["old"],"event":"e","data":"here"}"#);
        let (mut stream, mut body) = (old.stream(), String::new());
        while !body.contains("here") {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "{target} ended after {body:?}");
            body.push_str(str::from_utf8(&piece[..length]).unwrap());
        }
        application.asks("DELETE /v1/clients/old");
        stream.read_to_string(&mut body).unwrap();
        assert!(body.contains("here") && !body.contains("\r\n"), "{target}: {body}");
        assert_eq!(body.contains("event: e\n"), target == "/sse", "{body}");
    }
    for (line, status) in [("GET /poll?wait=0 HTTP/1.2", 200), ("GET / HTTP/1.9", 200)] {
        assert_eq!(client.requests(&Request::of("/").line(line)).status, status, "{line}");
    }
}

/// RFC 9110 §9.3.2: all fields but those that are known only with a body, such as the length of a
/// poll's answer.
fn head_has_the_fields_of_get_on_every_route(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["cors.allowed_origins=[\"https://a\"]"]);
    let edge = [
        "/",
        "/home.js",
        "/home.css",
        "/ringway.js",
        "/ringway.d.ts",
        "/ws",
        "/echo",
        "/sse",
        "/sse?names=off",
        "/stream",
        "/stream?format=iframe&callback=f",
        "/poll?wait=0",
        "/sse?topic=",
        "/send",
        "/none",
    ];
    let private = [
        "/",
        "/dashboard.js",
        "/dashboard.css",
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/openapi.json",
        "/v1/topics/news/history",
        "/v1/topics/news/history?limit=x",
        "/v1/clients/ann",
        "/problems/bad-name",
        "/v1/publish",
        "/none",
    ];
    let edge = edge.map(|target| (gateway.address, target));
    let private = private.map(|target| (gateway.api, target));
    for (address, target) in edge.into_iter().chain(private) {
        let [got, described] = ["GET", "HEAD"].map(|method| {
            let line = format!("{method} {target} HTTP/1.1");
            let mut client = Client::connect_to(address);
            let request = Request::of(target).with("Host", "localhost").line(&line);
            client.sends(request.and("Origin", "https://a").bytes());
            let head = match method {
                "HEAD" => client.receives_head_alone(),
                _ => client.receives_head(),
            };
            if method == "HEAD" && head.field("Connection") != Some("close") {
                // No body follows the head: the next answer begins at once.
                client.sends("GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
                assert_eq!(client.receives_response().status, 404, "{target}");
            }
            let names = head.head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let mut names: Vec<_> = names.map(|(name, _)| name.to_ascii_lowercase()).collect();
            names.retain(|name| name != "content-length" || !target.starts_with("/poll"));
            names.sort();
            (head.status, head.field("Content-Type").map(str::to_owned), names)
        });
        assert_eq!(got, described, "{target}");
    }
    assert_eq!(gateway.metric("ringway_sessions"), 0);
}

/// Fetch §3.3.5; RFC 9110 §8.6: a 204 has no length. No origin is allowed unless the operator
/// configures it.
fn a_preflight_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for (path, allow) in [("/send", "POST, OPTIONS"), ("/poll", "GET, HEAD, OPTIONS")] {
        let preflight = Request::of("/")
            .line(&format!("OPTIONS {path} HTTP/1.1"))
            .and("Origin", "https://a")
            .and("Access-Control-Request-Method", "POST");
        client.sends(preflight.bytes());
        let response = client.receives_head();
        assert_eq!(response.status, 204);
        assert_eq!(response.field("Allow"), Some(allow));
        assert_eq!(response.field("Content-Length"), None);
        assert_eq!(response.field("Access-Control-Allow-Origin"), None);
    }
    assert_eq!(client.requests(&Request::of("/")).status, 200);
}

fn invalid_queries_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for (target, parameter) in [
        ("/poll?client=", "client"),
        ("/sse?client=a%0Ab", "client"),
        ("/sse?topic=%00", "topic"),
        ("/poll?wait=soon", "wait"),
        ("/poll?wait=1&wait=2", "wait"),
        ("/stream?format=xml", "format"),
        ("/stream?callback=%3Cscript%3E", "callback"),
        ("/sse?names=maybe", "names"),
        ("/stream?names=%ff", "query"),
        ("/sse?topics=news", "did you mean topic?"),
        ("/sse?room=news", "The known parameters are client, topic"),
        ("/poll?client=@ann", "client"),
        ("/sse?topic=$SYS", "topic"),
        ("/sse?topic=news.*", "wildcards"),
        ("/poll?token=a", "token"),
    ] {
        let response = client.requests(&Request::of(target));
        assert_eq!(response.status, 400, "{target}");
        let reason = String::from_utf8(response.body).unwrap();
        assert!(reason.contains(parameter), "{target}: {reason}");
    }
    let upgrade = Request::upgrade().line("GET /ws?topic= HTTP/1.1");
    assert_eq!(client.requests(&upgrade).status, 400);
}

/// RFC 9110 §13.1.2 and §15.4.5.
fn the_files_of_the_client_are_served_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    for (path, content_type) in [
        ("/ringway.js", "text/javascript; charset=utf-8"),
        ("/ringway.d.ts", "application/typescript; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
    ] {
        let whole = client.requests(&Request::of(path));
        assert_eq!(whole.status, 200);
        assert_eq!(whole.field("Content-Type"), Some(content_type));
        assert_eq!(whole.field("Cache-Control"), Some("no-cache"));
        assert!(!whole.body.is_empty());
        let tag = whole.field("ETag").unwrap();
        client.sends(Request::of(path).and("If-None-Match", tag).bytes());
        let known = client.receives_head();
        assert_eq!(known.status, 304, "{path}");
        assert_eq!(known.field("ETag"), Some(tag));
        assert_eq!(known.field("Content-Length"), None);
        let other = Request::of(path).and("If-None-Match", "\"other\"");
        assert_eq!(client.requests(&other).status, 200);
    }
}
