//! One cursor on every transport: a client resumes from it, however it reconnects, misses nothing,
//! and is sent a gap if it must miss something.
//!
//! The form of each transport is tested with the transport.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    Client, Engine, Gateway, Launch, Member, Request, Stream, has, on_each_engine, poll, send,
    target,
};

on_each_engine!(
    a_client_changes_transports_while_events_arrive,
    a_client_changes_transports_and_cores,
    events_that_left_the_history_are_a_gap,
    a_gap_may_be_in_the_middle_of_a_poll_of_many_topics,
    a_cursor_of_an_earlier_process_is_a_gap,
    a_cursor_from_the_future_is_a_gap,
    a_subscription_since_an_earlier_process_is_acknowledged_before_its_gap,
    an_invalid_cursor_is_a_400,
    a_cursor_may_omit_leading_zeros,
    a_client_can_resume_from_a_heartbeat,
);

/// Events that are published while the client changes transports.
const EVENTS: usize = 1500;

/// How far the publisher may be ahead, so that it never finishes before the client does.
const AHEAD_MAX: usize = 120;

/// The ways to read on.
#[derive(Clone, Copy, Debug)]
enum Way {
    WebSocket,
    Sse,
    /// As a browser's `EventSource` reconnects.
    SseAgain,
    Lines,
    Iframe,
    LongPoll,
    Poll,
}

const WAYS: [Way; 7] =
    [Way::WebSocket, Way::Sse, Way::LongPoll, Way::Lines, Way::SseAgain, Way::Poll, Way::Iframe];

/// A client that must see every event.
struct Reader {
    cursor: String,
    seen: Vec<usize>,
}

impl Reader {
    /// Takes an event; the test fails for anything else.
    #[track_caller]
    fn takes(&mut self, message: &Value, way: Way) {
        assert_eq!(message["type"], "event", "{way:?}: {message}");
        let number = message["data"].as_u64().unwrap() as usize;
        assert_eq!(number, self.seen.len(), "by {way:?} after {}: {message}", self.cursor);
        self.seen.push(number);
        let cursor = message["cursor"].as_str().unwrap();
        assert!(*self.cursor < *cursor, "{way:?}: {cursor} after {}", self.cursor);
        cursor.clone_into(&mut self.cursor);
    }

    /// Reads this many events, then leaves without a Close.
    #[track_caller]
    fn visits(&mut self, gateway: &Gateway, way: Way, count: usize) {
        let query = [("client", "bob"), ("topic", "a"), ("topic", "b")];
        let cursor = self.cursor.clone();
        let resuming = [&query[..], &[("cursor", &*cursor)]].concat();
        match way {
            Way::WebSocket => {
                let mut member = Member::comes(gateway, &resuming);
                (0..count).for_each(|_| self.takes(&member.receives(), way));
            }
            Way::Sse | Way::SseAgain => {
                let request = match way {
                    Way::Sse => Request::of(&target("/sse", &resuming)),
                    _ => Request::of(&target("/sse", &query)).and("Last-Event-ID", &cursor),
                };
                let mut stream = Stream::requests(gateway, &request);
                stream.receives_block();
                stream.receives_block();
                for _ in 0..count {
                    let block = stream.receives_block();
                    self.takes(&block.object(), way);
                    assert_eq!(block.id.as_ref(), Some(&self.cursor));
                }
            }
            Way::Lines => {
                let mut stream = Stream::opens(gateway, &target("/stream", &resuming));
                stream.receives_object();
                (0..count).for_each(|_| self.takes(&stream.receives_object(), way));
            }
            Way::Iframe => {
                let query = [&resuming[..], &[("format", "iframe"), ("callback", "f")]].concat();
                let mut stream = Stream::opens(gateway, &target("/stream", &query));
                stream.receives_line();
                stream.receives_line();
                (0..count).for_each(|_| self.takes(&stream.receives_scripted(), way));
            }
            Way::LongPoll | Way::Poll => {
                let wait = if matches!(way, Way::Poll) { "0" } else { "5" };
                let answer = poll(gateway, &[&resuming[..], &[("wait", wait)]].concat());
                answer.events.iter().for_each(|event| self.takes(event, way));
                assert!(self.cursor <= answer.cursor);
                self.cursor = answer.cursor;
            }
        }
    }
}

/// Publishes all events, never far ahead of the reader.
fn publish(mut ann: Member, read: &AtomicUsize, is_over: &AtomicBool) {
    for number in 0..EVENTS {
        while number > read.load(Ordering::Acquire) + AHEAD_MAX {
            if is_over.load(Ordering::Acquire) {
                return;
            }
            thread::yield_now();
        }
        let id = number.to_string();
        match number % 3 {
            0 => ann.notifies(&id, &["carl", "bob"], number),
            1 => ann.publishes(&id, "a", number),
            _ => ann.publishes(&id, "b", number),
        };
    }
}

/// Stops the publisher, too, if the reader has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[track_caller]
fn change_transports(gateway: &Gateway) {
    let cursor = poll(gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    let mut reader = Reader { cursor, seen: Vec::new() };
    let (read, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ann = Member::joins(gateway, "ann");
    thread::scope(|scope| {
        let over = Over(&is_over);
        scope.spawn(|| publish(ann, &read, &is_over));
        let mut visits = 0;
        while reader.seen.len() < EVENTS {
            let count = (1 + visits * 7 % 40).min(EVENTS - reader.seen.len());
            reader.visits(gateway, WAYS[visits % WAYS.len()], count);
            read.store(reader.seen.len(), Ordering::Release);
            visits += 1;
        }
        drop(over);
    });
    // No more events follow.
    reader.visits(gateway, Way::Poll, 0);
    assert_eq!(reader.seen.len(), EVENTS);
}

fn a_client_changes_transports_while_events_arrive(engine: Engine) {
    change_transports(&Gateway::start(engine));
}

/// As above, with each connection on whichever core the kernel chooses.
fn a_client_changes_transports_and_cores(engine: Engine) {
    change_transports(&Launch::bare(engine).start());
}

/// The gaps and events that a client gets on a transport from a cursor on, as many as requested.
#[track_caller]
fn told(gateway: &Gateway, way: Way, cursor: &str, count: usize) -> Vec<Value> {
    let query = [("client", "bob"), ("topic", "news"), ("cursor", cursor)];
    match way {
        Way::WebSocket => {
            let mut member = Member::comes(gateway, &query);
            (0..count).map(|_| member.receives()).collect()
        }
        Way::Sse | Way::SseAgain => {
            let mut stream = Stream::opens(gateway, &target("/sse", &query));
            stream.receives_block();
            stream.receives_block();
            let blocks = (0..count).map(|_| stream.receives_block());
            let objects = blocks.map(|block| {
                let object = block.object();
                let (name, cursor) = match object["type"].as_str().unwrap() {
                    "gap" => (Some("gap"), &object["to"]),
                    _ => (None, &object["cursor"]),
                };
                assert_eq!((block.event.as_deref(), block.id.as_deref()), (name, cursor.as_str()));
                object
            });
            objects.collect()
        }
        Way::Lines => {
            let mut stream = Stream::opens(gateway, &target("/stream", &query));
            stream.receives_object();
            (0..count).map(|_| stream.receives_object()).collect()
        }
        Way::Iframe => {
            let query = [&query[..], &[("format", "iframe"), ("callback", "f")]].concat();
            let mut stream = Stream::opens(gateway, &target("/stream", &query));
            stream.receives_line();
            stream.receives_line();
            (0..count).map(|_| stream.receives_scripted()).collect()
        }
        Way::LongPoll => poll(gateway, &query).events,
        Way::Poll => poll(gateway, &[&query[..], &[("wait", "0")]].concat()).events,
    }
}

/// Publishes more events than the history holds; returns the cursor before all of them.
#[track_caller]
fn overflow(gateway: &Gateway, events: usize) -> String {
    let start = poll(gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    let mut ann = Member::joins(gateway, "ann");
    for number in 0..events {
        ann.publishes(&number.to_string(), "news", number);
    }
    start
}

/// Every transport reports the gap.
fn events_that_left_the_history_are_a_gap(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.events_max=10"]);
    let start = overflow(&gateway, 100);
    for way in WAYS {
        let gap = told(&gateway, way, &start, 1).remove(0);
        has(&gap, json!({"type": "gap", "from": start}));
        let to = gap["to"].as_str().unwrap();
        let gone: usize = to.rsplit_once('-').unwrap().1.parse().unwrap();
        assert!((80..=90).contains(&gone), "{way:?}: {gone} of 100 are gone, 10 are kept");
        let all = told(&gateway, way, &start, 1 + 100 - gone);
        let numbers: Vec<u64> = all[1..].iter().map(|one| one["data"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (gone as u64..100).collect::<Vec<_>>(), "{way:?}");
        // After the end of the gap nothing is missing.
        let rest = told(&gateway, way, to, 100 - gone);
        assert_eq!(rest, all[1..], "{way:?}");
    }
    assert!(gateway.metric("ringway_gaps_total") >= 14);
}

fn a_gap_may_be_in_the_middle_of_a_poll_of_many_topics(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.events_max=10"]);
    let start = overflow(&gateway, 50);
    let query =
        [("client", "bob"), ("topic", "news"), ("topic", "never heard of"), ("cursor", &*start)];
    let answer = poll(&gateway, &query);
    assert_eq!(answer.events[0]["type"], "gap");
    let kinds: Vec<&Value> = answer.events[1..].iter().map(|one| &one["type"]).collect();
    assert!(kinds.len() >= 10 && kinds.iter().all(|kind| *kind == "event"), "{kinds:?}");
    assert_eq!(answer.events.last().unwrap()["cursor"], *answer.cursor);
}

/// A cursor of another process, or of this one before it was restarted.
fn a_cursor_of_an_earlier_process_is_a_gap(engine: Engine) {
    let earlier = Gateway::start(engine);
    let foreign = overflow(&earlier, 20);
    let foreign = foreign.replace("-0000000000000000", "-0000000000000007");
    drop(earlier);
    let gateway = Gateway::start(engine);
    let start = overflow(&gateway, 3);
    assert_ne!(start[..12], foreign[..12], "two lives differ");
    for way in WAYS {
        let all = told(&gateway, way, &foreign, 4);
        assert_eq!(all[0], json!({"type": "gap", "from": foreign, "to": start}), "{way:?}");
        let numbers: Vec<&Value> = all[1..].iter().map(|one| &one["data"]).collect();
        assert_eq!(numbers, [0, 1, 2], "{way:?}: no event in the history is left out");
    }
}

fn a_cursor_from_the_future_is_a_gap(engine: Engine) {
    let gateway = Gateway::start(engine);
    let start = overflow(&gateway, 2);
    let ahead = start.replace("-0000000000000000", "-0000000000000100");
    for way in WAYS {
        let all = told(&gateway, way, &ahead, 3);
        assert_eq!(all[0], json!({"type": "gap", "from": ahead, "to": start}), "{way:?}");
        assert_eq!((&all[1]["data"], &all[2]["data"]), (&json!(0), &json!(1)), "{way:?}");
    }
}

fn a_subscription_since_an_earlier_process_is_acknowledged_before_its_gap(engine: Engine) {
    let gateway = Gateway::start(engine);
    let start = overflow(&gateway, 2);
    let foreign = "000000000001-0000000000000009";
    let mut bob = Member::joins(&gateway, "bob");
    bob.says(json!({"type": "subscribe", "id": "s", "topic": "news", "since": foreign}));
    has(&bob.is_told("ack"), json!({"id": "s"}));
    assert_eq!(bob.is_told("gap"), json!({"type": "gap", "from": foreign, "to": start}));
    bob.receives_event(0);
    bob.receives_event(1);
    bob.has_received_all();
    // A cursor of this process that is too old.
    let gateway = Gateway::start_with(engine, &["history.events_max=10"]);
    let start = overflow(&gateway, 100);
    let mut bob = Member::joins(&gateway, "bob");
    bob.says(json!({"type": "subscribe", "id": "s", "topic": "news", "since": start}));
    bob.is_told("ack");
    let gap = bob.is_told("gap");
    assert_eq!(gap["from"], *start);
    let gone: u64 = gap["to"].as_str().unwrap()[13..].parse().unwrap();
    (gone..100).for_each(|number| {
        bob.receives_event(number);
    });
    bob.has_received_all();
}

fn an_invalid_cursor_is_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    for cursor in [
        "",
        "0",
        "-",
        "x-1",
        "0193c5f2a1b4",
        "0193c5f2a1b4-",
        "-1",
        "0193c5f2a1b4--1",
        "0193c5f2a1b4-x",
        "0193c5f2a1b4-18446744073709551616",
        "0193C5F2A1B4-1 ",
        "00193c5f2a1b4-1",
        "0193c5f2a1b4-0000000000000001-1",
        "0193c5f2a1b4-+1",
    ] {
        let query = [("cursor", cursor)];
        let upgrade = Request::upgrade_of(&target("/ws", &query));
        let requests = ["/sse", "/stream", "/poll"].map(|path| Request::of(&target(path, &query)));
        for request in [upgrade].into_iter().chain(requests) {
            let response = Client::connect(&gateway).requests(&request);
            assert_eq!(response.status, 400, "{request:?}");
            let reason = String::from_utf8(response.body).unwrap();
            assert!(reason.contains("cursor"), "{reason}");
        }
    }
}

fn a_cursor_may_omit_leading_zeros(engine: Engine) {
    let gateway = Gateway::start(engine);
    let start = overflow(&gateway, 3);
    let short = format!("{}-1", &start[..12]);
    for way in WAYS {
        let all = told(&gateway, way, &short, 2);
        assert_eq!((&all[0]["data"], &all[1]["data"]), (&json!(1), &json!(2)), "{way:?}");
    }
}

/// A client that got no event for a long time resumes from its last heartbeat.
fn a_client_can_resume_from_a_heartbeat(engine: Engine) {
    let settings = ["websocket.ping_interval=150ms", "history.events_max=10"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut stream = Stream::opens(&gateway, &target("/stream", &[("client", "bob")]));
    let welcome = stream.receives_object();
    let publish = |id: usize| {
        let id = id.to_string();
        let command = json!({"type": "publish", "id": id, "topic": "not for bob", "data": 1});
        send(&gateway, "ann", command).1["cursor"].clone()
    };
    let here = (0..100).fold(Value::Null, |_, id| publish(id));
    while stream.receives_object()["cursor"] != here {}
    drop(stream);
    let here = here.as_str().unwrap();
    send(&gateway, "ann", r#"{"type":"notify","id":"own","to":["bob"],"data":"own"}"#);
    let resumed = |cursor| poll(&gateway, &[("client", "bob"), ("cursor", cursor)]);
    assert_eq!(resumed(here).data(), ["own"]);
    let too_old = resumed(welcome["cursor"].as_str().unwrap());
    assert_eq!(too_old.events[0]["type"], "gap");
}
