//! Slow loris: clients that send their heads, bodies and frames a byte at a time, and clients that
//! never read. Those that stall in a TLS handshake are in `tls`.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::good::attacked;
use crate::support::{
    Certificates, Client, Engine, Gateway, Request, attacker, eventually,
    frames::{BINARY, FIN, frame, header},
    on_each_engine,
};

on_each_engine!(
    slow_heads_end_in_time,
    slow_bodies_end_in_time,
    slow_frames_end_in_time,
    clients_that_never_read_harm_nobody,
    a_stalled_handshake_ends_in_time,
);

const SLOW: usize = 1_500;

/// Connects, sends `beginning`, and then a byte of `rest` now and then until it is over.
fn drip(gateway: &Gateway, beginning: &[u8], rest: u8, time: Duration) -> Vec<TcpStream> {
    let mut streams: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.address).unwrap();
            stream.write_all(beginning).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    while start.elapsed() < time {
        for stream in &mut streams {
            // It may have been ended already.
            let _ = stream.write_all(&[rest]);
        }
        thread::sleep(Duration::from_millis(250));
    }
    streams
}

/// Every slow client is ended for this reason.
#[track_caller]
fn all_end(gateway: &Gateway, reason: &str) {
    let metric = format!("ringway_ended_total{{reason=\"{reason}\"}}");
    eventually(&metric, || gateway.metric(&metric) == SLOW as u64);
}

const SETTINGS: [&str; 4] = [
    "limits.handshake_timeout=2s",
    "websocket.message_timeout=2s",
    "websocket.close_timeout=500ms",
    "limits.connections_per_client_max=2000",
];

fn slow_heads_end_in_time(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let head = b"GET / HTTP/1.1\r\nX: ";
    let slow =
        attacked("slow heads", &gateway, || drip(&gateway, head, b'x', Duration::from_secs(3)));
    drop(slow);
    all_end(&gateway, "request_timeout");
    let refused = gateway.metric("ringway_refused_requests_total{reason=\"timeout\"}");
    assert_eq!(refused, SLOW as u64);
}

fn slow_bodies_end_in_time(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let head = Request::post("/send?client=slow", "").with("Content-Length", "1000").bytes();
    let slow =
        attacked("slow bodies", &gateway, || drip(&gateway, &head, b' ', Duration::from_secs(3)));
    drop(slow);
    all_end(&gateway, "request_timeout");
}

fn slow_frames_end_in_time(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let upgrade = Request::upgrade_of("/ws?client=slow").bytes();
    let begun = [upgrade, header(FIN | BINARY, 1_000)].concat();
    let slow =
        attacked("slow frames", &gateway, || drip(&gateway, &begun, 0, Duration::from_secs(3)));
    drop(slow);
    all_end(&gateway, "message_timeout");
    assert_eq!(gateway.metric("ringway_closed_total{reason=\"message_timeout\"}"), SLOW as u64);
}

/// RFC 6455 §10.4: each has echoes of 256 KiB that it does not read, beyond what the kernel takes.
fn clients_that_never_read_harm_nobody(engine: Engine) {
    let settings = ["socket.send_buffer_bytes=32KiB", "limits.memory_bytes=256MiB"];
    let gateway = Gateway::start_with(engine, &settings);
    let before = gateway.resident_bytes();
    let deaf: Vec<Client> = attacked("clients that never read", &gateway, || {
        let echo = frame(FIN | BINARY, vec![7; 256 << 10]);
        let deaf = (0..400).map(|_| attacker(gateway.address, &Request::upgrade(), &echo));
        let deaf = deaf.collect();
        thread::sleep(Duration::from_secs(1));
        deaf
    });
    // The good clients are a part of it.
    let grown = gateway.resident_bytes() - before;
    assert!(grown < 300 << 20, "{} MiB", grown >> 20);
    drop(deaf);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < 1 << 20);
}

/// RFC 8446 §5.1: the beginning of a record.
fn a_stalled_handshake_ends_in_time(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let settings = ["tls.handshake_duration_max=300ms", "log.format=json"];
    let gateway = certificates.start(engine, &["one"], &settings);
    let mut stalled = Client::connect(&gateway);
    stalled.sends([22, 3, 1, 1, 0, 1]);
    stalled.is_cut_off();
    drop(stalled);
    gateway.logs("\"reason\":\"handshake_timeout\"");
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"handshake_timeout\"}"), 1);
}
