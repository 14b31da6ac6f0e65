//! Every fault of a peer: the right variant, the right close code, at the first byte that reveals
//! it.

mod vocabulary;

use ringway_frame::ProtocolError::{self, *};
use vocabulary::*;

/// RFC 6455 §7.4.1: the close code for each fault.
#[test]
fn each_fault_has_its_close_code() {
    let code = |fault: ProtocolError| u16::from(fault.close_code());
    for fault in [
        UnmaskedFrame,
        MaskedFrame,
        NonMinimalLength,
        LengthTopBit,
        ReservedBits,
        ReservedOpcode,
        FragmentedControl,
        LongControl,
        LoneContinuation,
        NestedMessage,
        HalfCloseCode,
        ForbiddenCloseCode,
    ] {
        assert_eq!(code(fault), 1002, "{fault:?}");
    }
    assert_eq!(code(InvalidUtf8), 1007);
    assert_eq!(code(CorruptDeflate), 1007);
    assert_eq!(code(TooBig), 1009);
    assert_eq!(code(FrameTooBig), 1009);
}

// RFC 6455 §5.1.
#[test]
fn a_server_refuses_unmasked_frames_and_a_client_masked_ones() {
    for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
        let masked = frame(opcode, "");
        refuses(Peer::server, &masked.clone().unmasked().bytes(), UnmaskedFrame, 1);
        refuses(Peer::client, &masked.bytes(), MaskedFrame, 1);
    }
    let opened = frame(TEXT, "a").unfinished();
    let bytes = wire(&[opened.clone(), continuation("b").unmasked()]);
    refuses(Peer::server, &bytes, UnmaskedFrame, opened.bytes().len() + 1);
}

// RFC 6455 §5.2: the minimal number of bytes must be used to encode the length.
#[test]
fn a_length_in_a_longer_form_than_needed_is_refused() {
    for length in [0u16, 1, 124, 125] {
        let [high, low] = length.to_be_bytes();
        refuses(Peer::server, &[0x82, 0xFE, high, low, 1, 2, 3, 4], NonMinimalLength, 3);
    }
    for length in [0u64, 125, 126, 65_535] {
        let bytes = [&[0x82, 0xFF][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
        refuses(Peer::server, &bytes, NonMinimalLength, 7);
    }
}

// RFC 6455 §5.2: the most significant bit must be 0.
#[test]
fn a_length_of_64_bits_is_refused_by_its_first_byte() {
    for length in [1u64 << 63, u64::MAX] {
        let bytes = [&[0x82, 0xFF][..], &length.to_be_bytes()].concat();
        refuses(Peer::server, &bytes, LengthTopBit, 2);
    }
}

// RFC 6455 §5.2: reserved bits must be 0 unless an extension defines them.
#[test]
fn reserved_bits_are_refused_at_the_first_byte() {
    for bits in 1..8u8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let bytes = frame(opcode, "").with_first_bits(bits << 4).bytes();
            refuses(Peer::server, &bytes, ReservedBits, 0);
        }
        let opened = frame(BINARY, "a").unfinished();
        let bytes = wire(&[opened.clone(), continuation("").with_first_bits(bits << 4)]);
        refuses(Peer::server, &bytes, ReservedBits, opened.bytes().len());
    }
}

// RFC 6455 §5.2: opcodes 3-7 and B-F are reserved.
#[test]
fn reserved_opcodes_are_refused_at_the_first_byte() {
    for opcode in (3..=7).chain(11..=15) {
        refuses(Peer::server, &frame(opcode, "x").bytes(), ReservedOpcode, 0);
        refuses(Peer::client, &frame(opcode, "x").unmasked().bytes(), ReservedOpcode, 0);
    }
}

// RFC 6455 §5.5: control frames carry at most 125 bytes and are never fragmented.
#[test]
fn control_frames_are_short_and_not_fragmented() {
    for opcode in [PING, PONG, CLOSE] {
        refuses(Peer::server, &frame(opcode, "").unfinished().bytes(), FragmentedControl, 0);
        for length in [126, 65_536] {
            refuses(Peer::server, &frame(opcode, vec![b'a'; length]).bytes()[..16], LongControl, 1);
        }
    }
}

// RFC 6455 §5.4: fragments of different messages must not be interleaved.
#[test]
fn fragmented_messages_do_not_interleave() {
    refuses(Peer::server, &continuation("x").bytes(), LoneContinuation, 0);
    refuses(Peer::server, &continuation("x").unfinished().bytes(), LoneContinuation, 0);

    let whole = frame(TEXT, "done");
    let bytes = wire(&[whole.clone(), continuation("x")]);
    refuses(Peer::server, &bytes, LoneContinuation, whole.bytes().len());

    let opened = frame(TEXT, "a").unfinished();
    for nested in [frame(TEXT, "b"), frame(BINARY, "b").unfinished()] {
        let bytes = wire(&[opened.clone(), frame(PING, ""), nested]);
        let at = wire(&[opened.clone(), frame(PING, "")]).len();
        refuses(Peer::server, &bytes, NestedMessage, at);
    }
}

// RFC 6455 §5.5.1: a close body starts with a two-byte code.
#[test]
fn a_close_of_one_byte_is_refused_by_its_length() {
    refuses(Peer::server, &frame(CLOSE, [3]).bytes(), HalfCloseCode, 1);
}

// RFC 6455 §7.4: only some codes are allowed in a close frame.
#[test]
fn close_codes_that_may_not_be_on_the_wire_are_refused() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let bytes = close(code, "").bytes();
        refuses(Peer::server, &bytes, ForbiddenCloseCode, bytes.len() - 1);
    }
    for code in [1000, 1003, 1007, 1010, 1014, 3000, 4999] {
        let mut server = Peer::server();
        server.receives(&close(code, "bye").bytes());
        server.has_read(&[Event::Close(Some(code), "bye".to_owned())]);
    }
}

// RFC 6455 §8.1, §5.5.1.
#[test]
fn a_close_reason_is_utf8() {
    for reason in [&b"\xFF"[..], b"caf\xC3", b"\xED\xA0\x80"] {
        let bytes = close(1000, reason).bytes();
        refuses(Peer::server, &bytes, InvalidUtf8, bytes.len() - 1);
    }
}

// RFC 6455 §8.1: fails at the byte after which no continuation could make the text UTF-8, even
// though the code point, the frame and the message are all unfinished.
#[test]
fn text_fails_at_the_first_byte_that_makes_it_invalid() {
    let header = 6;
    for (bad, at) in [
        (&b"\xC0"[..], 0),
        (b"\xC1", 0),
        (b"\xF5", 0),
        (b"\xFF", 0),
        (b"\x80", 0),
        (b"\xE0\x80", 1),
        (b"\xE0\x9F", 1),
        (b"\xED\xA0", 1),
        (b"\xF0\x8F", 1),
        (b"\xF4\x90", 1),
        (b"\xC3\x28", 1),
        (b"\xE2\x82\x28", 2),
        (b"\xF0\x9F\x98\x28", 3),
    ] {
        let text = [b"ok", bad, b"tail"].concat();
        let in_frame = frame(TEXT, &text).bytes();
        refuses(Peer::server, &in_frame, InvalidUtf8, header + 2 + at);

        let unfinished = frame(TEXT, &text).unfinished().bytes();
        refuses(Peer::server, &unfinished, InvalidUtf8, header + 2 + at);

        // The same, with every byte in a fragment of its own.
        let fragments: Vec<Frame> = [frame(TEXT, b"ok").unfinished()]
            .into_iter()
            .chain(text[2..].iter().map(|&byte| continuation([byte]).unfinished()))
            .collect();
        let before = wire(&fragments[..=at]).len();
        refuses(Peer::server, &wire(&fragments), InvalidUtf8, before + header);
    }
}

// RFC 6455 §8.1: a text message does not end inside a code point.
#[test]
fn a_text_that_ends_inside_a_code_point_is_refused() {
    for cut in [&b"\xC3"[..], b"\xE2\x82", b"\xF0\x9F\x98"] {
        let bytes = frame(TEXT, cut).bytes();
        refuses(Peer::server, &bytes, InvalidUtf8, bytes.len() - 1);

        let bytes = wire(&[frame(TEXT, cut).unfinished(), continuation("")]);
        refuses(Peer::server, &bytes, InvalidUtf8, bytes.len() - 1);
    }
}

// RFC 6455 §10.4: refused at the header, before any payload.
#[test]
fn a_frame_that_declares_too_many_bytes_is_refused_by_its_header() {
    let server = || Peer::server().limited(1000, 1500);
    refuses(server, &frame(BINARY, [0; 1001]).bytes(), FrameTooBig, 7);
    refuses(server, &[0x82, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], TooBig, 13);

    let opened = frame(BINARY, [0; 1000]).unfinished();
    let bytes = wire(&[opened.clone(), continuation([0; 501])]);
    refuses(server, &bytes, TooBig, opened.bytes().len() + 7);

    let mut exact = server();
    exact.receives(&wire(&[opened, continuation([0; 500]), frame(BINARY, [0; 1000])]));
    exact.has_read(&[Event::Binary(vec![0; 1500]), Event::Binary(vec![0; 1000])]);

    let tiny = || Peer::server().limited(1000, 3);
    refuses(tiny, &frame(TEXT, "four").bytes(), TooBig, 5);
    let mut fits = tiny();
    fits.receives(&frame(TEXT, "thr").bytes());
    fits.has_read(&[text("thr")]);
}

// RFC 6455 §5.5.1: no data after a close.
#[test]
fn nothing_is_read_after_a_close() {
    let bytes = wire(&[close(1000, "bye"), frame(TEXT, "late"), close(1001, "")]);
    for size in 1..=bytes.len() {
        let mut server = Peer::server();
        server.receives_in_chunks(&bytes, &[size]);
        server.has_read(&[Event::Close(Some(1000), "bye".to_owned())]);
        assert!(server.reader.is_finished() && server.reader.is_idle());
    }
}
