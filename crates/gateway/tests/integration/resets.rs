//! Clients that reset their connection right after their last bytes: nothing of them remains, and
//! no event is sent to them.
//!
//! RFC 9293 §3.10.7.4: a reset ends the connection at once. The reports of a single driver are
//! tested in `crates/acceptor/tests/contract/resetting.rs`.

use serde_json::json;

use crate::support::{
    Client, Engine, Gateway, Member, Request, eventually,
    frames::{FIN, TEXT, frame},
    on_each_engine, target,
};

on_each_engine!(
    a_reset_after_the_first_bytes_leaves_nothing,
    a_reset_after_a_poll_leaves_no_recipient,
    a_reset_after_a_message_ends_the_session,
);

/// Longer than a test, so no timeout removes a connection whose end was not noticed.
const PATIENT: [&str; 3] = [
    "limits.handshake_timeout=1m",
    "websocket.ping_interval=1m",
    "limits.connections_per_address_max=100000",
];

const CLIENTS: usize = 120;

/// Half a head, half a body, and whole requests whose answers are held back.
fn a_reset_after_the_first_bytes_leaves_nothing(engine: Engine) {
    let gateway = Gateway::start_with(engine, &PATIENT);
    let poll = Request::of("/poll?client=x&topic=news&wait=20").bytes();
    let post = Request::post("/send?client=x", r#"{"type":"ping"}"#).bytes();
    let stream = Request::of("/sse?client=x&topic=news").bytes();
    let socket = [Request::upgrade_of("/ws?client=x").bytes(), frame(FIN | TEXT, "{}")].concat();
    let parts = [
        &poll[..10],
        &poll[..],
        &post[..post.len() - 3],
        &stream[..],
        &socket[..],
        &socket[..socket.len() - 2],
    ];
    for bytes in parts {
        for _ in 0..CLIENTS {
            let mut client = Client::connect(&gateway);
            client.sends_what_is_taken(bytes);
            client.resets();
        }
    }
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_sessions"), 0);
}

fn a_reset_after_a_poll_leaves_no_recipient(engine: Engine) {
    let gateway = Gateway::start_with(engine, &PATIENT);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    bob.has_received_all();
    drop(bob);
    let request = Request::of(&target("/poll", &[("client", "bob"), ("wait", "20")])).bytes();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(&gateway);
        client.sends(&request);
        client.resets();
    }
    gateway.holds(1);
    let ack = ann.notifies("1", &["bob"], "not lost");
    assert_eq!(ack["outcome"], json!({"bob": "queued"}), "{ack}");
    let mut bob = Member::joins(&gateway, "bob");
    bob.receives_event("not lost");
}

/// The connection is established, and its last message gets no answer.
fn a_reset_after_a_message_ends_the_session(engine: Engine) {
    let gateway = Gateway::start_with(engine, &PATIENT);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::upgrade(&gateway)).collect();
    gateway.holds(CLIENTS as u64);
    // A fragment, which gets no answer.
    let fragment = frame(TEXT, "a message that never ends");
    for mut client in clients {
        client.sends(&fragment);
        client.resets();
    }
    eventually("every session has ended", || gateway.metric("ringway_sessions") == 0);
    gateway.holds(0);
}
