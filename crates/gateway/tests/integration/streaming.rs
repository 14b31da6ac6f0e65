//! Endless responses: Server-Sent Events, lines, and script blocks for a hidden frame.
//!
//! Resuming is tested in `cursors`, the sources of events in `notifying` and `publishing`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Block, Client, Engine, Gateway, Member, Request, Stream, has, on_each_engine, send, target,
};

on_each_engine!(
    an_event_stream_begins_with_a_welcome,
    events_have_their_cursor_and_name,
    event_streams_may_omit_names,
    line_breaks_in_data_become_data_lines,
    an_event_stream_resumes_from_its_last_event,
    the_last_event_takes_precedence_over_the_query,
    a_heartbeat_advances_the_cursor,
    each_line_of_ndjson_is_an_object,
    an_iframe_calls_its_page,
    nothing_ends_a_script_block_but_the_gateway,
    bytes_from_the_reader_of_a_stream_are_ignored,
    a_stream_may_follow_other_requests,
    a_client_whose_stream_ends_leaves_the_hub,
);

#[track_caller]
fn open(gateway: &Gateway, path: &str, query: &[(&str, &str)]) -> Stream {
    Stream::opens(gateway, &target(path, query))
}

/// A stream on `/sse` that has received its welcome.
#[track_caller]
fn listen(gateway: &Gateway, query: &[(&str, &str)]) -> (Stream, Block) {
    let mut stream = open(gateway, "/sse", query);
    stream.receives_block();
    let welcome = stream.receives_block();
    let is_named = !query.contains(&("names", "off"));
    assert_eq!(welcome.event.as_deref(), is_named.then_some("welcome"));
    has(&welcome.object(), json!({"type": "welcome"}));
    (stream, welcome)
}

/// HTML Standard §9.2.4: the content type by which browsers recognise it.
fn an_event_stream_begins_with_a_welcome(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["http.retry=1234ms"]);
    let mut stream = open(&gateway, "/sse", &[("client", "ann 👍"), ("topic", "news")]);
    for (field, value) in [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache, no-transform"),
        ("X-Accel-Buffering", "no"),
        ("Content-Length", ""),
        ("Access-Control-Allow-Origin", ""),
    ] {
        assert_eq!(stream.response.field(field).unwrap_or_default(), value, "{field}");
    }
    assert_eq!(stream.receives_raw_block(), "retry: 1234\n\n");
    let welcome = stream.receives_block();
    let object = welcome.object();
    has(&object, json!({"type": "welcome", "client": "ann 👍"}));
    assert!(object["connection"].as_str().is_some_and(|name| !name.is_empty()));
    assert_eq!(object["cursor"], *welcome.id.unwrap());
    assert_eq!(welcome.event.as_deref(), Some("welcome"));
}

fn events_have_their_cursor_and_name(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (mut stream, _) = listen(&gateway, &[("client", "bob"), ("topic", "news")]);
    let mut ann = Member::joins(&gateway, "ann");
    let ack = ann.notifies("1", &["bob"], "no name");
    let cursor = ack["cursor"].as_str().unwrap();
    assert_eq!(
        stream.receives_raw_block(),
        format!(
            "id: {cursor}\ndata: {{\"type\":\"event\",\"cursor\":\"{cursor}\",\"from\":\"ann\",\
             \"data\":\"no name\"}}\n\n"
        )
    );
    for name in ["chat", "with: colon", " begins with a blank", "👍", "data"] {
        let ack = ann.does(&json!({
            "type": "publish", "id": name, "topic": "news", "event": name, "data": {"a": 1}
        }));
        let block = stream.receives_event(json!({"a": 1}));
        assert_eq!(block.event.as_deref(), Some(name));
        has(&block.object(), json!({"event": name, "topic": "news"}));
        assert_eq!(ack["cursor"], *block.id.unwrap());
    }
}

/// A page in a browser must register a listener for each name, unless events have no names.
fn event_streams_may_omit_names(engine: Engine) {
    let gateway = Gateway::start(engine);
    let query = [("client", "bob"), ("topic", "news"), ("names", "off")];
    let (mut off, welcome) = listen(&gateway, &query);
    let (mut on, _) = listen(&gateway, &[("client", "bob"), ("topic", "news"), ("names", "on")]);
    let mut ann = Member::joins(&gateway, "ann");
    ann.does(&json!({"type": "publish", "id": "1", "topic": "news", "event": "chat", "data": 1}));
    let (named, unnamed) = (on.receives_event(1), off.receives_event(1));
    assert_eq!((named.event.as_deref(), unnamed.event), (Some("chat"), None));
    assert_eq!(unnamed.data, named.data, "it is still in the object");
    // Replayed events have no name either.
    let cursor = welcome.id.unwrap();
    let (mut again, _) = listen(&gateway, &[&query[..], &[("cursor", &*cursor)]].concat());
    assert_eq!(again.receives_event(1).event, None);
    // Nor does a gap: a client that listens only to `message` must receive it.
    let (epoch, _) = cursor.split_once('-').unwrap();
    let foreign = cursor.replace(epoch, "000000000001");
    let (mut lost, _) = listen(&gateway, &[&query[..], &[("cursor", &*foreign)]].concat());
    let gap = lost.receives_block();
    has(&gap.object(), json!({"type": "gap", "from": foreign}));
    assert_eq!(gap.event, None);
}

/// HTML Standard §9.2.6: any of the line breaks. Between the tokens of JSON it is white space.
fn line_breaks_in_data_become_data_lines(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (mut stream, _) = listen(&gateway, &[("client", "bob")]);
    let mut lines = open(&gateway, "/stream", &[("client", "bob")]);
    lines.receives_object();
    let mut ann = Member::joins(&gateway, "ann");
    for (id, (data, count)) in [
        ("{\n\"a\":\n1}", 3),
        ("[\r\n1,\r2\n]", 4),
        ("[1,\n\nid: stolen\n\n2]", 0),
        ("[\n\n\n\"data: x\",\n\r\"event: y\"\r\n\r\n]", 8),
        ("\"\\n\\r\"", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let command = format!(r#"{{"type":"notify","id":"{id}","to":["bob"],"data":{data}}}"#);
        ann.says(command);
        if count == 0 {
            ann.is_told("error");
            continue;
        }
        ann.is_told("ack");
        let value: Value = serde_json::from_str(data).unwrap();
        let block = stream.receives_event(value.clone());
        assert_eq!(block.data.len(), count, "{data:?}: {block:?}");
        // As a line of JSON, the line breaks become blanks.
        let line = lines.receives_line();
        assert!(!line.trim_end_matches('\n').contains(['\r', '\n']), "{line:?}");
        has(&serde_json::from_str(&line).unwrap(), json!({"data": value}));
    }
}

/// HTML Standard §9.2.4: the header that a browser sends when it reconnects.
fn an_event_stream_resumes_from_its_last_event(engine: Engine) {
    let gateway = Gateway::start(engine);
    let query = [("client", "bob"), ("topic", "news")];
    let (mut stream, _) = listen(&gateway, &query);
    let mut ann = Member::joins(&gateway, "ann");
    for round in 0..5 {
        ann.notifies(&format!("own {round}"), &["bob"], round);
        let last = stream.receives_event(round).id.unwrap();
        drop(stream);
        ann.publishes(&format!("away {round}"), "news", "away");
        ann.notifies(&format!("away too {round}"), &["bob"], "away too");
        stream = Stream::requests(
            &gateway,
            &Request::of(&target("/sse", &query)).and("Last-Event-ID", &last),
        );
        stream.receives_block();
        assert_eq!(stream.receives_block().id.as_ref(), Some(&last));
        stream.receives_event("away");
        stream.receives_event("away too");
    }
}

fn the_last_event_takes_precedence_over_the_query(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let cursors: Vec<String> = (0..4)
        .map(|number| {
            let ack = ann.publishes(&number.to_string(), "news", number);
            ack["cursor"].as_str().unwrap().to_owned()
        })
        .collect();
    let address = target("/sse", &[("topic", "news"), ("cursor", &cursors[0])]);
    for (last, first) in [(None, 1), (Some(&*cursors[2]), 3), (Some(""), 1)] {
        let mut request = Request::of(&address);
        if let Some(last) = last {
            request = request.and("Last-Event-ID", last);
        }
        let mut stream = Stream::requests(&gateway, &request);
        stream.receives_block();
        stream.receives_block();
        stream.receives_event(first);
    }
    // An invalid cursor is distinguished from one that has expired.
    for last in ["new", "1", "\u{e4}", &format!("{}0", cursors[0])] {
        let request = Request::of(&address).and("Last-Event-ID", last);
        assert_eq!(Client::connect(&gateway).requests(&request).status, 400, "{last}");
    }
}

/// The cursor of a client that receives no events stays in the history.
fn a_heartbeat_advances_the_cursor(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.ping_interval=200ms"]);
    let (mut stream, welcome) = listen(&gateway, &[("client", "bob")]);
    let mut lines = open(&gateway, "/stream", &[("client", "bob")]);
    lines.receives_object();
    let mut script = open(&gateway, "/stream", &[("client", "bob"), ("format", "iframe")]);
    script.receives_line();
    script.receives_line();
    let (mut unnamed, _) = listen(&gateway, &[("client", "bob"), ("names", "off")]);
    let first = stream.receives_raw_block();
    assert_eq!(first, format!(": heartbeat\nid: {}\n\n", welcome.id.unwrap()));
    let publish = json!({"type": "publish", "id": "1", "topic": "not for bob", "data": 1});
    let (_, ack) = send(&gateway, "ann", publish);
    let cursor = ack["cursor"].as_str().unwrap();
    while stream.receives_raw_block() != format!(": heartbeat\nid: {cursor}\n\n") {}
    while lines.receives_object() != json!({"type": "pong", "cursor": cursor}) {}
    // A program that resumes by itself has to see the cursor.
    let visible = format!("id: {cursor}\ndata: {{\"type\":\"pong\",\"cursor\":\"{cursor}\"}}\n\n");
    while unnamed.receives_raw_block() != visible {}
    while script.receives_scripted() != json!({"type": "pong", "cursor": cursor}) {}
    // Heartbeats continue as long as the client reads.
    for _ in 0..5 {
        assert_eq!(stream.receives_block().comments, ["heartbeat"]);
    }
}

fn each_line_of_ndjson_is_an_object(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut stream = open(&gateway, "/stream", &[("client", "bob"), ("topic", "news")]);
    assert_eq!(stream.response.field("Content-Type"), Some("application/x-ndjson"));
    assert_eq!(stream.response.field("Cache-Control"), Some("no-cache, no-transform"));
    has(&stream.receives_object(), json!({"type": "welcome", "client": "bob"}));
    let mut ann = Member::joins(&gateway, "ann");
    let ack = ann.notifies("1", &["bob"], "own");
    let cursor = ack["cursor"].as_str().unwrap();
    assert_eq!(
        stream.receives_line(),
        format!(r#"{{"type":"event","cursor":"{cursor}","from":"ann","data":"own"}}"#) + "\n"
    );
    ann.does(&json!({
        "type": "publish", "id": "2", "topic": "news", "event": "chat", "data": {"n": [1, 2]}
    }));
    has(
        &stream.receives_object(),
        json!({"type": "event", "topic": "news", "event": "chat", "data": {"n": [1, 2]}}),
    );
}

fn an_iframe_calls_its_page(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["cors.allowed_origins=[\"https://shop.example\"]"]);
    let mut ann = Member::joins(&gateway, "ann");
    for (key, value, call) in [
        ("names", "on", "parent.ringway(JSON.parse(text))"),
        ("callback", "_f1", "parent._f1(JSON.parse(text))"),
        (
            "origin",
            "https://shop.example",
            r#"parent.postMessage(JSON.parse(text),"https://shop.example")"#,
        ),
    ] {
        let query = [("client", "bob"), ("format", "iframe"), (key, value)];
        let mut stream = open(&gateway, "/stream", &query);
        assert_eq!(stream.response.field("Content-Type"), Some("text/html; charset=utf-8"));
        let prologue = stream.receives_line();
        assert!(prologue.starts_with("<!doctype html>") && prologue.len() >= 1024, "{prologue}");
        assert!(prologue.contains(call), "{prologue}");
        has(&stream.receives_scripted(), json!({"type": "welcome", "client": "bob"}));
        let ack = ann.notifies(value, &["bob"], "hello");
        assert_eq!(
            stream.receives_scripted(),
            json!({"type": "event", "cursor": ack["cursor"], "from": "ann", "data": "hello"})
        );
    }
    // The author of a URL must not choose which methods of a page are called, nor which page gets
    // the events.
    for (query, status) in [
        ("callback=parent.ringway", 400),
        ("callback=opener.document.forms.pay.submit", 400),
        ("origin=https://shop.example&callback=f", 400),
        ("origin=https://evil.example", 403),
    ] {
        let request = Request::of(&format!("/stream?format=iframe&{query}"));
        assert_eq!(Client::connect(&gateway).requests(&request).status, status, "{query}");
    }
}

/// Text of other clients would run with the rights of the page.
fn nothing_ends_a_script_block_but_the_gateway(engine: Engine) {
    let gateway = Gateway::start(engine);
    let hostile = "</script><script>alert(1)</script><!--&\u{2028}\u{2029}]]>";
    let query = [("client", "bob"), ("topic", "news"), ("format", "iframe")];
    let mut stream = open(&gateway, "/stream", &query);
    stream.receives_line();
    stream.receives_line();
    let mut ann = Member::joins(&gateway, "a\"n\\n&");
    ann.does(&json!({
        "type": "publish", "id": "1", "topic": "news", "event": "\"&\u{2028}\\",
        "data": {hostile: hostile},
    }));
    has(
        &stream.receives_scripted(),
        json!({"from": "a\"n\\n&", "event": "\"&\u{2028}\\", "data": {hostile: hostile}}),
    );
}

/// A client that sends bytes where none are expected does no harm.
fn bytes_from_the_reader_of_a_stream_are_ignored(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (mut stream, _) = listen(&gateway, &[("client", "bob")]);
    stream.socket.sends(Request::of("/").bytes());
    stream.socket.sends(vec![b'x'; 100_000]);
    let mut ann = Member::joins(&gateway, "ann");
    ann.notifies("1", &["bob"], 1);
    stream.receives_event(1);
}

/// RFC 9112 §9.3.
fn a_stream_may_follow_other_requests(engine: Engine) {
    let gateway = Gateway::start(engine);
    for path in ["/sse", "/stream"] {
        let mut client = Client::connect(&gateway);
        assert_eq!(client.requests(&Request::of("/")).status, 200);
        // Both in one segment.
        let both = [Request::of("/none").bytes(), Request::of(path).bytes()].concat();
        client.sends(both);
        assert_eq!(client.receives_response().status, 404);
        let mut stream = Stream::on(client);
        assert!(!stream.receives_line().is_empty());
    }
}

fn a_client_whose_stream_ends_leaves_the_hub(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let delivered = json!({"outcome": {"bob": "delivered"}});
    for (id, path) in ["/sse", "/stream", "/stream?format=iframe"].into_iter().enumerate() {
        let address = if path.contains('?') { "&client=bob" } else { "?client=bob" };
        let mut stream = Stream::opens(&gateway, &format!("{path}{address}"));
        stream.receives_line();
        has(&ann.notifies(&format!("here {id}"), &["bob"], 1), delivered.clone());
        // The client's FIN is enough to end it.
        stream.socket.finishes();
        gateway.holds(1);
        let ack = ann.notifies(&format!("away {id}"), &["bob"], 2);
        has(&ack, json!({"outcome": {"bob": "queued"}}));
        drop(stream);
    }
    // A long silence does not end a stream that is still read.
    let (mut stream, _) = listen(&gateway, &[("client", "carl")]);
    stream.socket.receives_nothing_for(Duration::from_millis(100));
    ann.notifies("last", &["carl"], "last");
    stream.receives_event("last");
}
