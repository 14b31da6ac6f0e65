//! Turns a client's frames into a server's in place: unmasks them and writes the header of an echo
//! (RFC 6455 §5.2). A payload is passed on as it arrives, even if its frame is incomplete.
//!
//! It reads only the opcode, the lengths and the mask; a ping becomes a pong.

use std::ops::Range;

const KEY_BYTES: usize = 4;
const WORD_BYTES: usize = 8;
/// Longer payloads are moved first and then unmasked, each with the widest instructions.
const SHORT_BYTES_MAX: usize = 256;
const HEADER_BYTES_MAX: usize = 14;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;
const LENGTH: u8 = 0x7f;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The position in a client's stream.
#[derive(Debug, Default)]
pub struct Frames {
    /// The bytes of an incomplete header.
    partial: Vec<u8>,
    /// Payload bytes still to arrive, and the key at their phase.
    left: u64,
    key: [u8; KEY_BYTES],
}

/// Bytes to send: the header first, if there is one, then a range of the received bytes.
#[derive(Debug, Default)]
pub struct Turned {
    /// The header of a frame whose header began in an earlier input.
    pub header: Option<Vec<u8>>,
    pub range: Range<usize>,
    pub state: StreamState,
}

/// Whether the client has closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamState {
    #[default]
    Open,
    /// It has sent a Close frame, and waits for the server to close (RFC 6455 §7.1.1). The frame is
    /// at this place of the received bytes; 0 means that its header began in an earlier input.
    Closing { at: usize },
}

impl Turned {
    fn note(&mut self, first: u8, at: usize) {
        if first & OPCODE == CLOSE {
            self.state = StreamState::Closing { at };
        }
    }

    /// Takes a Close frame off the end.
    pub fn without_close(mut self) -> Self {
        if let StreamState::Closing { at } = self.state {
            self.range.end = at.max(self.range.start);
            self.header = self.header.filter(|_| at > 0);
        }
        self
    }
}

impl Frames {
    /// Turns the received bytes into those to send, in place.
    pub fn turn_round(&mut self, bytes: &mut [u8]) -> Turned {
        let mut turned = Turned::default();
        let mut read = 0;
        if !self.partial.is_empty() {
            let Some(taken) = self.complete_header(bytes) else { return turned };
            read = taken;
            turned.note(self.partial[0], 0);
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
            turned.note(bytes[read], write);
            let [first, second] = emitted([bytes[read], bytes[read + 1]]);
            if out_bytes > 2 {
                bytes.copy_within(read + 2..read + out_bytes, write + 2);
            }
            (bytes[write], bytes[write + 1]) = (first, second);
            (read, write) = (read + header.bytes, write + out_bytes);
            (self.left, self.key) = (header.length, header.key);
            let here = self.here(bytes.len() - read);
            if here <= SHORT_BYTES_MAX {
                self.move_unmasked(&mut bytes[write..read + here], read - write);
            } else {
                bytes.copy_within(read..read + here, write);
                self.unmask(&mut bytes[write..write + here]);
            }
            (read, write) = (read + here, write + here);
        }
        turned.range.end = write;
        self.partial = bytes[read..].to_vec();
        turned
    }

    /// Completes the header that has begun, as it will be sent, and returns the bytes that it used;
    /// `None` if it is still incomplete.
    fn complete_header(&mut self, bytes: &[u8]) -> Option<usize> {
        let known = self.partial.len();
        let wanted = (HEADER_BYTES_MAX - known).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..wanted]);
        let header = Header::read(&self.partial)?;
        (self.left, self.key) = (header.length, header.key);
        self.partial.truncate(header.bytes - KEY_BYTES);
        let [first, second] = emitted([self.partial[0], self.partial[1]]);
        (self.partial[0], self.partial[1]) = (first, second);
        Some(header.bytes - known)
    }

    /// How many of this many bytes are payload.
    fn here(&self, bytes: usize) -> usize {
        usize::try_from(self.left).map_or(bytes, |left| left.min(bytes))
    }

    /// Unmasks the part of the payload that is here (RFC 6455 §5.3).
    fn unmask(&mut self, bytes: &mut [u8]) -> usize {
        let here = self.here(bytes.len());
        let wide = self.wide_key();
        let (words, rest) = bytes[..here].as_chunks_mut::<WORD_BYTES>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        rest.iter_mut().zip(wide.to_ne_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        self.passed(here);
        here
    }

    /// Unmasks a short payload on its way to the front, from `distance` bytes on.
    fn move_unmasked(&mut self, bytes: &mut [u8], distance: usize) {
        let here = bytes.len() - distance;
        let wide = self.wide_key();
        let mut at = 0;
        while at + WORD_BYTES <= here {
            let from = &bytes[at + distance..at + distance + WORD_BYTES];
            let word = u64::from_ne_bytes(from.try_into().expect("eight bytes")) ^ wide;
            bytes[at..at + WORD_BYTES].copy_from_slice(&word.to_ne_bytes());
            at += WORD_BYTES;
        }
        for (mask, at) in wide.to_ne_bytes().into_iter().zip(at..here) {
            bytes[at] = bytes[at + distance] ^ mask;
        }
        self.passed(here);
    }

    /// The key twice, for eight bytes.
    fn wide_key(&self) -> u64 {
        let key = u64::from(u32::from_ne_bytes(self.key));
        key << 32 | key
    }

    fn passed(&mut self, here: usize) {
        self.key.rotate_left(here % KEY_BYTES);
        self.left -= here as u64;
    }
}

/// A complete header of a client.
struct Header {
    bytes: usize,
    length: u64,
    key: [u8; KEY_BYTES],
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, at) = match bytes.get(1)? & LENGTH {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let key = *bytes.get(at..)?.first_chunk()?;
        Some(Self { bytes: at + KEY_BYTES, length, key })
    }
}

/// The first two bytes of a client's header as a server sends them.
fn emitted([first, second]: [u8; 2]) -> [u8; 2] {
    [if first == PING { PONG } else { first }, second & LENGTH]
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
    fn frames_are_echoed_wherever_they_are_cut() {
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
    fn a_close_is_recognised_wherever_it_is_cut() {
        let (sent, _) = frame(0x88, 2);
        for cut in 0..sent.len() {
            let mut frames = Frames::default();
            let noted = [&sent[..cut], &sent[cut..]]
                .map(|piece| frames.turn_round(&mut piece.to_vec()).state != StreamState::Open);
            assert!(noted[0] != noted[1], "cut at {cut}");
        }
        let (mut event, echo) = frame(0x82, 8);
        assert_eq!(Frames::default().turn_round(&mut event.clone()).state, StreamState::Open);
        event.extend_from_slice(&sent);
        let turned = Frames::default().turn_round(&mut event).without_close();
        assert_eq!((turned.header, &event[turned.range]), (None, &echo[..]));
    }

    #[test]
    fn a_long_frame_is_echoed_in_parts() {
        let (sent, echo) = frame(0x82, 100_000);
        for size in [1, 13, 14, 32 << 10, 200_000] {
            let pieces: Vec<&[u8]> = sent.chunks(size).collect();
            assert_eq!(turn_round(&pieces), echo, "in pieces of {size}");
        }
    }
}
