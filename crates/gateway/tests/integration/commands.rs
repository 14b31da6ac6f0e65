//! Commands of clients on `/ws`: the errors for wrong ones, and which ones are accepted.
//!
//! The effects of commands are tested in `notifying` and `publishing`, frames in `faults`.

use serde_json::json;

use crate::support::{
    Client, Engine, Gateway, Member, Request,
    frames::{BINARY, CONTINUATION, FIN, TEXT, frame, header},
    has, on_each_engine, target,
};

on_each_engine!(
    every_fault_has_its_code_and_harms_nothing,
    a_fault_names_the_command,
    the_number_of_recipients_is_limited,
    a_binary_message_is_a_1003,
    text_that_is_not_utf8_is_a_1007,
    a_message_at_the_limit_passes_and_a_larger_one_is_a_1009,
    a_message_may_come_in_fragments,
    many_commands_come_in_one_segment,
    the_subprotocol_is_negotiated,
    anonymous_clients_are_given_names,
    a_recipient_outside_the_permission_is_denied,
    topics_may_be_forbidden,
    data_arrives_byte_for_byte,
    a_pong_carries_the_cursor_of_the_head,
);

/// The first fault that applies is reported, and the connection stays open.
fn every_fault_has_its_code_and_harms_nothing(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let long = "é".repeat(65);
    for (command, code) in [
        ("", "not_json"),
        ("{", "not_json"),
        ("{}{}", "not_json"),
        ("\u{feff}{}", "not_json"),
        ("{'type':'ping'}", "not_json"),
        (r#"{"type":"ping",}"#, "not_json"),
        ("[]", "wrong_type"),
        ("null", "wrong_type"),
        ("\"ping\"", "wrong_type"),
        ("{}", "missing_field"),
        (r#"{"type":1}"#, "wrong_type"),
        (r#"{"type":"ping","type":"ping"}"#, "wrong_type"),
        (r#"{"type":"Ping"}"#, "unknown_type"),
        (r#"{"type":"welcome"}"#, "unknown_type"),
        (r#"{"type":"event","data":1}"#, "unknown_type"),
        (r#"{"type":"notify"}"#, "missing_field"),
        (r#"{"type":"notify","id":"1","data":1}"#, "missing_field"),
        (r#"{"type":"notify","id":"1","to":["a"]}"#, "missing_field"),
        (r#"{"type":"notify","to":["a"],"data":1}"#, "missing_field"),
        (r#"{"type":"notify","id":1,"to":["a"],"data":1}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":"a","data":1}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":[],"data":1}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":["a",1],"data":1}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":["a"],"data":1,"ttl":-1}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":["a"],"data":1,"ttl":"1"}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":["a"],"data":1,"ttl":4294967296}"#, "wrong_type"),
        (r#"{"type":"notify","id":"1","to":["a\u0000"],"data":1}"#, "bad_name"),
        (r#"{"type":"notify","id":"1","to":[""],"data":1}"#, "bad_name"),
        (r#"{"type":"notify","id":"","to":["a"],"data":1}"#, "bad_name"),
        (r#"{"type":"notify","id":"1","to":["a"],"event":"","data":1}"#, "bad_name"),
        (r#"{"type":"notify","id":"1","to":["\ud800"],"data":1}"#, "wrong_type"),
        (&*format!(r#"{{"type":"subscribe","id":"1","topic":"{long}"}}"#), "bad_name"),
        (r#"{"type":"publish","id":"1","data":1}"#, "missing_field"),
        (r#"{"type":"publish","id":"1","topic":"a"}"#, "missing_field"),
        (r#"{"type":"publish","id":"1","topic":"a","data":1,"echo":0}"#, "wrong_type"),
        (r#"{"type":"subscribe","id":"1"}"#, "missing_field"),
        (r#"{"type":"subscribe","id":"1","topic":null}"#, "wrong_type"),
        (r#"{"type":"subscribe","id":"1","topic":"a","since":"1"}"#, "bad_cursor"),
        (r#"{"type":"subscribe","id":"1","topic":"a","since":1}"#, "wrong_type"),
        (r#"{"type":"unsubscribe","id":"1"}"#, "missing_field"),
        (r#"{"type":"unsubscribe","topic":"a"}"#, "missing_field"),
        (r#"{"type":"publish","id":"1","topik":"a","data":1}"#, "unknown_field"),
        (r#"{"type":"publish","id":"1","topic":"a","data":1,"from":"app"}"#, "unknown_field"),
        (r#"{"type":"publish","id":"1","topic":"a.*","data":1}"#, "bad_name"),
        (r#"{"type":"publish","id":"1","topic":"a","event":"@a","data":1}"#, "bad_name"),
        (r#"{"type":"subscribe","id":"1","topic":"$SYS"}"#, "bad_name"),
        (r#"{"type":"notify","id":"1","to":["@a"],"data":1}"#, "bad_name"),
    ] {
        ann.is_refused(command, code);
    }
    // No part of it was performed, and the connection can still be used.
    ann.subscribes("a");
    ann.publishes("1", "a", "sound");
    ann.receives_event("sound");
    ann.has_received_all();
}

fn a_fault_names_the_command(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    for (command, id) in [
        (r#"{"id":"7","type":"notify"}"#, json!("7")),
        (r#"{"type":"publish","id":"\"👍\\","topic":"","data":1}"#, json!("\"👍\\")),
        (r#"{"type":"subscribe","topic":"a","since":"?","id":"last"}"#, json!("last")),
        (r#"{"type":"none","id":"9"}"#, json!("9")),
    ] {
        ann.says(command);
        has(&ann.is_told("error"), json!({"id": id}));
    }
    for command in [r#"{"type":"notify"}"#, r#"{"type":"notify","id":7}"#, r#"{"type":"none"}"#] {
        ann.says(command);
        assert_eq!(ann.is_told("error").get("id"), None, "{command}");
    }
}

/// At the limit, and one over it.
fn the_number_of_recipients_is_limited(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["clients.recipients_max=3"]);
    let mut ann = Member::joins(&gateway, "ann");
    let ack = ann.notifies("1", &["ann", "bob", "carl"], 1);
    has(&ack, json!({"outcome": {"ann": "delivered", "bob": "queued", "carl": "queued"}}));
    ann.receives_event(1);
    let crowd = json!({"type": "notify", "id": "2", "to": ["ann", "b", "c", "d"], "data": 2});
    has(&ann.is_refused(&crowd, "too_many_recipients"), json!({"id": "2"}));
    ann.has_received_all();
}

/// RFC 6455 §7.4.1: a type of data that is not accepted.
fn a_binary_message_is_a_1003(engine: Engine) {
    let gateway = Gateway::start(engine);
    for payload in [&b"{\"type\":\"ping\"}"[..], b"", b"\xff"] {
        let mut ann = Member::joins(&gateway, "ann");
        ann.socket.sends(frame(FIN | BINARY, payload));
        assert!(!ann.socket.receives_close(1003).is_empty());
        ann.socket.receives_end();
    }
    // Nobody is connected any more.
    let mut bob = Member::joins(&gateway, "bob");
    has(&bob.notifies("1", &["ann"], 1), json!({"outcome": {"ann": "queued"}}));
}

/// RFC 6455 §8.1.
fn text_that_is_not_utf8_is_a_1007(engine: Engine) {
    let gateway = Gateway::start(engine);
    for payload in [&b"{\"type\":\"ping\xff\"}"[..], b"\xed\xa0\x80", b"\xf0\x9f\x91"] {
        let mut ann = Member::joins(&gateway, "ann");
        ann.socket.sends(frame(FIN | TEXT, payload));
        ann.socket.receives_close(1007);
        ann.socket.receives_end();
    }
}

/// RFC 6455 §7.4.1.
fn a_message_at_the_limit_passes_and_a_larger_one_is_a_1009(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.message_bytes_max=2000"]);
    let mut bob = Member::joins(&gateway, "bob");
    let command = |bytes: usize| {
        let empty = json!({"type": "notify", "id": "1", "to": ["bob"], "data": ""}).to_string();
        let data = "x".repeat(bytes - empty.len());
        (json!({"type": "notify", "id": "1", "to": ["bob"], "data": data}), data)
    };
    let (message, data) = command(2000);
    let mut ann = Member::joins(&gateway, "ann");
    ann.does(&message);
    bob.receives_event(data);
    ann.says(command(2001).0);
    ann.socket.receives_close(1009);
    ann.socket.receives_end();
    // The gateway closes as soon as the header gives the length.
    let mut ann = Member::joins(&gateway, "ann");
    ann.socket.sends(header(FIN | TEXT, 1 << 40));
    ann.socket.receives_close(1009);
    bob.has_received_all();
}

/// RFC 6455 §5.4.
fn a_message_may_come_in_fragments(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let command = json!({"type": "notify", "id": "1", "to": ["ann"], "data": "κόσμε"}).to_string();
    let mut bytes = Vec::new();
    for (position, byte) in command.bytes().enumerate() {
        let opcode = if position == 0 { TEXT } else { CONTINUATION };
        let fin = if position + 1 == command.len() { FIN } else { 0 };
        bytes.extend(frame(fin | opcode, [byte]));
    }
    ann.socket.sends(bytes);
    ann.is_told("ack");
    ann.receives_event("κόσμε");
}

/// Each is answered, in order.
fn many_commands_come_in_one_segment(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bytes = Vec::new();
    for id in 0..500 {
        let command = json!({"type": "notify", "id": id.to_string(), "to": ["bob"], "data": id});
        bytes.extend(frame(FIN | TEXT, command.to_string()));
        bytes.extend(frame(FIN | TEXT, "?"));
    }
    ann.socket.sends(bytes);
    for id in 0..500 {
        has(&ann.is_told("ack"), json!({"id": id.to_string()}));
        has(&ann.is_told("error"), json!({"code": "not_json"}));
    }
    let mut bob = Member::joins(&gateway, "bob");
    (0..500).for_each(|id| {
        bob.receives_event(id);
    });
}

/// RFC 6455 §4.2.2: one of the offered subprotocols, or none.
fn the_subprotocol_is_negotiated(engine: Engine) {
    let gateway = Gateway::start(engine);
    let name = Some("ringway.v1.json");
    for (offer, agreed) in [
        (None, None),
        (Some("ringway.v1.json"), name),
        (Some("other, ringway.v1.json"), name),
        (Some("ringway.v1.json, other"), name),
        (Some("other"), None),
        (Some("Ringway.v1.json"), None),
        (Some("ringway.v2.json"), None),
    ] {
        let mut request = Request::upgrade_of("/ws?client=ann");
        if let Some(offer) = offer {
            request = request.and("Sec-WebSocket-Protocol", offer);
        }
        let mut client = Client::connect(&gateway);
        client.sends(request.bytes());
        let response = client.is_upgraded();
        assert_eq!(response.field("Sec-WebSocket-Protocol"), agreed, "{offer:?}");
        let welcome = client.receives_frame().payload;
        assert!(welcome.starts_with(br#"{"type":"welcome""#));
    }
}

fn anonymous_clients_are_given_names(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut names: Vec<String> = (0..20)
        .map(|_| Member::comes(&gateway, &[]).welcome["client"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 20, "{names:?}");
    for name in &names {
        let number = name.strip_prefix("anon-").unwrap_or_else(|| panic!("{name}"));
        assert!(number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
    let mut ann = Member::comes(&gateway, &[]);
    let name = ann.welcome["client"].as_str().unwrap().to_owned();
    let mut bob = Member::joins(&gateway, "bob");
    has(&bob.notifies("1", &[&name], 1), json!({"outcome": {&name: "delivered"}}));
    ann.receives_event(1);
}

fn a_recipient_outside_the_permission_is_denied(engine: Engine) {
    let settings = ["clients.may_notify=[\"bob\", \"team.*\"]"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let mut carl = Member::joins(&gateway, "carl");
    let ack = ann.notifies("1", &["bob", "carl", "team.1", "team", "ann"], 1);
    let outcome = json!({
        "bob": "delivered", "carl": "denied", "team.1": "queued", "team": "denied", "ann": "denied",
    });
    has(&ack, json!({"outcome": outcome}));
    bob.receives_event(1);
    has(&ann.notifies("2", &["carl"], 2), json!({"outcome": {"carl": "denied"}}));
    carl.has_received_all();
    ann.has_received_all();
    // The refused event was not kept either.
    let start = carl.welcome["cursor"].as_str().unwrap();
    Member::comes(&gateway, &[("client", "carl"), ("cursor", start)]).has_received_all();

    let gateway = Gateway::start_with(engine, &["clients.may_notify=[]"]);
    let mut ann = Member::joins(&gateway, "ann");
    has(&ann.notifies("1", &["ann"], 1), json!({"outcome": {"ann": "denied"}}));
    ann.has_received_all();
}

fn topics_may_be_forbidden(engine: Engine) {
    let settings =
        ["clients.may_publish=[\"chat.*\"]", "clients.may_subscribe=[\"chat.*\", \"news\"]"];
    let gateway = Gateway::start_with(engine, &settings);
    let mut ann = Member::joins(&gateway, "ann");
    ann.subscribes("news");
    ann.subscribes("chat.1");
    let publish = json!({"type": "publish", "id": "1", "topic": "news", "data": 1});
    has(&ann.is_refused(&publish, "not_allowed"), json!({"id": "1"}));
    let subscribe = json!({"type": "subscribe", "id": "2", "topic": "newspaper"});
    has(&ann.is_refused(&subscribe, "not_allowed"), json!({"id": "2"}));
    // The refused id may be used again for an allowed command.
    ann.publishes("1", "chat.1", "allowed");
    ann.receives_event("allowed");
    ann.has_received_all();

    // Refused at the handshake, whichever of the topics is forbidden.
    let query = [("topic", "chat.1"), ("topic", "other")];
    let upgrade = Request::upgrade_of(&target("/ws", &query));
    for request in [upgrade]
        .into_iter()
        .chain(["/sse", "/stream", "/poll"].map(|path| Request::of(&target(path, &query))))
    {
        let response = Client::connect(&gateway).requests(&request);
        assert_eq!(response.status, 403, "{request:?}");
        let reason = String::from_utf8(response.body).unwrap();
        assert!(reason.contains("topic"), "{reason}");
    }
}

/// Data is validated once and never encoded again.
fn data_arrives_byte_for_byte(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    let deep = format!("{}1{}", "[".repeat(128), "]".repeat(128));
    for (id, data) in [
        "1e400",
        "-0",
        "1.000000000000000000000000000000000001",
        "123456789012345678901234567890",
        "{ \"a\" : [ 1 ,\t2 ]\r\n, \"a\":\n{} }",
        "\"\\u0041\\/\\ud83d\\ude00 \\u2028 😀 \u{2028} \u{7f}\"",
        "\"\\ud800\"",
        "null",
        "false",
        "\"\"",
        "{\"</script>\":\"<!--\"}",
        "{\"type\":\"event\",\"cursor\":\"000000000000-0000000000000000\"}",
        &deep,
    ]
    .into_iter()
    .enumerate()
    {
        for command in [
            format!(r#"{{"type":"notify","id":"n{id}","to":["bob"],"data":{data}}}"#),
            format!(
                "{{\"data\":  {data}\n, \"topic\":\"news\",\"id\":\"p{id}\",\"type\":\"publish\"}}"
            ),
        ] {
            ann.says(&command);
            let ack = ann.is_told("ack");
            let cursor = ack["cursor"].as_str().unwrap();
            let topic = if command.contains("\"topic\"") { r#","topic":"news""# } else { "" };
            let event = format!(
                r#"{{"type":"event","cursor":"{cursor}","from":"ann"{topic},"data":{data}}}"#
            );
            let (text, _) = bob.receives_text();
            assert!(text == event, "{:.300} instead of {:.300}", text, event);
        }
    }
}

fn a_pong_carries_the_cursor_of_the_head(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    assert_eq!(ann.asks(&json!({"type": "ping"}))["cursor"], ann.welcome["cursor"]);
    let ack = ann.notifies("1", &["bob"], 1);
    assert_eq!(ann.asks(&json!({"type": "ping"}))["cursor"], ack["cursor"]);
    assert_ne!(ack["cursor"], ann.welcome["cursor"]);
}
