//! What the smallest frames cost the gateway, compared with an ordinary message.
//!
//! A byte of an attack may cost more than a byte of a message, as each frame has its cost; but no frame may
//! cost much more than a message does.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    time::Duration,
};

use crate::support::{
    Client, Engine, Gateway, Request, eventually,
    frames::{BINARY, CONTINUATION, FIN, PING, PONG, TEXT, frame},
    on_each_engine,
};

on_each_engine!(no_frame_costs_much_more_than_a_message);

/// Frames of each kind.
const FRAMES: u32 = 100_000;

/// The processor time of a frame that the gateway reads, and what it answers.
fn cost(gateway: &Gateway, first: &[u8], frames: &[u8]) -> Duration {
    let mut client = Client::connect(gateway);
    client.sends(Request::upgrade().bytes());
    client.is_upgraded();
    client.sends(first);
    let (mut stream, other) = (client.stream(), client.stream());
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while matches!(stream.read(&mut buffer), Ok(1..)) {}
    });
    let received = || gateway.metric("ringway_received_bytes_total");
    let (before, bytes) = (gateway.processor_time(), received());
    client.sends(frames);
    eventually("all is read", || received() >= bytes + frames.len() as u64);
    let cost = (gateway.processor_time() - before) / FRAMES;
    other.shutdown(Shutdown::Both).unwrap();
    reader.join().unwrap();
    cost
}

fn no_frame_costs_much_more_than_a_message(engine: Engine) {
    let settings = [
        "limits.messages_per_second_max=1000000",
        "limits.bytes_per_second_max=1GiB",
        "limits.burst_time=10s",
        "websocket.echo_message_bytes_max=16MiB",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let many = |frame: Vec<u8>| frame.repeat(FRAMES as usize);
    let begin = frame(BINARY, "");
    let message = cost(&gateway, b"", &many(frame(FIN | TEXT, "x".repeat(64))));
    for (name, first, bytes) in [
        ("an empty ping", &b""[..], frame(FIN | PING, "")),
        ("a ping of 125 bytes", b"", frame(FIN | PING, "x".repeat(125))),
        ("an empty pong", b"", frame(FIN | PONG, "")),
        ("an empty message", b"", frame(FIN | TEXT, "")),
        ("a message of one byte", b"", frame(FIN | BINARY, "x")),
        ("an empty fragment", &begin, frame(CONTINUATION, "")),
        ("a fragment of one byte", &begin, frame(CONTINUATION, "x")),
    ] {
        let length = bytes.len();
        let cost = cost(&gateway, first, &many(bytes));
        let line = format!("ATTACK {name}: {cost:?} for {length} bytes, a message {message:?}");
        let _ = writeln!(io::stderr(), "{line}");
        assert!(cost < 3 * message + Duration::from_micros(1), "{line}");
    }
}
