//! Heartbeats on each transport, and the end of a connection: what a client is sent when nothing
//! happens, when it is silent, and when the gateway shuts down.
//!
//! Heartbeats of streams are tested in `streaming`, the pace of a drain in `stop`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Engine, Gateway, Member, Request, Stream,
    frames::{FIN, PING, PONG, TEXT, close, frame},
    has, on_each_engine, send, target,
};

on_each_engine!(
    a_silent_client_gets_the_cursor_of_the_head_and_a_ping,
    a_client_that_answers_stays,
    a_client_that_sends_messages_is_not_pinged,
    a_client_that_does_not_answer_is_closed,
    every_transport_is_told_that_the_gateway_stops,
    a_draining_gateway_sends_earlier_events_before_closing,
);

#[track_caller]
fn receives_heartbeat(member: &mut Member) -> Value {
    let pong = member.is_told("pong");
    member.socket.receives_ping();
    pong
}

/// The heartbeat's cursor keeps the client within the history.
fn a_silent_client_gets_the_cursor_of_the_head_and_a_ping(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.ping_interval=200ms"]);
    let start = Instant::now();
    let mut bob = Member::joins(&gateway, "bob");
    let pong = receives_heartbeat(&mut bob);
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert_eq!(pong, json!({"type": "pong", "cursor": bob.welcome["cursor"]}));
    bob.socket.sends(frame(FIN | PONG, ""));
    let publish = json!({"type": "publish", "id": "1", "topic": "not for bob", "data": 1});
    let cursor = send(&gateway, "ann", publish).1["cursor"].clone();
    // Half of an interval may have passed.
    let first = receives_heartbeat(&mut bob)["cursor"].clone();
    bob.socket.sends(frame(FIN | PONG, ""));
    assert!(first == cursor || receives_heartbeat(&mut bob)["cursor"] == cursor);
}

/// For many intervals, whatever the client sends.
fn a_client_that_answers_stays(engine: Engine) {
    let settings = ["websocket.ping_interval=100ms", "websocket.pong_timeout=2s"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut bob = Member::joins(&gateway, "bob");
    for round in 0..8 {
        receives_heartbeat(&mut bob);
        match round % 3 {
            0 => bob.socket.sends(frame(FIN | PONG, "")),
            1 => {
                bob.socket.sends(frame(FIN | PING, "p"));
                bob.socket.receives_pong("p");
            }
            _ => {
                bob.says(r#"{"type":"ping"}"#);
                bob.is_told("pong");
            }
        }
    }
    has(
        &send(&gateway, "ann", r#"{"type":"notify","id":"1","to":["bob"],"data":1,"ttl":0}"#).1,
        json!({"outcome": {"bob": "delivered"}}),
    );
}

fn a_client_that_sends_messages_is_not_pinged(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.ping_interval=1s"]);
    let mut bob = Member::joins(&gateway, "bob");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        // Anything but the answer to the ping would be a heartbeat.
        bob.has_received_all();
        std::thread::sleep(Duration::from_millis(50));
    }
    receives_heartbeat(&mut bob);
}

/// No event that was sent meanwhile is lost: the client did not respond, so its events are kept.
fn a_client_that_does_not_answer_is_closed(engine: Engine) {
    let settings = [
        "websocket.ping_interval=200ms",
        "websocket.pong_timeout=300ms",
        "websocket.close_timeout=1s",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let start = Instant::now();
    let mut bob = Member::joins(&gateway, "bob");
    receives_heartbeat(&mut bob);
    let reason = bob.socket.receives_close(1001);
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    assert!(!reason.is_empty());
    let (_, ack) = send(&gateway, "ann", r#"{"type":"notify","id":"1","to":["bob"],"data":1}"#);
    has(&ack, json!({"outcome": {"bob": "queued"}}));
    bob.socket.sends(close(1001, ""));
    bob.socket.receives_end();
    gateway.holds(0);
    Member::joins(&gateway, "bob").receives_event(1);
}

/// RFC 6455 §7.4.1; RFC 9112 §7.1: the last chunk shows that the response is complete.
fn every_transport_is_told_that_the_gateway_stops(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=8s"]);
    let query = [("client", "bob"), ("topic", "news")];
    let mut member = Member::comes(&gateway, &query);
    let mut sse = Stream::opens(&gateway, &target("/sse", &query));
    sse.receives_block();
    sse.receives_block();
    let mut lines = Stream::opens(&gateway, &target("/stream", &query));
    lines.receives_object();
    let iframe = [&query[..], &[("format", "iframe")]].concat();
    let mut script = Stream::opens(&gateway, &target("/stream", &iframe));
    script.receives_line();
    script.receives_line();
    let mut poll = Client::connect(&gateway);
    poll.sends(Request::of(&target("/poll", &query)).bytes());
    gateway.serves(1, "long-poll");
    gateway.signal("TERM");
    assert!(!member.socket.receives_close(1001).is_empty());
    member.socket.sends(close(1001, ""));
    member.socket.receives_end();
    let last = sse.receives_block();
    assert!(last.retry.is_some(), "{last:?}");
    for stream in [&mut sse, &mut lines, &mut script] {
        stream.receives_end();
    }
    let answer = Answer::of(poll.receives_response());
    assert!(answer.events.is_empty());
    assert_eq!(member.welcome["cursor"], *answer.cursor);
    poll.receives_end();
    drop((member, sse, lines, script, poll));
    assert_eq!(gateway.ends().code(), Some(0), "{:#?}", gateway.log());
}

/// A client is served until it is told to leave, and gets the events sent before that.
fn a_draining_gateway_sends_earlier_events_before_closing(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=8s"]);
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    let mut lines =
        Stream::opens(&gateway, &target("/stream", &[("client", "c"), ("topic", "news")]));
    lines.receives_object();
    let mut ann = Member::joins(&gateway, "ann");
    for number in 0..200 {
        ann.publishes(&number.to_string(), "news", number);
    }
    gateway.signal("TERM");
    for number in 0..200 {
        bob.receives_event(number);
        has(&lines.receives_object(), json!({"data": number}));
    }
    bob.socket.receives_close(1001);
    // A command that crosses the gateway's Close is not performed.
    bob.socket.sends(frame(FIN | TEXT, r#"{"type":"ping"}"#));
    bob.socket.sends(close(1001, ""));
    bob.socket.receives_end();
    lines.receives_end();
    ann.socket.receives_close(1001);
    drop((ann, bob, lines));
    assert_eq!(gateway.ends().code(), Some(0), "{:#?}", gateway.log());
}
