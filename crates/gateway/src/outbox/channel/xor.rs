//! A record layer for tests, which encrypts by XOR: a client's and a gateway's side of it.
//!
//! The key stream depends on the position, so a record that is missing, repeated or out of order is
//! detected, and each record has a check byte. It is compiled only into tests.

use ringway_tls::Reason;

use super::{ChannelError, Opened, RecordLayer};

/// A hello: its first byte, and a nonce.
const HELLO_BYTES: usize = 9;
const CLIENT_HELLO: u8 = 0xC5;
const SERVER_HELLO: u8 = 0x5C;

/// The last byte of a side that could not open its input.
pub const ALERT: u8 = 0xA1;

/// The kind, the length of the body, and the check byte.
pub const HEAD_BYTES: usize = 4;
const DATA: u8 = 1;
const BYE: u8 = 2;

/// The most bytes of a record's body, so that most messages take several records.
pub const BODY_BYTES_MAX: usize = 200;

/// Which side of the connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// One side of a connection.
#[derive(Debug)]
pub struct XorLayer {
    side: Side,
    nonce: u64,
    sealing: Option<KeyStream>,
    opening: Option<KeyStream>,
    partial: Vec<u8>,
    has_ended: bool,
    has_failed: bool,
}

impl XorLayer {
    /// A gateway's side, which waits for a hello.
    pub fn server(nonce: u64) -> Self {
        Self::new(Side::Server, nonce)
    }

    /// A client's side. Its hello, to be sent first, is appended to `out`; it may seal at once.
    pub fn client(nonce: u64, out: &mut Vec<u8>) -> Self {
        out.push(CLIENT_HELLO);
        out.extend(nonce.to_be_bytes());
        Self { sealing: Some(KeyStream::new(nonce)), ..Self::new(Side::Client, nonce) }
    }

    fn new(side: Side, nonce: u64) -> Self {
        let (sealing, opening) = (None, None);
        let partial = Vec::new();
        Self { side, nonce, sealing, opening, partial, has_ended: false, has_failed: false }
    }

    /// The length of the hello or record with this beginning; `None`: more bytes are needed to
    /// tell.
    fn whole_bytes(&self, begin: &[u8]) -> Result<Option<usize>, ChannelError> {
        if self.opening.is_none() {
            let hello = if self.side == Side::Server { CLIENT_HELLO } else { SERVER_HELLO };
            return match begin.first() {
                Some(first) if *first != hello => Err(ChannelError::Handshake(Reason::NotTls)),
                _ => Ok(Some(HELLO_BYTES)),
            };
        }
        match begin {
            [DATA | BYE, high, low, ..] => {
                let body = usize::from(u16::from_be_bytes([*high, *low]));
                match body <= BODY_BYTES_MAX {
                    true => Ok(Some(HEAD_BYTES + body)),
                    false => Err(ChannelError::Record),
                }
            }
            [DATA | BYE, ..] | [] => Ok(None),
            _ => Err(ChannelError::Record),
        }
    }

    fn take_hello(&mut self, hello: &[u8], out: &mut Vec<u8>) {
        let peer = u64::from_be_bytes(hello[1..].try_into().expect("a nonce has eight bytes"));
        if self.side == Side::Server {
            out.push(SERVER_HELLO);
            out.extend(self.nonce.to_be_bytes());
            self.sealing = Some(KeyStream::new(self.nonce ^ peer));
            self.opening = Some(KeyStream::new(peer));
        } else {
            self.opening = Some(KeyStream::new(self.nonce ^ peer));
        }
    }

    /// Decrypts a complete record in place; returns whether it has plain text.
    fn decrypt(&mut self, record: &mut [u8]) -> Result<bool, ChannelError> {
        let stream = self.opening.as_mut().expect("the hello came first");
        let [kind, _, _, check] = *record.first_chunk().expect("a record has a head");
        stream.apply(&mut record[HEAD_BYTES..]);
        if check_of(kind, &record[HEAD_BYTES..]) != check {
            return Err(ChannelError::Record);
        }
        self.has_ended = kind == BYE;
        Ok(kind == DATA)
    }

    fn try_open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, ChannelError> {
        if self.has_ended {
            *received = &mut [];
            return Ok(Opened::Nothing);
        }
        if self.opening.is_some()
            && self.partial.is_empty()
            && let Some(bytes) = self.whole_bytes(received)?
            && bytes <= received.len()
        {
            let (record, rest) = std::mem::take(received).split_at_mut(bytes);
            *received = rest;
            return match self.decrypt(record)? {
                true => Ok(Opened::InPlace(&mut record[HEAD_BYTES..])),
                false => Ok(Opened::Ended),
            };
        }
        while let Some((first, rest)) = std::mem::take(received).split_first_mut() {
            self.partial.push(*first);
            *received = rest;
            if self.whole_bytes(&self.partial)? != Some(self.partial.len()) {
                continue;
            }
            let mut whole = std::mem::take(&mut self.partial);
            if self.opening.is_none() {
                self.take_hello(&whole, out);
                return Ok(Opened::Nothing);
            }
            return match self.decrypt(&mut whole)? {
                true => Ok(Opened::Assembled(whole.split_off(HEAD_BYTES))),
                false => Ok(Opened::Ended),
            };
        }
        Ok(Opened::Nothing)
    }

    fn emit(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) {
        let Some(stream) = &mut self.sealing else { return };
        let length = u16::try_from(body.len()).expect("a body is short").to_be_bytes();
        out.extend([kind, length[0], length[1], check_of(kind, body)]);
        let start = out.len();
        out.extend_from_slice(body);
        stream.apply(&mut out[start..]);
    }
}

impl RecordLayer for XorLayer {
    fn open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, ChannelError> {
        let opened = self.try_open(received, out);
        if opened.is_err() {
            (self.has_failed, self.partial) = (true, Vec::new());
        }
        opened
    }

    fn is_established(&self) -> bool {
        self.sealing.is_some()
    }

    fn has_answered(&self) -> bool {
        self.sealing.is_some()
    }

    fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        let plain = out.split_off(start);
        plain.chunks(BODY_BYTES_MAX).for_each(|body| self.emit(DATA, body, out));
    }

    fn sealed_bytes_max(&self, bytes: usize) -> usize {
        bytes.saturating_add(bytes.div_ceil(BODY_BYTES_MAX).max(1) * HEAD_BYTES)
    }

    fn is_between_records(&self) -> bool {
        self.partial.is_empty()
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self.has_failed {
            true => out.push(ALERT),
            false => self.emit(BYE, &[], out),
        }
    }

    fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }
}

/// Bytes to be combined with others, by position.
#[derive(Debug)]
struct KeyStream {
    key: u64,
    position: u64,
}

impl KeyStream {
    fn new(key: u64) -> Self {
        Self { key, position: 0 }
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let mixed = (self.key ^ self.position).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            *byte ^= (mixed >> 56) as u8;
            self.position += 1;
        }
    }
}

fn check_of(kind: u8, body: &[u8]) -> u8 {
    body.iter().fold(kind, |check, byte| check.rotate_left(1).wrapping_add(*byte))
}
