//! Compressed messages in slices: an unfinished message costs only its received bytes, and a
//! complete one is inflated no faster than the allowance permits.

mod vocabulary;

use proptest::prelude::*;
use ringway_frame::deflate::{Agreement, Deflater, Level, MemoryLevel, WindowBits};
use ringway_frame::{Allowance, MessageReader, ProtocolError, Reading, Role, Unfinished};
use vocabulary::*;

const RSV1: u8 = 0x40;

/// The memory of a context that is kept between messages.
const CONTEXT_BYTES: usize = 46 << 10;

/// How far the last step of a call may exceed the allowance, including the bytes that it reads.
const STEP_BYTES: usize = 67 << 10;

const SLICE_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takeover {
    Yes,
    No,
}

fn deflater() -> Deflater {
    Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL)
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    deflater().deflate(message, &mut payload);
    payload
}

fn compressed(opcode: u8, payload: &[u8]) -> Frame {
    frame(opcode, payload).with_first_bits(RSV1)
}

fn server(takeover: Takeover) -> Peer {
    let client_no_context_takeover = takeover == Takeover::No;
    let agreement = Agreement { client_no_context_takeover, ..Agreement::default() };
    Peer::new(MessageReader::with_deflate(Role::Server, &agreement))
}

/// One call that may inflate one slice.
fn reads_a_slice(
    peer: &mut Peer,
    input: &mut &mut [u8],
    unfinished: Unfinished,
) -> (usize, Option<Event>) {
    let mut allowance = Allowance::of(SLICE_BYTES, unfinished);
    let event = match peer.reader.read_within(input, &peer.limits, &mut allowance) {
        Ok(Reading::Message(message)) => Some(message.into()),
        Ok(Reading::InputUsed | Reading::AllowanceUsed) => None,
        Err(fault) => Some(Event::Fault(fault)),
    };
    (SLICE_BYTES - allowance.bytes, event)
}

// RFC 6455 §10.4, RFC 7692 §8: 16 KB on the wire may be 16 MiB of message.
#[test]
fn an_unfinished_message_costs_only_the_bytes_that_arrived() {
    let payload = deflated(&vec![0; 16 << 20]);
    for takeover in [Takeover::No, Takeover::Yes] {
        let context = if takeover == Takeover::Yes { CONTEXT_BYTES } else { 0 };
        let mut one = server(takeover);
        assert_eq!(one.reader.held_bytes(), context);
        one.receives(&compressed(BINARY, &payload).unfinished().bytes());
        let held = one.reader.held_bytes() - context;
        assert!((payload.len()..2 * payload.len()).contains(&held), "{held}");

        let mut many = server(takeover);
        many.receives(&compressed(BINARY, &payload[..100]).unfinished().bytes());
        for fragment in payload[100..].chunks(100) {
            many.receives(&continuation(fragment).unfinished().bytes());
            many.receives(&frame(PING, "still").bytes());
        }
        let held = many.reader.held_bytes() - context;
        assert!(held < 2 * payload.len() + 100, "{held}");
        assert!(many.events.iter().all(|event| *event == Event::Ping(b"still".to_vec())));

        many.receives(&continuation([]).bytes());
        assert_eq!(many.events.last(), Some(&Event::Binary(vec![0; 16 << 20])));
        assert_eq!(many.reader.held_bytes(), context);
    }
}

// RFC 6455 §10.4: a header costs the peer 14 bytes, and us nothing.
#[test]
fn a_declared_length_reserves_nothing() {
    let header = &frame(BINARY, vec![0; 16 << 20]).bytes()[..14];
    for payload in [0, 1, 100] {
        let mut peer = Peer::server();
        peer.receives(header).receives(&vec![7; payload]);
        assert!(peer.reader.held_bytes() < 100 + 5 * payload, "{payload}");
    }
}

#[test]
fn a_message_is_inflated_slice_by_slice() {
    let text = "a line that says little, over and over again\n".repeat(100_000);
    for (opcode, message) in [(BINARY, vec![0; 16 << 20]), (TEXT, text.clone().into_bytes())] {
        for takeover in [Takeover::No, Takeover::Yes] {
            let mut peer = server(takeover);
            let mut bytes = compressed(opcode, &deflated(&message)).bytes();
            bytes.extend(frame(PING, "behind").bytes());
            let mut input = &mut bytes[..];
            let mut slices = 0;
            let whole = loop {
                let before = peer.reader.held_bytes();
                let (spent, event) = reads_a_slice(&mut peer, &mut input, Unfinished::Kept);
                assert!(spent <= SLICE_BYTES && !input.is_empty());
                if let Some(event) = event {
                    break event;
                }
                slices += 1;
                assert!(peer.reader.is_inflating() && !peer.reader.is_idle());
                let most = 2 * (before + SLICE_BYTES + STEP_BYTES) + CONTEXT_BYTES;
                assert!(peer.reader.held_bytes() <= most, "{} bytes", peer.reader.held_bytes());
            };
            let least = message.len() / (SLICE_BYTES + STEP_BYTES);
            assert!(slices >= least, "{slices} slices for {}", message.len());
            assert!(
                whole
                    == if opcode == TEXT {
                        text_of(&message)
                    } else {
                        Event::Binary(message.clone())
                    }
            );
            let (spent, behind) = reads_a_slice(&mut peer, &mut input, Unfinished::Kept);
            assert_eq!((spent, behind), (0, Some(Event::Ping(b"behind".to_vec()))));
        }
    }
}

fn text_of(message: &[u8]) -> Event {
    text(std::str::from_utf8(message).expect("UTF-8"))
}

// RFC 7692 §8: detected while it inflates; a bomb of 80 MiB never takes more than the limit.
#[test]
fn a_bomb_is_refused_while_it_inflates() {
    let payload = deflated(&vec![0; 80 << 20]);
    let mut peer = server(Takeover::No).limited(1 << 20, 1 << 20);
    let mut bytes = compressed(BINARY, &payload).bytes();
    let mut input = &mut bytes[..];
    for slice in 1.. {
        let (_, event) = reads_a_slice(&mut peer, &mut input, Unfinished::Kept);
        if let Some(event) = event {
            assert_eq!(event, Event::Fault(ProtocolError::TooBig));
            assert!(slice <= 5, "{slice} slices for a limit of four");
            break;
        }
        let most = payload.len() + (1 << 20) + CONTEXT_BYTES + 200;
        assert!(peer.reader.held_bytes() <= most);
    }
    assert_eq!(peer.reader.held_bytes(), 0);
}

#[test]
fn a_skipped_message_costs_its_compressed_form_and_is_inflated_later() {
    let message = vec![7; 4 << 20];
    let payload = deflated(&message);
    for takeover in [Takeover::No, Takeover::Yes] {
        let context = if takeover == Takeover::Yes { CONTEXT_BYTES } else { 0 };
        for cut in [payload.len(), 100] {
            let mut peer = server(takeover);
            let mut bytes = compressed(BINARY, &payload[..cut]).bytes();
            if cut < payload.len() {
                bytes = compressed(BINARY, &payload[..cut]).unfinished().bytes();
                bytes.extend(continuation(&payload[cut..]).bytes());
            }
            let mut input = &mut bytes[..];
            for _ in 0..3 {
                let (spent, event) = reads_a_slice(&mut peer, &mut input, Unfinished::Dropped);
                assert_eq!(event, None);
                // A message that cannot be started again is not started.
                assert_eq!(spent, if takeover == Takeover::Yes { 0 } else { SLICE_BYTES });
                let held = peer.reader.held_bytes() - context;
                assert!(held <= 2 * payload.len() + 200, "{held}");
            }
            peer.receives(&[]);
            assert!(peer.events == [Event::Binary(message.clone())]);
        }
        // A small message needs no second call.
        let mut peer = server(takeover);
        let mut bytes = compressed(TEXT, &deflated(b"hello")).bytes();
        let (_, event) = reads_a_slice(&mut peer, &mut &mut bytes[..], Unfinished::Dropped);
        assert_eq!(event, Some(text("hello")));
    }
}

/// The events of a reader, with a bounded allowance for each call.
fn events_within(
    peer: &mut Peer,
    wire: &[u8],
    sizes: &[usize],
    allowances: &[Allowance],
) -> Vec<Event> {
    let (mut rest, mut allowances) = (wire, allowances.iter().cycle());
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at(rest.len().min(*size));
        let mut bytes = chunk.to_vec();
        let mut input = &mut bytes[..];
        loop {
            let mut allowance = *allowances.next().expect("there are some");
            match peer.reader.read_within(&mut input, &peer.limits, &mut allowance) {
                Ok(Reading::Message(message)) => peer.events.push(message.into()),
                Ok(Reading::AllowanceUsed) => {}
                Ok(Reading::InputUsed) => break,
                Err(fault) => peer.events.push(Event::Fault(fault)),
            }
        }
        assert!(input.is_empty());
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    std::mem::take(&mut peer.events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // The events are the same however the wire is cut and whatever each call may inflate.
    #[test]
    fn reading_in_slices_gives_the_same_result(
        messages in prop::collection::vec((any::<bool>(), "[ab]{0,2000}", 0..40_usize), 1..5),
        sizes in prop::collection::vec(1..3000_usize, 1..4),
        slices in prop::collection::vec((1..20_000_usize, any::<bool>()), 1..4),
        takeover in prop::sample::select(vec![Takeover::No, Takeover::Yes]),
        corrupt in any::<Option<prop::sample::Index>>(),
    ) {
        let mut deflater = deflater();
        let mut wire = Vec::new();
        for (is_compressed, part, times) in &messages {
            let message = part.repeat(*times);
            let mut payload = Vec::new();
            deflater.deflate(message.as_bytes(), &mut payload);
            if takeover == Takeover::No {
                deflater.reset();
            }
            let (first, last) = payload.split_at(payload.len() / 3);
            match is_compressed {
                true => wire.extend(compressed(TEXT, first).unfinished().bytes()),
                false => {
                    deflater.reset();
                    wire.extend(frame(TEXT, &message).bytes());
                    continue;
                }
            }
            wire.extend(frame(PING, "inside").bytes());
            wire.extend(continuation(last).bytes());
        }
        if let Some(index) = corrupt {
            let place = index.index(wire.len());
            wire[place] ^= 0x10;
        }
        let mut whole = server(takeover).limited(1 << 20, 60_000);
        whole.receives(&wire);
        // The last allowance lets every message finish.
        let kept = Allowance::of(30_000, Unfinished::Kept);
        let allowances: Vec<Allowance> = slices
            .iter()
            .map(|&(bytes, is_kept)| match is_kept {
                true => Allowance::of(bytes, Unfinished::Kept),
                false => Allowance::of(bytes, Unfinished::Dropped),
            })
            .chain([kept, kept, kept])
            .collect();
        let mut sliced = server(takeover).limited(1 << 20, 60_000);
        let events = events_within(&mut sliced, &wire, &sizes, &allowances);
        prop_assert!(events == whole.events);
    }
}
