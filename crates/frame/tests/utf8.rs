//! Streaming UTF-8 against the standard library's verdict on the whole text: RFC 6455 §8.1.
//!
//! The oracle is `std::str::from_utf8`.

use proptest::prelude::*;
use ringway_frame::Utf8;

/// The number of bytes before the first byte that no continuation can make valid.
fn mendable(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len()).find(|&length| {
        std::str::from_utf8(&bytes[..length]).is_err_and(|error| error.error_len().is_some())
    })
}

/// Pushes `bytes` in pieces; returns the length at which it failed.
fn fails_after(utf8: &mut Utf8, pieces: &[&[u8]]) -> Option<usize> {
    let mut length = 0;
    for piece in pieces {
        length += piece.len();
        if utf8.push(piece).is_err() {
            return Some(length);
        }
    }
    None
}

fn drops(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(1).collect()
}

#[test]
fn every_sequence_of_four_bytes_fails_where_the_oracle_does() {
    // One byte of each class in Unicode's Table 3-7, and its neighbours.
    let classes = [
        0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
        0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ];
    for a in classes {
        for b in classes {
            for c in classes {
                for d in classes {
                    let bytes = [a, b, c, d];
                    let mut utf8 = Utf8::default();
                    let failed = fails_after(&mut utf8, &drops(&bytes));
                    assert_eq!(failed, mendable(&bytes), "{bytes:x?}");
                    if failed.is_none() {
                        let whole = std::str::from_utf8(&bytes).is_ok();
                        assert_eq!(utf8.is_whole(), whole, "{bytes:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_split_anywhere_in_a_long_text_changes_nothing() {
    let text = "plain ascii, añ, €uro, 😀 and \u{10FFFF}. ".repeat(6);
    let bytes = text.as_bytes();
    for first in 0..=bytes.len() {
        for second in [first, first + 1, first + 2, first + 3, first + 64] {
            let second = second.min(bytes.len());
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let mut utf8 = Utf8::default();
            assert_eq!(fails_after(&mut utf8, &pieces), None);
            assert!(utf8.is_whole());
            assert_eq!(
                Utf8::default().push(&bytes[..first]).is_ok_and(|()| true),
                std::str::from_utf8(&bytes[..first])
                    .map_or_else(|error| error.error_len().is_none(), |_| true)
            );
        }
    }
}

#[test]
fn the_state_is_four_bytes() {
    assert_eq!(size_of::<Utf8>(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // A bad byte anywhere in a text, in pieces of any size, is refused in the piece with the first
    // byte that makes the text invalid, and in no earlier one.
    #[test]
    fn a_stream_fails_in_the_piece_where_the_whole_does(
        text in "[ -~é€😀]{0,120}",
        bad in prop::collection::vec((any::<usize>(), any::<u8>()), 0..2),
        size in 1..80usize,
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in bad {
            bytes.insert(at % (bytes.len() + 1), byte);
        }
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let mut utf8 = Utf8::default();
        let failed = fails_after(&mut utf8, &pieces);
        let expected = mendable(&bytes).map(|at| at.next_multiple_of(size).min(bytes.len()));
        prop_assert_eq!(failed, expected);
        if failed.is_none() {
            prop_assert_eq!(utf8.is_whole(), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
