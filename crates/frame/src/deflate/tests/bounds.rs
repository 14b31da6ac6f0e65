//! What must be refused: output past the limit, and bytes that are not a compressed message.

use super::*;
use crate::deflate::{Deflater, FLUSH_TAIL, Pool};

const MIB: usize = 1 << 20;

/// A payload of about 80 KB that inflates to 80 MiB of zeroes.
fn bomb() -> Vec<u8> {
    let mut deflater = Deflater::new(level(9), WindowBits::MAX, MemoryLevel::USUAL);
    let zeroes = vec![0; MIB];
    let mut payload = Vec::new();
    deflater.deflate(&zeroes, &mut payload);
    payload.extend_from_slice(&FLUSH_TAIL);
    let mut again = Vec::new();
    deflater.deflate(&zeroes, &mut again);
    again.extend_from_slice(&FLUSH_TAIL);
    for _ in 1..80 {
        payload.extend_from_slice(&again);
    }
    payload.truncate(payload.len() - FLUSH_TAIL.len());
    payload
}

#[test]
fn a_bomb_costs_the_limit_and_no_more() {
    let payload = bomb();
    assert!(payload.len() < 100_000, "{} bytes", payload.len());
    for piece_bytes in [1, 1000, payload.len()] {
        let mut inflater = Inflater::new();
        let mut output = Vec::new();
        let mut pieces = payload.chunks(piece_bytes);
        let error = pieces.find_map(|piece| inflater.inflate(piece, false, &mut output, MIB).err());
        assert_eq!(error, Some(InflateError::TooBig));
        assert!(output.len() <= MIB);
        assert!(output.capacity() <= MIB, "{} bytes", output.capacity());
    }
}

#[test]
fn a_bomb_within_the_limit_is_a_message() {
    let message = inflate_within(&bomb(), 80 * MIB).unwrap();
    assert_eq!(message.len(), 80 * MIB);
}

fn inflate_within(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
    let mut output = Vec::new();
    Inflater::new().inflate(payload, true, &mut output, bytes_max)?;
    Ok(output)
}

#[test]
fn the_limit_itself_is_allowed_at_every_length() {
    for bytes in [0, 1, 2, 511, 512, 513, 16_383, 16_384, 16_385, 65_535, 65_536, 100_000] {
        let message: Vec<u8> = (0..bytes).map(|place| (place / 7) as u8).collect();
        for at_level in [0, 1, 6] {
            let mut payload = Vec::new();
            Deflater::new(level(at_level), WindowBits::MAX, MemoryLevel::USUAL)
                .deflate(&message, &mut payload);
            assert_eq!(inflate_within(&payload, bytes).as_ref(), Ok(&message));
            if let Some(less) = bytes.checked_sub(1) {
                assert_eq!(inflate_within(&payload, less), Err(InflateError::TooBig));
            }
        }
    }
}

#[test]
fn the_limit_counts_what_the_output_already_holds() {
    let payload = hex("f2 48 cd c9 c9 07 00");
    let mut output = b"head".to_vec();
    Inflater::new().inflate(&payload, true, &mut output, 9).unwrap();
    assert_eq!(output, b"headHello");
    let mut output = b"head".to_vec();
    let result = Inflater::new().inflate(&payload, true, &mut output, 8);
    assert_eq!(result, Err(InflateError::TooBig));
    // If the limit is below the current length, nothing fits.
    let result = Inflater::new().inflate(&payload, true, &mut output, 2);
    assert_eq!(result, Err(InflateError::TooBig));
}

#[test]
fn corrupt_payloads_are_distinguished_from_complete_ones() {
    let corrupt = [
        ("the reserved block type", "06"),
        (
            "a stored block whose length and its complement differ",
            "00 05 00 fa fe 48 65 6c 6c 6f 00",
        ),
        ("a match that reaches back before the stream", "f2 00 11 00 00"),
        ("a match that reaches over a final block", "f3 48 cd c9 c9 07 00 f2 00 11 00 00"),
        ("a distance symbol of 30", "4a 04 3e 00"),
        ("dynamic codes that are over-subscribed", "04 00 ff ff ff ff ff ff ff ff 00"),
        ("a block that is cut short in its codes", "f2 48 cd"),
        ("a stored block that is cut short", "00 05 00 fa ff 48 65"),
        ("a stored block that takes all of the tail for data", "00 05 00 fa ff 48"),
        ("a stored block cut short in its length", "00 05 00"),
        ("a block that ends without an empty one after it", "f2 48 cd c9 c9 07"),
        ("the tail left on", "f2 48 cd c9 c9 07 00 00 00 ff ff"),
        ("text", "7b 22 74 79 70 65 22 3a 22 70 69 6e 67 22 7d"),
    ];
    for (what, payload) in corrupt {
        let payload = hex(payload);
        let mut inflater = Inflater::new();
        assert_eq!(inflate(&mut inflater, &payload), Err(InflateError::Corrupt), "{what}");
        inflater.reset();
        assert_eq!(inflate_bytewise(&mut inflater, &payload), Err(InflateError::Corrupt), "{what}");
        inflater.reset();
        assert_eq!(inflate(&mut inflater, &hex("f2 48 cd c9 c9 07 00")).unwrap(), b"Hello");
    }
}

#[test]
fn a_pool_keeps_its_cap_and_forgets_its_messages() {
    let mut pool = Pool::new(2);
    let settings = [window(9), window(10), window(15)];
    for window_bits in settings {
        let mut deflater = pool.take_deflater(level(1), window_bits, memory(8));
        deflater.deflate(b"Hello", &mut Vec::new());
        pool.put_deflater(deflater);
    }
    assert_eq!(pool.idle(), 2);
    // The deflater that was idle longest has gone; the others are found.
    pool.take_deflater(level(1), window(9), memory(8));
    assert_eq!(pool.idle(), 2);
    let mut deflater = pool.take_deflater(level(1), window(15), memory(8));
    assert_eq!(pool.idle(), 1);
    let mut payload = Vec::new();
    deflater.deflate(b"Hello", &mut payload);
    assert_eq!(payload, hex("f2 48 cd c9 c9 07 00"));
}

#[test]
fn a_pool_of_size_zero_keeps_nothing() {
    let mut pool = Pool::new(0);
    pool.put_deflater(Deflater::new(level(1), window(9), memory(1)));
    assert_eq!(pool.idle(), 0);
}
