//! Bytes split into segments in every way, which must never matter (RFC 6455 §5.4, RFC 9293 §3.8).
//!
//! Valid frames only; protocol errors are tested in `faults`.

use std::time::Duration;

use crate::support::{
    Client, Engine, Gateway, Request,
    frames::{BINARY, CONTINUATION, FIN, PING, TEXT, close, frame},
    on_each_engine,
};

on_each_engine!(
    frames_in_the_segment_of_the_request_are_served,
    frames_may_arrive_one_byte_per_segment,
    two_frames_may_be_cut_anywhere,
    many_frames_in_a_segment_are_all_answered,
    frames_with_every_width_of_length_are_read,
    a_close_in_the_segment_of_the_request_is_answered,
    a_pause_in_the_middle_of_a_frame_is_no_fault,
);

/// RFC 6455 §4.1: a client may send frames once the handshake is complete; ours does not even wait
/// for that.
fn frames_in_the_segment_of_the_request_are_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let frames = [frame(FIN | TEXT, "one"), frame(FIN | PING, "p"), frame(FIN | TEXT, "two")];
    let mut client = Client::connect(&gateway);
    client.sends([Request::upgrade().bytes(), frames.concat()].concat());
    client.is_upgraded();
    client.receives_text("one");
    client.receives_pong("p");
    client.receives_text("two");
    // The last frame of the segment is incomplete.
    let (most, rest) = frames[2].split_at(5);
    let mut client = Client::connect(&gateway);
    client.sends([Request::upgrade().bytes(), most.to_vec()].concat());
    client.is_upgraded();
    client.sends(rest);
    client.receives_text("two");
}

fn frames_may_arrive_one_byte_per_segment(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends_one_byte_a_segment(Request::upgrade().bytes());
    client.is_upgraded();
    let parts = [frame(TEXT, "κόσ"), frame(FIN | PING, "p"), frame(FIN | CONTINUATION, "με")];
    client.sends_one_byte_a_segment(parts.concat());
    client.receives_pong("p");
    client.receives_text("κόσμε");
    client.sends_one_byte_a_segment(close(1000, "bye"));
    client.receives_close(1000);
    client.receives_end();
}

fn two_frames_may_be_cut_anywhere(engine: Engine) {
    let gateway = Gateway::start(engine);
    let bytes = [frame(FIN | BINARY, vec![7; 126]), frame(FIN | TEXT, "κόσμε")].concat();
    let mut client = Client::upgrade(&gateway);
    for cut in 1..bytes.len() {
        client.sends(&bytes[..cut]);
        client.sends(&bytes[cut..]);
    }
    for _ in 1..bytes.len() {
        client.receives_binary([7; 126]);
        client.receives_text("κόσμε");
    }
}

fn many_frames_in_a_segment_are_all_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(FIN | TEXT, "hello").repeat(2000));
    for _ in 0..2000 {
        client.receives_text("hello");
    }
}

/// RFC 6455 §5.2: lengths of 7, 16 and 64 bits, at the ends of their ranges.
fn frames_with_every_width_of_length_are_read(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    for length in [0, 1, 125, 126, 127, 4095, 4096, 4097, 65_535, 65_536, 100_000] {
        let bytes = vec![length as u8; length];
        client.sends(frame(FIN | BINARY, &bytes));
        client.receives_binary(&bytes);
    }
}

fn a_close_in_the_segment_of_the_request_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends([Request::upgrade().bytes(), close(1000, "")].concat());
    client.is_upgraded();
    client.receives_close(1000);
    client.receives_end();
}

/// `handshake_timeout` ends with the handshake.
fn a_pause_in_the_middle_of_a_frame_is_no_fault(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.handshake_timeout=100ms"]);
    let bytes = frame(FIN | TEXT, "hello");
    let mut client = Client::upgrade(&gateway);
    client.sends(&bytes[..3]);
    client.receives_nothing_for(Duration::from_millis(400));
    client.sends(&bytes[3..]);
    client.receives_text("hello");
}
