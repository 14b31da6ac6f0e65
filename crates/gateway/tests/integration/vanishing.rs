//! Clients whose network silently goes away: the kernel gives up sending to them, so that events
//! for them are kept instead of being reported as delivered.
//!
//! A filter on the client's socket drops all packets for it, which the gateway cannot distinguish
//! from a network that went away.

use std::time::Instant;

use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Member, Request, Stream, on_each_engine, target,
};

on_each_engine!(a_client_that_vanished_is_away, a_client_that_vanished_in_a_poll_is_away);

/// Only the kernel can notice: the gateway itself would wait for a minute.
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

/// Each transport on which something is sent now and then.
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
    // Nothing shows yet that the client has vanished.
    assert_eq!(is_notified(&gateway, "bob", "first"), "delivered");
    gateway.holds(0);
    println!("found after {:?}", start.elapsed());
    for client in ["bob", "c-sse", "c-lines", "c-iframe"] {
        assert_eq!(is_notified(&gateway, client, "second"), "queued", "{client}");
    }
    // Events that were reported as delivered are not lost either.
    let mut again = Member::comes(&gateway, &[("client", "bob"), ("cursor", &bob.cursor)]);
    again.receives_event("first");
    again.receives_event("second");
}

/// Nothing is sent to it until its answer is due.
fn a_client_that_vanished_in_a_poll_is_away(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let mut client = Client::connect(&gateway);
    client.sends(Request::of(&target("/poll", &[("client", "bob"), ("wait", "60")])).bytes());
    gateway.serves(1, "long-poll");
    client.vanishes();
    gateway.holds(0);
    assert_eq!(is_notified(&gateway, "bob", "kept"), "queued");
}
