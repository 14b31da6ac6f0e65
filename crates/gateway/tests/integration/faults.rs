//! Protocol errors of a peer, and the close code that answers each (RFC 6455 §7.4).
//!
//! After the Close nothing more is sent, nothing more is read, and the connection ends with the
//! peer's Close, its FIN, or `close_timeout`.

use crate::support::{
    Client, Engine, Gateway, eventually,
    frames::{
        BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, RSV2, RSV3, TEXT, close, frame,
        frame_of_16_bits, frame_of_64_bits, header, unmasked,
    },
    on_each_engine,
};

on_each_engine!(
    unmasked_frames_are_a_1002,
    reserved_bits_are_a_1002,
    reserved_opcodes_are_a_1002,
    lengths_that_are_not_the_shortest_are_a_1002,
    a_length_with_its_top_bit_set_is_a_1002,
    control_frames_are_short_and_not_fragmented,
    fragments_out_of_order_are_a_1002,
    half_a_close_code_is_a_1002,
    close_codes_that_may_not_be_sent_are_a_1002,
    close_codes_that_may_be_sent_are_echoed,
    nothing_after_a_fault_is_answered,
    nothing_after_a_close_is_answered,
    messages_before_a_fault_are_answered_first,
    a_declared_length_beyond_the_limit_is_a_1009,
    fragments_beyond_the_limit_are_a_1009,
    the_limit_itself_is_allowed,
    bad_utf8_is_a_1007,
    bad_utf8_in_an_unfinished_message_is_a_1007_at_once,
    bad_utf8_in_a_close_reason_is_a_1007,
    binary_messages_are_not_text,
    a_peer_that_does_not_answer_a_close_is_disconnected,
    a_peer_that_answers_a_close_is_disconnected,
    a_peer_that_goes_on_sending_after_a_close_is_disconnected,
    a_peer_that_closes_without_a_fin_is_disconnected,
);

/// Sends `bytes` and receives a Close with `code`, and nothing else.
#[track_caller]
fn is_failed(gateway: &Gateway, bytes: impl AsRef<[u8]>, code: u16) {
    let bytes = bytes.as_ref();
    // Whole, and one byte per segment, so that no rule depends on the other bytes of a read.
    let mut whole = Client::upgrade(gateway);
    whole.sends_what_is_taken(bytes);
    let reason = whole.receives_close(code);
    assert!(!reason.is_empty(), "no reason for {code}");
    whole.receives_end();
    if bytes.len() <= 32 {
        let mut split = Client::upgrade(gateway);
        bytes.chunks(1).for_each(|byte| split.sends_what_is_taken(byte));
        split.receives_close(code);
        split.receives_end();
    }
}

/// RFC 6455 §5.1.
fn unmasked_frames_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (first, payload) in [
        (FIN | TEXT, &b"hi"[..]),
        (FIN | BINARY, b""),
        (FIN | PING, b""),
        (FIN | CLOSE, b"\x03\xe8"),
    ] {
        is_failed(&gateway, unmasked(first, payload), 1002);
    }
}

/// RFC 6455 §5.2: no extension was negotiated.
fn reserved_bits_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    for bits in [RSV1, RSV2, RSV3, RSV1 | RSV2 | RSV3] {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            is_failed(&gateway, frame(FIN | bits | opcode, ""), 1002);
        }
    }
    is_failed(&gateway, [frame(TEXT, "a"), frame(FIN | RSV1 | CONTINUATION, "b")].concat(), 1002);
}

/// RFC 6455 §5.2.
fn reserved_opcodes_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    for opcode in (3..=7).chain(11..=15) {
        is_failed(&gateway, frame(FIN | opcode, ""), 1002);
        is_failed(&gateway, frame(opcode, "hi"), 1002);
    }
}

/// RFC 6455 §5.2: "the minimal number of bytes MUST be used".
fn lengths_that_are_not_the_shortest_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    let bytes = vec![b'a'; 65_535];
    is_failed(&gateway, frame_of_16_bits(FIN | TEXT, b""), 1002);
    is_failed(&gateway, frame_of_16_bits(FIN | TEXT, &bytes[..125]), 1002);
    is_failed(&gateway, frame_of_64_bits(FIN | TEXT, b"hi"), 1002);
    is_failed(&gateway, frame_of_64_bits(FIN | TEXT, &bytes), 1002);
}

/// RFC 6455 §5.2.
fn a_length_with_its_top_bit_set_is_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, header(FIN | BINARY, 1 << 63), 1002);
    is_failed(&gateway, header(FIN | BINARY, u64::MAX), 1002);
}

/// RFC 6455 §5.5.
fn control_frames_are_short_and_not_fragmented(engine: Engine) {
    let gateway = Gateway::start(engine);
    for opcode in [CLOSE, PING, PONG] {
        is_failed(&gateway, frame(opcode, ""), 1002);
        is_failed(&gateway, frame(FIN | opcode, vec![0; 126]), 1002);
        is_failed(&gateway, header(FIN | opcode, 1 << 20), 1002);
    }
    // The header is enough: the payload need not arrive.
    is_failed(&gateway, header(FIN | PING, 126), 1002);
}

/// RFC 6455 §5.4.
fn fragments_out_of_order_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, frame(CONTINUATION, "a"), 1002);
    is_failed(&gateway, frame(FIN | CONTINUATION, ""), 1002);
    is_failed(&gateway, [frame(TEXT, "a"), frame(FIN | TEXT, "b")].concat(), 1002);
    is_failed(&gateway, [frame(BINARY, "a"), frame(BINARY, "b")].concat(), 1002);
    // After a complete message there is nothing to continue.
    let mut client = Client::upgrade(&gateway);
    client.sends([frame(FIN | TEXT, "a"), frame(FIN | CONTINUATION, "b")].concat());
    client.receives_text("a");
    client.receives_close(1002);
    client.receives_end();
}

/// RFC 6455 §5.5.1: the payload is empty, or has two bytes and a reason.
fn half_a_close_code_is_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, frame(FIN | CLOSE, b"\x03"), 1002);
}

/// RFC 6455 §7.4.
fn close_codes_that_may_not_be_sent_are_a_1002(engine: Engine) {
    let gateway = Gateway::start(engine);
    let ends = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    for code in ends {
        is_failed(&gateway, close(code, "why"), 1002);
    }
}

/// RFC 6455 §5.5.1 and §7.4; the registry of close codes.
fn close_codes_that_may_be_sent_are_echoed(engine: Engine) {
    let gateway = Gateway::start(engine);
    let registered = (1000..=1003).chain(1007..=1014);
    for code in registered.chain([3000, 3999, 4000, 4999]) {
        let mut client = Client::upgrade(&gateway);
        client.sends(close(code, "why"));
        client.receives_close(code);
        client.receives_end();
    }
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(FIN | CLOSE, ""));
    client.receives_bare_close();
    client.receives_end();
}

/// RFC 6455 §7.1.7: a failed connection neither reads nor answers.
fn nothing_after_a_fault_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let after = [frame(FIN | PING, "p"), frame(FIN | TEXT, "t"), close(1000, "")].concat();
    is_failed(&gateway, [unmasked(FIN | TEXT, b""), after].concat(), 1002);
}

/// RFC 6455 §5.5.1.
fn nothing_after_a_close_is_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let after = [frame(FIN | PING, "p"), frame(FIN | TEXT, "t"), close(1001, "")];
    client.sends([close(1000, ""), after.concat()].concat());
    client.receives_close(1000);
    client.receives_end();
}

fn messages_before_a_fault_are_answered_first(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    let before = [frame(FIN | TEXT, "one"), frame(FIN | PING, "p"), frame(FIN | BINARY, "two")];
    client.sends([before.concat(), frame(FIN | 3, "")].concat());
    client.receives_text("one");
    client.receives_pong("p");
    client.receives_binary("two");
    client.receives_close(1002);
    client.receives_end();
}

/// RFC 6455 §10.4: checked when the header arrives, and nothing is allocated for a declared length.
fn a_declared_length_beyond_the_limit_is_a_1009(engine: Engine) {
    let gateway = Gateway::start(engine);
    let before = gateway.resident_bytes();
    for length in [(16 << 20) + 1, 1 << 32, u64::MAX >> 1] {
        is_failed(&gateway, header(FIN | BINARY, length), 1009);
    }
    // Nothing is allocated for a length within the limit either.
    let mut promising: Vec<Client> = (0..64).map(|_| Client::upgrade(&gateway)).collect();
    for client in &mut promising {
        client.sends([header(FIN | BINARY, 16 << 20), vec![0; 10]].concat());
    }
    gateway.holds(64);
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for 64 headers");
}

/// RFC 6455 §10.4: the limit applies to the whole message, even if it comes in fragments.
fn fragments_beyond_the_limit_are_a_1009(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.echo_message_bytes_max=1KiB"]);
    let parts = [frame(BINARY, vec![1; 1000]), frame(CONTINUATION, vec![2; 24])];
    is_failed(&gateway, [parts.concat(), frame(FIN | CONTINUATION, "!")].concat(), 1009);
    is_failed(&gateway, [parts.concat(), header(CONTINUATION, 1)].concat(), 1009);
}

fn the_limit_itself_is_allowed(engine: Engine) {
    let settings = ["websocket.echo_message_bytes_max=1KiB", "websocket.frame_bytes_max=1000"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut client = Client::upgrade(&gateway);
    let parts = [frame(BINARY, vec![1; 1000]), frame(CONTINUATION, vec![1; 24])];
    client.sends([parts.concat(), frame(FIN | CONTINUATION, "")].concat());
    client.receives_binary(vec![1; 1024]);
    is_failed(&gateway, frame(FIN | BINARY, vec![1; 1001]), 1009);
}

/// RFC 6455 §8.1, RFC 3629 §3: overlong forms, surrogates, past U+10FFFF, stray and missing bytes.
fn bad_utf8_is_a_1007(engine: Engine) {
    let gateway = Gateway::start(engine);
    for text in [
        &b"\xff"[..],
        b"a\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1",
    ] {
        is_failed(&gateway, frame(FIN | TEXT, text), 1007);
    }
    // A code point may be split between fragments, but not be left unfinished.
    is_failed(&gateway, [frame(TEXT, b"\xe1"), frame(FIN | CONTINUATION, b"\xbd")].concat(), 1007);
}

/// RFC 6455 §8.1: the gateway waits neither for the rest of the message nor for the rest of the
/// frame.
fn bad_utf8_in_an_unfinished_message_is_a_1007_at_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, frame(TEXT, b"\xf4\x90"), 1007);
    is_failed(&gateway, [frame(TEXT, b"\xe1"), frame(CONTINUATION, b"a")].concat(), 1007);
    let unfinished = frame(FIN | TEXT, b"a\xff-------------------");
    is_failed(&gateway, &unfinished[..unfinished.len() - 15], 1007);
}

/// RFC 6455 §5.5.1: a reason is text.
fn bad_utf8_in_a_close_reason_is_a_1007(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, close(1000, b"\xff"), 1007);
    is_failed(&gateway, close(1000, b"ok\xe1\xbd"), 1007);
}

/// RFC 6455 §5.6.
fn binary_messages_are_not_text(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::upgrade(&gateway);
    client.sends(frame(FIN | BINARY, b"\xff\xfe"));
    client.receives_binary(b"\xff\xfe");
    client.sends(frame(FIN | PING, b"\xff"));
    client.receives_pong(b"\xff");
}

/// RFC 6455 §7.1.1: the server closes first, and does not wait forever.
fn a_peer_that_does_not_answer_a_close_is_disconnected(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=200ms"]);
    let mut client = Client::upgrade(&gateway);
    client.sends(unmasked(FIN | TEXT, b""));
    client.receives_close(1002);
    client.receives_end();
    gateway.holds(0);
}

fn a_peer_that_answers_a_close_is_disconnected(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=1m"]);
    let mut client = Client::upgrade(&gateway);
    client.sends(unmasked(FIN | TEXT, b""));
    client.receives_close(1002);
    client.sends(close(1002, ""));
    client.receives_end();
    client.finishes();
    gateway.holds(0);
}

/// The bytes that the peer sends are discarded, and do not extend the deadline.
fn a_peer_that_goes_on_sending_after_a_close_is_disconnected(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=300ms"]);
    let mut client = Client::upgrade(&gateway);
    client.sends(unmasked(FIN | TEXT, b""));
    client.receives_close(1002);
    eventually("the connection is cut while its peer sends", || {
        client.sends_what_is_taken(frame(FIN | TEXT, "still here"));
        gateway.metric("ringway_connections") == 0
    });
}

/// RFC 6455 §7.1.1: the client should wait for the server to close the TCP connection first, which
/// the server does.
fn a_peer_that_closes_without_a_fin_is_disconnected(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=200ms"]);
    let mut client = Client::upgrade(&gateway);
    client.sends(close(1000, ""));
    client.receives_close(1000);
    client.receives_end();
    gateway.holds(0);
}
