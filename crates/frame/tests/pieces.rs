//! `FrameReader`: the pieces that a relay sees, frame by frame.
//!
//! Tests of assembled messages are in `messages`.

mod vocabulary;

use ringway_frame::{Compression, DataKind, FrameReader, Piece, ProtocolError, ReadLimits, Role};
use vocabulary::*;

/// Kind, compressed, payload, and which of first, end of frame, end of message are set.
type Seen = (DataKind, bool, Vec<u8>, &'static str);

fn pieces(reader: &mut FrameReader, bytes: &[u8]) -> Result<Vec<Seen>, ProtocolError> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let mut seen = Vec::new();
    while let Some(piece) = reader.read(&mut input, &ReadLimits::default())? {
        if let Piece::Data { kind, compressed, payload, first, end_of_frame, end_of_message } =
            piece
        {
            let marks = match (first, end_of_frame, end_of_message) {
                (true, true, true) => "first, end of frame, end of message",
                (true, true, false) => "first, end of frame",
                (true, false, false) => "first",
                (false, true, true) => "end of frame, end of message",
                (false, true, false) => "end of frame",
                (false, false, false) => "",
                (_, false, true) => panic!("a message ends inside a frame"),
            };
            seen.push((kind, compressed, payload.to_vec(), marks));
        }
    }
    Ok(seen)
}

#[test]
fn payload_is_borrowed_as_it_arrives() {
    let mut reader = FrameReader::new(Role::Server, Compression::Off);
    let bytes = wire(&[
        frame(TEXT, "hello").unfinished(),
        frame(PING, ""),
        continuation("").unfinished(),
        continuation("!"),
    ]);
    let plain = |payload: &str, marks| (DataKind::Text, false, payload.as_bytes().to_vec(), marks);
    assert_eq!(pieces(&mut reader, &bytes[..6]), Ok(vec![]));
    assert_eq!(pieces(&mut reader, &bytes[6..8]), Ok(vec![plain("he", "first")]));
    assert_eq!(pieces(&mut reader, &bytes[8..10]), Ok(vec![plain("ll", "")]));
    assert_eq!(
        pieces(&mut reader, &bytes[10..]),
        Ok(vec![
            plain("o", "end of frame"),
            plain("", "end of frame"),
            plain("!", "end of frame, end of message"),
        ])
    );
    assert!(reader.is_idle());
    assert_eq!(
        pieces(&mut reader, &frame(BINARY, [0xFF]).bytes()),
        Ok(vec![(DataKind::Binary, false, vec![0xFF], "first, end of frame, end of message")])
    );
}

// RFC 7692 §6.1: RSV1 is set only on the first frame of a compressed message; compressed payload is
// not validated as text.
#[test]
fn compression_is_signalled_by_the_first_frame() {
    let mut reader = FrameReader::new(Role::Server, Compression::PerMessage);
    let rsv1 = 0x40;
    let bytes = wire(&[
        frame(TEXT, [0xFF]).unfinished().with_first_bits(rsv1),
        continuation([0xFE]),
        frame(TEXT, "plain"),
        frame(BINARY, [1]).with_first_bits(rsv1),
    ]);
    let whole = "first, end of frame, end of message";
    assert_eq!(
        pieces(&mut reader, &bytes),
        Ok(vec![
            (DataKind::Text, true, vec![0xFF], "first, end of frame"),
            (DataKind::Text, true, vec![0xFE], "end of frame, end of message"),
            (DataKind::Text, false, b"plain".to_vec(), whole),
            (DataKind::Binary, true, vec![1], whole),
        ])
    );
}

// RFC 7692 §6.1.
#[test]
fn compression_changes_nothing_for_the_other_reserved_bits_and_frames() {
    for bad in [
        wire(&[frame(TEXT, "").with_first_bits(0x20)]),
        wire(&[frame(TEXT, "").with_first_bits(0x50)]),
        wire(&[frame(PING, "").with_first_bits(0x40)]),
        wire(&[frame(CLOSE, "").with_first_bits(0x40)]),
        wire(&[
            frame(TEXT, "a").unfinished().with_first_bits(0x40),
            continuation("b").with_first_bits(0x40),
        ]),
    ] {
        let mut reader = FrameReader::new(Role::Server, Compression::PerMessage);
        assert_eq!(pieces(&mut reader, &bad), Err(ProtocolError::ReservedBits), "{bad:x?}");
        assert_eq!(pieces(&mut reader, &frame(TEXT, "late").bytes()), Ok(vec![]));
    }
}

#[test]
fn a_control_frame_cut_anywhere_is_read_once() {
    for sent in [frame(PING, [7; 125]), frame(PONG, "p"), close(3000, "r\u{e9}ason")] {
        let bytes = sent.bytes();
        for cut in 0..=bytes.len() {
            let (mut front, mut back) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
            let mut reader = FrameReader::new(Role::Server, Compression::Off);
            let mut seen = Vec::new();
            for part in [&mut front, &mut back] {
                let mut input = &mut part[..];
                while let Some(piece) = reader.read(&mut input, &ReadLimits::default()).unwrap() {
                    seen.push(format!("{piece:?}"));
                }
            }
            assert_eq!(seen.len(), 1, "cut at {cut}: {seen:?}");
            let expected = match bytes[0] & 0x0F {
                PING => format!("{:?}", Piece::Ping(&[7; 125])),
                PONG => format!("{:?}", Piece::Pong(b"p")),
                _ => format!(
                    "{:?}",
                    Piece::Close(ringway_frame::CloseCode::new(3000), "r\u{e9}ason")
                ),
            };
            assert_eq!(seen, [expected], "cut at {cut}");
        }
    }
}
