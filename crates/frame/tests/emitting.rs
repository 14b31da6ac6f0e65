//! Emitted frames, compared byte for byte with frames built by hand.
//!
//! The expected bytes never come from the crate's own emitter.

mod vocabulary;

use ringway_frame::{
    CloseCode, Fragment, HEADER_BYTES_MAX, Header, Opcode, Rsv, emit_close, emit_compressed_frame,
    emit_fragment, emit_frame, emit_header_before, emit_ping, emit_pong,
};
use vocabulary::*;

fn written(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    emit(&mut out);
    assert!(out.starts_with(b"before"), "the buffer is appended to");
    out.split_off(6)
}

// RFC 6455 §5.2, at every form of the length and across the blocks of masking.
#[test]
fn frames_have_the_layout_of_the_rfc() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..length).map(|index| (index * 3) as u8).collect();
        let sent = frame(BINARY, &payload);
        let masked = written(|out| emit_frame(out, Some(KEY), Opcode::Binary, &payload));
        assert!(masked == sent.bytes(), "masked, {length} bytes");
        let plain = written(|out| emit_frame(out, None, Opcode::Binary, &payload));
        assert!(plain == sent.clone().unmasked().bytes(), "plain, {length} bytes");
        let rsv1 = written(|out| emit_compressed_frame(out, None, Opcode::Binary, &payload));
        assert!(rsv1 == sent.with_first_bits(0x40).unmasked().bytes(), "RSV1, {length} bytes");
    }
}

// RFC 6455 §5.7, the examples.
#[test]
fn the_examples_of_the_rfc_are_written() {
    let hello = written(|out| emit_frame(out, None, Opcode::Text, b"Hello"));
    assert_eq!(hello, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    let masked = written(|out| emit_frame(out, Some(KEY), Opcode::Text, b"Hello"));
    assert_eq!(masked, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    let fragments = written(|out| {
        emit_fragment(out, None, Fragment::First(Opcode::Text), b"Hel");
        emit_fragment(out, None, Fragment::Last, b"lo");
    });
    assert_eq!(fragments, [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]);
    let ping = written(|out| emit_ping(out, None, b"Hello"));
    assert_eq!(ping, [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    let pong = written(|out| emit_pong(out, Some(KEY), b"Hello"));
    assert_eq!(pong, [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    let middle = written(|out| emit_fragment(out, None, Fragment::Middle, b"l"));
    assert_eq!(middle, [0x00, 0x01, 0x6c]);
    let header = |length| written(|out| emit_frame(out, None, Opcode::Binary, &vec![0; length]));
    assert_eq!(header(256)[..4], [0x82, 0x7E, 0x01, 0x00]);
    assert_eq!(header(65_536)[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
}

// RFC 6455 §5.5.1 and §5.5: at most 125 bytes. The code takes two of them.
#[test]
fn a_close_reason_is_cut_at_a_character() {
    let reason_of = |reason: &str| {
        let bytes = written(|out| emit_close(out, None, CloseCode::POLICY, reason));
        assert_eq!(bytes[..4], [0x88, (bytes.len() - 2) as u8, 0x03, 0xF0]);
        String::from_utf8(bytes[4..].to_vec()).expect("cut at a character")
    };
    assert_eq!(reason_of(""), "");
    assert_eq!(reason_of(&"a".repeat(123)), "a".repeat(123));
    assert_eq!(reason_of(&"a".repeat(124)), "a".repeat(123));
    assert_eq!(reason_of(&("a".repeat(122) + "é")), "a".repeat(122));
    assert_eq!(reason_of(&("a".repeat(120) + "😀")), "a".repeat(120));
    assert_eq!(reason_of(&"€".repeat(50)), "€".repeat(41));
    assert_eq!(written(|out| emit_close(out, None, None, "unsaid")), [0x88, 0]);
}

#[test]
#[should_panic(expected = "5.5")]
fn a_ping_over_125_bytes_is_a_programming_error() {
    emit_ping(&mut Vec::new(), None, &[0; 126]);
}

#[test]
fn a_header_is_written_into_the_headroom() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![b'p'; length];
        let mut buffer = [vec![0; HEADER_BYTES_MAX], payload.clone()].concat();
        for mask in [None, Some([0; 4])] {
            let header =
                Header { mask, rsv: Rsv::RSV1, ..Header::new(Opcode::Text, length as u64) };
            let start = emit_header_before(&mut buffer, HEADER_BYTES_MAX, &header);
            let expected = frame(TEXT, &payload).with_first_bits(0x40);
            let expected = match mask {
                None => expected.unmasked(),
                Some(key) => expected.masked_with(key),
            };
            assert!(buffer[start..] == expected.bytes(), "{length} bytes, {mask:?}");
        }
    }
}

#[test]
#[should_panic(expected = "headroom")]
fn too_little_headroom_is_a_programming_error() {
    emit_header_before(&mut [0; 200], 3, &Header::new(Opcode::Text, 126));
}
