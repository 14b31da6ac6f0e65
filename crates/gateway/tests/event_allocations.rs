//! Counts the allocations on an event's way from its sender to the buffers of its clients.
//!
//! It is a binary of its own, because the counting allocator belongs to the process.

#![forbid(unsafe_code)]

use std::time::Duration;

use allocation_counter::measure;
use ringway::{
    broker::{Broker, Echo, Notice, source::Submitter},
    config::{Config, patterns::Patterns},
    encoding::{Encoding, scratch::Scratch},
    session::dispatch::{Dispatch, Encoder},
};
use ringway_hub::{Epoch, Subscriptions};

const NOW: Duration = Duration::ZERO;

fn broker() -> Broker {
    let history = Config::default().history;
    Broker::new(Epoch::new(1), &history, &[])
}

#[test]
fn an_event_is_one_allocation() {
    let (broker, mut submitter) = (broker(), Submitter::default());
    let large = format!("\"{}\"", "x".repeat(100_000));
    for (from, event, data, echo) in [
        (None, None, "1", Echo::Yes),
        (Some("ann"), Some("chat"), r#"{"text":"hello"}"#, Echo::Yes),
        (Some("ann"), Some("chat"), &*large, Echo::No),
    ] {
        let notice = Notice { from, event, data, ttl: None };
        let counted = measure(|| {
            broker.publish(&mut submitter, notice, "news", echo, NOW).expect("memory");
        });
        assert_eq!(counted.count_total, 1, "{from:?} {event:?} {} bytes", data.len());
    }
    // The others are the set of names and the list of outcomes.
    let notice = Notice { from: Some("ann"), event: Some("chat"), data: "1", ttl: None };
    let everybody = Patterns::new(["*"]);
    let counted = measure(|| {
        let to = ["bob", "eve", "joe"];
        broker.notify(&mut submitter, notice, &to, &everybody, NOW).expect("memory");
    });
    assert_eq!(counted.count_total, 3);
}

/// A core that sends an event in the turn in which it has read it does not copy it.
#[test]
fn a_core_allocates_nothing_for_an_event() {
    let (broker, mut submitter) = (broker(), Submitter::default());
    let (mut reader, mut subscriptions) = (broker.log.reader(), Subscriptions::new(&broker.log, 0));
    let topics = [subscriptions.subscribe("news", 0)];
    let (mut dispatch, mut scratch) = (Dispatch::default(), Scratch::default());
    let mut out = Vec::with_capacity(64 << 10);
    let forms = [
        Encoding::Text,
        Encoding::Deflated,
        Encoding::Sse,
        Encoding::SseUnnamed,
        Encoding::Line,
        Encoding::Script,
    ];
    let data = r#"{"text":"hello"}"#;
    let notice = Notice { from: Some("ann"), event: Some("chat"), data, ttl: None };
    for turn in 0..12 {
        for _ in 0..4 {
            broker.publish(&mut submitter, notice, "news", Echo::Yes, NOW).expect("memory");
        }
        let mut sent = 0;
        let counted = measure(|| {
            let scratch = &mut scratch;
            let mut encoder =
                Encoder { deflate: None, queue_bytes_max: 1 << 20, slots: 1, scratch };
            let read = dispatch.read(&broker.log, &mut reader, &subscriptions, &mut encoder);
            read.expect("no gap");
            assert_eq!(dispatch.advance(), Some(0));
            dispatch.find(&topics, 0);
            for form in forms {
                out.clear();
                dispatch.found().for_each(|event| form.write(event, &mut out));
                sent += out.windows(data.len()).filter(|part| *part == data.as_bytes()).count();
            }
            dispatch.end_turn();
        });
        // A script escapes the quotes of the data.
        assert_eq!(sent, 4 * (forms.len() - 1));
        // The first turns allocate memory that later turns use again; the log's index grows with
        // the events.
        assert!(turn < 10 || counted.count_total == 0, "{turn}: {counted:?}");
    }
}
