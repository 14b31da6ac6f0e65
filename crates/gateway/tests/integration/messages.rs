//! Large, fragmented and numerous messages, and the control frames between them.
//!
//! RFC 6455 §5.4 to §5.6 on `/echo`, at the gateway's default limits.

use std::thread;

use crate::support::{
    BURST_BYTES_MAX, Client, Engine, Gateway,
    frames::{BINARY, CONTINUATION, FIN, PING, PONG, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    a_message_of_16_mib_comes_back,
    a_message_of_70_000_fragments_comes_back,
    empty_fragments_make_one_empty_message,
    control_frames_may_come_between_fragments,
    a_flood_of_pings_is_answered,
    unread_pongs_are_bounded,
    unasked_pongs_are_ignored,
    the_memory_of_large_messages_is_released,
    clients_do_not_get_each_others_messages,
    the_minimum_of_receive_buffers_is_enough,
    every_wait_mode_serves_clients,
);

/// Bytes without a short period, so that a piece in the wrong place shows.
fn bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

/// Sends from another thread bytes that do not fit into the sockets' buffers.
#[track_caller]
fn exchange(client: &mut Client, frames: Vec<u8>, receive: impl FnOnce(&mut Client)) {
    let mut stream = client.stream();
    let sender = thread::spawn(move || std::io::Write::write_all(&mut stream, &frames));
    receive(client);
    sender.join().unwrap().unwrap();
}

/// The default of `echo_message_bytes_max`.
fn a_message_of_16_mib_comes_back(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let payload = bytes(16 << 20);
    exchange(&mut client, frame(FIN | BINARY, &payload), |client| client.receives_binary(&payload));
    let text = "aé€😀".repeat((16 << 20) / 10);
    exchange(&mut client, frame(FIN | TEXT, &text), |client| client.receives_text(&text));
}

/// RFC 6455 §5.4: quadratic work would cause a timeout.
fn a_message_of_70_000_fragments_comes_back(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let payload = bytes(4 << 20);
    let mut fragments: Vec<Vec<u8>> =
        payload.chunks(60).map(|fragment| frame(CONTINUATION, fragment)).collect();
    fragments[0] = frame(BINARY, &payload[..60]);
    fragments.push(frame(FIN | CONTINUATION, ""));
    assert!(fragments.len() >= 69_000);
    exchange(&mut client, fragments.concat(), |client| client.receives_binary(&payload));
}

/// RFC 6455 §5.4.
fn empty_fragments_make_one_empty_message(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let continuations = frame(CONTINUATION, "").repeat(1000);
    client.sends([frame(TEXT, ""), continuations.clone(), frame(FIN | CONTINUATION, "")].concat());
    client.receives_text("");
    client.sends([frame(BINARY, "a"), continuations, frame(FIN | CONTINUATION, "b")].concat());
    client.receives_binary("ab");
}

/// RFC 6455 §5.4: they are answered at once, before the message is complete.
fn control_frames_may_come_between_fragments(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(TEXT, "one "));
    client.sends(frame(FIN | PING, "p"));
    client.receives_pong("p");
    client.sends([frame(CONTINUATION, "two "), frame(FIN | PONG, "q")].concat());
    client.sends(frame(FIN | PING, ""));
    client.receives_pong("");
    client.sends(frame(FIN | CONTINUATION, "three"));
    client.receives_text("one two three");
}

/// RFC 6455 §5.5.3: an endpoint may answer only the most recent ping, but must answer that one.
fn a_flood_of_pings_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let pings = 20_000_u32;
    let flood: Vec<u8> =
        (0..pings).flat_map(|number| frame(FIN | PING, number.to_be_bytes())).collect();
    exchange(&mut client, flood, |client| {
        let mut last = None;
        while last != Some(pings - 1) {
            let answer = client.receives_frame();
            assert_eq!(answer.first, FIN | PONG);
            let number = u32::from_be_bytes(answer.payload.try_into().unwrap());
            assert!(Some(number) > last, "{number} after {last:?}");
            last = Some(number);
        }
    });
    client.sends(frame(FIN | TEXT, "still here"));
    client.receives_text("still here");
}

/// A peer that pings and never reads costs no more than its queue.
fn unread_pongs_are_bounded(engine: Engine) {
    let gateway = Gateway::start(engine);
    let before = gateway.resident_bytes();
    let mut client = Client::upgrade(&gateway);
    let most = 64 << 20;
    let taken = client.sends_until_it_stalls(&frame(FIN | PING, [b'p'; 125]).repeat(500), most);
    assert!(taken < most, "all {taken} bytes of pings were taken");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < BURST_BYTES_MAX, "{grown} bytes for one client");
}

/// RFC 6455 §5.5.3.
fn unasked_pongs_are_ignored(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    client.sends([frame(FIN | PONG, "").repeat(1000), frame(FIN | PONG, "never asked")].concat());
    client.sends(frame(FIN | TEXT, "hello"));
    client.receives_text("hello");
}

fn the_memory_of_large_messages_is_released(engine: Engine) {
    let gateway = Gateway::start(engine);
    let payload = bytes(16 << 20);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::upgrade(&gateway)).collect();
    for client in &mut clients {
        exchange(client, frame(FIN | BINARY, &payload), |client| client.receives_binary(&payload));
    }
    // The messages that four clients sent one after the other are not kept for each of them.
    let resident = gateway.resident_bytes();
    assert!(resident < 80 << 20, "{resident} bytes after messages of 64 MiB");
}

fn clients_do_not_get_each_others_messages(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::upgrade(&gateway)).collect();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.sends(frame(TEXT, format!("{round}:{number}")));
        }
        for client in &mut clients {
            client.sends(frame(FIN | CONTINUATION, "!"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.receives_text(format!("{round}:{number}!"));
        }
    }
}

/// io_uring_setup_buf_ring(3): data that finds no free buffer waits for one, and nothing is lost.
fn the_minimum_of_receive_buffers_is_enough(engine: Engine) {
    let settings = ["server.receive_buffers=64", "server.receive_buffer_bytes=1KiB"];
    let gateway = Gateway::start_with(engine, &settings);
    let payload = bytes(300_000);
    let mut clients: Vec<Client> = (0..30).map(|_| Client::upgrade(&gateway)).collect();
    let senders: Vec<_> = clients
        .iter()
        .map(|client| {
            let (mut stream, frame) = (client.stream(), frame(FIN | BINARY, &payload));
            thread::spawn(move || std::io::Write::write_all(&mut stream, &frame).unwrap())
        })
        .collect();
    clients.iter_mut().for_each(|client| client.receives_binary(&payload));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

fn every_wait_mode_serves_clients(engine: Engine) {
    for wait in ["latency", "adaptive", "throughput"] {
        let gateway = Gateway::start_with(engine, &[&format!("server.wait={wait}")]);
        let mut clients: Vec<Client> = (0..20).map(|_| Client::upgrade(&gateway)).collect();
        for round in 0..20 {
            let text = format!("{wait} {round}");
            clients.iter_mut().for_each(|client| client.sends(frame(FIN | TEXT, &text)));
            clients.iter_mut().for_each(|client| client.receives_text(&text));
        }
    }
}
