//! How much the gateway may buffer for all clients together, and how long one message may take.
//!
//! The limits for one client are tested in `slow_readers`, `limits` and `inflating`.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    Client, Engine, Gateway, Request, attack, attacker, eventually,
    frames::{BINARY, FIN, PING, TEXT, frame, header},
    on_each_engine,
};

on_each_engine!(
    incomplete_bodies_are_refused_over_the_budget,
    slow_readers_are_closed_over_the_budget,
    everything_at_its_limit_stays_within_the_budget,
    a_message_that_arrives_too_slowly_ends_the_connection,
    the_time_for_a_message_stops_while_reading_is_paused,
    memory_is_returned_without_traffic,
);

const MIB: u64 = 1 << 20;

/// Clients that each send a byte at a time.
const SLOW_CLIENTS: u64 = 300;

/// 128 bodies, each some 900 KiB long so far: seven times the budget.
fn incomplete_bodies_are_refused_over_the_budget(engine: Engine) {
    let settings = ["limits.memory_bytes=16MiB"];
    let gateway = Gateway::start_with(engine, &settings);
    let (cost, mut bodies) = attack("unfinished bodies", &gateway, || {
        let body = vec![b'a'; 900 << 10];
        let clients = (0..128).map(|_| {
            let head = Request::post("/send?client=a", "").with("Content-Length", "1000000");
            attacker(gateway.address, &head, &body)
        });
        clients.collect::<Vec<_>>()
    });
    // The allocator's slack and the receive buffers are not part of the budget.
    assert!(cost.grown_bytes < 96 * MIB, "{cost:?}");
    let closed = gateway.metric("ringway_closed_total{reason=\"memory\"}");
    assert!((5..128).contains(&closed), "{closed} closed");
    assert_eq!(gateway.metric("ringway_refused_requests_total{reason=\"memory\"}"), closed);
    gateway.logs("limits.memory_bytes (16 MiB) is used up");
    let refused: Vec<u16> =
        (bodies.iter_mut().take(4)).map(|body| body.receives_response().status).collect();
    assert!(refused.contains(&503), "{refused:?}");
    drop(bodies);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
    // A client that connects now is served.
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/")).status, 200);
}

/// Each client has 1 MiB echoed again and again, and reads nothing.
fn slow_readers_are_closed_over_the_budget(engine: Engine) {
    let settings = [
        "limits.memory_bytes=16MiB",
        "clients.queue_bytes_max=64MiB",
        "socket.send_buffer_bytes=64KiB",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let (cost, clients) = attack("unread echoes", &gateway, || {
        let message = frame(FIN | BINARY, vec![7; 1 << 20]);
        let messages = [&message[..]; 2].concat();
        let clients = (0..20).map(|_| attacker(gateway.address, &Request::upgrade(), &messages));
        clients.collect::<Vec<_>>()
    });
    assert!(cost.grown_bytes < 80 * MIB, "{cost:?}");
    assert!(gateway.metric("ringway_closed_total{reason=\"memory\"}") > 0);
    drop(clients);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
}

/// Unfinished requests and messages, echoes that nobody reads, and floods of events and commands, at
/// the same time.
fn everything_at_its_limit_stays_within_the_budget(engine: Engine) {
    let settings = [
        "limits.memory_bytes=16MiB",
        "history.bytes_max=16MiB",
        "history.outcome_bytes_max=2MiB",
        "clients.queue_bytes_max=1MiB",
        "socket.send_buffer_bytes=64KiB",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let (cost, attackers) = attack("everything", &gateway, || {
        let address = gateway.address;
        let body = vec![b'a'; 900 << 10];
        let message = frame(FIN | BINARY, vec![7; 1 << 20]);
        let data = "x".repeat(4_000);
        let commands = |sender: usize| {
            let commands = (0..500).flat_map(|id| {
                let topic = format!("topic-{sender}");
                let command =
                    json!({"type": "publish", "id": id.to_string(), "topic": topic, "data": data});
                frame(FIN | TEXT, command.to_string())
            });
            commands.collect::<Vec<u8>>()
        };
        (0..30)
            .flat_map(|number| {
                let head = Request::post("/send?client=a", "").with("Content-Length", "1000000");
                let sender = Request::upgrade_of(&format!("/ws?client=sender-{number}"));
                [
                    attacker(address, &head, &body),
                    attacker(address, &Request::upgrade(), &message[..900 << 10]),
                    attacker(address, &Request::upgrade(), &message),
                    attacker(address, &sender, &commands(number)),
                ]
            })
            .collect::<Vec<_>>()
    });
    // 34 MiB, the index, the receive buffers and the allocator's slack.
    assert!(cost.grown_bytes < 112 * MIB, "{cost:?}");
    assert!(gateway.metric("ringway_buffered_bytes") <= 17 * MIB);
    let [history, index, receipts] = ["history", "index", "receipts"].map(|component| {
        gateway.metric(&format!("ringway_memory_bytes{{component=\"{component}\"}}"))
    });
    assert!(history > 2 * MIB && history + index <= 17 * MIB, "{history} {index} bytes");
    assert!(receipts < 4 * MIB, "{receipts} bytes of outcomes");
    gateway.logs("limits.memory_bytes (16 MiB) is used up");
    drop(attackers);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
}

/// RFC 6455 §7.4.1: 1008. Pings in between do not help.
fn a_message_that_arrives_too_slowly_ends_the_connection(engine: Engine) {
    let settings = ["websocket.message_timeout=1s", "websocket.ping_interval=10s"];
    let gateway = Gateway::start_with(engine, &settings);
    let start = Instant::now();
    let mut slow = Client::upgrade(&gateway);
    let mut quick = Client::upgrade(&gateway);
    let mut pinging = Client::upgrade(&gateway);
    let mut crowd: Vec<Client> = (0..SLOW_CLIENTS).map(|_| Client::upgrade(&gateway)).collect();
    crowd.iter_mut().for_each(|client| client.sends(header(FIN | BINARY, 1000)));
    slow.sends(header(FIN | BINARY, 1000));
    pinging.sends(frame(TEXT, "the first of many"));
    while start.elapsed() < Duration::from_millis(1500) {
        slow.sends_what_is_taken(b"a");
        crowd.iter_mut().for_each(|client| client.sends_what_is_taken(b"a"));
        pinging.sends_what_is_taken(frame(FIN | PING, ""));
        // It always has an unfinished message, but each is complete in time.
        quick.sends(&frame(FIN | TEXT, "hello")[..8]);
        thread::sleep(Duration::from_millis(50));
        quick.sends(&frame(FIN | TEXT, "hello")[8..]);
        quick.receives_text("hello");
    }
    let reason = slow.receives_close(1008);
    assert!(reason.starts_with("message_timeout"), "{reason}");
    slow.is_cut_off();
    pinging.is_cut_off();
    crowd.iter_mut().for_each(Client::is_cut_off);
    assert_eq!(
        gateway.metric("ringway_closed_total{reason=\"message_timeout\"}"),
        2 + SLOW_CLIENTS
    );
    assert!(start.elapsed() < Duration::from_secs(8));
    quick.sends(frame(FIN | TEXT, "still here"));
    quick.receives_text("still here");
}

/// The deadline does not apply while the gateway does not read from the client because too much is
/// unsent.
fn the_time_for_a_message_stops_while_reading_is_paused(engine: Engine) {
    let settings = [
        "websocket.message_timeout=1s",
        "clients.queue_bytes_max=1KiB",
        "socket.send_buffer_bytes=64KiB",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    let message = vec![7; 8 << 20];
    let whole = frame(FIN | BINARY, &message);
    client.sends(&whole);
    let stream = client.stream();
    let next = thread::spawn(move || {
        use std::io::Write;
        // The message fills the kernel's buffers, and waits there.
        (&stream).write_all(&frame(FIN | BINARY, vec![8; 8 << 20])).unwrap();
    });
    thread::sleep(Duration::from_millis(1500));
    client.receives_binary(&message);
    client.receives_binary(vec![8; 8 << 20]);
    next.join().unwrap();
}

/// The memory of a burst is returned to the kernel even without further traffic.
fn memory_is_returned_without_traffic(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.memory_bytes=1GiB"]);
    // Memory that the gateway keeps after its first use.
    Client::upgrade(&gateway).sends(frame(FIN | BINARY, vec![7; 1 << 20]));
    let before = gateway.resident_bytes();
    let half = &frame(FIN | BINARY, vec![7; 4 << 20])[..2 << 20];
    let mut clients: Vec<Client> = (0..64).map(|_| Client::upgrade(&gateway)).collect();
    clients.iter_mut().for_each(|client| client.sends(half));
    eventually("the messages arrive", || gateway.resident_bytes() > before + 100 * MIB);
    drop(clients);
    let start = Instant::now();
    // The test does not even request the metrics.
    while gateway.resident_bytes() > before + 8 * MIB {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{} MiB stay",
            gateway.resident_bytes() / MIB
        );
        thread::sleep(Duration::from_millis(100));
    }
}
