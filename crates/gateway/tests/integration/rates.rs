//! How much one client may send, and how many connections and errors it may have: the answer, the
//! metric and the log line of each limit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Client, Engine, Gateway, Member, Request, Response, eventually,
    frames::{FIN, PING, TEXT, close, frame},
    on_each_engine, send,
};

on_each_engine!(
    a_client_over_its_connections_is_a_429_on_every_transport,
    a_client_that_sends_too_many_messages_is_paused_and_loses_nothing,
    a_client_that_sends_too_many_bytes_is_paused_and_loses_nothing,
    a_client_that_sends_too_many_requests_is_paused,
    a_client_that_sends_too_fast_may_be_closed,
    events_are_counted_over_all_connections_of_a_client,
    repeated_errors_end_a_connection,
);

#[track_caller]
fn is_client_full(response: &Response) {
    assert_eq!(response.status, 429, "{}", response.head);
    let problem = response.json();
    assert_eq!((&problem["code"], &problem["limit"]), (&json!("client_full"), &json!(2)));
    assert_eq!(problem["key"], "limits.connections_per_client_max");
    assert!(response.field("Retry-After").is_some());
}

fn a_client_over_its_connections_is_a_429_on_every_transport(engine: Engine) {
    let settings = ["limits.connections_per_client_max=2", "log.format=json"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut members = vec![Member::joins(&gateway, "ann"), Member::joins(&gateway, "ann")];
    let mut client = Client::connect(&gateway);
    for target in ["/ws", "/sse", "/stream", "/poll"] {
        let request = match target {
            "/ws" => Request::upgrade_of("/ws?client=ann"),
            _ => Request::of(&format!("{target}?client=ann")),
        };
        is_client_full(&client.requests(&request));
    }
    assert_eq!(gateway.metric("ringway_refused_requests_total{reason=\"client_full\"}"), 4);
    gateway.logs("\"reason\":\"client_full\"");
    // Others may connect, and a command needs no connection of its own.
    Member::joins(&gateway, "bob").has_received_all();
    assert_eq!(send(&gateway, "ann", json!({"type": "ping"})).0, 200);
    drop(members.pop());
    gateway.serves(1, "websocket");
    members.push(Member::joins(&gateway, "ann"));
    members.iter_mut().for_each(Member::has_received_all);
}

/// Echoes batch after batch; returns how long it takes.
fn echo(client: &mut Client, batches: usize, messages: usize, bytes: usize) -> Duration {
    let start = Instant::now();
    for batch in 0..batches {
        let texts: Vec<String> =
            (0..messages).map(|one| format!("{batch} {one} {}", "x".repeat(bytes))).collect();
        client.sends(texts.iter().flat_map(|text| frame(FIN | TEXT, text)).collect::<Vec<_>>());
        texts.iter().for_each(|text| client.receives_text(text));
    }
    start.elapsed()
}

fn a_client_that_sends_too_many_messages_is_paused_and_loses_nothing(engine: Engine) {
    let settings = ["limits.messages_per_second_max=200", "limits.burst_time=100ms"];
    let gateway = Gateway::start_with(engine, &[&settings[..], &["log.format=json"]].concat());
    let mut client = Client::upgrade(&gateway);
    // The pause after the last batch is not waited for.
    let took = echo(&mut client, 4, 100, 10);
    assert!(took > Duration::from_millis(1_100), "{took:?}");
    assert!(gateway.metric("ringway_paused_total{reason=\"messages\"}") >= 3);
    gateway.logs("a client is paused");
    // A Close is answered after the pause, and control frames count.
    let pings = frame(FIN | PING, "p").repeat(50);
    client.sends(&pings);
    (0..50).for_each(|_| client.receives_pong("p"));
    client.sends(close(1000, ""));
    client.receives_close(1000);
    client.receives_end();
}

fn a_client_that_sends_too_many_bytes_is_paused_and_loses_nothing(engine: Engine) {
    let settings = ["limits.bytes_per_second_max=1MiB", "limits.burst_time=100ms"];
    let gateway = Gateway::start_with(engine, &settings);
    let took = echo(&mut Client::upgrade(&gateway), 1, 1, 2 << 20);
    assert!(took > Duration::from_millis(1_500), "{took:?}");
    assert!(gateway.metric("ringway_paused_total{reason=\"bytes\"}") > 0);
    // The body of a request, and what a client sends to a stream that nobody reads.
    let start = Instant::now();
    let text = json!({"type": "publish", "id": "1", "topic": "a", "data": "x".repeat(900 << 10)});
    assert_eq!(send(&gateway, "ann", text).0, 200);
    assert!(start.elapsed() > Duration::from_millis(600), "{:?}", start.elapsed());
    let mut stream = Client::connect(&gateway);
    stream.sends(Request::of("/sse?client=ann").bytes());
    assert_eq!(stream.receives_head().status, 200);
    let start = Instant::now();
    for _ in 0..16 {
        stream.sends(vec![0; 128 << 10]);
    }
    eventually("all of it is read", || gateway.metric("ringway_received_bytes_total") > 9 << 19);
    assert!(start.elapsed() > Duration::from_millis(1_000), "{:?}", start.elapsed());
}

fn a_client_that_sends_too_many_requests_is_paused(engine: Engine) {
    let settings = ["limits.messages_per_second_max=10", "limits.burst_time=100ms"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::connect(&gateway);
    let start = Instant::now();
    for number in 0..6 {
        let text = json!({"type": "publish", "id": number.to_string(), "topic": "a", "data": 1});
        let request = Request::post("/send?client=ann", &text.to_string());
        assert_eq!(client.requests(&request).status, 200);
    }
    assert!(start.elapsed() > Duration::from_millis(300), "{:?}", start.elapsed());
    assert!(gateway.metric("ringway_paused_total{reason=\"messages\"}") >= 3);
}

fn a_client_that_sends_too_fast_may_be_closed(engine: Engine) {
    let settings = [
        "limits.messages_per_second_max=10",
        "limits.burst_time=1s",
        "limits.fast_sender=close",
        "log.format=json",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(FIN | TEXT, "x").repeat(20));
    (0..20).for_each(|_| client.receives_text("x"));
    let reason = client.receives_close(1008);
    assert!(reason.starts_with("rate: "), "{reason}");
    assert!(reason.ends_with("at most 10 messages per second (limits.messages_per_second_max)"));
    client.receives_end();
    drop(client);
    let mut client = Client::connect(&gateway);
    let request = Request::of("/nothing");
    let pipelined: Vec<u8> = (0..15).flat_map(|_| request.bytes()).collect();
    client.sends(pipelined);
    (0..15).for_each(|_| assert_eq!(client.receives_response().status, 404));
    let refused = client.receives_response();
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate")));
    assert_eq!(refused.json()["key"], "limits.messages_per_second_max");
    client.receives_end();
    drop(client);
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"rate\"}"), 2);
    assert_eq!(gateway.metric("ringway_refused_requests_total{reason=\"rate\"}"), 1);
    gateway.logs("\"reason\":\"rate\"");
    // A client that keeps within its rates is not closed.
    let mut client = Client::upgrade(&gateway);
    echo(&mut client, 1, 8, 1);
}

fn publish(id: usize) -> Value {
    json!({"type": "publish", "id": id.to_string(), "topic": "a", "data": 1})
}

fn events_are_counted_over_all_connections_of_a_client(engine: Engine) {
    let settings = ["limits.publishes_per_second_max=1", "limits.burst_time=8s", "log.format=json"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut members = [Member::joins(&gateway, "ann"), Member::joins(&gateway, "ann")];
    for id in 0..6 {
        members[id % 2].does(&publish(id));
    }
    members[0].notifies("6", &["bob"], 1);
    assert_eq!(send(&gateway, "ann", publish(7)).0, 200);
    let refused = members[1].is_refused(publish(8), "rate");
    assert_eq!((&refused["id"], &refused["limit"]), (&json!("8"), &json!(1)));
    assert_eq!(refused["key"], "limits.publishes_per_second_max");
    let wait = refused["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 1.0, "{refused}");
    members[0].is_refused(json!({"type": "notify", "id": "9", "to": ["b"], "data": 1}), "rate");
    let request = Request::post("/send?client=ann", &publish(8).to_string());
    let response = Client::connect(&gateway).requests(&request);
    assert_eq!((response.status, &response.json()["code"]), (429, &json!("rate")));
    assert!(response.field("Retry-After").is_some());
    // Other commands and other clients go on.
    members[1].subscribes("a");
    Member::joins(&gateway, "bob").does(&publish(1));
    assert_eq!(gateway.metric("ringway_refused_commands_total{reason=\"rate\"}"), 3);
    gateway.logs("\"reason\":\"rate\"");
    std::thread::sleep(Duration::from_secs_f64(wait));
    members[1].does(&publish(8));
}

fn repeated_errors_end_a_connection(engine: Engine) {
    let settings = ["limits.errors_max=3", "limits.errors_window=10s", "log.format=json"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut member = Member::joins(&gateway, "ann");
    for _ in 0..4 {
        member.is_refused("{}", "missing_field");
    }
    let reason = member.socket.receives_close(1008);
    assert!(reason.starts_with("errors: ") && reason.contains("(limits.errors_max)"), "{reason}");
    member.socket.receives_end();
    let mut client = Client::connect(&gateway);
    for number in 0..4 {
        let (status, request) = match number % 2 {
            0 => (404, Request::of("/nothing")),
            _ => (400, Request::post("/send?client=ann", "{}")),
        };
        assert_eq!(client.requests(&request).status, status);
    }
    client.receives_end();
    drop((member, client));
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"errors\"}"), 2);
    assert_eq!(gateway.metric("ringway_refused_commands_total{reason=\"missing_field\"}"), 6);
    gateway.logs("\"reason\":\"errors\"");
    gateway.logs("a command was refused");
}
