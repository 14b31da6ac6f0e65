//! A client's frames turned into a server's where they lie: unmasked, with the header that an echo
//! has (RFC 6455 §5.2). A payload is passed on as it comes, however much of its frame is there.
//!
//! It reads the lengths and the mask, and never anything else; a ping becomes a pong.

use std::ops::Range;

const KEY_BYTES: usize = 4;
const HEADER_BYTES_MAX: usize = 14;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What a client's stream is in the middle of.
#[derive(Debug, Default)]
pub struct Frames {
    /// A header that has begun.
    partial: Vec<u8>,
    /// Payload bytes that are still to come, and the key at their phase.
    left: u64,
    key: [u8; KEY_BYTES],
}

/// What is to be sent: the header first, if there is one, then a range of what was received.
#[derive(Debug, Default)]
pub struct Turned {
    /// Of a frame whose header had begun before.
    pub header: Option<Vec<u8>>,
    pub range: Range<usize>,
}

impl Frames {
    /// Turns what was received round, in place.
    pub fn turn_round(&mut self, bytes: &mut [u8]) -> Turned {
        let mut turned = Turned::default();
        let mut read = 0;
        if !self.partial.is_empty() {
            let Some(taken) = self.complete_header(bytes) else { return turned };
            read = taken;
            turned.header = Some(std::mem::take(&mut self.partial));
        }
        let mut write = read;
        turned.range = read..read;
        read += self.unmask(&mut bytes[read..]);
        write = write.max(read);
        while let Some(header) = Header::read(&bytes[read..]) {
            let out_bytes = header.bytes - KEY_BYTES;
            if write == 0 {
                // The payload of the first frame stays where it is.
                write = read + KEY_BYTES;
                turned.range.start = write;
            }
            bytes.copy_within(read..read + out_bytes, write);
            emit(&mut bytes[write..write + out_bytes]);
            (read, write) = (read + header.bytes, write + out_bytes);
            (self.left, self.key) = (header.length, header.key);
            let here = self.here(bytes.len() - read);
            bytes.copy_within(read..read + here, write);
            self.unmask(&mut bytes[write..write + here]);
            (read, write) = (read + here, write + here);
        }
        turned.range.end = write;
        self.partial = bytes[read..].to_vec();
        turned
    }

    /// Completes the header that has begun, as it will be sent, and returns the bytes that took;
    /// `None` when it goes on.
    fn complete_header(&mut self, bytes: &[u8]) -> Option<usize> {
        let known = self.partial.len();
        let wanted = (HEADER_BYTES_MAX - known).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..wanted]);
        let header = Header::read(&self.partial)?;
        (self.left, self.key) = (header.length, header.key);
        self.partial.truncate(header.bytes - KEY_BYTES);
        emit(&mut self.partial);
        Some(header.bytes - known)
    }

    /// How many of so many bytes are payload.
    fn here(&self, bytes: usize) -> usize {
        usize::try_from(self.left).map_or(bytes, |left| left.min(bytes))
    }

    /// Unmasks what of the payload is here (RFC 6455 §5.3).
    fn unmask(&mut self, bytes: &mut [u8]) -> usize {
        let here = self.here(bytes.len());
        let mut wide = [0; 64];
        for (index, byte) in wide.iter_mut().enumerate() {
            *byte = self.key[index % KEY_BYTES];
        }
        let mut chunks = bytes[..here].chunks_exact_mut(wide.len());
        for chunk in &mut chunks {
            chunk.iter_mut().zip(&wide).for_each(|(byte, mask)| *byte ^= mask);
        }
        chunks.into_remainder().iter_mut().zip(&wide).for_each(|(byte, mask)| *byte ^= mask);
        self.key.rotate_left(here % KEY_BYTES);
        self.left -= here as u64;
        here
    }
}

/// A client's header, whole.
struct Header {
    bytes: usize,
    length: u64,
    key: [u8; KEY_BYTES],
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, at) = match bytes.get(1)? & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let key = *bytes.get(at..)?.first_chunk()?;
        Some(Self { bytes: at + KEY_BYTES, length, key })
    }
}

/// Makes a client's header without its key a server's.
fn emit(header: &mut [u8]) {
    header[1] &= 0x7f;
    if header[0] == PING {
        header[0] = PONG;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it, and as a server does.
    fn frame(first: u8, length: usize) -> (Vec<u8>, Vec<u8>) {
        let mut lengths = match length {
            0..126 => vec![length as u8],
            126..=0xffff => [&[126], &(length as u16).to_be_bytes()[..]].concat(),
            _ => [&[127], &(length as u64).to_be_bytes()[..]].concat(),
        };
        let key = [0x12, 0x34, 0x56, 0x78 + length as u8 % 100];
        let payload: Vec<u8> = (0..length).map(|index| (index * 7) as u8).collect();
        let echo = [&[if first == PING { PONG } else { first }], &lengths[..], &payload].concat();
        lengths[0] |= 0x80;
        let masked = payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]);
        let sent = [&[first], &lengths[..], &key, &masked.collect::<Vec<u8>>()].concat();
        (sent, echo)
    }

    fn turn_round(pieces: &[&[u8]]) -> Vec<u8> {
        let mut frames = Frames::default();
        let mut sent = Vec::new();
        for piece in pieces {
            let mut buffer = piece.to_vec();
            let turned = frames.turn_round(&mut buffer);
            sent.extend(turned.header.unwrap_or_default());
            sent.extend_from_slice(&buffer[turned.range]);
        }
        sent
    }

    #[test]
    fn frames_are_turned_round_wherever_they_are_cut() {
        let lengths =
            [(0x82, 5), (0x81, 0), (PING, 3), (0x82, 200), (0x02, 1), (0x80, 70), (0x88, 2)];
        let (sent, echo): (Vec<_>, Vec<_>) =
            lengths.into_iter().map(|(first, length)| frame(first, length)).unzip();
        let (sent, echo) = (sent.concat(), echo.concat());
        assert_eq!(turn_round(&[&sent]), echo);
        for first in 0..=sent.len() {
            for second in first..=sent.len() {
                let pieces = [&sent[..first], &sent[first..second], &sent[second..]];
                assert_eq!(turn_round(&pieces), echo, "cut at {first} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = sent.chunks(1).collect();
        assert_eq!(turn_round(&bytes), echo);
    }

    #[test]
    fn a_long_frame_is_passed_on_in_parts() {
        let (sent, echo) = frame(0x82, 100_000);
        for size in [1, 13, 14, 32 << 10, 200_000] {
            let pieces: Vec<&[u8]> = sent.chunks(size).collect();
            assert_eq!(turn_round(&pieces), echo, "in pieces of {size}");
        }
    }
}
