//! Any message, with any settings and in any pieces, inflates to itself, and refers no further back
//! than the agreed window.

use proptest::prelude::*;

use super::*;
use crate::deflate::Deflater;
use crate::deflate::naive::NaiveInflater;

/// How far zlib stays away from the end of its window: `MIN_LOOKAHEAD`.
const LOOKAHEAD_BYTES: usize = 262;

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.u8(..)).collect()
}

/// Noise that repeats, each time `distance` bytes further on.
fn recurring(distance: usize, bytes: usize) -> Vec<u8> {
    noise(distance, distance as u64).into_iter().cycle().take(bytes).collect()
}

/// A few words in random order: matches at all distances.
fn words(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let vocabulary: Vec<Vec<u8>> = (0..40).map(|word| noise(3 + word % 9, word as u64)).collect();
    let mut text = Vec::new();
    while text.len() < bytes {
        text.extend_from_slice(&vocabulary[random.usize(..vocabulary.len())]);
    }
    text
}

fn deflate(deflater: &mut Deflater, message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    deflater.deflate(message, &mut payload);
    payload
}

// RFC 7692 §7.1.2.1: a window of 8 bits is agreed on, and a window of 9 compresses. zlib-rs
// inflates with 32 KiB in any case, so the test uses the naive inflater, which has 256 bytes, and
// the distances that it measured.
#[test]
fn no_match_leaves_the_window_at_any_level() {
    let mut messages = vec![noise(3000, 1), vec![b'a'; 3000], words(20_000, 2)];
    for distance in [249, 250, 251, 255, 256, 257, 300, 511, 512, 513, 700, 1024] {
        messages.push(recurring(distance, 5000));
    }
    for at_level in 0..=9 {
        for bits in [8, 9, 10] {
            for memory_level in [1, 8, 9] {
                let mut deflater =
                    Deflater::new(level(at_level), window(bits), memory(memory_level));
                let mut naive = NaiveInflater::new(window(bits));
                for message in &messages {
                    let payload = deflate(&mut deflater, message);
                    assert_eq!(naive.message(&payload).as_ref(), Some(message));
                }
                let distance_max = (1 << bits.max(9)) - LOOKAHEAD_BYTES;
                assert!(naive.distance_max <= distance_max, "{}", naive.distance_max);
                // The measurement itself works: matches do come close to the limit.
                assert!(at_level == 0 || naive.distance_max >= distance_max - 8);
            }
        }
    }
}

#[test]
fn a_smaller_window_misses_what_a_larger_one_finds() {
    let message = recurring(1000, 20_000);
    let bytes =
        |bits| deflate(&mut Deflater::new(level(6), window(bits), memory(8)), &message).len();
    assert!(bytes(15) < 2000);
    assert!(bytes(9) > 19_000);
}

#[test]
fn takeover_makes_the_second_message_smaller_and_reset_does_not() {
    for at_level in 1..=9 {
        let mut deflater = Deflater::new(level(at_level), WindowBits::MAX, MemoryLevel::USUAL);
        let message = noise(400, 7);
        let first = deflate(&mut deflater, &message);
        let second = deflate(&mut deflater, &message);
        assert!(second.len() < 20, "level {at_level}: {} bytes", second.len());
        deflater.reset();
        assert_eq!(deflate(&mut deflater, &message), first);
    }
}

// Lengths around the steps in which output grows, where zlib may flush twice.
#[test]
fn every_length_around_a_step_survives() {
    for at_level in [0, 1, 2, 6, 9] {
        let mut deflater = Deflater::new(level(at_level), WindowBits::MAX, memory(9));
        let mut inflater = Inflater::new();
        for bytes in (16_300..16_420).chain(32_700..32_800).chain(65_500..65_560) {
            let message = noise(bytes, bytes as u64);
            let payload = deflate(&mut deflater, &message);
            assert_eq!(inflate(&mut inflater, &payload).unwrap(), message);
            deflater.reset();
            inflater.reset();
        }
    }
}

// A byte can hold four matches of 258 bytes, more than the room that a piece gets at first. The
// oracle is zlib with room for the whole message at once.
#[test]
fn each_piece_yields_all_of_its_output_at_once() {
    let message = vec![0; 60_000];
    let payload = deflate(&mut Deflater::new(level(9), window(15), memory(8)), &message);
    let mut inflater = Inflater::new();
    let mut output = Vec::new();
    for end in 1..=payload.len() {
        inflater.inflate(&payload[end - 1..end], false, &mut output, PLENTY).unwrap();
        let mut zlib = zlib_rs::Inflate::new(false, 15);
        let mut room = vec![0; message.len() + 1];
        zlib.decompress(&payload[..end], &mut room, zlib_rs::InflateFlush::SyncFlush).unwrap();
        assert_eq!(output.len() as u64, zlib.total_out(), "after {end} bytes");
    }
    assert_eq!(output, message);
}

// Flips each bit: block headers, including final ones, lengths, codes, padding.
#[test]
fn every_flipped_bit_inflates_as_the_naive_twin_says() {
    for words_seed in [24, 37, 40, 48] {
        let mut deflater = Deflater::new(level(9), window(9), memory(8));
        let mut payload = deflate(&mut deflater, &words(300, words_seed));
        for bit in 0..8 * payload.len() {
            payload[bit / 8] ^= 1 << (bit % 8);
            if let Ok(message) = inflate(&mut Inflater::new(), &payload) {
                let expected = NaiveInflater::new(WindowBits::MAX).message(&payload);
                assert_eq!(Some(message), expected, "seed {words_seed}, bit {bit}");
            }
            payload[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Messages of every texture, including empty ones.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..300),
        (0..40_000_usize, any::<u64>()).prop_map(|(bytes, seed)| noise(bytes, seed)),
        (0..40_000_usize, any::<u64>()).prop_map(|(bytes, seed)| words(bytes, seed)),
        (1..33_000_usize, 0..70_000_usize).prop_map(|(back, bytes)| recurring(back, bytes)),
    ];
    prop::collection::vec(message, 1..6)
}

/// Inflates `payload` in pieces whose sizes come from `random`.
fn inflate_in_pieces(
    inflater: &mut Inflater,
    mut payload: &[u8],
    random: &mut fastrand::Rng,
) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let longest = [2, 40, 5000][random.usize(..3)];
        let (piece, rest) = payload.split_at(random.usize(..longest).min(payload.len()));
        payload = rest;
        let is_last = payload.is_empty();
        inflater.inflate(piece, is_last, &mut message, PLENTY).unwrap();
        if is_last {
            return message;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn inflate_undoes_deflate(
        messages in messages(),
        at_level in 0..=9_u8,
        bits in 8..=15_u8,
        memory_level in 1..=9_u8,
        takeover in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut deflater = Deflater::new(level(at_level), window(bits), memory(memory_level));
        let mut inflater = Inflater::new();
        let mut naive = NaiveInflater::new(window(bits));
        for message in &messages {
            let payload = deflate(&mut deflater, message);
            prop_assert_eq!(&inflate_in_pieces(&mut inflater, &payload, &mut random), message);
            let naively = naive.message(&payload);
            prop_assert_eq!(naively.as_ref(), Some(message));
            if !takeover {
                deflater.reset();
                inflater.reset();
                naive.reset();
            }
        }
    }

    // Arbitrary bytes, against the naive twin: both read the same, and we refuse whatever the twin
    // refuses.
    #[test]
    fn arbitrary_bytes_inflate_as_the_naive_twin_says(
        payload in prop::collection::vec(any::<u8>(), 1..60),
        flips in prop::collection::vec((0..200_usize, 0..8_u8), 0..3),
        start_from_a_message in any::<bool>(),
    ) {
        let mut payload = payload;
        if start_from_a_message {
            let mut deflater = Deflater::new(level(9), window(9), memory(8));
            payload = deflate(&mut deflater, &words(300, payload.len() as u64));
            for (place, bit) in flips {
                let place = place % payload.len();
                payload[place] ^= 1 << bit;
            }
        }
        let expected = NaiveInflater::new(WindowBits::MAX).message(&payload);
        let mut inflater = Inflater::new();
        let message = inflate(&mut inflater, &payload);
        prop_assert_eq!(&inflate_bytewise(&mut Inflater::new(), &payload), &message);
        if let Ok(message) = message {
            prop_assert_eq!(Some(message), expected);
        }
    }
}
