//! The properties that must hold for any bytes: one function for each fuzz target.
//!
//! The same functions run under cargo-fuzz and, over the committed corpus, under `cargo test`.
//! They panic when a property is broken.

use ringway_http::{Asked, Ending, HttpError, KeepAlive, Part, ResponseLimits, ResponseReader};

/// Small, so that a short input can exceed them.
const LIMITS: ResponseLimits =
    ResponseLimits { head_bytes_max: 200, fields_max: 4, body_bytes_max: 100 };

/// What a client has seen of the connection; consecutive pieces of a body are merged into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A head with status 1xx.
    Interim(Vec<u8>),
    /// The bytes of a body up to the next event of another kind.
    Head(u16, Vec<u8>),
    /// The end of a response.
    Body(Vec<u8>),
    /// Bytes after the switch to another protocol.
    End(KeepAlive),
    /// Bytes that are not of HTTP any more.
    Switched(Vec<u8>),
    /// The server's fault.
    Fault(HttpError),
    /// The end of the connection.
    Over(Ending),
}

/// The input: a byte for the kind of request, a byte for the number of chunk sizes, the sizes, then
/// the wire. However the wire is cut, the reader returns the same parts, none over the limits.
pub fn responses(input: &[u8]) {
    let Some((&[asked, sizes], rest)) = input.split_first_chunk() else {
        return;
    };
    let asked = [Asked::Content, Asked::Head, Asked::Upgrade][usize::from(asked % 3)];
    let (sizes, wire) = rest.split_at(rest.len().min(usize::from(sizes % 8)));
    let whole = events(asked, wire, &[usize::MAX]);
    let sizes: Vec<usize> = sizes.iter().map(|&size| size.max(1).into()).collect();
    if !sizes.is_empty() {
        assert_eq!(whole, events(asked, wire, &sizes), "cut by {sizes:?}");
    }
    assert_eq!(whole, events(asked, wire, &[1]), "byte by byte");
}

/// The events that a client sees of `wire` when it arrives in pieces of these sizes, repeated in
/// turn.
pub fn events(asked: Asked, wire: &[u8], sizes: &[usize]) -> Vec<Event> {
    let mut reader = ResponseReader::default();
    let (mut events, mut body_bytes, mut is_switched) = (Vec::new(), 0, false);
    let (mut rest, mut sizes) = (wire, sizes.iter().cycle());
    while !rest.is_empty() {
        let (mut piece, after) = rest.split_at(rest.len().min(*sizes.next().expect("a size")));
        rest = after;
        loop {
            let event = match reader.read(&mut piece, asked, &LIMITS) {
                Ok(None) if is_switched => Event::Switched(std::mem::take(&mut piece).to_vec()),
                Ok(None) => break,
                Ok(Some(Part::Interim(head))) => Event::Interim(head.bytes.to_vec()),
                Ok(Some(Part::Head(head))) => {
                    is_switched = head.status == 101;
                    Event::Head(head.status, head.bytes.to_vec())
                }
                Ok(Some(Part::Body(bytes))) => {
                    assert!(!bytes.is_empty());
                    Event::Body(bytes.to_vec())
                }
                Ok(Some(Part::End(keep_alive))) => Event::End(keep_alive),
                Err(fault) => {
                    push(&mut events, Event::Fault(fault));
                    return events;
                }
            };
            match &event {
                Event::Head(_, head) | Event::Interim(head) => {
                    assert!(head.len() <= LIMITS.head_bytes_max);
                    body_bytes = 0;
                }
                Event::Body(bytes) => body_bytes += bytes.len(),
                _ => {}
            }
            assert!(body_bytes <= LIMITS.body_bytes_max);
            let is_over = matches!(&event, Event::Switched(_));
            push(&mut events, event);
            if is_over {
                break;
            }
        }
        assert!(piece.is_empty(), "all input is used");
        // A vector may grow to twice its length; trailers are held in addition.
        assert!(reader.held_bytes() <= 2 * (LIMITS.head_bytes_max + 4096));
    }
    push(&mut events, Event::Over(reader.end()));
    events
}

fn push(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Body(all)), Event::Body(more))
        | (Some(Event::Switched(all)), Event::Switched(more)) => all.extend(more),
        (_, Event::Switched(bytes)) if bytes.is_empty() => {}
        (_, event) => events.push(event),
    }
}
