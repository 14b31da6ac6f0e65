//! The client's role: a client reads what the server meant, however the bytes are cut; and the fuzz
//! corpus, unchanged and randomly mutated.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::{fs, path::Path};

use properties::Event;
use proptest::{prelude::*, sample::Index};
use ringway_http::{Asked, Ending, Framing, HttpError, KeepAlive, chunk};

/// How a body is delimited.
#[derive(Debug, Clone)]
enum Body {
    None,
    Length,
    Chunks(Vec<usize>),
    UntilClose,
}

fn body() -> impl Strategy<Value = (Body, Vec<u8>)> {
    let delimiter = prop_oneof![
        Just(Body::None),
        Just(Body::Length),
        prop::collection::vec(1..20_usize, 1..4).prop_map(Body::Chunks),
        Just(Body::UntilClose),
    ];
    (delimiter, prop::collection::vec(any::<u8>(), 0..=100))
}

/// Appends a response; returns the events that a client must see.
fn respond(wire: &mut Vec<u8>, body: &Body, bytes: &[u8]) -> Vec<Event> {
    let (status, field) = match body {
        Body::None => (204, "Content-Length: 7".to_owned()),
        Body::Length => (200, format!("Content-Length: {}", bytes.len())),
        Body::Chunks(_) => (200, "Transfer-Encoding: chunked".to_owned()),
        Body::UntilClose => (200, "A: b".to_owned()),
    };
    let head = format!("HTTP/1.1 {status} \r\n{field}\r\n\r\n");
    wire.extend_from_slice(head.as_bytes());
    let mut events = vec![Event::Head(status, head.into_bytes())];
    match body {
        Body::None => return [events, vec![Event::End(KeepAlive::Yes)]].concat(),
        Body::Length | Body::UntilClose => wire.extend_from_slice(bytes),
        Body::Chunks(sizes) => {
            let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                Framing::Chunked.write(wire, |out| out.extend_from_slice(piece));
                rest = after;
            }
            chunk::write_last(wire);
        }
    }
    if !bytes.is_empty() {
        events.push(Event::Body(bytes.to_vec()));
    }
    if !matches!(body, Body::UntilClose) {
        events.push(Event::End(KeepAlive::Yes));
    }
    events
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/responses");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "the corpus is incomplete");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn the_properties_hold_for_the_corpus() {
    corpus().iter().for_each(|input| properties::responses(input));
}

proptest! {
    #[test]
    fn a_generated_response_is_read_however_it_is_cut(
        responses in prop::collection::vec(body(), 1..4),
        sizes in prop::collection::vec(1..50_usize, 1..8),
    ) {
        let (mut wire, mut wanted) = (Vec::new(), Vec::new());
        for (body, bytes) in &responses {
            wanted.extend(respond(&mut wire, body, bytes));
            if matches!(body, Body::UntilClose) {
                break;
            }
        }
        let is_open = !matches!(wanted.last(), Some(Event::End(_)));
        wanted.push(Event::Over(if is_open { Ending::Completes } else { Ending::Between }));
        prop_assert_eq!(properties::events(Asked::Content, &wire, &sizes), wanted);
    }

    #[test]
    fn the_properties_hold_for_a_mutated_corpus(
        input in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let corpus = corpus();
        let mut bytes = input.get(&corpus).clone();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.extend_from_within(at..),
                _ => bytes.insert(at, byte),
            }
        }
        properties::responses(&bytes);
    }
}

/// How the connection ends after one response of each relevant kind.
#[test]
fn each_way_to_end_is_reported() {
    let cut = |head: &str, rest: &str| {
        let wire = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{rest}");
        properties::events(Asked::Content, wire.as_bytes(), &[usize::MAX]).pop().unwrap()
    };
    let chunked = "Transfer-Encoding: chunked";
    for (head, rest, wanted) in [
        ("Content-Length: 2", "x", Event::Over(Ending::Cuts)),
        ("Content-Length: 2", "xy", Event::Over(Ending::Between)),
        ("Content-Length: 2", "xyH", Event::Over(Ending::Cuts)),
        ("Content-Length: 2", "xyHTTP/1.1 100 Go on\r\n\r\n", Event::Over(Ending::Cuts)),
        ("A: b", "x", Event::Over(Ending::Completes)),
        (chunked, "1\r\nx\r\n", Event::Over(Ending::Cuts)),
        (chunked, "1\r\nx\r\n0\r\n\r\n", Event::Over(Ending::Between)),
        ("Content-Length: 101", "", Event::Fault(HttpError::BodyTooLarge)),
        (chunked, "65\r\n", Event::Fault(HttpError::BodyTooLarge)),
        (chunked, "1\r\nxy", Event::Fault(HttpError::Chunk)),
    ] {
        assert_eq!(cut(head, rest), wanted, "{head} {rest}");
    }
}
