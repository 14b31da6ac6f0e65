//! The properties that must hold for any bytes: one function for each fuzz target.
//!
//! The same functions run under cargo-fuzz and, over the committed corpus, under `cargo test`. They
//! panic when a property is broken and return nothing.

use ringway_frame::{
    Allowance, Header, Message, MessageReader, Parsed, ProtocolError, ReadLimits, Reading, Role,
};

/// Small, so that a short input can exceed them.
const LIMITS: ReadLimits = ReadLimits { frame_bytes_max: 300, message_bytes_max: 400 };

/// One message, or the fault that ended the reading.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Message(u8, Vec<u8>),
    Close(Option<u16>, String),
    Fault(ProtocolError),
}

/// The input: a byte for the role, a byte for the number of chunk sizes, the sizes, then the wire.
/// However the wire is cut, and wherever its bytes are received, the reader returns the same messages, none over the limit, and nothing
/// after a close or a fault.
pub fn read_messages(input: &[u8]) {
    let Some((&[role, sizes], rest)) = input.split_first_chunk() else {
        return;
    };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let (sizes, wire) = rest.split_at(rest.len().min(usize::from(sizes % 8)));

    let whole = events(role, wire, &[usize::MAX], Places::Unused);
    let sizes: Vec<usize> = sizes.iter().map(|&size| size.max(1).into()).collect();
    if !sizes.is_empty() {
        for places in [Places::Unused, Places::Used] {
            let cut = events(role, wire, &sizes, places);
            assert_eq!(whole, cut, "cut by {sizes:?}, places {places:?}");
        }
    }
    assert_eq!(whole, events(role, wire, &[1], Places::Unused), "byte by byte");
}

/// Whether bytes are received in the reader's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    Used,
    Unused,
}

fn events(role: Role, wire: &[u8], sizes: &[usize], places: Places) -> Vec<Event> {
    let mut reader = MessageReader::new(role);
    let mut events = Vec::new();
    let mut rest = wire;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(rest.len().min(*size));
        let placed = match places {
            Places::Used => read_placed(&mut reader, chunk, &mut events),
            Places::Unused => 0,
        };
        read(&mut reader, &chunk[placed..], &mut events);
        rest = after;
    }
    let ended = events.iter().position(|event| !matches!(event, Event::Message(..)));
    assert!(ended.is_none_or(|at| at + 1 == events.len()), "nothing follows the end");
    assert_eq!(reader.is_finished(), ended.is_some());
    events
}

/// Reads the beginning of the chunk in a place, if there is one; returns how many bytes.
fn read_placed(reader: &mut MessageReader, chunk: &[u8], events: &mut Vec<Event>) -> usize {
    let Some(place) = reader.place() else { return 0 };
    let length = chunk.len().min(place.capacity() - place.len());
    assert!(length > 0, "a place has room");
    place.extend_from_slice(&chunk[..length]);
    match reader.read_placed(length, &LIMITS, &mut { Allowance::UNBOUNDED }) {
        Ok(Reading::Message(message)) => events.push(owned(message)),
        Ok(Reading::InputUsed) => {}
        Ok(Reading::AllowanceUsed) => unreachable!("the allowance is unbounded"),
        Err(fault) => events.push(Event::Fault(fault)),
    }
    length
}

fn read(reader: &mut MessageReader, chunk: &[u8], events: &mut Vec<Event>) {
    let mut bytes = chunk.to_vec();
    let mut input = &mut bytes[..];
    loop {
        let event = match reader.read(&mut input, &LIMITS) {
            Ok(None) => break,
            Ok(Some(message)) => owned(message),
            Err(fault) => Event::Fault(fault),
        };
        events.push(event);
    }
    assert!(input.is_empty(), "all input is used or discarded");
}

fn owned(message: Message<'_>) -> Event {
    let (opcode, payload) = match message {
        Message::Text(text) => {
            let text = text.as_str().expect("text is UTF-8");
            (1, text.as_bytes().to_vec())
        }
        Message::Binary(payload) => (2, payload.to_vec()),
        Message::Ping(payload) => (9, payload.to_vec()),
        Message::Pong(payload) => (10, payload.to_vec()),
        Message::Close(code, reason) => {
            assert!(reason.len() <= 123 && (code.is_some() || reason.is_empty()));
            return Event::Close(code.map(u16::from), reason.to_owned());
        }
    };
    let bytes_max = if opcode < 8 { LIMITS.message_bytes_max } else { 125 };
    assert!(payload.len() as u64 <= bytes_max, "within the limits");
    Event::Message(opcode, payload)
}

/// A parsed header is emitted as the same bytes. A header's outcome is settled by the first bytes
/// that decide it: more bytes do not change it.
pub fn header(input: &[u8]) {
    let outcome = Header::parse(input);
    if let Ok(Parsed::Whole { header, bytes }) = outcome {
        let mut emitted = [0; ringway_frame::HEADER_BYTES_MAX];
        assert_eq!(header.emit(&mut emitted), bytes);
        assert_eq!(emitted[..bytes], input[..bytes]);
        assert_eq!(header.bytes(), bytes);
    }
    let mut settled = None;
    for length in 0..=input.len() {
        let outcome = Header::parse(&input[..length]);
        match settled {
            None if outcome == Ok(Parsed::Incomplete) => {}
            None => settled = Some(outcome),
            Some(settled) => assert_eq!(outcome, settled, "after {length} bytes"),
        }
    }
    assert_eq!(outcome, settled.unwrap_or(Ok(Parsed::Incomplete)));
}
