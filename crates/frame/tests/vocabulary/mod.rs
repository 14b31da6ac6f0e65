//! The vocabulary of the tests: frames built by hand, and a peer that reads them.
//!
//! `Frame` follows only RFC 6455 §5.2 and never calls the crate's own emitter, so that the two can
//! disagree.
#![allow(dead_code, reason = "each test binary uses some of the words")]

use ringway_frame::mask::unmask_naive;
use ringway_frame::{Allowance, Message, MessageReader, ProtocolError, ReadLimits, Reading, Role};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as bytes: masked, final and of minimal length unless told otherwise.
#[derive(Clone)]
pub struct Frame {
    first: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
}

pub fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { first: 0x80 | opcode, mask: Some(KEY), payload: payload.as_ref().to_vec() }
}

pub fn continuation(payload: impl AsRef<[u8]>) -> Frame {
    frame(0, payload)
}

pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_ref()].concat())
}

impl Frame {
    pub fn unfinished(mut self) -> Self {
        self.first &= 0x7F;
        self
    }

    pub fn with_first_bits(mut self, bits: u8) -> Self {
        self.first |= bits;
        self
    }

    pub fn masked_with(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    pub fn unmasked(mut self) -> Self {
        self.mask = None;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match self.payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length @ 126..65_536 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(self.mask.iter().flatten());
        let start = bytes.len();
        bytes.extend(&self.payload);
        unmask_naive(&mut bytes[start..], self.mask.unwrap_or_default(), 0);
        bytes
    }
}

pub fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

/// An owned copy of a message or fault that a reader returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(ProtocolError),
}

impl From<Message<'_>> for Event {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.as_str().expect("UTF-8").to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong(payload) => Self::Pong(payload.to_vec()),
            Message::Close(code, reason) => Self::Close(code.map(u16::from), reason.to_owned()),
        }
    }
}

pub fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

/// One end of a connection, with a record of everything that it has read.
pub struct Peer {
    pub reader: MessageReader,
    pub limits: ReadLimits,
    pub events: Vec<Event>,
    /// Whether bytes are received where the reader assembles a message, if it has a place for them.
    pub uses_places: bool,
}

impl Peer {
    pub fn new(reader: MessageReader) -> Self {
        Self {
            reader,
            limits: ReadLimits { frame_bytes_max: 16 << 20, message_bytes_max: 16 << 20 },
            events: Vec::new(),
            uses_places: false,
        }
    }

    pub fn in_places(mut self) -> Self {
        self.uses_places = true;
        self
    }

    pub fn server() -> Self {
        Self::new(MessageReader::new(Role::Server))
    }

    pub fn client() -> Self {
        Self::new(MessageReader::new(Role::Client))
    }

    pub fn limited(mut self, frame_bytes_max: u64, message_bytes_max: u64) -> Self {
        self.limits = ReadLimits { frame_bytes_max, message_bytes_max };
        self
    }

    /// Reads the beginning of `bytes` in a place of the reader's; returns how many.
    fn receives_in_place(&mut self, bytes: &[u8]) -> usize {
        let Some(place) = self.reader.place() else { return 0 };
        let room = place.capacity() - place.len();
        assert!(room > 0, "a place has room");
        let length = bytes.len().min(room);
        place.extend_from_slice(&bytes[..length]);
        match self.reader.read_placed(length, &self.limits, &mut { Allowance::UNBOUNDED }) {
            Ok(Reading::Message(message)) => self.events.push(message.into()),
            Ok(Reading::InputUsed) => {}
            Ok(Reading::AllowanceUsed) => panic!("the allowance is unbounded"),
            Err(fault) => self.events.push(Event::Fault(fault)),
        }
        length
    }

    /// One read of a socket; bytes beyond a place are a second one.
    pub fn receives(&mut self, bytes: &[u8]) -> &mut Self {
        let placed = if self.uses_places { self.receives_in_place(bytes) } else { 0 };
        let bytes = &bytes[placed..];
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        loop {
            match self.reader.read(&mut input, &self.limits) {
                Ok(Some(message)) => self.events.push(message.into()),
                Ok(None) => break,
                Err(fault) => self.events.push(Event::Fault(fault)),
            }
        }
        assert!(input.is_empty(), "all input is used or discarded");
        self
    }

    /// Reads of the given sizes, repeated in turn.
    pub fn receives_in_chunks(&mut self, bytes: &[u8], sizes: &[usize]) -> &mut Self {
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
            self.receives(chunk);
            rest = after;
        }
        self
    }

    pub fn has_read(&self, expected: &[Event]) {
        assert_eq!(self.events, expected);
    }
}

/// Asserts that a fresh peer refuses `bytes` with `fault`, at byte `at` and no later, whole or byte
/// by byte, and reads nothing after it.
pub fn refuses(peer: impl Fn() -> Peer, bytes: &[u8], fault: ProtocolError, at: usize) {
    let mut whole = peer();
    whole.receives(bytes);
    assert_eq!(whole.events.last(), Some(&Event::Fault(fault)), "whole: {bytes:x?}");

    let mut drop_by_drop = peer();
    for (index, byte) in bytes.iter().enumerate() {
        drop_by_drop.receives(&[*byte]);
        let failed = drop_by_drop.events.contains(&Event::Fault(fault));
        assert_eq!(failed, index >= at, "byte {index} of {bytes:x?}");
    }
    assert_eq!(drop_by_drop.events, whole.events, "{bytes:x?}");

    let before = whole.events.len();
    whole.receives(&frame(TEXT, "late").bytes()).receives(&frame(TEXT, "late").unmasked().bytes());
    assert_eq!(whole.events.len(), before, "read on after {fault:?}");
    assert!(whole.reader.is_finished() && whole.reader.is_idle());
}
