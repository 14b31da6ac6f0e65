//! Clients that send as fast as they can: tiny messages, control frames, fragments, events, bombs.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits};
use serde_json::json;

use super::good::attacked;
use crate::support::{
    Client, Engine, Gateway, Request,
    frames::{BINARY, CONTINUATION, FIN, PING, RSV1, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    floods_of_pings_harm_nobody,
    floods_of_tiny_messages_harm_nobody,
    floods_of_empty_fragments_harm_nobody,
    floods_of_events_harm_nobody,
    compression_bombs_harm_nobody,
);

const FLOODERS: usize = 50;

/// Opens sockets and sends `first` and then `then` on each of them, as often as the gateway takes it;
/// whatever comes back is read and discarded.
fn flood(gateway: &Gateway, upgrade: impl Fn(usize) -> Request, first: &[u8], then: &[u8]) {
    let mut flooders: Vec<TcpStream> = (0..FLOODERS)
        .map(|number| {
            let mut client = Client::connect(gateway);
            client.sends(upgrade(number).bytes());
            client.is_upgraded();
            let mut stream = client.stream();
            stream.write_all(first).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let mut buffer = vec![0; 64 << 10];
    let (start, mut offsets) = (Instant::now(), [0; FLOODERS]);
    while start.elapsed() < Duration::from_secs(3) {
        for (stream, offset) in flooders.iter_mut().zip(&mut offsets) {
            // A connection that was closed takes nothing more.
            if let Ok(written) = stream.write(&then[*offset..]) {
                *offset = (*offset + written) % then.len();
            }
            while matches!(stream.read(&mut buffer), Ok(1..)) {}
        }
        thread::sleep(Duration::from_millis(1));
    }
    let is_open = |stream: &mut TcpStream| matches!(stream.read(&mut buffer), Err(error) if error.kind() == ErrorKind::WouldBlock);
    let open = flooders.iter_mut().map(is_open).filter(|is_open| *is_open).count();
    let _ = writeln!(std::io::stderr(), "ATTACK {open} of {FLOODERS} flooders are still open");
}

const RATES: [&str; 3] = [
    "limits.messages_per_second_max=2000",
    "limits.bytes_per_second_max=1MiB",
    "limits.burst_time=500ms",
];

/// Each flooder gets its rate, with a burst and what one receive may exceed it by.
#[track_caller]
fn keeps_to_its_rates(gateway: &Gateway) {
    assert!(gateway.metric("ringway_paused_total") >= FLOODERS as u64);
    let received = gateway.metric("ringway_received_bytes_total");
    let most = FLOODERS as u64 * (5 << 20);
    assert!(received < most, "{received} bytes were read");
}

fn floods_of_pings_harm_nobody(engine: Engine) {
    let gateway = Gateway::start_with(engine, &RATES);
    let pings = frame(FIN | PING, "").repeat(10_000);
    attacked("a flood of pings", &gateway, || {
        flood(&gateway, |_| Request::upgrade(), b"", &pings);
    });
    keeps_to_its_rates(&gateway);
}

fn floods_of_tiny_messages_harm_nobody(engine: Engine) {
    let gateway = Gateway::start_with(engine, &RATES);
    let messages = frame(FIN | TEXT, "").repeat(10_000);
    attacked("a flood of empty messages", &gateway, || {
        flood(&gateway, |_| Request::upgrade(), b"", &messages);
    });
    keeps_to_its_rates(&gateway);
}

/// RFC 6455 §5.4: a fragment may be empty, and a message may have any number of them.
fn floods_of_empty_fragments_harm_nobody(engine: Engine) {
    let gateway = Gateway::start_with(engine, &RATES);
    let fragments = [frame(CONTINUATION, ""), frame(CONTINUATION, "x")].concat().repeat(5_000);
    attacked("a flood of fragments", &gateway, || {
        flood(&gateway, |_| Request::upgrade(), &frame(BINARY, ""), &fragments);
    });
    keeps_to_its_rates(&gateway);
}

/// Each flooder publishes as fast as it can, with answers that it reads and ignores.
fn floods_of_events_harm_nobody(engine: Engine) {
    let settings = ["limits.publishes_per_second_max=20", "limits.errors_max=100"];
    let gateway = Gateway::start_with(engine, &settings);
    let commands: Vec<u8> = (0..200)
        .flat_map(|id| {
            let command = json!({"type": "publish", "id": id.to_string(), "topic": "flood",
                                 "data": "x".repeat(200)});
            frame(FIN | TEXT, command.to_string())
        })
        .collect();
    attacked("a flood of events", &gateway, || {
        let upgrade = |number| Request::upgrade_of(&format!("/ws?client=flood-{number}"));
        flood(&gateway, upgrade, b"", &commands);
    });
    let events = gateway.metric("ringway_events_total{route=\"client\"}");
    assert!(events <= FLOODERS as u64 * 20 * 5, "{events} events");
    // Those that do not wait as they are told are closed.
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"errors\"}"), FLOODERS as u64);
}

/// RFC 7692 §8: 1 KB on the wire is 1 MiB.
fn compression_bombs_harm_nobody(engine: Engine) {
    let gateway = Gateway::start_with(engine, &RATES);
    let mut payload = Vec::new();
    Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL)
        .deflate(&vec![0; 1 << 20], &mut payload);
    let bombs = frame(FIN | RSV1 | BINARY, payload).repeat(10);
    attacked("compression bombs", &gateway, || {
        let upgrade = |_| Request::upgrade().and("Sec-WebSocket-Extensions", "permessage-deflate");
        flood(&gateway, upgrade, b"", &bombs);
    });
}
