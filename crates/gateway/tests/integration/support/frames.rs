//! Frames as in the figures of RFC 6455 §5.2, written by hand so that tests can make them invalid.
//!
//! It shares no code with the gateway's own frames.

/// The key of RFC 6455 §1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const RSV2: u8 = 0x20;
pub const RSV3: u8 = 0x10;
pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame with this first byte.
pub fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(mask(payload));
    bytes
}

/// The header of a masked frame, mask included, for a payload that may never come.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(MASKED | length as u8),
        126..=0xffff => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

/// A masked frame whose length has 16 bits, needed or not.
pub fn frame_of_16_bits(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, MASKED | 126];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(MASK);
    bytes.extend(mask(payload));
    bytes
}

/// A masked frame whose length has 64 bits, needed or not.
pub fn frame_of_64_bits(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, MASKED | 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend(MASK);
    bytes.extend(mask(payload));
    bytes
}

/// A short frame without a mask.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, u8::try_from(payload.len()).unwrap()];
    bytes.extend(payload);
    bytes
}

/// A masked Close.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.as_ref());
    frame(FIN | CLOSE, payload)
}

fn mask(payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    // Four bytes at a time: some messages are large, and this is built without optimization.
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        let four = [word[0], word[1], word[2], word[3]];
        word.copy_from_slice(&(u32::from_ne_bytes(four) ^ u32::from_ne_bytes(MASK)).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(MASK) {
        *byte ^= mask;
    }
    bytes
}
