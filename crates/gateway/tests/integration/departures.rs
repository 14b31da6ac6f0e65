//! Peers that leave, fall silent, or never read: each is closed, and costs little until then.
//!
//! RFC 9293 §3.6 (half-open and reset connections), RFC 6455 §5.5.2 and §7.1.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    BURST_BYTES_MAX, Client, Engine, Gateway, Request,
    frames::{BINARY, CLOSE, FIN, PONG, TEXT, frame, header},
    on_each_engine,
};

on_each_engine!(
    a_half_closed_websocket_is_closed,
    a_fin_in_the_middle_of_a_frame_closes,
    a_fin_in_the_middle_of_a_head_closes,
    requests_before_a_fin_are_answered,
    a_large_answer_survives_the_fin_of_its_reader,
    a_reset_frees_the_connection,
    a_peer_that_never_reads_is_bounded_and_closed,
    a_peer_that_reads_slowly_gets_everything,
    a_slow_reader_does_not_count_as_silent,
    a_silent_peer_is_pinged_and_then_closed,
    a_pong_keeps_a_connection_open,
);

/// Closed after a second of silence, and pinged before that.
const IMPATIENT: [&str; 2] = ["websocket.ping_interval=600ms", "websocket.pong_timeout=400ms"];

#[track_caller]
fn within(time: Duration, what: impl FnOnce()) {
    let start = Instant::now();
    what();
    assert!(start.elapsed() < time, "{:?}", start.elapsed());
}

/// RFC 6455 §7.1.1: after its TCP connection is half closed a WebSocket ends.
fn a_half_closed_websocket_is_closed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=1m"]);
    let mut client = Client::upgrade(&gateway);
    client.finishes();
    within(Duration::from_secs(2), || client.receives_end());
    gateway.holds(0);
}

fn a_fin_in_the_middle_of_a_frame_closes(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=1m"]);
    let whole = frame(FIN | TEXT, "hello");
    let mut large = header(FIN | BINARY, 1 << 20);
    large.extend([0; 10_000]);
    for part in [&whole[..1], &whole[..3], &whole[..8], &large, &frame(TEXT, "first fragment")] {
        let mut client = Client::upgrade(&gateway);
        client.sends(part);
        client.finishes();
        within(Duration::from_secs(2), || client.receives_end());
    }
    gateway.holds(0);
}

fn a_fin_in_the_middle_of_a_head_closes(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=1m"]);
    for part in ["", "GET", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = Client::connect(&gateway);
        client.sends(part);
        client.finishes();
        within(Duration::from_secs(2), || client.receives_end());
    }
    gateway.holds(0);
}

/// RFC 9112 §9.6: a client may half close after its request, as `printf … | nc` does.
fn requests_before_a_fin_are_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends(Request::of("/").bytes().repeat(3));
    client.finishes();
    assert_eq!([(); 3].map(|()| client.receives_response().status), [200; 3]);
    client.receives_end();
    let mut client = Client::upgrade(&gateway);
    client.sends([frame(FIN | TEXT, "hello"), frame(FIN | CLOSE, "")].concat());
    client.finishes();
    client.receives_text("hello");
    client.receives_bare_close();
    client.receives_end();
    gateway.holds(0);
}

fn a_large_answer_survives_the_fin_of_its_reader(engine: Engine) {
    let gateway = Gateway::start(engine);
    let payload = vec![7; 12 << 20];
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(FIN | BINARY, &payload));
    client.finishes();
    thread::sleep(Duration::from_millis(100));
    client.receives_binary(&payload);
    client.receives_end();
    gateway.holds(0);
}

/// A socket that is closed with unread bytes in it resets its connection.
fn a_reset_frees_the_connection(engine: Engine) {
    let settings = ["websocket.close_timeout=1m", "limits.handshake_timeout=1m"];
    let gateway = Gateway::start_with(engine, &settings);
    for bytes in [frame(FIN | TEXT, "hello"), frame(FIN | BINARY, vec![1; 1 << 20])] {
        let mut client = Client::upgrade(&gateway);
        client.sends(bytes);
        client.leaves_an_answer_unread();
    }
    let mut client = Client::connect(&gateway);
    client.sends([Request::of("/").bytes(), b"GET".to_vec()].concat());
    client.leaves_an_answer_unread();
    drop(client);
    gateway.holds(0);
}

/// The gateway stops reading from it, so that memory is bounded; then its silence ends the
/// connection.
fn a_peer_that_never_reads_is_bounded_and_closed(engine: Engine) {
    let gateway = Gateway::start_with(engine, &IMPATIENT);
    let before = gateway.resident_bytes();
    let mut client = Client::upgrade(&gateway);
    let most = 256 << 20;
    let taken = client.sends_until_it_stalls(&frame(FIN | BINARY, vec![1; 60_000]), most);
    assert!(taken < most, "all {taken} bytes were taken: reading never paused");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < BURST_BYTES_MAX, "{grown} bytes for one client");
    gateway.holds(0);
    client.is_cut_off();
}

/// Pausing neither loses nor reorders anything.
fn a_peer_that_reads_slowly_gets_everything(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let mut stream = client.stream();
    let messages = 800_u32;
    let payload = |number: u32| number.to_be_bytes().repeat(5000);
    let sender = thread::spawn(move || {
        for number in 0..messages {
            let frame = frame(FIN | BINARY, payload(number));
            std::io::Write::write_all(&mut stream, &frame).unwrap();
        }
    });
    thread::sleep(Duration::from_millis(300));
    for number in 0..messages {
        if number % 200 == 0 {
            thread::sleep(Duration::from_millis(50));
        }
        client.receives_binary(payload(number));
    }
    sender.join().unwrap();
    assert!(gateway.metric("ringway_short_sends_total") > 0, "nothing was slow");
}

/// A peer that sends nothing while it reads is alive.
fn a_slow_reader_does_not_count_as_silent(engine: Engine) {
    let gateway = Gateway::start_with(engine, &IMPATIENT);
    let payload = vec![7; 16 << 20];
    // Built before it connects: building a large frame may take longer than the allowed silence.
    let sent = frame(FIN | BINARY, &payload);
    let mut client = Client::upgrade(&gateway);
    client.sends(sent);
    client.takes_slowly(10 << 20, Duration::from_millis(2500));
    client.receives_binary(&payload);
}

/// RFC 6455 §5.5.2: a ping after `ping_interval`, a Close after `pong_timeout`.
fn a_silent_peer_is_pinged_and_then_closed(engine: Engine) {
    let settings = [&IMPATIENT[..], &["websocket.close_timeout=200ms"]].concat();
    let gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    let start = Instant::now();
    client.receives_ping();
    assert!(start.elapsed() >= Duration::from_millis(550), "{:?}", start.elapsed());
    client.receives_close(1001);
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    client.is_cut_off();
    gateway.holds(0);
}

/// RFC 6455 §5.5.3: a Pong counts as a sign of life.
fn a_pong_keeps_a_connection_open(engine: Engine) {
    let gateway = Gateway::start_with(engine, &IMPATIENT);
    let mut client = Client::upgrade(&gateway);
    for _ in 0..3 {
        client.receives_ping();
        client.sends(frame(FIN | PONG, ""));
    }
    client.sends(frame(FIN | TEXT, "alive"));
    client.receives_text("alive");
}
