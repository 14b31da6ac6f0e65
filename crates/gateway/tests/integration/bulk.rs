//! Many events in one request: each line is answered while the body arrives, and memory does not
//! grow with the body.

use std::{
    io::{BufWriter, Read, Write},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Request, Stream,
    application::{is_problem, post},
    on_each_engine,
};

on_each_engine!(
    errors_name_the_line_of_the_body,
    lines_are_answered_in_order,
    a_line_is_answered_before_the_next_one_is_sent,
    lines_may_arrive_in_any_pieces,
    each_line_has_its_own_key,
    a_truncated_body_counts_up_to_its_last_complete_line,
    a_body_that_stops_is_ended_with_an_error,
    a_body_is_bounded,
    a_client_that_sends_thousands_before_reading_is_served,
    memory_does_not_grow_with_the_body,
    a_client_that_reads_nothing_is_closed,
);

const LINES: [(&str, &str); 1] = [("Content-Type", "application/x-ndjson")];

fn publishes(count: usize) -> String {
    let lines = (0..count).map(|number| json!({ "topic": "news", "data": number }).to_string());
    lines.map(|line| line + "\n").collect()
}

#[track_caller]
fn sequence(answer: &Value) -> u64 {
    let cursor = answer["cursor"].as_str().unwrap_or_else(|| panic!("no cursor in {answer}"));
    cursor.split_once('-').unwrap().1.parse().unwrap()
}

fn lines_are_answered_in_order(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.message_bytes_max=200"]);
    let mut application = Application::of(&gateway);
    let (fits, too_long) = ("a".repeat(200 - 24), "a".repeat(200 - 23));
    let lines = [
        r#"{"to":["ann","bob"],"data":1}"#,
        r#"{"to":["ann"]}"#,
        "",
        "no json",
        "[]",
        &format!(r#"{{"to":["ann"],"data":"{too_long}"}}"#),
        &format!(r#"{{"to":["ann"],"data":"{fits}"}}"#),
        "{\"to\":[\"ann\"],\"data\":2,\"ttl\":0}\r",
        r#"{"to":["ann"],"data":3}"#,
    ];
    let answers = application.posts_lines("/v1/notify", lines.join("\n"));
    assert_eq!(answers.len(), lines.len());
    assert_eq!(answers[0]["outcome"], json!({ "ann": "queued", "bob": "queued" }));
    assert_eq!(answers[7]["outcome"], json!({ "ann": "offline" }));
    // The event with a time to live of 0 for an absent client takes no place in the log: its cursor
    // is the one before it.
    assert_eq!([0, 6, 7, 8].map(|line| sequence(&answers[line])), [1, 2, 2, 3]);
    for (line, status, kind) in [
        (1, 400, "missing-field"),
        (2, 400, "not-json"),
        (3, 400, "not-json"),
        (4, 400, "wrong-type"),
        (5, 413, "line-too-long"),
    ] {
        is_problem(&answers[line]["error"], status, kind);
    }
    assert!(application.posts_lines("/v1/publish", "").is_empty());
    // The connection can still be used.
    assert_eq!(sequence(&application.posts_lines("/v1/publish", publishes(1))[0]), 4);
}

#[track_caller]
fn sends_chunk(client: &mut Client, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    client.sends(format!("{:x}\r\n", bytes.len()));
    client.sends(bytes);
    client.sends("\r\n");
}

fn a_line_is_answered_before_the_next_one_is_sent(engine: Engine) {
    let gateway = Gateway::start(engine);
    let client = &mut Application::of(&gateway).client;
    client.sends(post("/v1/publish", &LINES).and("Transfer-Encoding", "chunked").bytes());
    for number in 1..20 {
        sends_chunk(client, publishes(1));
        if number == 1 {
            assert_eq!(client.receives_head().status, 200);
        }
        let answer: Value = serde_json::from_slice(&client.receives_chunk()).unwrap();
        assert_eq!(sequence(&answer), number);
    }
    client.sends("0\r\n\r\n");
    assert!(client.receives_chunk().is_empty());
}

fn lines_may_arrive_in_any_pieces(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    for length in [1, 2, 7, 33] {
        let client = &mut application.client;
        client.sends(post("/v1/publish", &LINES).and("Transfer-Encoding", "chunked").bytes());
        let body = publishes(20);
        body.as_bytes().chunks(length).for_each(|piece| sends_chunk(client, piece));
        client.sends("0\r\n\r\n");
        let answers = client.receives_chunked_response().lines();
        assert_eq!(answers.len(), 20);
        assert!(answers.is_sorted_by_key(sequence));
    }
    assert_eq!(gateway.metric("ringway_events_total"), 80);
}

fn each_line_has_its_own_key(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let line = |key: &str, data: u32| {
        json!({ "topic": "news", "data": data, "idempotency_key": key }).to_string() + "\n"
    };
    let body = line("a", 1) + &line("b", 1) + &line("a", 1) + &line("a", 2) + &line("a b", 3);
    let answers = application.posts_lines("/v1/publish", &body);
    assert_eq!([0, 1, 2].map(|line| sequence(&answers[line])), [1, 2, 1]);
    is_problem(&answers[3]["error"], 422, "idempotency-key-reused");
    is_problem(&answers[4]["error"], 400, "bad-idempotency-key");
    assert_eq!(application.posts_lines("/v1/publish", &body), answers);
    // A line that is sent again on its own is still the same request.
    let fields = [("Content-Type", "application/json"), ("Idempotency-Key", "b")];
    let answer = application.posts_with("/v1/publish", &fields, r#"{"topic":"news","data":1}"#);
    assert_eq!((sequence(&answer.json()), answer.field("Idempotency-Replayed")), (2, Some("true")));
    assert_eq!(gateway.metric("ringway_events_total"), 2);
    let fields = [LINES[0], ("Idempotency-Key", "c")];
    let answer = application.posts_with("/v1/publish", &fields, publishes(3));
    answer.is_problem(400, "bad-idempotency-key");
    assert_eq!(gateway.metric("ringway_events_total"), 2);
}

fn a_truncated_body_counts_up_to_its_last_complete_line(engine: Engine) {
    let gateway = Gateway::start(engine);
    let client = &mut Application::of(&gateway).client;
    client.sends(post("/v1/publish", &LINES).and("Content-Length", "1000").bytes());
    // A complete line without its line feed: the gateway cannot know whether more would follow.
    client.sends(publishes(3).trim_end());
    client.receives_head();
    assert_eq!(client.receives_chunk().split(|byte| *byte == b'\n').count(), 3);
    client.finishes();
    client.is_cut_off();
    assert_eq!(gateway.metric("ringway_events_total"), 2);
}

fn a_body_that_stops_is_ended_with_an_error(engine: Engine) {
    let gateway = Gateway::start(engine);
    let client = &mut Application::of(&gateway).client;
    client.sends(post("/v1/publish", &LINES).and("Content-Length", "1000").bytes());
    client.sends(publishes(2));
    let answers = client.receives_chunked_response().lines();
    assert_eq!(answers.len(), 3);
    is_problem(&answers[2]["error"], 408, "body-timeout");
}

fn a_body_is_bounded(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let head = post("/v1/publish", &LINES).and("Content-Length", &((64 << 20) + 1).to_string());
    application.client.sends(head.bytes());
    application.client.receives_response().is_problem(413, "body-too-large");
    // If the length is unknown, a line that never ends.
    let client = &mut Application::of(&gateway).client;
    client.sends(post("/v1/publish", &LINES).and("Transfer-Encoding", "chunked").bytes());
    sends_chunk(client, publishes(1));
    for _ in 0..65 {
        sends_chunk(client, vec![b' '; 1 << 20]);
    }
    let answers = client.receives_chunked_response().lines();
    assert_eq!(answers.len(), 2);
    is_problem(&answers[1]["error"], 413, "body-too-large");
}

fn a_client_that_sends_thousands_before_reading_is_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let answers = application.posts_lines("/v1/publish", publishes(20_000));
    assert_eq!(answers.len(), 20_000);
    assert!(answers.iter().map(sequence).eq(1..=20_000));
}

/// 48 MiB in lines of 100 bytes to 1 MiB, and a history of 1 MiB.
fn memory_does_not_grow_with_the_body(engine: Engine) {
    let settings = ["history.bytes_max=16MiB", "history.events_max=1000"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut application = Application::of(&gateway);
    application.posts_lines("/v1/publish", publishes(2000));
    let before = gateway.resident_bytes();
    let client = &mut application.client;
    client.sends(post("/v1/publish", &LINES).and("Transfer-Encoding", "chunked").bytes());
    let stream = client.stream();
    let lines = thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut stream = BufWriter::with_capacity(1 << 16, stream);
            let (mut lines, mut bytes) = (0, 0);
            while bytes < 48 << 20 {
                let data = "a".repeat(if lines % 1000 == 0 { 1_000_000 } else { 100 });
                let line = json!({ "topic": "news", "data": data }).to_string() + "\n";
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                stream.write_all(chunk.as_bytes()).unwrap();
                (lines, bytes) = (lines + 1, bytes + line.len());
            }
            stream.write_all(b"0\r\n\r\n").unwrap();
            stream.flush().unwrap();
            lines
        });
        let answers = client.receives_chunked_response().lines();
        assert!(answers.is_sorted_by_key(sequence));
        assert_eq!(sender.join().unwrap(), answers.len());
        answers.len()
    });
    assert!(lines > 40_000);
    let grown = gateway.resident_bytes().saturating_sub(before);
    // The whole body would be 64 MiB with the history; the allocator keeps some of the freed
    // memory.
    assert!(grown < 56 << 20, "{grown} bytes grown, of which 16 MiB are the history");
}

/// A megabyte of lines becomes some 50 MB of errors, which nobody reads.
fn a_client_that_reads_nothing_is_closed(engine: Engine) {
    let gateway = Gateway::start(engine);
    let before = gateway.resident_bytes();
    let client = Application::of(&gateway).client;
    let start = Instant::now();
    let (mut sender, mut reader) = (client.stream(), client.stream());
    let body = "{}\n".repeat(1 << 20);
    let head = post("/v1/publish", &LINES).and("Content-Length", &body.len().to_string());
    sender.write_all(&head.bytes()).unwrap();
    sender.write_all(body.as_bytes()).unwrap();
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 30 << 20, "{grown} bytes grown");
    // The client is closed five seconds after the gateway had to stop serving it.
    let (mut spent, mut since) = (gateway.processor_time(), Instant::now());
    while since.elapsed() < Duration::from_secs(6) {
        assert!(start.elapsed() < Duration::from_secs(60), "it works on");
        thread::sleep(Duration::from_millis(50));
        let now = gateway.processor_time();
        if now > spent + Duration::from_millis(20) {
            (spent, since) = (now, Instant::now());
        }
    }
    // The answers sent before are there; the chunk that ends a body is not.
    let mut answers = Vec::new();
    let _ = reader.read_to_end(&mut answers);
    assert!(answers.len() < body.len() * 40, "{} bytes", answers.len());
    assert!(!answers.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(Application::of(&gateway).posts("/v1/notify", "").status, 400);
}

/// Blank lines and CR LF count as lines, however the body is split, and so does a last line without
/// a line end.
fn errors_name_the_line_of_the_body(engine: Engine) {
    let gateway = Gateway::start(engine);
    let body = "{\"topic\":\"a\",\"data\":1}\r\n\n{\"topic\":\"a\",\"data\":1}\n{x}\r\n\
                {\"topic\":\"\",\"data\":1}\n{\"topik\":1}\n[]\n{y";
    let request = Request::post("/v1/publish", body).with("Host", "localhost");
    let request = request.with("Content-Type", "application/x-ndjson");
    let mut client = Client::connect_to(gateway.api);
    let bytes = request.bytes();
    let (first, second) = bytes.split_at(bytes.len() - 5);
    client.sends(first);
    client.sends(second);
    let mut answers = Stream::on(client);
    let places = [
        None,
        Some("at line 2 column"),
        None,
        Some("at line 4 column"),
        Some("\"topic\" is empty at line 5"),
        Some("at line 6"),
        Some("at line 7"),
        Some("at line 8 column"),
    ];
    for place in places {
        let answer = answers.receives_object();
        let detail = answer["error"]["detail"].as_str();
        assert_eq!(detail.is_some(), place.is_some(), "{answer}");
        assert!(place.is_none_or(|place| detail.unwrap().contains(place)), "{answer}");
    }
}
