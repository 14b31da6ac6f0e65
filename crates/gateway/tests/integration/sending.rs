//! `POST /send`: commands of clients that only receive, including changes of their subscriptions.
//!
//! The framing of bodies is tested in `bodies`.

use serde_json::json;

use crate::support::{
    Client, Engine, Gateway, Launch, Member, Request, Stream, eventually, has, on_each_engine,
    poll, send, target,
};

on_each_engine!(
    every_command_is_answered,
    faults_are_a_400_with_their_code,
    a_body_that_is_not_text_is_not_json,
    commands_follow_each_other_on_one_connection,
    a_request_subscribes_a_stream,
    a_request_subscribes_a_websocket,
    a_request_subscribes_a_held_poll,
    no_client_can_subscribe_another_one,
    a_request_for_a_closed_connection_is_refused,
    nothing_is_lost_after_the_answer,
    requests_over_the_limit_are_refused,
    permissions_apply_to_requests_too,
);

#[track_caller]
fn welcomed(stream: &mut Stream, path: &str) -> String {
    if path == "/sse" {
        stream.receives_block();
        return stream.receives_block().object()["connection"].as_str().unwrap().to_owned();
    }
    stream.receives_object()["connection"].as_str().unwrap().to_owned()
}

#[track_caller]
fn receives(stream: &mut Stream, path: &str, data: &str) {
    let object = match path {
        "/sse" => stream.receives_block().object(),
        _ => stream.receives_object(),
    };
    has(&object, json!({"type": "event", "data": data}));
}

fn every_command_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    let (status, ack) = send(
        &gateway,
        "ann",
        json!({"type": "notify", "id": "1", "to": ["bob", "carl"], "data": 1}),
    );
    assert_eq!(status, 200);
    has(&ack, json!({"type": "ack", "id": "1", "outcome": {"bob": "delivered", "carl": "queued"}}));
    has(&bob.receives_event(1), json!({"from": "ann", "cursor": ack["cursor"]}));
    let (status, ack) =
        send(&gateway, "ann", json!({"type": "publish", "id": "2", "topic": "news", "data": 2}));
    assert_eq!(status, 200);
    has(&ack, json!({"type": "ack", "id": "2"}));
    has(&bob.receives_event(2), json!({"topic": "news", "cursor": ack["cursor"]}));
    let (status, pong) = send(&gateway, "ann", json!({"type": "ping"}));
    assert_eq!((status, &pong), (200, &json!({"type": "pong", "cursor": ack["cursor"]})));
    // The sender is excluded by its name, however it is connected.
    let leave_out =
        json!({"type": "publish", "id": "3", "topic": "news", "data": 3, "echo": false});
    send(&gateway, "bob", &leave_out);
    bob.has_received_all();
    send(&gateway, "ann", &leave_out);
    bob.receives_event(3);
    // A sender without a name gets one.
    let response = Client::connect(&gateway)
        .requests(&Request::post("/send", r#"{"type":"notify","id":"1","to":["bob"],"data":4}"#));
    assert_eq!(response.status, 200);
    let event = bob.receives_event(4);
    assert!(event["from"].as_str().unwrap().starts_with("anon-"), "{event}");
}

fn faults_are_a_400_with_their_code(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (body, code, id) in [
        ("", "not_json", None),
        ("[]", "wrong_type", None),
        (r#"{"type":"say"}"#, "unknown_type", None),
        (r#"{"type":"notify","id":"1"}"#, "missing_field", Some("1")),
        (r#"{"type":"notify","id":"1","to":["\u0007"],"data":1}"#, "bad_name", Some("1")),
        (r#"{"type":"subscribe","id":"1","topic":"a"}"#, "not_on_this_transport", Some("1")),
        (r#"{"type":"unsubscribe","id":"1","topic":"a"}"#, "not_on_this_transport", Some("1")),
        (
            r#"{"type":"subscribe","id":"1","topic":"a","connection":"?"}"#,
            "not_on_this_transport",
            Some("1"),
        ),
        (
            r#"{"type":"subscribe","id":"1","topic":"a","connection":"0-1"}"#,
            "not_on_this_transport",
            Some("1"),
        ),
        (
            r#"{"type":"subscribe","id":"1","topic":"a","connection":"0-0-0","since":"x"}"#,
            "bad_cursor",
            Some("1"),
        ),
    ] {
        let (status, error) = send(&gateway, "ann", body);
        assert_eq!(status, 400, "{body}");
        has(&error, json!({"type": "error", "code": code}));
        assert_eq!(error["id"].as_str(), id, "{error}");
    }
}

fn a_body_that_is_not_text_is_not_json(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends("POST /send?client=ann HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\"\u{e9}");
    client.sends(b"\xff");
    // Four bytes: a quote, two of a letter, and one that is never valid in UTF-8.
    let response = client.receives_response();
    assert_eq!(response.status, 400);
    assert!(String::from_utf8(response.body).unwrap().contains("not_json"));
    assert_eq!(client.requests(&Request::of("/")).status, 200);
}

/// RFC 9112 §9.3.2: pipelined.
fn commands_follow_each_other_on_one_connection(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = Member::joins(&gateway, "bob");
    let mut client = Client::connect(&gateway);
    let mut bytes = Vec::new();
    for id in 0..50 {
        let command = json!({"type": "notify", "id": id.to_string(), "to": ["bob"], "data": id});
        bytes.extend(Request::post("/send?client=ann", &command.to_string()).bytes());
    }
    client.sends(bytes);
    for id in 0..50 {
        let body = client.receives_response().body;
        has(&serde_json::from_slice(&body).unwrap(), json!({"id": id.to_string()}));
        bob.receives_event(id);
    }
}

/// The request names the connection as its welcome did.
fn a_request_subscribes_a_stream(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let past = ann.publishes("past", "news", "past");
    for path in ["/sse", "/stream"] {
        let mut stream = Stream::opens(&gateway, &target(path, &[("client", "bob")]));
        let connection = welcomed(&mut stream, path);
        let order = |kind: &str| json!({"type": kind, "id": kind, "topic": "news", "connection": connection});
        let (status, ack) = send(&gateway, "bob", order("subscribe"));
        assert_eq!(status, 200);
        has(&ack, json!({"type": "ack", "id": "subscribe"}));
        ann.publishes(&format!("{path} 1"), "news", "first");
        receives(&mut stream, path, "first");
        let (status, _) = send(&gateway, "bob", order("unsubscribe"));
        assert_eq!(status, 200);
        ann.publishes(&format!("{path} 2"), "news", "unheard");
        ann.notifies(&format!("{path} 3"), &["bob"], "own");
        receives(&mut stream, path, "own");
        // From a position in the past.
        let mut since = order("subscribe");
        since["since"] = past["cursor"].clone();
        assert_eq!(send(&gateway, "bob", since).0, 200);
        for data in if path == "/sse" {
            &["first", "unheard"][..]
        } else {
            &["first", "unheard", "first", "unheard"][..]
        } {
            receives(&mut stream, path, data);
        }
        // From a cursor that cannot be placed: the client is told of the gap.
        let mut since = order("subscribe");
        since["since"] = "000000000001-0000000000000001".into();
        assert_eq!(send(&gateway, "bob", since).0, 200);
        let gap = match path {
            "/sse" => {
                let block = stream.receives_block();
                assert_eq!(block.event.as_deref(), Some("gap"));
                block.object()
            }
            _ => stream.receives_object(),
        };
        has(&gap, json!({"type": "gap", "from": "000000000001-0000000000000001"}));
    }
}

fn a_request_subscribes_a_websocket(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let order = |kind: &str| json!({"type": kind, "id": kind, "topic": "news", "connection": bob.connection()});
    let (subscribe, unsubscribe) = (order("subscribe"), order("unsubscribe"));
    let mut foreign = order("subscribe");
    foreign["since"] = "000000000001-0000000000000001".into();
    assert_eq!(send(&gateway, "bob", subscribe).0, 200);
    ann.publishes("1", "news", 1);
    bob.receives_event(1);
    assert_eq!(send(&gateway, "bob", unsubscribe).0, 200);
    ann.publishes("2", "news", 2);
    bob.has_received_all();
    // A gap is always reported.
    assert_eq!(send(&gateway, "bob", foreign).0, 200);
    has(&bob.is_told("gap"), json!({"from": "000000000001-0000000000000001"}));
    bob.receives_event(1);
    bob.receives_event(2);
}

/// A held poll has no welcome, but its connection can be found.
fn a_request_subscribes_a_held_poll(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut client = Client::connect(&gateway);
    client.sends(Request::of("/poll?client=ann").bytes());
    gateway.serves(1, "long-poll");
    // The only other connection of the core is in the slot after hers.
    let (core, rest) = ann.connection().split_once('-').unwrap();
    let (slot, generation) = rest.split_once('-').unwrap();
    let slot: u32 = slot.parse().unwrap();
    for slot in [slot - slot.min(1), slot + 1] {
        let connection = format!("{core}-{slot}-{generation}");
        let order =
            json!({"type": "subscribe", "id": "s", "topic": "news", "connection": connection});
        assert_eq!(send(&gateway, "ann", order).0, 200);
    }
    ann.unsubscribes("news");
    ann.publishes("1", "news", 1);
    let body = client.receives_response().body;
    has(
        &serde_json::from_slice(&body).unwrap(),
        json!({"events": [{
            "type": "event", "cursor": ann.asks(&json!({"type": "ping"}))["cursor"], "from": "ann",
            "topic": "news", "data": 1,
        }]}),
    );
}

/// Another client's connection: the answer is the same, and nothing happens.
fn no_client_can_subscribe_another_one(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "own")]);
    let order = |kind: &str, topic: &str| json!({"type": kind, "id": kind, "topic": topic, "connection": bob.connection()});
    let (subscribe, unsubscribe) = (order("subscribe", "news"), order("unsubscribe", "own"));
    assert_eq!(send(&gateway, "mallory", subscribe).0, 200);
    assert_eq!(send(&gateway, "mallory", unsubscribe).0, 200);
    ann.publishes("1", "news", "not for bob");
    ann.publishes("2", "own", "for bob");
    bob.receives_event("for bob");
    bob.has_received_all();
}

fn a_request_for_a_closed_connection_is_refused(engine: Engine) {
    let gateway = Gateway::start(engine);
    let bob = Member::joins(&gateway, "bob");
    let gone = bob.connection().to_owned();
    drop(bob);
    gateway.holds(0);
    // In the same slot, but a different connection.
    let mut bob = Member::joins(&gateway, "bob");
    assert_ne!(bob.connection(), gone);
    for connection in [&*gone, "99-0-0", "0-4000000000-0", "0-0-4000000000"] {
        let order =
            json!({"type": "subscribe", "id": "s", "topic": "news", "connection": connection});
        assert_eq!(send(&gateway, "bob", order).0, 200, "{connection}");
    }
    bob.publishes("1", "news", "unheard");
    bob.has_received_all();
}

/// Events that are published after a subscription was acknowledged are received, on whichever
/// cores.
fn nothing_is_lost_after_the_answer(engine: Engine) {
    let gateway = Launch::bare(engine).start();
    let mut ann = Member::joins(&gateway, "ann");
    let mut streams: Vec<(Stream, String)> = (0..8)
        .map(|_| {
            let mut stream = Stream::opens(&gateway, "/stream?client=bob");
            let connection = welcomed(&mut stream, "/stream");
            (stream, connection)
        })
        .collect();
    let mut client = Client::connect(&gateway);
    for round in 0..50 {
        for (stream, connection) in &mut streams {
            let topic = format!("{connection} {round}");
            let order = json!({
                "type": "subscribe", "id": "s", "topic": topic, "connection": connection
            });
            let request = Request::post("/send?client=bob", &order.to_string());
            assert_eq!(client.requests(&request).status, 200);
            ann.publishes(&topic, &topic, &*topic);
            receives(stream, "/stream", &topic);
        }
    }
}

/// The change is acknowledged before the limit is checked; over the limit nothing happens.
fn requests_over_the_limit_are_refused(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["clients.subscriptions_max=2"]);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    for topic in ["a", "b", "c"] {
        let order = json!({
            "type": "subscribe", "id": topic, "topic": topic, "connection": bob.connection()
        });
        assert_eq!(send(&gateway, "bob", order).0, 200);
    }
    for topic in ["a", "b", "c"] {
        ann.publishes(topic, topic, topic);
    }
    bob.receives_event("a");
    bob.receives_event("b");
    bob.has_received_all();
}

fn permissions_apply_to_requests_too(engine: Engine) {
    let settings = [
        "clients.may_notify=[\"bob\"]",
        "clients.may_publish=[\"chat\"]",
        "clients.may_subscribe=[\"chat\"]",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let bob = Member::joins(&gateway, "bob");
    let notify = json!({"type": "notify", "id": "1", "to": ["bob", "carl"], "data": 1, "ttl": 0});
    let (status, ack) = send(&gateway, "ann", notify);
    assert_eq!(status, 200);
    has(&ack, json!({"outcome": {"bob": "delivered", "carl": "denied"}}));
    for command in [
        json!({"type": "publish", "id": "2", "topic": "news", "data": 1}),
        json!({"type": "subscribe", "id": "3", "topic": "news", "connection": bob.connection()}),
    ] {
        let (status, error) = send(&gateway, "bob", command);
        assert_eq!(status, 400);
        has(&error, json!({"code": "not_allowed"}));
    }
    eventually("it has continued", || {
        poll(&gateway, &[("client", "bob"), ("wait", "0")]).events.is_empty()
    });
    let forbidden = target("/send", &[("client", "ann"), ("topic", "news")]);
    let request = Request::post(&forbidden, r#"{"type":"ping"}"#);
    assert_eq!(Client::connect(&gateway).requests(&request).status, 403);
}
