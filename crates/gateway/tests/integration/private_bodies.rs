//! Bodies of the private API that are wrong, sent twice, too large, slow or cut short: each gets a
//! problem, and no part of it is performed.
//!
//! Bodies of many events are tested in `bulk`.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Request, Stream, application::post, on_each_engine,
};

on_each_engine!(
    data_may_be_nested_to_the_limit,
    a_host_name_rebound_by_dns_is_refused,
    every_fault_of_a_body_is_a_problem,
    a_body_must_be_json_with_its_content_type,
    a_body_may_be_as_large_as_a_message,
    a_body_that_was_refused_leaves_the_connection_usable,
    recipients_are_allowed_up_to_the_limit,
    a_body_that_stops_is_a_408_and_delays_nobody,
    a_body_that_is_cut_short_does_nothing,
    a_repeated_length_is_refused,
    a_client_that_waits_for_a_100_gets_one_or_the_answer,
);

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn every_fault_of_a_body_is_a_problem(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let long = format!(r#"{{"topic":"{}","data":1}}"#, "a".repeat(129));
    for (path, body, kind) in [
        ("notify", "", "not-json"),
        ("notify", "{", "not-json"),
        ("notify", "{}{}", "not-json"),
        ("notify", r#"{"to":["ann"],"data":}"#, "not-json"),
        ("notify", "[]", "wrong-type"),
        ("notify", r#"{"to":["ann"]}"#, "missing-field"),
        ("notify", r#"{"topic":"news","data":1}"#, "unknown-field"),
        ("notify", r#"{"too":["ann"],"data":1}"#, "unknown-field"),
        ("notify", r#"{"to":["ann"],"data":1,"echo":false}"#, "unknown-field"),
        ("notify", r#"{"to":["@all"],"data":1}"#, "bad-name"),
        ("notify", r#"{"to":["ann"],"data":1,"event":"$a"}"#, "bad-name"),
        ("publish", r#"{"topic":"news.*","data":1}"#, "bad-name"),
        ("publish", r#"{"topic":"$SYS","data":1}"#, "bad-name"),
        ("publish?idempotency_key=a", r#"{"topic":"news","data":1}"#, "bad-parameter"),
        ("notify", r#"{"to":"ann","data":1}"#, "wrong-type"),
        ("notify", r#"{"to":[],"data":1}"#, "wrong-type"),
        ("notify", r#"{"to":["a\u0000"],"data":1}"#, "bad-name"),
        ("notify", r#"{"to":["ann"],"to":["ann"],"data":1}"#, "wrong-type"),
        ("notify", r#"{"to":["ann"],"data":1,"data":1}"#, "wrong-type"),
        ("notify", r#"{"to":["ann"],"data":1,"ttl":1.5}"#, "wrong-type"),
        ("notify", r#"{"to":["ann"],"data":1,"from":""}"#, "bad-name"),
        ("publish", r#"{"to":["ann"],"data":1}"#, "unknown-field"),
        ("publish", r#"{"topic":7,"data":1}"#, "wrong-type"),
        ("publish", r#"{"topic":"\ud800","data":1}"#, "wrong-type"),
        ("publish", &long, "bad-name"),
    ] {
        application.posts(&format!("/v1/{path}"), body).is_problem(400, kind);
    }
    application
        .posts("/v1/publish", b"{\"topic\":\"\xff\",\"data\":1}")
        .is_problem(400, "not-json");
    assert_eq!(gateway.metric("ringway_events_total"), 0);
}

/// RFC 9110 §15.5.16, §8.4.
fn a_body_must_be_json_with_its_content_type(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let body = r#"{"topic":"news","data":1}"#;
    let json = ("Content-Type", "application/json");
    for fields in [
        &[][..],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "application/json, application/json")],
        &[json, json],
        &[json, ("Content-Encoding", "gzip")],
    ] {
        let answer = application.posts_with("/v1/publish", fields, body);
        answer.is_problem(415, "unsupported-media-type");
        let accepted = "application/json, application/x-ndjson";
        assert_eq!(answer.field("Accept"), Some(accepted));
    }
    let fields = [("content-type", "Application/Json;charset=UTF-8")];
    assert_eq!(application.posts_with("/v1/publish", &fields, body).status, 200);
}

/// A publish whose body has this many bytes.
fn publish_of(bytes: usize) -> String {
    let body = |data: &str| format!(r#"{{"topic":"news","data":"{data}"}}"#);
    body(&"a".repeat(bytes - body("").len()))
}

/// RFC 9110 §15.5.14.
fn a_body_may_be_as_large_as_a_message(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.message_bytes_max=1000"]);
    let mut application = Application::of(&gateway);
    assert_eq!(application.posts("/v1/publish", publish_of(1000)).status, 200);
    application.posts("/v1/publish", publish_of(1001)).is_problem(413, "body-too-large");
    // Before the body has arrived, and if its length is unknown.
    let mut application = Application::of(&gateway);
    let head = post("/v1/publish", &JSON).and("Content-Length", "99999999999");
    application.client.sends(head.bytes());
    application.client.receives_response().is_problem(413, "body-too-large");
    let mut application = Application::of(&gateway);
    let head = post("/v1/publish", &JSON).and("Transfer-Encoding", "chunked");
    application.client.sends(head.bytes());
    application.client.sends(format!("3e8\r\n{}\r\n1\r\n \r\n", publish_of(1000)));
    application.client.receives_response().is_problem(413, "body-too-large");
    assert_eq!(gateway.metric("ringway_events_total"), 1);
}

/// The answer is not lost by a reset, even if much is still being sent.
fn a_body_that_was_refused_leaves_the_connection_usable(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    for bytes in [1 << 20, 5 << 20, 15 << 20] {
        application.posts("/v1/publish", publish_of(bytes + 1)).is_problem(413, "body-too-large");
        let answer = application.posts_with("/v1/publish", &[], publish_of(bytes));
        answer.is_problem(415, "unsupported-media-type");
        application.posts("/v1/none", publish_of(bytes)).is_problem(404, "not-found");
        application.posts("/metrics", publish_of(bytes)).is_problem(405, "method-not-allowed");
    }
    assert_eq!(application.posts("/v1/publish", publish_of(1 << 20)).status, 200);
}

fn recipients_are_allowed_up_to_the_limit(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["clients.recipients_max=10000"]);
    let mut application = Application::of(&gateway);
    let names = |count: usize| (0..count).map(|number| format!("client-{number}"));
    let body = |names: Vec<String>| json!({ "to": names, "data": 1 }).to_string();
    let answer = application.posts("/v1/notify", body(names(10_000).collect()));
    assert_eq!(answer.status, 200);
    let outcome = answer.json()["outcome"].as_object().unwrap().clone();
    assert_eq!(outcome.len(), 10_000);
    assert!(outcome.values().all(|outcome| outcome == "queued"));
    let answer = application.posts("/v1/notify", body(names(10_001).collect()));
    answer.is_problem(400, "too-many-recipients");
    // The length of the list is bounded, even if it repeats one name.
    let answer = application.posts("/v1/notify", body(vec!["ann".to_owned(); 10_001]));
    answer.is_problem(400, "too-many-recipients");
    assert_eq!(gateway.metric("ringway_events_total"), 1);
}

fn a_body_that_stops_is_a_408_and_delays_nobody(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (head, start) = (post("/v1/publish", &JSON).and("Content-Length", "100"), Instant::now());
    let mut slow: Vec<Application> = (0..20).map(|_| Application::of(&gateway)).collect();
    for application in &mut slow {
        application.client.sends(head.bytes());
        application.client.sends(r#"{"topic":"#);
    }
    let mut other = Application::of(&gateway);
    assert_eq!(other.posts("/v1/publish", publish_of(100)).status, 200);
    assert!(start.elapsed() < Duration::from_secs(4));
    // The gateway continues to read as long as bytes arrive.
    thread::sleep(Duration::from_secs(3).saturating_sub(start.elapsed()));
    let mut patient = slow.pop().unwrap();
    patient.client.sends(r#""a","data":"#);
    for application in &mut slow {
        application.client.receives_response().is_problem(408, "body-timeout");
    }
    let rest = format!("\"{}\"}}", "a".repeat(100 - 9 - 11 - 3));
    patient.client.sends(rest);
    assert_eq!(patient.client.receives_response().status, 200);
    assert_eq!(gateway.metric("ringway_events_total"), 2);
}

fn a_body_that_is_cut_short_does_nothing(engine: Engine) {
    let gateway = Gateway::start(engine);
    let body = r#"{"topic":"news","data":1}"#;
    for (field, value, sent) in [
        ("Content-Length", "26", body.to_owned()),
        ("Content-Length", "100", String::new()),
        ("Transfer-Encoding", "chunked", format!("19\r\n{body}\r\n")),
        ("Transfer-Encoding", "chunked", format!("1a\r\n{body}")),
        ("Transfer-Encoding", "chunked", format!("zz\r\n{body}\r\n0\r\n\r\n")),
    ] {
        let mut application = Application::of(&gateway);
        application.client.sends(post("/v1/publish", &JSON).and(field, value).bytes());
        application.client.sends(sent);
        application.client.finishes();
        application.client.is_cut_off();
    }
    assert_eq!(gateway.metric("ringway_events_total"), 0);
    let mut application = Application::of(&gateway);
    assert_eq!(application.posts("/v1/publish", body).status, 200);
}

/// RFC 9112 §6.3: the end of a body must not be ambiguous.
fn a_repeated_length_is_refused(engine: Engine) {
    let gateway = Gateway::start(engine);
    let body = r#"{"topic":"news","data":1}"#;
    for (name, value) in [("Content-Length", "24"), ("Content-Length", "a")] {
        let mut application = Application::of(&gateway);
        let head = post("/v1/publish", &JSON).and("Content-Length", "25").and(name, value);
        application.client.sends(head.bytes());
        application.client.sends_what_is_taken(body);
        assert_eq!(application.client.receives_response().status, 400);
    }
    assert_eq!(gateway.metric("ringway_events_total"), 0);
}

/// RFC 9110 §10.1.1
fn a_client_that_waits_for_a_100_gets_one_or_the_answer(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let waits = |fields: &[(&str, &str)]| post("/v1/publish", fields).and("Expect", "100-continue");
    let body = publish_of(100);
    application.client.sends(waits(&JSON).and("Content-Length", "100").bytes());
    assert_eq!(application.client.receives_head().status, 100);
    application.client.sends(body);
    assert_eq!(application.client.receives_response().status, 200);
    application.client.sends(waits(&JSON).and("Content-Length", "9999999").bytes());
    application.client.receives_response().is_problem(413, "body-too-large");
}

/// Receivers parse the data: the same limit applies however it is sent.
fn data_may_be_nested_to_the_limit(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (depth, is_taken) in [(128, true), (129, false), (200_000, false)] {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let one = format!(r#"{{"topic":"news","data":{data}}}"#);
        for (media, body) in
            [("application/json", one.clone()), ("application/x-ndjson", one + "\n")]
        {
            let request = Request::post("/v1/publish", &body);
            let request = request.with("Content-Type", media).with("Host", "localhost");
            let mut client = Client::connect_to(gateway.api);
            let said = if media == "application/json" {
                String::from_utf8_lossy(&client.requests(&request).body).into_owned()
            } else {
                client.sends(request.bytes());
                Stream::on(client).receives_line()
            };
            assert_eq!(!said.contains("clients.data_depth_max"), is_taken, "{depth} {said}");
        }
        let command =
            format!(r#"{{"type":"publish","id":"{depth}","topic":"news","data":{data}}}"#);
        let response = Client::connect(&gateway).requests(&Request::post("/send", &command));
        assert_eq!(response.status, if is_taken { 200 } else { 400 }, "{depth}");
        let ping = Request::post("/send", r#"{"type":"ping","id":"p1"}"#);
        let pong = Client::connect(&gateway).requests(&ping);
        let pong: serde_json::Value = serde_json::from_slice(&pong.body).unwrap();
        assert_eq!((&pong["type"], &pong["id"]), (&"pong".into(), &"p1".into()));
    }
}

/// A page whose name resolves to this address counts as a page of this origin.
fn a_host_name_rebound_by_dns_is_refused(engine: Engine) {
    let setting = "server.api_allowed_hosts=[\"ringway.internal\"]";
    let gateway = Gateway::start_with(engine, &[setting]);
    for (host, status) in [
        ("127.0.0.1:8081", 200),
        ("localhost", 200),
        ("ringway.internal:8081", 200),
        ("ringway:8081", 421),
        ("evil.example:8081", 421),
    ] {
        for path in ["/healthz", "/v1/topics/news/history"] {
            let request = Request::of(path).with("Host", host);
            let response = Client::connect_to(gateway.api).requests(&request);
            assert_eq!(response.status, status, "{host}");
            let said = String::from_utf8_lossy(&response.body).into_owned();
            assert_eq!(said.contains("server.api_allowed_hosts"), status == 421, "{said}");
        }
    }
}
