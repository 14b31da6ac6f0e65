//! Compressed messages (RFC 7692 §6 and §7.2): they are inflated and echoed, and never inflate to
//! more than is allowed.
//!
//! The client's compressor is that of the frame crate, whose own tests compare it with zlib.

use ringway_frame::deflate::{Deflater, Inflater, Level, MemoryLevel, WindowBits};

use crate::support::{
    Client, Engine, Gateway, Request,
    frames::{BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    compressed_messages_come_back,
    short_messages_come_back_uncompressed,
    a_compressed_message_may_come_in_fragments,
    an_empty_compressed_message_is_empty,
    only_the_first_fragment_says_that_it_is_compressed,
    contexts_are_kept_if_negotiated,
    the_gateway_keeps_its_context_if_negotiated,
    contexts_are_not_kept_unless_negotiated,
    text_is_validated_after_inflating,
    corrupt_data_is_a_1007,
    a_bomb_is_a_1009_and_does_not_grow_memory,
    a_message_at_the_limit_is_inflated,
);

/// A WebSocket with compression negotiated.
#[track_caller]
fn upgrade(gateway: &Gateway) -> Client {
    let mut client = Client::connect(gateway);
    let request = Request::upgrade().and("Sec-WebSocket-Extensions", "permessage-deflate");
    client.sends(request.bytes());
    let response = client.is_upgraded();
    let agreed = response.field("Sec-WebSocket-Extensions").unwrap();
    assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
    client
}

fn deflater() -> Deflater {
    Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL)
}

fn compressed(message: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    deflater().deflate(message.as_ref(), &mut bytes);
    bytes
}

/// A message with this opcode, compressed or not, without references to earlier messages.
#[track_caller]
fn receives(client: &mut Client, opcode: u8, message: impl AsRef<[u8]>) {
    let message = message.as_ref();
    let first = client.receives_frame();
    assert_eq!(first.first & !(FIN | RSV1), opcode);
    let (mut received, mut is_last) = (first.payload, first.first & FIN != 0);
    // RFC 6455 §5.4: a large message may come in fragments.
    while !is_last {
        let next = client.receives_frame();
        assert_eq!(next.first & !FIN, CONTINUATION);
        received.extend(next.payload);
        is_last = next.first & FIN != 0;
    }
    if first.first & RSV1 != 0 {
        let mut bytes = Vec::new();
        let inflated = Inflater::new().inflate(&received, true, &mut bytes, 64 << 20);
        inflated.expect("messages that the gateway compresses inflate");
        received = bytes;
    }
    assert!(received == message, "{} bytes instead of {}", received.len(), message.len());
}

/// Sends `bytes` on a new connection, and receives a Close with `code`.
#[track_caller]
fn is_failed(gateway: &Gateway, bytes: impl AsRef<[u8]>, code: u16) {
    let mut client = upgrade(gateway);
    client.sends_what_is_taken(bytes);
    client.receives_close(code);
    client.receives_end();
}

/// RFC 7692 §7.2.1 and §7.2.2.
fn compressed_messages_come_back(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    for text in ["hello ".repeat(1000), "κόσμε ".repeat(50_000), "a".repeat(300)] {
        client.sends(frame(FIN | RSV1 | TEXT, compressed(&text)));
        receives(&mut client, TEXT, &text);
        client.sends(frame(FIN | TEXT, &text));
        receives(&mut client, TEXT, &text);
    }
    let mut random = fastrand::Rng::with_seed(7);
    let bytes: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
    client.sends(frame(FIN | RSV1 | BINARY, compressed(&bytes)));
    receives(&mut client, BINARY, &bytes);
}

/// RFC 7692 §6: compression is optional. The example is that of §7.2.3.1.
fn short_messages_come_back_uncompressed(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    client.sends(frame(FIN | RSV1 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00"));
    receives(&mut client, TEXT, "Hello");
}

/// RFC 7692 §6.2 and §7.2.3.3, split at every byte, with a ping between the parts.
fn a_compressed_message_may_come_in_fragments(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    let text = "the quick brown fox jumps over the lazy dog ".repeat(5);
    let bytes = compressed(&text);
    for cut in 0..=bytes.len() {
        let (first, last) = bytes.split_at(cut);
        client.sends(frame(RSV1 | TEXT, first));
        client.sends([frame(FIN | PING, "p"), frame(FIN | CONTINUATION, last)].concat());
        client.receives_pong("p");
        receives(&mut client, TEXT, &text);
    }
}

/// RFC 7692 §7.2.3.6.
fn an_empty_compressed_message_is_empty(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    for payload in [&b"\x00"[..], b"", b"\x02\x00"] {
        client.sends(frame(FIN | RSV1 | TEXT, payload));
        receives(&mut client, TEXT, "");
    }
}

/// RFC 7692 §6.1: RSV1 is set only on the first fragment of a data message.
fn only_the_first_fragment_says_that_it_is_compressed(engine: Engine) {
    let gateway = Gateway::start(engine);
    let bytes = compressed("hello");
    let continued =
        [frame(RSV1 | TEXT, &bytes[..2]), frame(FIN | RSV1 | CONTINUATION, &bytes[2..])];
    is_failed(&gateway, continued.concat(), 1002);
    is_failed(&gateway, frame(FIN | RSV1 | PING, ""), 1002);
    is_failed(&gateway, frame(FIN | RSV1 | PONG, ""), 1002);
}

/// RFC 7692 §7.1.1: the second message refers to the first.
fn contexts_are_kept_if_negotiated(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.deflate.client_context_takeover=true"]);
    let mut client = upgrade(&gateway);
    let mut deflater = deflater();
    let text = "a sentence that nobody would write twice, unless for a test of this kind";
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let mut bytes = Vec::new();
        deflater.deflate(text.as_bytes(), &mut bytes);
        client.sends(frame(FIN | RSV1 | TEXT, &bytes));
        receives(&mut client, TEXT, text);
        lengths.push(bytes.len());
    }
    assert!(lengths[1] < lengths[0] / 2, "nothing was referred to: {lengths:?}");
}

/// RFC 7692 §7.1.1.1: the gateway's second message refers to its first.
fn the_gateway_keeps_its_context_if_negotiated(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.deflate.server_context_takeover=true"]);
    let mut client = upgrade(&gateway);
    let mut inflater = Inflater::new();
    let text = "a sentence that nobody would write twice, unless for a test of this kind";
    let lengths = [(); 3].map(|()| {
        client.sends(frame(FIN | TEXT, text));
        let answer = client.receives_frame();
        assert_eq!(answer.first, FIN | RSV1 | TEXT);
        let mut message = Vec::new();
        inflater.inflate(&answer.payload, true, &mut message, 1000).unwrap();
        assert_eq!(message, text.as_bytes());
        answer.payload.len()
    });
    assert!(lengths[1] < lengths[0] / 2, "nothing was referred to: {lengths:?}");
}

/// RFC 7692 §7.1.1.2: such a reference is then invalid.
fn contexts_are_not_kept_unless_negotiated(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    let mut deflater = deflater();
    let text = "a sentence that nobody would write twice, unless for a test of this kind";
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    deflater.deflate(text.as_bytes(), &mut first);
    deflater.deflate(text.as_bytes(), &mut second);
    client.sends(frame(FIN | RSV1 | TEXT, &first));
    receives(&mut client, TEXT, text);
    client.sends(frame(FIN | RSV1 | TEXT, &second));
    client.receives_close(1007);
    client.receives_end();
}

/// RFC 6455 §8.1, RFC 7692 §6.2: checked when the message is complete, as it is not inflated
/// before.
fn text_is_validated_after_inflating(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_failed(&gateway, frame(FIN | RSV1 | TEXT, compressed(b"a\xff")), 1007);
    is_failed(&gateway, frame(FIN | RSV1 | TEXT, compressed(b"\xe1\xbd")), 1007);
    let fragments = [frame(RSV1 | TEXT, compressed(b"a\xff")), frame(FIN | CONTINUATION, "")];
    is_failed(&gateway, fragments.concat(), 1007);
    // The compressed bytes need not be UTF-8.
    let text = "κόσμε".repeat(30);
    let bytes = compressed(&text);
    assert!(std::str::from_utf8(&bytes).is_err());
    let mut client = upgrade(&gateway);
    client.sends(frame(FIN | RSV1 | TEXT, bytes));
    receives(&mut client, TEXT, &text);
    client.sends(frame(FIN | RSV1 | BINARY, compressed(b"\xff\xfe")));
    receives(&mut client, BINARY, b"\xff\xfe");
}

/// RFC 1951 §3.2: a reserved block type, stored lengths that disagree, a distance too far back.
fn corrupt_data_is_a_1007(engine: Engine) {
    let gateway = Gateway::start(engine);
    for bytes in [&b"\x07"[..], b"\x01\x01\x00\x00\x00a", b"\x4b\x84\x81\x00"] {
        is_failed(&gateway, frame(FIN | RSV1 | BINARY, bytes), 1007);
    }
    let mut bytes = compressed("hello hello hello hello");
    bytes.truncate(bytes.len() / 2);
    is_failed(&gateway, frame(FIN | RSV1 | BINARY, bytes), 1007);
}

/// RFC 7692 §8: 80 MiB in 80 KB, in one frame and in many, ten at the same time.
fn a_bomb_is_a_1009_and_does_not_grow_memory(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.ping_interval=10m"]);
    let bomb = compressed(vec![0; 80 << 20]);
    assert!(bomb.len() < 100 << 10, "{} bytes are no bomb", bomb.len());
    is_failed(&gateway, frame(FIN | RSV1 | BINARY, &bomb), 1009);
    let before = gateway.resident_bytes();
    let mut clients: Vec<Client> = (0..10).map(|_| upgrade(&gateway)).collect();
    for client in &mut clients {
        let fragments = bomb.chunks(1000).map(|fragment| frame(CONTINUATION, fragment));
        let first = std::iter::once(frame(RSV1 | BINARY, ""));
        let last = std::iter::once(frame(FIN | CONTINUATION, ""));
        let fragments: Vec<Vec<u8>> = first.chain(fragments).chain(last).collect();
        client.sends_what_is_taken(fragments.concat());
    }
    for client in &mut clients {
        client.receives_close(1009);
        client.receives_end();
    }
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for ten bombs of 80 MiB");
}

/// The default of `echo_message_bytes_max`, and one byte past it.
fn a_message_at_the_limit_is_inflated(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = upgrade(&gateway);
    let bytes = vec![b'a'; (16 << 20) + 1];
    let limit = &bytes[1..];
    client.sends(frame(FIN | RSV1 | BINARY, compressed(limit)));
    receives(&mut client, BINARY, limit);
    is_failed(&gateway, frame(FIN | RSV1 | BINARY, compressed(&bytes)), 1009);
}
