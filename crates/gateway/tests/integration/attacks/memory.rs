//! Attacks on the gateway's memory: they send little, and must cost little.
//!
//! Each attack runs while 100 good clients are connected. None of them may be lost; the test prints
//! the cost.

use std::time::Duration;

use ringway_acceptor::descriptors;
use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits};
use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Launch, Request, Response,
    application::post,
    attack, attacker, eventually,
    frames::{BINARY, FIN, RSV1, TEXT, frame, header},
    on_each_engine, poll, target,
};

on_each_engine!(
    unfinished_bombs_cost_only_the_bytes_sent,
    headers_that_declare_large_lengths_cost_little,
    unread_answers_to_pipelined_polls_cost_little,
    bodies_of_the_application_are_bounded,
    without_memory_one_client_is_closed_and_not_the_process,
    without_memory_one_event_is_refused_and_not_the_process_ended,
);

const MIB: u64 = 1 << 20;

/// Memory in addition to the bytes that an attack makes the gateway keep: idle connections, the
/// turns' buffers, and the allocator's slack.
const SLACK_BYTES: u64 = 24 * MIB;

/// The first `bytes` bytes of a compressed message of zeros that never ends.
fn bomb(opcode: u8, bytes: usize) -> Vec<u8> {
    let mut deflater = Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL);
    let mut compressed = Vec::new();
    deflater.deflate(&vec![b'0'; 1_050 * bytes], &mut compressed);
    compressed.truncate(bytes);
    frame(RSV1 | opcode, compressed)
}

/// RFC 7692 §6.1: a fragment without FIN. Inflated, each byte would become 1,200.
fn unfinished_bombs_cost_only_the_bytes_sent(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_per_client_max=1000"]);
    let (large, small) = (bomb(BINARY, 15_900), bomb(TEXT, 1_000));
    let deflated = |path: &str| {
        Request::upgrade_of(path).and("Sec-WebSocket-Extensions", "permessage-deflate")
    };
    let (cost, attackers) = attack("unfinished bombs", &gateway, || {
        let echo = (0..54).map(|_| attacker(gateway.address, &deflated("/echo"), &large));
        let ws = (0..823).map(|_| attacker(gateway.address, &deflated("/ws?client=a"), &small));
        echo.chain(ws).collect::<Vec<_>>()
    });
    let sent = (54 * large.len() + 823 * small.len()) as u64;
    assert!(cost.grown_bytes < 5 * sent + SLACK_BYTES, "{cost:?} for {sent} bytes");
    assert_eq!(gateway.metric("ringway_closed_total"), 0);
    drop(attackers);
}

/// Headers of 16 MiB, each with one byte of the payload.
fn headers_that_declare_large_lengths_cost_little(engine: Engine) {
    descriptors::raise_limit().unwrap();
    let gateway = Gateway::start(engine);
    let mut bytes = header(FIN | BINARY, 16 << 20);
    bytes.push(0);
    let (cost, attackers) = attack("declared lengths", &gateway, || {
        let upgrade = Request::upgrade();
        (0..2_500).map(|_| attacker(gateway.address, &upgrade, &bytes)).collect::<Vec<_>>()
    });
    assert!(cost.grown_bytes < SLACK_BYTES, "{cost:?}");
    drop(attackers);
}

/// RFC 9112 §9.3.2: four requests at once; the answer to each could be 1 MiB.
fn unread_answers_to_pipelined_polls_cost_little(engine: Engine) {
    descriptors::raise_limit().unwrap();
    let gateway = Gateway::start_with(engine, &["socket.send_buffer_bytes=32KiB"]);
    let start = poll(&gateway, &[("client", "a"), ("topic", "news"), ("wait", "0")]).cursor;
    let mut application = Application::of(&gateway);
    for _ in 0..128 {
        let event = json!({"topic": "news", "data": "n".repeat(8 << 10)}).to_string();
        assert_eq!(application.posts("/v1/publish", event).status, 200);
    }
    let query = [("client", "a"), ("topic", "news"), ("cursor", &*start), ("wait", "0")];
    let request = Request::of(&target("/poll", &query));
    let three = request.bytes().repeat(3);
    let (cost, attackers) = attack("pipelined polls", &gateway, || {
        (0..1_000).map(|_| attacker(gateway.address, &request, &three)).collect::<Vec<_>>()
    });
    assert!(cost.grown_bytes < 100 * MIB, "{cost:?}");
    // A client that reads is answered with as much as there is room for each time, and misses
    // nothing.
    let (mut cursor, mut events) = (start, 0);
    while events < 128 {
        let query = [("client", "b"), ("topic", "news"), ("cursor", &*cursor), ("wait", "0")];
        let answer = poll(&gateway, &query);
        assert!(!answer.events.is_empty(), "nothing after {events} events");
        events += answer.events.len();
        cursor = answer.cursor;
    }
    assert_eq!(events, 128);
    drop(attackers);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
}

/// Incomplete bodies, as many as the private listener has connections for.
fn bodies_of_the_application_are_bounded(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.memory_bytes=64MiB"]);
    let json = [("Content-Type", "application/json")];
    let head = post("/v1/publish", &json).and("Content-Length", "1000000");
    let body = vec![b' '; 950_000];
    let (cost, mut attackers) = attack("private bodies", &gateway, || {
        (0..60).map(|_| attacker(gateway.api, &head, &body)).collect::<Vec<_>>()
    });
    assert!(cost.grown_bytes < 16 * MIB + SLACK_BYTES, "{cost:?}");
    let answers: Vec<Response> = attackers.iter_mut().map(Client::receives_response).collect();
    let refused: Vec<&Response> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!((30..60).contains(&refused.len()), "{} of 60 were refused", refused.len());
    for answer in refused {
        answer.is_problem(503, "out-of-memory");
        assert!(answer.field("Retry-After").is_some());
    }
    drop(attackers);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") == 0);
    let event = json!({"topic": "news", "data": " ".repeat(900_000)}).to_string();
    assert_eq!(Application::of(&gateway).posts("/v1/publish", event).status, 200);
}

/// The budget is larger than the address space, so that allocations fail.
fn without_memory_one_client_is_closed_and_not_the_process(engine: Engine) {
    let mut gateway = Launch::with_address_space(engine, 700 << 10)
        .set(&["limits.memory_bytes=64GiB", "websocket.message_bytes_max=16MiB"])
        .set(&["websocket.ping_interval=10m"])
        .start();
    let half = &frame(FIN | BINARY, vec![7; 15 << 20])[..14 << 20];
    let head = Request::post("/send?client=a", "").with("Content-Length", "15000000");
    let mut good = Client::upgrade(&gateway);
    let attackers: Vec<Client> = (0..64)
        .map(|number| match number % 2 {
            0 => attacker(gateway.address, &Request::upgrade(), half),
            _ => attacker(gateway.address, &head, half),
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    assert!(gateway.is_running(), "{:#?}", gateway.log());
    good.sends(frame(FIN | TEXT, "still here"));
    good.receives_text("still here");
    drop(attackers);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
    let refused = gateway.metric("ringway_refused_requests_total{reason=\"memory\"}");
    assert!(refused > 0, "every allocation has succeeded");
}

/// The history may become larger than the address space.
fn without_memory_one_event_is_refused_and_not_the_process_ended(engine: Engine) {
    let mut gateway = Launch::with_address_space(engine, 300 << 10)
        .set(&["limits.memory_bytes=64GiB", "history.bytes_max=64GiB"])
        // The client reads nothing until the memory is full, which takes long on a slow machine.
        .set(&["websocket.ping_interval=10m"])
        .start();
    let mut good = Client::upgrade(&gateway);
    let mut application = Application::of(&gateway);
    let event = json!({"topic": "news", "data": "n".repeat(1_000_000)}).to_string();
    let mut publish = || application.posts("/v1/publish", event.clone());
    let refused = (0..1_000).map(|_| publish()).find(|answer| answer.status != 200);
    let refused = refused.expect("every allocation has succeeded");
    refused.is_problem(503, "out-of-memory");
    // It continues to refuse large events, and there is still room for small ones.
    for _ in 0..20 {
        publish();
        good.sends(frame(FIN | TEXT, "still here"));
        good.receives_text("still here");
    }
    assert!(gateway.is_running(), "{:#?}", gateway.log());
}
