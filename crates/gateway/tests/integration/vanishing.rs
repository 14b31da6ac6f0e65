//! Clients whose network goes away without a word: the kernel gives up what they were sent, so that
//! events for them are kept instead of reported as delivered.
//!
//! A filter on the client's socket drops all that comes for it, which the gateway sees as a network
//! that went away.

use std::time::Instant;

use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Member, Request, Stream, on_each_engine, target,
};

on_each_engine!(a_client_that_vanished_is_away, a_client_that_vanished_in_a_poll_is_away);

/// Only the kernel can find them: the gateway itself would wait for a minute.
const SETTINGS: [&str; 5] = [
    "websocket.ping_interval=1s",
    "websocket.pong_timeout=1m",
    "socket.user_timeout=2s",
    "socket.keepalive_idle=1s",
    "socket.keepalive_interval=1s",
];

#[track_caller]
fn is_notified(gateway: &Gateway, client: &str, data: &str) -> String {
    let mut application = Application::of(gateway);
    let body = json!({"to": [client], "data": data}).to_string();
    let outcome = application.posts("/v1/notify", body).json();
    outcome["outcome"][client].as_str().unwrap().to_owned()
}

/// Each transport that is sent something now and then.
fn a_client_that_vanished_is_away(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let bob = Member::joins(&gateway, "bob");
    let clients: [(&str, &[(&str, &str)]); 3] = [
        ("/sse", &[("client", "c-sse")]),
        ("/stream", &[("client", "c-lines")]),
        ("/stream", &[("client", "c-iframe"), ("format", "iframe")]),
    ];
    let streams = clients.map(|(path, query)| Stream::opens(&gateway, &target(path, query)));
    gateway.holds(4);
    bob.socket.vanishes();
    streams.iter().for_each(|stream| stream.socket.vanishes());
    let start = Instant::now();
    // Nobody can know yet.
    assert_eq!(is_notified(&gateway, "bob", "first"), "delivered");
    gateway.holds(0);
    println!("found after {:?}", start.elapsed());
    for client in ["bob", "c-sse", "c-lines", "c-iframe"] {
        assert_eq!(is_notified(&gateway, client, "second"), "queued", "{client}");
    }
    // What it was reported to have been delivered is not lost, either.
    let mut again = Member::comes(&gateway, &[("client", "bob"), ("cursor", &bob.cursor)]);
    again.receives_event("first");
    again.receives_event("second");
}

/// It is sent nothing until its answer is due.
fn a_client_that_vanished_in_a_poll_is_away(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let mut client = Client::connect(&gateway);
    client.sends(Request::of(&target("/poll", &[("client", "bob"), ("wait", "60")])).bytes());
    gateway.serves(1, "long-poll");
    client.vanishes();
    gateway.holds(0);
    assert_eq!(is_notified(&gateway, "bob", "kept"), "queued");
}
