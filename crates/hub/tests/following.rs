//! What a reader that follows the log gets: every event in order, or a gap.

mod vocabulary;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ringway_hub::{Address, Appender, Draft, Expiry, Gap, InterestFilter, Pins, Reader, ToSender};
use vocabulary::*;

#[test]
fn an_empty_log_has_nothing_before_1() {
    let log = log(10);
    assert_eq!((log.first(), log.head()), (1, 0));
    let mut reader = log.reader();
    assert_eq!(reader.position(), 0);
    assert_eq!(follow(&mut reader, &log), Ok(vec![]));
    assert_eq!(log.size().events, 0);
}

#[test]
fn events_arrive_in_order_across_segments() {
    let log = log(160);
    let mut reader = log.reader();
    append_many(&log, 95);
    assert_eq!(follow(&mut reader, &log), Ok((1..=95).collect()));
    assert_eq!(reader.position(), 95);
    assert_eq!(follow(&mut reader, &log), Ok(vec![]));
    append_many(&log, 3);
    assert_eq!(follow(&mut reader, &log), Ok(vec![96, 97, 98]));
}

#[test]
fn an_event_equals_its_draft() {
    let log = log(10);
    let mut reader = log.reader();
    let mut sent = draft("räume", "{}");
    sent.fields.name = Some(sent.push("chat"));
    sent.fields.from = Some(sent.push("ann"));
    sent.fields.data = (29..30).into();
    sent.to_sender = ToSender::LeftOut;
    sent.keep = Expiry::Until(Duration::from_secs(9));
    sent.time_ms = 1_700_000_000_000;
    log.append(&mut Appender::default(), sent, Duration::from_secs(5));
    let mut sent = to_recipients(&["ann", "bob"]);
    sent.fields.from = Some(sent.push("ann"));
    append(&log, sent);
    let mut number = 0;
    reader
        .follow(&log, |event| {
            number += 1;
            match event.address() {
                Address::Topic(topic) => {
                    assert_eq!((topic, text(event)), ("räume", "{}"));
                    assert_eq!((event.name(), event.except()), (Some("chat"), Some("ann")));
                    assert_eq!(event.keep(), Expiry::Until(Duration::from_secs(9)));
                    assert_eq!((event.sequence(), event.at()), (1, Duration::from_secs(5)));
                    assert_eq!(event.time_ms(), 1_700_000_000_000);
                    assert_eq!(&event.text()[event.data().start()..event.data().end()], "{");
                }
                Address::Recipients(recipients) => {
                    assert_eq!(recipients.iter().collect::<Vec<_>>(), ["ann", "bob"]);
                    assert_eq!((event.name(), event.except(), text(event)), (None, None, ""));
                    assert_eq!((event.sequence(), event.keep()), (2, Expiry::Window));
                }
            }
            ControlFlow::Continue(())
        })
        .expect("no gap");
    assert_eq!(number, 2);
}

#[test]
fn the_cursor_is_written_at_its_position() {
    let log = log(10);
    let sent = Draft::new(format!("<{}>", "x".repeat(29)), 1).to_topic("t");
    let mut reader = log.reader();
    append(&log, sent);
    let compare = |event: &ringway_hub::Event| {
        assert_eq!(event.text(), "<0193c5f2a1b4-0000000000000001>");
        ControlFlow::Continue(())
    };
    reader.follow(&log, compare).expect("no gap");
    assert_eq!(reader.position(), 1);
}

#[test]
fn a_visitor_that_breaks_has_seen_the_event_it_broke_at() {
    let log = log(100);
    let mut reader = log.reader();
    append_many(&log, 20);
    for expected in 1..=20 {
        let mut visited = Vec::new();
        let visit = |event: &ringway_hub::Event| {
            visited.push(event.sequence());
            ControlFlow::Break(())
        };
        reader.follow(&log, visit).expect("no gap");
        assert_eq!((visited, reader.position()), (vec![expected], expected));
    }
    assert_eq!(follow(&mut reader, &log), Ok(vec![]));
}

#[test]
fn a_new_reader_begins_at_the_newest_event() {
    let log = log(160);
    for count in [0, 1, 9, 10, 30] {
        append_many(&log, count);
        let mut reader = log.reader();
        assert_eq!(reader.position(), log.head());
        append_many(&log, 1);
        assert_eq!(follow(&mut reader, &log), Ok(vec![log.head()]));
    }
}

#[test]
fn a_reader_that_slept_too_long_gets_the_gap_and_reads_on() {
    let log = log(16);
    let mut reader = log.reader();
    append_many(&log, 3);
    assert_eq!(follow(&mut reader, &log), Ok(vec![1, 2, 3]));
    append_many(&log, 100);
    let gap = Gap { from: 3, to: log.first() - 1 };
    assert_eq!(follow(&mut reader, &log), Err(gap));
    assert_eq!(gap.to_string(), format!("events after 3 up to {} have left the log", gap.to));
    assert_eq!(reader.position(), gap.to);
    assert_eq!(follow(&mut reader, &log), Ok((log.first()..=103).collect()));
}

#[test]
fn a_reader_whose_segment_is_gone_misses_nothing_if_it_had_read_it() {
    let log = log(16);
    let mut reader = log.reader();
    for head in 1..=200 {
        append_many(&log, 1);
        // With one event per segment, the reader is always at the end of a segment, mostly a
        // retired one.
        if head % 15 == 0 {
            assert_eq!(follow(&mut reader, &log), Ok((head - 14..=head).collect()));
        }
    }
}

#[test]
fn a_draft_with_an_invalid_cursor_or_field_is_not_appended() {
    let log = log(10);
    let mut reader = log.reader();
    let mut appender = Appender::default();
    for (length, cursor_at) in [(0, 0), (28, 0), (29, 1), (40, usize::MAX), (40, 41)] {
        // There is no room for the cursor after the encoding.
        let short = Draft::new("x".repeat(length), cursor_at).to_topic(&"t".repeat(40));
        let append = || log.append(&mut appender, short, Duration::ZERO);
        assert!(catch_unwind(AssertUnwindSafe(append)).is_err(), "{length} {cursor_at}");
    }
    for span in [28..30, 31..40] {
        let mut outside = draft("t", "é.é.");
        outside.fields.from = Some(span.clone().into());
        let append = || log.append(&mut appender, outside, Duration::ZERO);
        assert!(catch_unwind(AssertUnwindSafe(append)).is_err(), "{span:?}");
    }
    assert_eq!(log.append(&mut appender, to_topic("t"), Duration::ZERO), 1);
    assert_eq!(follow(&mut reader, &log), Ok(vec![1]));
}

#[test]
fn a_visitor_that_panics_leaves_the_reader_after_the_event() {
    let log = log(16);
    let mut reader = log.reader();
    append_many(&log, 12);
    let visit = |event: &ringway_hub::Event| {
        assert!(event.sequence() < 5);
        ControlFlow::Continue(())
    };
    assert!(catch_unwind(AssertUnwindSafe(|| reader.follow(&log, visit))).is_err());
    assert_eq!(follow(&mut reader, &log), Ok((6..=12).collect()));
}

#[test]
fn an_encoding_is_made_once() {
    let log = log(16);
    let mut readers = [log.reader(), log.reader()];
    append_many(&log, 1);
    let mut made = 0;
    for reader in &mut readers {
        reader
            .follow(&log, |event| {
                let encoding = event
                    .encode(0, |text| {
                        made += 1;
                        Some(text.bytes().rev().collect())
                    })
                    .expect("it was made");
                assert_eq!(encoding.len(), event.text().len());
                assert_eq!(encoding.first(), event.text().as_bytes().last());
                ControlFlow::Continue(())
            })
            .expect("no gap");
    }
    assert_eq!(made, 1);
}

#[test]
fn a_failed_encoding_is_not_tried_again() {
    let log = log(16);
    let mut reader = log.reader();
    append_many(&log, 1);
    reader
        .follow(&log, |event| {
            assert_eq!(event.encode(0, |_| None), None);
            assert_eq!(event.encode(0, |_| panic!("it was tried before")), None);
            assert_eq!(event.encoding(0), None);
            ControlFlow::Continue(())
        })
        .expect("no gap");
}

#[test]
fn a_huge_event_is_delivered() {
    let log = log(1_000);
    let mut reader = log.reader();
    let text: String = "x".repeat(8 << 20);
    append(&log, draft("t", &text));
    append_many(&log, 1);
    let mut lengths = Vec::new();
    let visit = |event: &ringway_hub::Event| {
        lengths.push(event.text().len() - 29);
        ControlFlow::Continue(())
    };
    reader.follow(&log, visit).expect("no gap");
    assert_eq!(lengths, [8 << 20, 1]);
}

/// Sixteen bytes: a core has only one, but a test of a gateway has a thousand.
#[test]
fn a_reader_is_small() {
    assert_eq!(size_of::<Reader>(), 16);
}

/// A pinned event stays in place even after it has left the log; a copy of it outlives the pins.
#[test]
fn a_pinned_event_stays_until_it_is_released() {
    let log = log(16);
    let (mut reader, mut pins) = (log.reader(), Pins::default());
    append_many(&log, 3);
    let mut events = Vec::new();
    reader
        .follow_pinning(&log, InterestFilter::ALL, &mut pins, |event, place| {
            event.encode(0, |_| Some(Box::from(&b"short"[..])));
            events.push((event.sequence(), std::ptr::from_ref(event), place));
            ControlFlow::Continue(())
        })
        .expect("no gap");
    append_many(&log, 100);
    assert!(log.first() > 3, "they have left the log");
    let mut copies = Vec::new();
    for (sequence, at, place) in &events {
        let event = pins.event(*place);
        assert!(std::ptr::eq(event, *at), "nothing is copied");
        assert_eq!((event.sequence(), text(event)), (*sequence, "t"));
        copies.push(event.try_copy().expect("memory"));
    }
    assert!(!pins.is_empty());
    pins.clear();
    assert!(pins.is_empty());
    for (copy, sequence) in copies.iter().zip(1..) {
        assert_eq!((copy.sequence(), text(copy)), (sequence, "t"));
        assert_eq!((copy.address(), copy.encoding(0)), (Address::Topic("t"), Some(&b"short"[..])));
    }
}
