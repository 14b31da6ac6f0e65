//! Fixed payloads: the RFC's own examples, and the output of zlib 1.2.13 for a few messages through
//! Python's `zlib.compressobj(level, DEFLATED, -bits)` with `Z_SYNC_FLUSH`.

use super::*;
use crate::deflate::naive::NaiveInflater;
use crate::deflate::{Deflater, WindowBits};

fn event(n: usize) -> String {
    format!(r#"{{"type":"event","cursor":"1-{n}","topic":"news","data":{{"n":{n}}}}}"#)
}

fn events(numbers: std::ops::Range<usize>) -> String {
    numbers.map(event).collect()
}

/// Every reader, at once and byte by byte, inflates these payloads to these messages.
fn inflates_to(payloads: &[&str], messages: &[&str]) {
    let (mut whole, mut bytewise) = (Inflater::new(), Inflater::new());
    let mut naive = NaiveInflater::new(WindowBits::MAX);
    assert_eq!(payloads.len(), messages.len());
    for (payload, message) in payloads.iter().zip(messages) {
        let payload = hex(payload);
        let message = message.as_bytes();
        assert_eq!(inflate(&mut whole, &payload).unwrap(), message);
        assert_eq!(inflate_bytewise(&mut bytewise, &payload).unwrap(), message);
        assert_eq!(naive.message(&payload).unwrap(), message);
    }
}

// RFC 7692 §7.2.3.1: a message compressed using one block.
#[test]
fn one_block() {
    inflates_to(&["f2 48 cd c9 c9 07 00"], &["Hello"]);
}

// RFC 7692 §7.2.3.2: sharing the LZ77 sliding window.
#[test]
fn a_shared_window() {
    inflates_to(&["f2 48 cd c9 c9 07 00", "f2 00 11 00 00"], &["Hello", "Hello"]);
}

// RFC 7692 §7.2.3.2: without the first message the second cannot be read.
#[test]
fn a_shared_window_is_gone_after_a_reset() {
    let mut inflater = Inflater::new();
    inflate(&mut inflater, &hex("f2 48 cd c9 c9 07 00")).unwrap();
    inflater.reset();
    let second = inflate(&mut inflater, &hex("f2 00 11 00 00"));
    assert_eq!(second, Err(InflateError::Corrupt));
}

// RFC 7692 §7.2.3.3: a block with no compression.
#[test]
fn a_stored_block() {
    inflates_to(&["00 05 00 fa ff 48 65 6c 6c 6f 00"], &["Hello"]);
}

// RFC 7692 §7.2.3.4: a block with BFINAL set; the next message still follows.
#[test]
fn a_final_block() {
    let payload = "f3 48 cd c9 c9 07 00 00";
    inflates_to(&[payload, payload], &["Hello", "Hello"]);
}

// RFC 7692 §7.2.3.5: two blocks in one message.
#[test]
fn two_blocks() {
    inflates_to(&["f2 48 05 00 00 00 ff ff ca c9 c9 07 00"], &["Hello"]);
}

// RFC 7692 §7.2.3.6: an empty message is one octet; before, between and after.
#[test]
fn an_empty_message() {
    inflates_to(
        &["00", "f2 48 cd c9 c9 07 00", "00", "f2 00 11 00 00", "00"],
        &["", "Hello", "", "Hello", ""],
    );
}

// RFC 7692 §7.2.1: blocks with and without BFINAL may be mixed in a message.
#[test]
fn several_final_blocks() {
    inflates_to(
        &["f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00", "f2 00 11 00 00"],
        &["HelloHelloHello", "Hello"],
    );
}

// A final stored block whose length is in the tail that is not sent.
#[test]
fn a_final_block_that_the_tail_completes() {
    inflates_to(&["01", "00 05 00 fa ff 48 65 6c 6c 6f 01", "00"], &["", "Hello", ""]);
}

// Not the RFC's form, but unambiguous: the message stops where a block ends, and has not begun an
// empty block.
#[test]
fn a_message_that_ends_with_a_stream_or_has_no_bytes() {
    let mut inflater = Inflater::new();
    assert_eq!(inflate(&mut inflater, b"").unwrap(), b"");
    assert_eq!(inflate(&mut inflater, &hex("f3 48 cd c9 c9 07 00")).unwrap(), b"Hello");
    assert_eq!(inflate(&mut inflater, b"").unwrap(), b"");
    assert_eq!(inflate(&mut inflater, &hex("f2 48 cd c9 c9 07 00")).unwrap(), b"Hello");
}

#[test]
fn fixed_codes_with_context_takeover() {
    inflates_to(
        &[
            "aa562aa92c4855b2524a2d4bcd2b51d2514a2e2d2ace2f020a18ea1a02b925f90599c940
             5e5e6a7931909b925892a86455ad94a76465585b0b00",
            "aac6a3d908af66a3da5a0000",
        ],
        &[&event(1), &event(2)],
    );
}

#[test]
fn dynamic_codes_in_a_window_of_9_bits() {
    inflates_to(
        &[
            "7ccb3b0e80201045d1bd4cad05209fb01b8253d80001d418c2de6505afbc373983fa5798
             3cf1c3a9d346f1ae2dd735c42e56f65caeb82af1db569ea107f283127931e70058422c31
             56102b8c0f880f8c35c41a6303b1c1d8426c317610bb397f00",
            "c2a7d912af66cbda5a0000",
        ],
        &[&events(1..9), &event(9)],
    );
}

#[test]
fn a_final_block_of_dynamic_codes() {
    inflates_to(
        &["7dcb3b0e80201045d1bd4cad05209fb01b8253d80001d418c2de6505afbc373983fa5798
           3cf1c3a9d346f1ae2dd735c42e56f65caeb82af1db569ea107f283127931e70058422c31
           56102b8c0f880f8c35c41a6303b1c1d8426c317610bb397f00"],
        &[&events(1..9)],
    );
}

#[test]
fn codes_without_matches() {
    inflates_to(
        &["04c1310e80200c40d1bbfcb90e5d7b1b821d5c0a81aa3184bbfbde22bfee18fe782442bdc7
           6c03430f45c8d6af8a11fe4e84b364c11681e9de3f00"],
        &[&event(1)],
    );
}

#[test]
fn matches_of_distance_one() {
    let message = "a".repeat(300) + &"b".repeat(300);
    inflates_to(&["4a1c054483a45140340000"], &[&message]);
}

#[test]
fn a_full_flush_inside_a_message() {
    inflates_to(&["f248cdc9c907000000fffff248cdc9c90700"], &["HelloHello"]);
}

// RFC 7692 §7.2.3.1, .2 and .6: our output equals the RFC's examples.
#[test]
fn the_deflater_writes_the_examples_of_the_rfc() {
    let mut deflater = Deflater::new(level(6), WindowBits::MAX, MemoryLevel::USUAL);
    let mut payloads = Vec::new();
    for message in ["Hello", "Hello", ""] {
        let mut payload = Vec::new();
        deflater.deflate(message.as_bytes(), &mut payload);
        payloads.push(payload);
    }
    assert_eq!(payloads, [hex("f2 48 cd c9 c9 07 00"), hex("f2 00 11 00 00"), hex("00")]);
}
