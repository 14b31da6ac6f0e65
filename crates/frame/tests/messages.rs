//! Whole messages: boundaries of length, fragments, control frames in between, and the frames made
//! from assembled messages.

mod vocabulary;

use ringway_frame::{HEADER_BYTES_MAX, Message, MessageReader, Opcode, ReadLimits, Role};
use vocabulary::*;

/// Lengths around a change in the form of the length field or in the reader's path.
const LENGTHS: [usize; 15] =
    [0, 1, 2, 63, 64, 124, 125, 126, 127, 128, 129, 8193, 65_535, 65_536, 65_537];

// RFC 6455 §5.2.
#[test]
fn a_message_of_any_length_arrives_in_both_roles() {
    for length in LENGTHS {
        let payload: Vec<u8> = (0..length).map(|index| (index * 7) as u8).collect();
        let words = "añ€😀".repeat(length / 10) + &"z".repeat(length % 10);
        for size in [1, 2, 13, 4096, usize::MAX] {
            let sent = [frame(BINARY, &payload), frame(TEXT, &words)];
            let expected = [Event::Binary(payload.clone()), text(&words)];

            let mut server = Peer::server();
            server.receives_in_chunks(&wire(&sent), &[size]);
            server.has_read(&expected);
            assert!(server.reader.is_idle());

            let mut client = Peer::client();
            client.receives_in_chunks(&wire(&sent.map(Frame::unmasked)), &[size]);
            client.has_read(&expected);
            assert!(client.reader.is_idle());
        }
    }
}

// RFC 6455 §5.4: control frames may occur between the fragments of a message.
#[test]
fn control_frames_are_read_inside_a_message() {
    let bytes = wire(&[
        frame(TEXT, b"caf\xC3").unfinished(),
        frame(PING, "are you there"),
        continuation(b"\xA9").unfinished(),
        frame(PONG, [0xFF; 125]),
        continuation("").unfinished(),
        frame(PING, ""),
        continuation(", s'il vous pla\u{ee}t"),
        frame(BINARY, [1, 2, 3]),
    ]);
    for size in 1..=bytes.len() {
        let mut server = Peer::server();
        server.receives_in_chunks(&bytes, &[size]);
        server.has_read(&[
            Event::Ping(b"are you there".to_vec()),
            Event::Pong(vec![0xFF; 125]),
            Event::Ping(Vec::new()),
            text("caf\u{e9}, s'il vous pla\u{ee}t"),
            Event::Binary(vec![1, 2, 3]),
        ]);
    }
}

#[test]
fn a_reader_is_idle_only_between_messages() {
    let bytes = wire(&[frame(TEXT, "one").unfinished(), continuation("two")]);
    let mut server = Peer::server();
    assert!(server.reader.is_idle());
    for byte in &bytes[..bytes.len() - 1] {
        server.receives(&[*byte]);
        assert!(!server.reader.is_idle());
    }
    server.receives(&bytes[bytes.len() - 1..]);
    assert!(server.reader.is_idle());

    server.receives(&frame(PING, "cut").bytes()[..7]);
    assert!(!server.reader.is_idle());
    server.receives(&frame(PING, "cut").bytes()[7..]);
    assert!(server.reader.is_idle());
}

#[test]
fn an_empty_close_has_no_code() {
    let mut server = Peer::server();
    server.receives(&frame(CLOSE, "").bytes());
    server.has_read(&[Event::Close(None, String::new())]);
}

/// Reads `chunks` and makes a frame of each message; `None` for a message that is lent.
fn frames_of(chunks: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let mut reader = MessageReader::new(Role::Server);
    let mut frames = Vec::new();
    for chunk in chunks {
        let mut bytes = chunk.to_vec();
        let mut input = &mut bytes[..];
        while let Some(message) = reader.read(&mut input, &ReadLimits::default()).unwrap() {
            let Message::Text(payload) = message else {
                panic!("only text was sent");
            };
            frames.push(match payload.into_frame(Opcode::Text) {
                Ok(frame) => {
                    assert!(frame.start < HEADER_BYTES_MAX);
                    Some(frame.to_vec())
                }
                Err(_lent) => None,
            });
        }
    }
    frames
}

#[test]
fn a_message_that_is_complete_in_the_input_is_borrowed() {
    for length in LENGTHS {
        let bytes = frame(TEXT, "x".repeat(length)).bytes();
        assert_eq!(frames_of(&[&bytes]), [None], "{length} bytes");
    }
}

#[test]
fn an_assembled_message_becomes_a_frame_in_its_own_buffer() {
    for length in LENGTHS.into_iter().filter(|&length| length > 1) {
        let words = "x".repeat(length);
        let expected = frame(TEXT, &words).unmasked().bytes();

        let cut = frame(TEXT, &words).bytes();
        let (front, back) = cut.split_at(cut.len() - 1);
        assert_eq!(frames_of(&[front, back]), [Some(expected.clone())]);

        let (front, back) = words.split_at(length / 2);
        let fragments = wire(&[frame(TEXT, front).unfinished(), continuation(back)]);
        assert_eq!(frames_of(&[&fragments]), [Some(expected)]);
    }
}

#[test]
fn seventy_thousand_fragments_make_one_message() {
    let bytes = wire(
        &[
            vec![frame(TEXT, "x".repeat(60)).unfinished()],
            vec![continuation("y".repeat(60)).unfinished(); 69_998],
            vec![continuation("z".repeat(60))],
        ]
        .concat(),
    );
    let mut server = Peer::server();
    server.receives_in_chunks(&bytes, &[4096]);
    let expected = "x".repeat(60) + &"y".repeat(60 * 69_998) + &"z".repeat(60);
    assert!(server.events == [text(&expected)]);
}

#[test]
fn only_text_is_read_as_text() {
    let mut bytes = wire(&[frame(BINARY, "abc"), frame(TEXT, "abc")]);
    let mut input = &mut bytes[..];
    let mut reader = MessageReader::new(Role::Server);
    let limits = ReadLimits::default();
    let read = reader.read(&mut input, &limits).unwrap();
    assert!(matches!(read, Some(Message::Binary(payload)) if payload.as_str().is_none()));
    let read = reader.read(&mut input, &limits).unwrap();
    assert!(matches!(read, Some(Message::Text(payload)) if payload.as_str() == Some("abc")));
}
