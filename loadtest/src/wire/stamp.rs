//! The stamp at the start of every message: its connection, its number there, and its due time.
//!
//! It has a binary form, and a form of hexadecimal digits for text messages. Some of its bits are a
//! checksum of the others (the seal), so that a time that was changed in transit is rejected. It
//! never judges a body.

use std::time::Duration;

/// The stamp of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the connection that sent it, over all threads.
    pub connection: u32,
    /// Messages that this connection sent before it, modulo 2^32.
    pub sequence: u32,
    /// When it was due, in the clock of the run: to the nanosecond, modulo 13 days.
    pub at: Duration,
}

/// The form of a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// 16 bytes, big-endian.
    Binary,
    /// The same as 32 lower-case hexadecimal digits.
    Text,
}

const BINARY_BYTES: usize = 16;

/// Bits of the time; the seal uses the other bits of its eight bytes.
const TIME_BITS: u32 = 50;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// One of 2^14 values, which depends on every bit of the stamp. It is not secret: it only detects
/// errors.
#[inline]
fn seal(connection: u32, sequence: u32, time: u64) -> u64 {
    let mixed =
        (u64::from(connection) << 32 | u64::from(sequence)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32 ^ time).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> TIME_BITS
}

/// The size of the longest form.
pub const STAMP_BYTES_MAX: usize = 2 * BINARY_BYTES;

impl Coding {
    /// Bytes of a stamp.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Binary => BINARY_BYTES,
            Self::Text => STAMP_BYTES_MAX,
        }
    }

    /// Writes the stamp to the start of `out`, which has room for [`Coding::bytes`].
    ///
    /// ```
    /// use ringway_loadtest::wire::stamp::{Coding, Stamp};
    /// let stamp = Stamp { connection: 7, sequence: 8, at: std::time::Duration::from_nanos(9) };
    /// let mut out = [0; 32];
    /// Coding::Text.write(stamp, &mut out);
    /// assert!(out.starts_with(b"0000000700000008") && out.ends_with(b"009"));
    /// assert_eq!(Coding::Text.read(&out), Some(stamp));
    /// ```
    #[inline]
    pub fn write(self, stamp: Stamp, out: &mut [u8]) {
        let mut binary = [0; BINARY_BYTES];
        binary[..4].copy_from_slice(&stamp.connection.to_be_bytes());
        binary[4..8].copy_from_slice(&stamp.sequence.to_be_bytes());
        let time = stamp.at.as_nanos() as u64 & TIME_MASK;
        let sealed = seal(stamp.connection, stamp.sequence, time) << TIME_BITS | time;
        binary[8..].copy_from_slice(&sealed.to_be_bytes());
        match self {
            Self::Binary => out[..BINARY_BYTES].copy_from_slice(&binary),
            Self::Text => {
                for (digits, byte) in out.chunks_exact_mut(2).zip(binary) {
                    digits[0] = DIGITS[usize::from(byte >> 4)];
                    digits[1] = DIGITS[usize::from(byte & 15)];
                }
            }
        }
    }

    /// The stamp at the start of `bytes`, if there is one.
    #[inline]
    pub fn read(self, bytes: &[u8]) -> Option<Stamp> {
        let stamp = bytes.get(..self.bytes())?;
        let mut binary = [0; BINARY_BYTES];
        match self {
            Self::Binary => binary.copy_from_slice(stamp),
            Self::Text => {
                for (byte, digits) in binary.iter_mut().zip(stamp.chunks_exact(2)) {
                    *byte = value(digits[0])? << 4 | value(digits[1])?;
                }
            }
        }
        let [a, b, c, d, e, f, g, h, time @ ..] = binary;
        let (connection, sequence) =
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let sealed = u64::from_be_bytes(time);
        let time = sealed & TIME_MASK;
        let at = Duration::from_nanos(time);
        (sealed >> TIME_BITS == seal(connection, sequence, time)).then_some(Stamp {
            connection,
            sequence,
            at,
        })
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_both_forms() {
        for nanos in [0, 1, TIME_MASK] {
            let stamp =
                Stamp { connection: u32::MAX, sequence: 1, at: Duration::from_nanos(nanos) };
            for coding in [Coding::Binary, Coding::Text] {
                let mut bytes = vec![b' '; coding.bytes() + 3];
                coding.write(stamp, &mut bytes[..coding.bytes()]);
                assert_eq!(coding.read(&bytes), Some(stamp), "{coding:?}");
                assert_eq!(coding.read(&bytes[..coding.bytes() - 1]), None);
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut believed = 0;
        for _ in 0..1000 {
            let at = Duration::from_nanos(random.u64(..TIME_MASK));
            let stamp = Stamp { connection: random.u32(..1000), sequence: random.u32(..), at };
            let mut bytes = [0; BINARY_BYTES];
            Coding::Binary.write(stamp, &mut bytes);
            let bit = random.usize(..8 * BINARY_BYTES);
            bytes[bit / 8] ^= 1 << (bit % 8);
            believed += u32::from(Coding::Binary.read(&bytes).is_some());
        }
        // One in 16,384 may be accepted.
        assert!(believed <= 2, "{believed} of 1,000");
    }

    #[test]
    fn a_stamp_has_only_hexadecimal_digits() {
        let mut text = [b'0'; 32];
        for bad in [b'g', b'A', b' ', 0xff] {
            text[31] = bad;
            assert_eq!(Coding::Text.read(&text), None);
        }
    }
}
