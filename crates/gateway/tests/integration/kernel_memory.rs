//! Clients that never read: how much kernel memory each takes, and how that affects the clients
//! that read.
//!
//! The bytes that a socket holds are read from `/proc/net/tcp`: bytes that were written to it and
//! that the client has not acknowledged.

use std::{
    fs,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Member, Request, Stream, eventually, on_each_engine,
    target,
};

on_each_engine!(websockets_that_are_not_read_stay_small, streams_that_are_not_read_stay_small);

/// Clients that never read.
const DEAF: usize = 200;

/// Clients that read everything.
const GOOD: usize = 100;

/// How often something is published.
const ROUNDS: usize = 150;

/// Together more than the kernel would hold for one client: 4.8 MB.
const EVENTS_OF_ROUND: usize = 8;
const EVENT_BYTES: usize = 4 << 10;

/// How many bytes the gateway's socket of one client may hold. The client's own kernel also holds
/// as much as its receive buffer allows.
const SOCKET_BYTES_MAX: u64 = 128 << 10;

const PACE: Duration = Duration::from_millis(20);

fn websockets_that_are_not_read_stay_small(engine: Engine) {
    let gateway = Gateway::start(engine);
    let deaf = |query: &[(&str, &str)]| {
        let mut client = Client::connect(&gateway);
        client.sends(Request::upgrade_of(&target("/ws", query)).bytes());
        client
    };
    let good = |query: &[(&str, &str)]| Member::comes(&gateway, query);
    let sent_at = |member: &mut Member| member.receives()["data"].as_u64().unwrap();
    stay_small("websocket", &gateway, deaf, good, sent_at);
}

fn streams_that_are_not_read_stay_small(engine: Engine) {
    let gateway = Gateway::start(engine);
    let deaf = |query: &[(&str, &str)]| {
        let mut client = Client::connect(&gateway);
        client.sends(Request::of(&target("/sse", query)).bytes());
        client
    };
    let good = |query: &[(&str, &str)]| {
        let mut stream = Stream::opens(&gateway, &target("/sse", query));
        // The reconnection time, and the welcome.
        stream.receives_block();
        stream.receives_block();
        stream
    };
    let sent_at = |stream: &mut Stream| stream.receives_block().object()["data"].as_u64().unwrap();
    stay_small("sse", &gateway, deaf, good, sent_at);
}

fn stay_small<T: Send>(
    transport: &str,
    gateway: &Gateway,
    deaf: impl Fn(&[(&str, &str)]) -> Client,
    good: impl Fn(&[(&str, &str)]) -> T,
    sent_at: impl Fn(&mut T) -> u64 + Sync,
) {
    let name = |kind: &str, number: usize| format!("{kind}-{number}");
    let deaf: Vec<Client> = (0..DEAF)
        .map(|number| deaf(&[("client", &name("deaf", number)), ("topic", "bulk")]))
        .collect();
    let mut good: Vec<T> = (0..GOOD)
        .map(|number| good(&[("client", &name("good", number)), ("topic", "news")]))
        .collect();
    gateway.serves((DEAF + GOOD) as u64, transport);
    let start = Instant::now();
    let latencies_of = |clients: &mut [T]| {
        let mut latencies = Vec::new();
        for _ in 0..ROUNDS {
            for client in &mut *clients {
                let sent_at = Duration::from_micros(sent_at(client));
                latencies.push(start.elapsed().saturating_sub(sent_at));
            }
        }
        latencies
    };
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let halves = good.chunks_mut(GOOD / 2);
        let threads: Vec<_> = halves.map(|clients| scope.spawn(|| latencies_of(clients))).collect();
        publishes(gateway, start);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    eventually("all that do not read lag", || {
        gateway.metric("ringway_lagging_connections") == DEAF as u64
    });
    let held = held_by_sockets(gateway);
    let (most, sum) = (held.iter().max().unwrap(), held.iter().sum::<u64>());
    // Not `eprintln`, whose output the test harness hides while a test passes.
    let _ = writeln!(
        io::stderr(),
        "KERNEL MEMORY {transport}: {DEAF} clients that do not read hold {} KiB each, {} KiB at \
         most; p99 of {} deliveries to {GOOD} that do {p99:?}",
        (sum / DEAF as u64) >> 10,
        most >> 10,
        latencies.len(),
    );
    assert!(*most < SOCKET_BYTES_MAX, "{most} bytes in one socket");
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
    // The process's memory budget counts it.
    let buffered = gateway.metric("ringway_buffered_bytes");
    assert!(buffered >= DEAF as u64 * (32 << 10), "{buffered} bytes");
    drop(deaf);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < 1 << 20);
}

/// Large events for the clients that do not read, and an event with its time for those that do.
fn publishes(gateway: &Gateway, start: Instant) {
    let mut application = Application::of(gateway);
    let bulk = json!({"topic": "bulk", "data": "x".repeat(EVENT_BYTES)}).to_string() + "\n";
    for round in 0..ROUNDS {
        let time = start.elapsed().as_micros() as u64;
        let news = json!({"topic": "news", "data": time});
        let lines = format!("{news}\n{}", bulk.repeat(EVENTS_OF_ROUND));
        assert_eq!(application.posts_lines("/v1/publish", lines).len(), 1 + EVENTS_OF_ROUND);
        let next = PACE * (round as u32 + 1);
        thread::sleep(next.saturating_sub(start.elapsed()));
    }
}

/// Unsent or unacknowledged bytes of each of the gateway's sockets (proc(5): `tx_queue`, in
/// hexadecimal).
fn held_by_sockets(gateway: &Gateway) -> Vec<u64> {
    let port = format!(":{:04X}", gateway.address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = sockets.filter(|fields| fields[1].ends_with(&port) && !fields[2].ends_with(":0000"));
    ours.map(|fields| u64::from_str_radix(fields[4].split_once(':').unwrap().0, 16).unwrap())
        .collect()
}
