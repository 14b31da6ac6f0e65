//! Clients that read slowly, or not at all: each costs one cursor, and nothing in the history is
//! lost.
//!
//! The bound on replies to a client's own messages is tested in `departures`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Engine, Gateway, Member, Stream, eventually, frames::close, has, on_each_engine, target,
};

on_each_engine!(
    a_slow_reader_reads_on_in_order,
    slow_readers_cost_one_cursor_each,
    a_slow_reader_that_falls_out_of_the_history_gets_a_gap,
    a_slow_reader_that_falls_out_of_the_history_may_be_closed,
    a_slow_stream_that_falls_out_of_the_history_may_be_ended,
    slow_readers_do_not_slow_others,
    a_client_that_lags_is_not_present,
    a_client_that_is_catching_up_is_not_present,
    events_that_a_socket_did_not_take_are_kept_for_the_return,
    a_client_that_never_reads_is_closed,
);

/// Bytes of an event's data.
const EVENT_BYTES: usize = 64 << 10;

/// More than the kernel takes for a socket that nobody reads.
const EVENTS_MAX: usize = 640;

/// A client that publishes while others do not read.
struct Publisher {
    ann: Member,
    published: usize,
}

impl Publisher {
    fn of(gateway: &Gateway) -> Self {
        Self { ann: Member::joins(gateway, "ann"), published: 0 }
    }

    /// Publishes one more event, which begins with its number.
    #[track_caller]
    fn publishes(&mut self) {
        let number = self.published;
        self.ann.publishes(&format!("p{number}"), "news", data(number));
        self.published += 1;
    }

    /// Publishes events until this many clients lag.
    #[track_caller]
    fn outruns(&mut self, gateway: &Gateway, clients: u64) {
        while gateway.metric("ringway_lagging_connections") < clients {
            assert!(self.published < EVENTS_MAX, "nobody lags after {EVENTS_MAX} events");
            (0..8).for_each(|_| self.publishes());
        }
    }
}

fn data(number: usize) -> String {
    format!("{number} {}", "x".repeat(EVENT_BYTES))
}

#[track_caller]
fn number_of(event: &Value) -> usize {
    assert_eq!(event["type"], "event", "{:.200}", event.to_string());
    let data = event["data"].as_str().unwrap();
    let (number, rest) = data.split_once(' ').unwrap();
    assert_eq!(rest.len(), EVENT_BYTES);
    number.parse().unwrap()
}

#[track_caller]
fn subscriber(gateway: &Gateway, name: &str) -> Member {
    Member::comes(gateway, &[("client", name), ("topic", "news")])
}

/// All published events are in the history.
fn a_slow_reader_reads_on_in_order(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = subscriber(&gateway, "bob");
    let mut sse = Stream::opens(&gateway, &target("/sse", &[("client", "c"), ("topic", "news")]));
    let mut lines =
        Stream::opens(&gateway, &target("/stream", &[("client", "d"), ("topic", "news")]));
    gateway.serves(1, "stream");
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 3);
    (0..32).for_each(|_| publisher.publishes());
    // Both at once: the missed events and the new ones.
    sse.receives_block();
    sse.receives_block();
    lines.receives_object();
    for number in 0..publisher.published {
        assert_eq!(number_of(&bob.receives()), number);
        assert_eq!(number_of(&sse.receives_block().object()), number);
        assert_eq!(number_of(&lines.receives_object()), number);
    }
    eventually("nobody lags", || gateway.metric("ringway_lagging_connections") == 0);
    publisher.publishes();
    assert_eq!(number_of(&bob.receives()), publisher.published - 1);
    bob.has_received_all();
    assert_eq!(number_of(&sse.receives_block().object()), publisher.published - 1);
    assert_eq!(number_of(&lines.receives_object()), publisher.published - 1);
    assert_eq!(gateway.metric("ringway_gaps_total"), 0);
}

/// The history exists anyway.
fn slow_readers_cost_one_cursor_each(engine: Engine) {
    const READERS: u64 = 40;
    let gateway = Gateway::start(engine);
    // With one reader the process grows by the history, which is the same for any number of
    // readers.
    let mut publisher = Publisher::of(&gateway);
    let readers: Vec<Member> =
        (0..READERS).map(|number| subscriber(&gateway, &format!("bob {number}"))).collect();
    let before = gateway.resident_bytes();
    publisher.outruns(&gateway, READERS);
    (0..128).for_each(|_| publisher.publishes());
    let history = gateway.metric("ringway_history_bytes");
    let grown = gateway.resident_bytes().saturating_sub(before);
    // Each client holds the unsent bytes of one turn, at most `queue_bytes_max` and an event.
    let queues = READERS * 2 * (EVENT_BYTES as u64 + 1000);
    let bound = history + queues + (12 << 20);
    assert!(grown < bound, "{grown} bytes grown, {history} of them history, {bound} allowed");
    let published = (publisher.published * EVENT_BYTES) as u64;
    assert!(READERS * published > 10 * bound, "the bound would be no bound");
    drop(readers);
}

/// The history holds a few events: the gap names exactly the missing ones.
fn a_slow_reader_that_falls_out_of_the_history_gets_a_gap(engine: Engine) {
    let settings = ["websocket.message_bytes_max=128KiB", "history.bytes_max=1MiB"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut bob = subscriber(&gateway, "bob");
    let mut sse = Stream::opens(&gateway, &target("/sse", &[("client", "c"), ("topic", "news")]));
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 2);
    (0..64).for_each(|_| publisher.publishes());
    sse.receives_block();
    let mut seen = sse.receives_block().id.unwrap();
    let mut next = 0;
    while next < publisher.published {
        let block = sse.receives_block();
        let object = block.object();
        next = reads(&object, &seen, next);
        seen = block.id.unwrap();
    }
    let (mut seen, mut next, mut gaps) = (bob.cursor.clone(), 0, 0);
    while next < publisher.published {
        let message = bob.receives();
        gaps += usize::from(message["type"] == "gap");
        next = reads(&message, &seen, next);
        seen.clone_from(&bob.cursor);
    }
    assert!(gaps >= 1, "64 events do not fit into the history");
    assert!(gateway.metric("ringway_gaps_total") >= 2);
    publisher.publishes();
    assert_eq!(number_of(&bob.receives()), next);
    bob.has_received_all();
}

/// Checks an event, which is the next one, or a gap, which begins at the client's position; returns
/// the next number.
#[track_caller]
fn reads(message: &Value, seen: &str, next: usize) -> usize {
    if message["type"] == "event" {
        assert_eq!(number_of(message), next);
        return next + 1;
    }
    has(message, json!({"type": "gap", "from": seen}));
    // The events are numbered from 0 and their sequences from 1.
    let to: usize = message["to"].as_str().unwrap()[13..].parse().unwrap();
    assert!(to > next, "{message}");
    to
}

/// The client is told a cursor to resume from.
fn a_slow_reader_that_falls_out_of_the_history_may_be_closed(engine: Engine) {
    let settings = [
        "websocket.message_bytes_max=128KiB",
        "history.bytes_max=1MiB",
        "clients.slow_reader=close",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut bob = subscriber(&gateway, "bob");
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 1);
    (0..64).for_each(|_| publisher.publishes());
    let mut next = 0;
    let reason = loop {
        let frame = bob.socket.receives_frame();
        if frame.first == 0x88 {
            assert_eq!(frame.payload[..2], 1013u16.to_be_bytes());
            break String::from_utf8(frame.payload[2..].to_vec()).unwrap();
        }
        let event: Value = serde_json::from_slice(&frame.payload).unwrap();
        assert_eq!(number_of(&event), next);
        next += 1;
        event["cursor"].as_str().unwrap().clone_into(&mut bob.cursor);
    };
    assert!(reason.ends_with(&format!(" {}", bob.cursor)), "{reason:?} after {}", bob.cursor);
    bob.socket.sends(close(1013, ""));
    bob.socket.receives_end();
    // From that cursor, it gets a gap and the remaining events.
    let query = [("client", "bob"), ("topic", "news"), ("cursor", &*bob.cursor)];
    let mut again = Member::comes(&gateway, &query);
    next = reads(&again.is_told("gap"), &bob.cursor, next);
    while next < publisher.published {
        next = reads(&again.receives(), "no second gap", next);
    }
    again.has_received_all();
}

fn a_slow_stream_that_falls_out_of_the_history_may_be_ended(engine: Engine) {
    let settings = [
        "websocket.message_bytes_max=128KiB",
        "history.bytes_max=1MiB",
        "clients.slow_reader=close",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut lines =
        Stream::opens(&gateway, &target("/stream", &[("client", "bob"), ("topic", "news")]));
    lines.receives_object();
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 1);
    (0..64).for_each(|_| publisher.publishes());
    let mut next = 0;
    while let Some(event) = lines.receives_object_or_end() {
        assert_eq!(number_of(&event), next);
        next += 1;
    }
    assert!((1..publisher.published).contains(&next));
    lines.socket.receives_end();
}

/// Each event arrives quickly, although as many clients do not read as there are others.
fn slow_readers_do_not_slow_others(engine: Engine) {
    let gateway = Gateway::start(engine);
    let _slow: Vec<Member> =
        (0..20).map(|number| subscriber(&gateway, &format!("slow {number}"))).collect();
    let mut quick: Vec<Member> =
        (0..3).map(|number| subscriber(&gateway, &format!("quick {number}"))).collect();
    let mut publisher = Publisher::of(&gateway);
    let mut longest = Duration::ZERO;
    while gateway.metric("ringway_lagging_connections") < 20 {
        assert!(publisher.published < EVENTS_MAX);
        let start = Instant::now();
        publisher.publishes();
        for member in &mut quick {
            assert_eq!(number_of(&member.receives()), publisher.published - 1);
        }
        longest = longest.max(start.elapsed());
    }
    for _ in 0..50 {
        let start = Instant::now();
        publisher.publishes();
        for member in &mut quick {
            assert_eq!(number_of(&member.receives()), publisher.published - 1);
        }
        longest = longest.max(start.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

/// Events that are kept are kept for it; events that are not kept are not for it.
fn a_client_that_lags_is_not_present(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = subscriber(&gateway, "bob");
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 1);
    let ack = publisher.ann.notifies("kept", &["bob"], "kept");
    has(&ack, json!({"outcome": {"bob": "queued"}}));
    let unkept = json!({"type": "notify", "id": "u", "to": ["bob"], "data": 0, "ttl": 0});
    has(&publisher.ann.does(&unkept), json!({"outcome": {"bob": "offline"}}));
    // Another connection of Bob that reads is enough. It begins at the position of the stalled one.
    let mut other = Member::joins(&gateway, "bob");
    other.receives_event("kept");
    let ack = publisher.ann.notifies("both", &["bob"], "both");
    has(&ack, json!({"outcome": {"bob": "delivered"}}));
    other.receives_event("both");
    for number in 0..publisher.published {
        assert_eq!(number_of(&bob.receives()), number);
    }
    bob.receives_event("kept");
    bob.receives_event("both");
    bob.has_received_all();
    drop(other);
    gateway.holds(2);
    let ack = publisher.ann.notifies("again", &["bob"], "again");
    has(&ack, json!({"outcome": {"bob": "delivered"}}));
    bob.receives_event("again");
}

/// A client that resumes from an old cursor is not present until it has caught up.
fn a_client_that_is_catching_up_is_not_present(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut publisher = Publisher::of(&gateway);
    let start = publisher.ann.cursor.clone();
    (0..EVENTS_MAX / 2).for_each(|_| publisher.publishes());
    let query = [("client", "bob"), ("topic", "news"), ("cursor", &*start)];
    let mut bob = Member::comes(&gateway, &query);
    let unkept = json!({"type": "notify", "id": "u", "to": ["bob"], "data": "u", "ttl": 0});
    has(&publisher.ann.does(&unkept), json!({"outcome": {"bob": "offline"}}));
    let ack = publisher.ann.notifies("kept", &["bob"], "kept");
    has(&ack, json!({"outcome": {"bob": "queued"}}));
    for number in 0..publisher.published {
        assert_eq!(number_of(&bob.receives()), number);
    }
    bob.receives_event("kept");
    bob.has_received_all();
    let unkept = json!({"type": "notify", "id": "v", "to": ["bob"], "data": "v", "ttl": 0});
    has(&publisher.ann.does(&unkept), json!({"outcome": {"bob": "delivered"}}));
    bob.receives_event("v");
}

/// Without a cursor: the gateway knows how much the socket took.
fn events_that_a_socket_did_not_take_are_kept_for_the_return(engine: Engine) {
    let gateway = Gateway::start(engine);
    let bob = Member::joins(&gateway, "bob");
    let mut ann = Member::joins(&gateway, "ann");
    let mut sent = 0;
    let mut notify = |sent: &mut usize| {
        ann.notifies(&sent.to_string(), &["bob"], data(*sent));
        *sent += 1;
    };
    while gateway.metric("ringway_lagging_connections") == 0 {
        assert!(sent < EVENTS_MAX);
        notify(&mut sent);
    }
    (0..20).for_each(|_| notify(&mut sent));
    drop(bob);
    gateway.holds(1);
    let mut bob = Member::joins(&gateway, "bob");
    let first = number_of(&bob.receives());
    assert!(first <= sent - 20, "{first} of {sent}");
    (first + 1..sent).for_each(|number| assert_eq!(number_of(&bob.receives()), number));
    bob.has_received_all();
}

/// It gives no sign of life, although much is unsent.
fn a_client_that_never_reads_is_closed(engine: Engine) {
    let settings = ["websocket.ping_interval=2s", "websocket.pong_timeout=1s"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut bob = subscriber(&gateway, "bob");
    let mut lines =
        Stream::opens(&gateway, &target("/stream", &[("client", "c"), ("topic", "news")]));
    let mut publisher = Publisher::of(&gateway);
    publisher.outruns(&gateway, 2);
    drop(publisher);
    gateway.holds(0);
    bob.socket.is_cut_off();
    lines.socket.is_cut_off();
}
