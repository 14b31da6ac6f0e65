//! Clients that read slowly but steadily: they count as alive while they do, whatever the deadline.
//!
//! The timeouts are shorter than the time in which a third of a socket's buffer becomes free at
//! this pace, so only the acknowledged bytes show that the client reads.

use std::{thread::sleep, time::Duration};

use serde_json::json;

use crate::support::{
    Application, Client, Engine, Gateway, Member, Stream,
    frames::{BINARY, CLOSE, FIN, PING, close, frame},
    on_each_engine, target,
};

on_each_engine!(
    a_close_after_a_large_echo_arrives,
    a_slow_subscriber_stays_open_and_gets_the_reason_when_closed,
    a_slow_stream_stays_open,
    a_slowly_read_answer_arrives,
);

const SETTINGS: [&str; 3] =
    ["websocket.ping_interval=1s", "websocket.pong_timeout=500ms", "websocket.close_timeout=500ms"];

/// The pause between two reads of `PIECE_BYTES`: some 640 KiB a second.
const PAUSE: Duration = Duration::from_millis(100);
const PIECE_BYTES: usize = 64 << 10;

/// More than the kernel's buffers of both ends hold.
const EVENTS: usize = 120;

/// Reads this many pieces at the pace of a slow client.
fn reads_slowly(client: &mut Client, pieces: u32) {
    (0..pieces).for_each(|_| {
        client.takes_a_piece();
        sleep(PAUSE);
    });
}

fn a_close_after_a_large_echo_arrives(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let mut client = Client::upgrade(&gateway);
    let payload: Vec<u8> = (0..6_usize << 20).map(|at| (at / 1000) as u8).collect();
    client.sends(frame(FIN | BINARY, &payload));
    client.sends(close(1000, ""));
    reads_slowly(&mut client, 25);
    // The gateway may have pinged it while the message was on its way.
    let echo = loop {
        let frame = client.receives_frame();
        if frame.first != FIN | PING {
            break frame;
        }
    };
    assert!(echo.first == FIN | BINARY && echo.payload == payload, "{:#x}", echo.first);
    assert_eq!(client.receives_close(1000), "");
}

/// Publishes more events than a subscriber reads at once; returns the cursor of the first.
fn publishes(gateway: &Gateway) -> String {
    let mut application = Application::of(gateway);
    let event = json!({"topic": "news", "data": "x".repeat(PIECE_BYTES)}).to_string();
    let mut publish = || {
        let answer = application.posts("/v1/publish", &event);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["cursor"].as_str().unwrap().to_owned()
    };
    let first = publish();
    (1..EVENTS).for_each(|_| drop(publish()));
    first
}

fn a_slow_subscriber_stays_open_and_gets_the_reason_when_closed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    publishes(&gateway);
    let mut events = 0;
    let last = loop {
        let frame = bob.socket.receives_frame();
        if frame.payload.len() < PIECE_BYTES {
            // A Ping, or the Close.
            match frame.first {
                first if first == FIN | CLOSE => break frame,
                _ => continue,
            }
        }
        events += 1;
        sleep(PAUSE);
        // It has been silent for longer than both timeouts together.
        if events == 20 {
            let mut application = Application::of(&gateway);
            let gone = application.asks("DELETE /v1/clients/bob?code=4001&reason=enough");
            assert_eq!(gone.status, 200, "{gone:?}");
        }
    };
    assert!(events >= 20, "{events} events before the Close");
    assert_eq!(last.payload[..2], 4001_u16.to_be_bytes());
}

fn a_slow_stream_stays_open(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let mut streams = ["/sse", "/stream"]
        .map(|path| Stream::opens(&gateway, &target(path, &[("client", "c"), ("topic", "news")])));
    publishes(&gateway);
    std::thread::scope(|scope| {
        for stream in &mut streams {
            scope.spawn(|| reads_slowly(&mut stream.socket, 25));
        }
    });
    gateway.holds(2);
}

/// A poll: its client is not pinged meanwhile, and the connection stays open.
fn a_slowly_read_answer_arrives(engine: Engine) {
    let settings = [
        "socket.notsent_lowat_bytes=auto",
        "http.poll_bytes_max=8MiB",
        "limits.keep_alive_timeout=1500ms",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let first = publishes(&gateway);
    let mut client = Client::connect(&gateway);
    let query = [("client", "c"), ("topic", "news"), ("wait", "0"), ("cursor", &*first)];
    client.sends(format!("GET {} HTTP/1.1\r\nHost: here\r\n\r\n", target("/poll", &query)));
    reads_slowly(&mut client, 25);
    let response = client.receives_response();
    assert_eq!(response.status, 200);
    assert!(response.body.len() > 6 << 20, "{} bytes", response.body.len());
}
