//! The interface for decompression, with a stand-in that expands (count, byte) pairs: the bounds,
//! the validation of text, and who holds the decompressor at which time.

mod vocabulary;

use std::sync::atomic::{AtomicUsize, Ordering};

use ringway_frame::ProtocolError::{CorruptDeflate, InvalidUtf8, TooBig};
use ringway_frame::{
    Allowance, Inflate, MessageReader, Pooled, ProtocolError, Reading, Role, Unfinished,
};
use vocabulary::*;

const RSV1: u8 = 0x40;

/// Expands pairs; a count of zero or half a pair at the end is corrupt.
#[derive(Default)]
struct Pairs {
    count: Option<u8>,
}

impl Inflate for Pairs {
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        for &byte in input {
            match self.count.take() {
                None if byte == 0 => return Err(CorruptDeflate),
                None => self.count = Some(byte),
                Some(count) if output.len() + usize::from(count) > output_bytes_max => {
                    return Err(TooBig);
                }
                Some(count) => output.extend(std::iter::repeat_n(byte, count.into())),
            }
        }
        match self.count {
            Some(_) if end_of_message => Err(CorruptDeflate),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) {
        self.count = None;
    }
}

fn pairs(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| [1, byte]).collect()
}

fn server() -> Peer {
    Peer::new(MessageReader::with_inflater(Role::Server, Box::<Pairs>::default()))
}

fn compressed(opcode: u8, payload: &[u8]) -> Frame {
    frame(opcode, payload).with_first_bits(RSV1)
}

// RFC 7692 §6.2.
#[test]
fn a_compressed_message_is_read_however_it_is_cut() {
    let words = "añ €uro 😀";
    let inside = pairs(words.as_bytes());
    let bytes = wire(&[
        compressed(TEXT, &inside),
        frame(TEXT, "plain"),
        compressed(BINARY, &inside[..5]).unfinished(),
        frame(PING, "between"),
        continuation(&inside[5..9]).unfinished(),
        continuation(&inside[9..]),
        compressed(BINARY, &[200, 7]),
        compressed(TEXT, &[]),
    ]);
    for size in 1..=bytes.len() {
        let mut server = server();
        server.receives_in_chunks(&bytes, &[size]);
        server.has_read(&[
            text(words),
            text("plain"),
            Event::Ping(b"between".to_vec()),
            Event::Binary(words.as_bytes().to_vec()),
            Event::Binary(vec![7; 200]),
            text(""),
        ]);
        assert!(server.reader.is_idle());
    }
}

/// Asserts that a message is refused once it is complete: its inflated content is not known before.
fn refuses_whole(peer: impl Fn() -> Peer, bytes: &[u8], fault: ProtocolError) {
    refuses(peer, bytes, fault, bytes.len() - 1);
}

// RFC 7692 §6.2, RFC 6455 §8.1: the inflated bytes must be valid text.
#[test]
fn inflated_text_is_validated() {
    refuses_whole(server, &compressed(TEXT, &pairs(b"\xED\xA0tail")).bytes(), InvalidUtf8);
    let split = compressed(TEXT, &pairs("é".as_bytes())[..2]).bytes();
    refuses_whole(server, &split, InvalidUtf8);

    let mut binary = server();
    binary.receives(&compressed(BINARY, &pairs(&[0xED, 0xA0])).bytes());
    binary.has_read(&[Event::Binary(vec![0xED, 0xA0])]);
}

// RFC 7692 §8, RFC 6455 §10.4: 2 bytes on the wire may be 255 bytes of message.
#[test]
fn the_message_limit_applies_to_inflated_bytes() {
    let limited = || server().limited(1000, 510);
    refuses_whole(limited, &compressed(BINARY, &[255, 1, 255, 1, 1, 1]).bytes(), TooBig);
    let mut exact = limited();
    exact.receives(&compressed(BINARY, &[255, 1, 255, 1]).bytes());
    exact.has_read(&[Event::Binary(vec![1; 510])]);
}

// RFC 6455 §10.4: a wire form far over the limit is refused unread; one just over it is not,
// because incompressible data grows a little.
#[test]
fn the_compressed_form_is_bounded_with_an_allowance() {
    let limited = || server().limited(10_000, 1600);
    let mut allowed = limited();
    allowed.receives(&compressed(BINARY, &[2; 1764]).bytes());
    allowed.has_read(&[Event::Fault(TooBig)]);
    let over = compressed(BINARY, &[0; 1766]).bytes();
    refuses(limited, &over[..8], TooBig, 7);
}

#[test]
fn nothing_is_read_after_a_corrupt_message() {
    refuses_whole(server, &compressed(BINARY, &[1, 1, 0, 9]).bytes(), CorruptDeflate);
    refuses_whole(server, &compressed(BINARY, &[1, 1, 7]).bytes(), CorruptDeflate);
}

/// The number of stand-ins alive, for the one test that counts them.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Counted(Pairs);

impl Counted {
    fn make() -> Box<dyn Inflate> {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Box::new(Self(Pairs::default()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inflate for Counted {
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        self.0.inflate(input, end_of_message, output, output_bytes_max)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

// RFC 7692 §7.1.1: without context takeover no context is kept between messages.
#[test]
fn without_context_takeover_connections_share_a_decompressor() {
    let alive = || ALIVE.load(Ordering::Relaxed);
    let mut peers: Vec<Peer> = (0..100)
        .map(|_| Box::new(Pooled::new(Counted::make)))
        .map(|pooled| Peer::new(MessageReader::with_inflater(Role::Server, pooled)))
        .collect();
    assert_eq!(alive(), 0, "none before the first compressed piece");

    let message = compressed(TEXT, &pairs(b"hi")).bytes();
    for peer in &mut peers {
        peer.receives(&frame(TEXT, "plain").bytes()).receives(&message);
        peer.has_read(&[text("plain"), text("hi")]);
    }
    assert_eq!(alive(), 1, "one serves all idle connections in turn");

    // An incomplete message needs no decompressor.
    for peer in &mut peers[..20] {
        peer.receives(&message[..7]);
    }
    assert_eq!(alive(), 1);
    // Inflated to the middle of a pair, so that a decompressor returned without a reset would be
    // noticed.
    let long = compressed(BINARY, &[255; 65]).bytes();
    for peer in &mut peers[20..40] {
        let mut allowance = Allowance::of(1, Unfinished::Kept);
        let mut bytes = long.clone();
        let reading = peer.reader.read_within(&mut &mut bytes[..], &peer.limits, &mut allowance);
        assert!(matches!(reading, Ok(Reading::AllowanceUsed)));
    }
    assert_eq!(alive(), 20, "one for each message that was inflated in part");
    for peer in peers.drain(20..30) {
        drop(peer);
    }
    peers[0].receives(&message[7..]);
    assert_eq!(peers[0].events.last(), Some(&text("hi")), "a reset one starts anew");
    assert!(alive() <= 10 + 8, "the pool keeps a few: {}", alive());
}
