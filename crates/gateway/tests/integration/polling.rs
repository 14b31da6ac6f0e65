//! Polls: held until there is an event, or answered at once; all events are in one answer.
//!
//! Resuming is tested in `cursors`; presence between polls is tested here as well.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Answer, Client, Engine, Gateway, Member, Request, has, on_each_engine, poll, send, target,
};

on_each_engine!(
    a_poll_that_waits_for_nothing_is_answered_at_once,
    a_poll_is_held_until_there_is_an_event,
    a_poll_is_answered_when_its_wait_is_over,
    a_wait_is_limited_by_the_operator,
    all_pending_events_are_in_one_answer,
    a_long_answer_is_split,
    an_event_may_be_longer_than_an_answer,
    a_second_request_releases_the_first,
    polls_follow_each_other_on_one_connection,
    polls_may_be_pipelined,
    a_client_with_a_held_poll_is_present,
    a_held_poll_gets_unkept_events,
    a_client_that_hangs_up_is_away,
    events_for_others_release_no_poll,
    a_poll_from_a_cursor_ahead_of_the_log_gets_a_gap,
    many_polls_are_held_at_once,
);

/// Starts a poll that is held.
#[track_caller]
fn begin(gateway: &Gateway, query: &[(&str, &str)]) -> Client {
    let mut client = Client::connect(gateway);
    client.sends(Request::of(&target("/poll", query)).bytes());
    client
}

#[track_caller]
fn answer(client: &mut Client) -> Answer {
    Answer::of(client.receives_response())
}

fn a_poll_that_waits_for_nothing_is_answered_at_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let start = Instant::now();
    let first = poll(&gateway, &[("client", "bob"), ("topic", "news"), ("wait", "0")]);
    assert!(first.events.is_empty() && start.elapsed() < Duration::from_secs(5));
    for (field, value) in [
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("Transfer-Encoding", ""),
    ] {
        assert_eq!(first.response.field(field).unwrap_or_default(), value, "{field}");
    }
    let mut ann = Member::joins(&gateway, "ann");
    ann.publishes("1", "news", 1);
    ann.publishes("2", "other", 2);
    let ack = ann.notifies("3", &["bob"], 3);
    let query = [("client", "bob"), ("topic", "news"), ("wait", "0"), ("cursor", &*first.cursor)];
    let second = poll(&gateway, &query);
    assert_eq!(second.data(), [1, 3]);
    assert_eq!(ack["cursor"], *second.cursor);
    has(&second.events[1], json!({"from": "ann", "cursor": second.cursor}));
    // The same query gets the same answer.
    assert_eq!(poll(&gateway, &query).data(), [1, 3]);
    let query = [("client", "bob"), ("topic", "news"), ("wait", "0"), ("cursor", &*second.cursor)];
    assert!(poll(&gateway, &query).events.is_empty());
}

fn a_poll_is_held_until_there_is_an_event(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut own = begin(&gateway, &[("client", "bob")]);
    let mut topic = begin(&gateway, &[("client", "carl"), ("topic", "news")]);
    gateway.serves(2, "long-poll");
    own.receives_nothing_for(Duration::from_millis(50));
    topic.receives_nothing_for(Duration::from_millis(10));
    let ack = ann.notifies("1", &["bob"], "own");
    has(&ack, json!({"outcome": {"bob": "delivered"}}));
    let answered = answer(&mut own);
    assert_eq!(answered.data(), ["own"]);
    assert_eq!(ack["cursor"], *answered.cursor);
    topic.receives_nothing_for(Duration::from_millis(10));
    ann.publishes("2", "news", "topic");
    assert_eq!(answer(&mut topic).data(), ["topic"]);
}

fn a_poll_is_answered_when_its_wait_is_over(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    for wait in ["0.3", "0.35"] {
        let start = Instant::now();
        let mut client = begin(&gateway, &[("client", "bob"), ("wait", wait)]);
        let ack = ann.publishes(wait, "news", "not for bob");
        let answered = answer(&mut client);
        assert!(answered.events.is_empty());
        assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        // No event was for this client, but the log has grown.
        assert_eq!(ack["cursor"], *answered.cursor);
    }
}

fn a_wait_is_limited_by_the_operator(engine: Engine) {
    let settings = ["http.poll_wait=200ms", "http.poll_wait_max=400ms"];
    let gateway = Gateway::start_with(engine, &settings);
    for (wait, least) in [(None, 190), (Some("3600"), 390), (Some("99999999999999999999"), 390)] {
        let mut query = vec![("client", "bob")];
        query.extend(wait.map(|wait| ("wait", wait)));
        let start = Instant::now();
        assert!(poll(&gateway, &query).events.is_empty());
        assert!(start.elapsed() >= Duration::from_millis(least), "{:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

/// All events of the turn that released the poll.
fn all_pending_events_are_in_one_answer(engine: Engine) {
    let gateway = Gateway::start(engine);
    let start = poll(&gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    let mut ann = Member::joins(&gateway, "ann");
    for number in 0..300 {
        match number % 3 {
            0 => ann.notifies(&number.to_string(), &["bob"], number),
            1 => ann.publishes(&number.to_string(), "news", number),
            _ => ann.publishes(&number.to_string(), "more news", number),
        };
    }
    let query = [("client", "bob"), ("topic", "more news"), ("topic", "news"), ("cursor", &*start)];
    let numbers: Vec<i32> = (0..300).collect();
    assert_eq!(poll(&gateway, &query).data(), numbers);
}

fn a_long_answer_is_split(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["http.poll_bytes_max=10KiB"]);
    let mut cursor = poll(&gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    let mut ann = Member::joins(&gateway, "ann");
    for number in 0..100 {
        ann.notifies(&number.to_string(), &["bob"], json!({"n": number, "x": "x".repeat(500)}));
    }
    let (mut numbers, mut answers) = (Vec::new(), 0);
    let mut client = Client::connect(&gateway);
    loop {
        let query = [("client", "bob"), ("wait", "0"), ("cursor", &*cursor)];
        let answered = Answer::of(client.requests(&Request::of(&target("/poll", &query))));
        if answered.events.is_empty() {
            break;
        }
        // The answer may exceed the limit by one event.
        assert!(answered.response.body.len() < (10 << 10) + 700);
        numbers.extend(answered.data().iter().map(|data| data["n"].as_i64().unwrap()));
        assert_eq!(answered.events.last().unwrap()["cursor"], *answered.cursor);
        cursor = answered.cursor;
        answers += 1;
    }
    assert_eq!(numbers, (0..100).collect::<Vec<i64>>());
    assert!((6..=10).contains(&answers), "{answers}");
}

fn an_event_may_be_longer_than_an_answer(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["http.poll_bytes_max=1KiB"]);
    let mut ann = Member::joins(&gateway, "ann");
    let long = "x".repeat(500_000);
    let mut held = begin(&gateway, &[("client", "bob")]);
    gateway.serves(1, "long-poll");
    ann.notifies("1", &["bob"], &*long);
    assert_eq!(answer(&mut held).data(), [&*long]);
}

/// A client that polls again no longer waits for the first answer.
fn a_second_request_releases_the_first(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = begin(&gateway, &[("client", "bob")]);
    gateway.serves(1, "long-poll");
    client.sends(Request::of("/none").bytes());
    assert!(answer(&mut client).events.is_empty());
    assert_eq!(client.receives_response().status, 404);
    // A part of a request is enough.
    client.sends(Request::of("/poll?client=bob").bytes());
    gateway.serves(1, "long-poll");
    client.sends("GET / HT");
    answer(&mut client);
    client.sends("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.receives_response().status, 200);
}

/// RFC 9112 §9.3, including the last answer before the client closes.
fn polls_follow_each_other_on_one_connection(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.keep_alive_timeout=1m"]);
    let mut ann = Member::joins(&gateway, "ann");
    let mut client = Client::connect(&gateway);
    let mut cursor = poll(&gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    for round in 0..20 {
        let query = [("client", "bob"), ("cursor", &*cursor)];
        client.sends(Request::of(&target("/poll", &query)).bytes());
        if round % 2 == 0 {
            gateway.serves(1, "long-poll");
        }
        ann.notifies(&round.to_string(), &["bob"], round);
        let answered = answer(&mut client);
        assert_eq!(answered.data(), [round]);
        assert_eq!(answered.response.field("Connection"), None);
        cursor = answered.cursor;
    }
    let query = [("client", "bob"), ("cursor", &*cursor)];
    client.sends(Request::of(&target("/poll", &query)).and("Connection", "close").bytes());
    gateway.serves(1, "long-poll");
    ann.notifies("last", &["bob"], "last");
    let answered = answer(&mut client);
    assert_eq!(answered.data(), ["last"]);
    assert_eq!(answered.response.field("Connection"), Some("close"));
    client.receives_end();
}

/// RFC 9112 §9.3.2: in one segment; only the last poll is held.
fn polls_may_be_pipelined(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let start = ann.cursor.clone();
    let ack = ann.notifies("1", &["bob"], 1);
    let at_once = target("/poll", &[("client", "bob"), ("wait", "0"), ("cursor", &start)]);
    let after = ack["cursor"].as_str().unwrap();
    let held = target("/poll", &[("client", "bob"), ("cursor", after)]);
    let mut client = Client::connect(&gateway);
    let requests = [&at_once, &held, &at_once, &at_once, &held];
    client.sends(requests.map(|target| Request::of(target).bytes()).concat());
    for answered in [&[1][..], &[], &[1], &[1]] {
        assert_eq!(answer(&mut client).data(), answered);
    }
    client.receives_nothing_for(Duration::from_millis(50));
    ann.notifies("2", &["bob"], 2);
    assert_eq!(answer(&mut client).data(), [2]);
}

/// The client is away between two polls.
fn a_client_with_a_held_poll_is_present(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut client = begin(&gateway, &[("client", "bob")]);
    gateway.serves(1, "long-poll");
    has(&ann.notifies("1", &["bob"], 1), json!({"outcome": {"bob": "delivered"}}));
    let first = answer(&mut client);
    has(&ann.notifies("2", &["bob"], 2), json!({"outcome": {"bob": "queued"}}));
    client.sends(
        Request::of(&target("/poll", &[("client", "bob"), ("cursor", &first.cursor)])).bytes(),
    );
    assert_eq!(answer(&mut client).data(), [2]);
    // Without a cursor, it resumes after its last answer.
    ann.notifies("3", &["bob"], 3);
    assert_eq!(poll(&gateway, &[("client", "bob")]).data(), [3]);
}

/// The client is connected, and the event is reported as delivered.
fn a_held_poll_gets_unkept_events(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut client = begin(&gateway, &[("client", "bob"), ("topic", "news")]);
    gateway.serves(1, "long-poll");
    let ack = ann.does(&json!({
        "type": "notify", "id": "1", "to": ["bob"], "data": "now or never", "ttl": 0
    }));
    has(&ack, json!({"outcome": {"bob": "delivered"}}));
    let answered = answer(&mut client);
    assert_eq!(answered.data(), ["now or never"]);
    assert_eq!(ack["cursor"], *answered.cursor);
    let query = [("client", "bob"), ("topic", "news"), ("cursor", &*answered.cursor)];
    client.sends(Request::of(&target("/poll", &query)).bytes());
    gateway.serves(1, "long-poll");
    ann.does(&json!({
        "type": "publish", "id": "2", "topic": "news", "data": "for whoever listens", "ttl": 0
    }));
    assert_eq!(answer(&mut client).data(), ["for whoever listens"]);
}

fn a_client_that_hangs_up_is_away(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let client = begin(&gateway, &[("client", "bob")]);
    gateway.serves(1, "long-poll");
    drop(client);
    gateway.serves(0, "long-poll");
    has(&ann.notifies("1", &["bob"], 1), json!({"outcome": {"bob": "queued"}}));
    assert_eq!(poll(&gateway, &[("client", "bob")]).data(), [1]);
}

fn events_for_others_release_no_poll(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut client = begin(&gateway, &[("client", "ann"), ("topic", "news")]);
    gateway.serves(1, "long-poll");
    ann.notifies("1", &["bob"], 1);
    ann.publishes("2", "other", 2);
    ann.does(&json!({"type": "publish", "id": "3", "topic": "news", "data": 3, "echo": false}));
    send(&gateway, "ann", json!({"type": "ping"}));
    client.receives_nothing_for(Duration::from_millis(50));
    ann.publishes("4", "news", 4);
    assert_eq!(answer(&mut client).data(), [4]);
}

/// A cursor from another epoch of the log.
fn a_poll_from_a_cursor_ahead_of_the_log_gets_a_gap(engine: Engine) {
    let gateway = Gateway::start(engine);
    let here = poll(&gateway, &[("client", "bob"), ("wait", "0")]).cursor;
    let (epoch, _) = here.split_once('-').unwrap();
    let ahead = format!("{epoch}-0000000000000001");
    let foreign = "000000000001-0000000000000007";
    for from in [&*ahead, foreign] {
        let start = Instant::now();
        let answered = poll(&gateway, &[("client", "bob"), ("cursor", from)]);
        assert_eq!(answered.events, [json!({"type": "gap", "from": from, "to": here})]);
        assert_eq!(answered.cursor, here);
        assert!(start.elapsed() < Duration::from_secs(5), "it waits for nothing");
    }
}

fn many_polls_are_held_at_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut clients: Vec<Client> =
        (0..300).map(|_| begin(&gateway, &[("client", "bob"), ("topic", "news")])).collect();
    gateway.serves(300, "long-poll");
    ann.publishes("1", "news", 1);
    for client in &mut clients {
        assert_eq!(answer(client).data(), [1]);
    }
    assert_eq!(clients[0].requests(&Request::of("/")).status, 200);
}
