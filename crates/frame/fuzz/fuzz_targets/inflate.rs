//! Fuzzes the contexts of permessage-deflate: any bytes as a message under a
//! limit, whole and in pieces, and any bytes through a round trip.
//!
//! `run` is a plain function, so that `cargo test` replays the corpus with it.
#![cfg_attr(fuzzing, no_main)]

use ringway_frame::deflate::{Deflater, InflateError, Inflater, Level, MemoryLevel, WindowBits};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// One case: panics if a property does not hold. The first three bytes choose the
/// limit, the pieces and the settings; the rest is the payload.
pub fn run(data: &[u8]) {
    let [limit, pieces, settings, payload @ ..] = data else {
        return;
    };
    let bytes_max = 64 * usize::from(*limit);
    let piece_bytes = 1 + usize::from(*pieces);
    any_bytes_as_messages(payload, bytes_max, piece_bytes);
    round_trip(payload, piece_bytes, *settings);
}

/// Inflates whole and in pieces, twice in one context: the outcome is the same, within the limit.
fn any_bytes_as_messages(payload: &[u8], bytes_max: usize, piece_bytes: usize) {
    let (mut whole, mut split) = (Inflater::new(), Inflater::new());
    for _ in 0..2 {
        let (mut output, mut pieced) = (Vec::new(), Vec::new());
        let outcome = whole.inflate(payload, true, &mut output, bytes_max);
        let again = inflate_pieces(&mut split, payload, piece_bytes, &mut pieced, bytes_max);
        assert_eq!(outcome, again);
        assert!(output.len() <= bytes_max && output.capacity() <= bytes_max);
        assert!(pieced.len() <= bytes_max && pieced.capacity() <= bytes_max);
        match outcome {
            Ok(()) => assert_eq!(output, pieced),
            Err(_) => {
                whole.reset();
                split.reset();
            }
        }
    }
}

fn inflate_pieces(
    inflater: &mut Inflater,
    payload: &[u8],
    piece_bytes: usize,
    output: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), InflateError> {
    for piece in payload.chunks(piece_bytes) {
        inflater.inflate(piece, false, output, bytes_max)?;
    }
    inflater.inflate(&[], true, output, bytes_max)
}

/// A deflated message inflates to itself, with and without context takeover.
fn round_trip(message: &[u8], piece_bytes: usize, settings: u8) {
    let level = Level::new(settings % 10).unwrap();
    let window_bits = WindowBits::new(8 + settings / 10 % 8).unwrap();
    let memory_level = MemoryLevel::new(1 + settings / 80 * 2).unwrap();
    let mut deflater = Deflater::new(level, window_bits, memory_level);
    let mut inflater = Inflater::new();
    for _ in 0..2 {
        let (mut payload, mut inflated) = (Vec::new(), Vec::new());
        deflater.deflate(message, &mut payload);
        inflate_pieces(&mut inflater, &payload, piece_bytes, &mut inflated, message.len()).unwrap();
        assert_eq!(inflated, message);
        if settings.is_multiple_of(2) {
            deflater.reset();
            inflater.reset();
        }
    }
}
