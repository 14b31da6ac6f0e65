//! Tests of the extension as a whole: negotiation, the RFC's examples, streams made by another
//! zlib, round trips, and required refusals.

mod bounds;
mod memory;
mod negotiation;
mod round_trip;
mod vectors;

use super::{InflateError, Inflater, Level, MemoryLevel, WindowBits};

const PLENTY: usize = 1 << 24;

fn window(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

fn level(level: u8) -> Level {
    Level::new(level).unwrap()
}

fn memory(level: u8) -> MemoryLevel {
    MemoryLevel::new(level).unwrap()
}

/// The message that `payload` inflates to in this context.
fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    let mut message = Vec::new();
    inflater.inflate(payload, true, &mut message, PLENTY)?;
    Ok(message)
}

/// As `inflate`, one byte at a time.
fn inflate_bytewise(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    let mut message = Vec::new();
    for byte in payload {
        inflater.inflate(std::slice::from_ref(byte), false, &mut message, PLENTY)?;
    }
    inflater.inflate(b"", true, &mut message, PLENTY)?;
    Ok(message)
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap())
        .collect()
}
