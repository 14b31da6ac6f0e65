//! Notifying clients by name: events are delivered at once, or kept for absent clients, and arrive
//! once.
//!
//! The form of commands is tested in `commands`, topics in `publishing`.

use serde_json::json;

use crate::support::{
    Engine, Gateway, Launch, Member, Stream, eventually, has, on_each_engine, poll, send, target,
};

on_each_engine!(
    ann_notifies_bob_and_carl,
    carl_connects_too_late,
    unkept_events_are_only_for_connected_clients,
    a_repeated_command_is_performed_once,
    a_command_repeated_on_another_connection_is_performed_once,
    the_same_id_of_another_client_is_another_command,
    a_repeated_recipient_gets_the_event_once,
    every_connection_of_a_recipient_gets_the_event,
    a_client_may_notify_itself,
    any_valid_name_is_passed_on_unchanged,
    a_returning_client_gets_the_events_since_it_left_once,
    events_have_the_documented_form,
);

/// The first example of README.md's tour.
fn ann_notifies_bob_and_carl(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    has(&ann.welcome, json!({"client": "ann"}));
    let ack = ann.notifies("1", &["bob", "carl"], "hello");
    has(&ack, json!({"id": "1", "outcome": {"bob": "delivered", "carl": "queued"}}));
    let event = bob.receives_event("hello");
    has(&event, json!({"from": "ann", "cursor": ack["cursor"]}));
    let mut carl = Member::joins(&gateway, "carl");
    assert_eq!(carl.receives_event("hello"), event);
    carl.has_received_all();
    bob.has_received_all();
    ann.has_received_all();
}

/// The first event has expired before Carl connects; the one without a time to live is still there.
fn carl_connects_too_late(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    for (id, ttl) in [("1", json!(3)), ("2", json!(300)), ("3", json!(null)), ("4", json!(3))] {
        let ack = ann.does(&json!({
            "type": "notify", "id": id, "to": ["carl"], "data": id, "ttl": ttl
        }));
        has(&ack, json!({"outcome": {"carl": "queued"}}));
    }
    // Before it expires, a client that reads from the beginning gets it.
    let start = ann.welcome["cursor"].as_str().unwrap();
    let query = [("client", "carl"), ("wait", "0"), ("cursor", start)];
    assert_eq!(poll(&gateway, &query).data(), ["1", "2", "3", "4"]);
    eventually("an event with a ttl of three seconds has expired", || {
        poll(&gateway, &query).data() == ["2", "3"]
    });
    let mut late = Member::comes(&gateway, &[("client", "carl"), ("cursor", start)]);
    late.receives_event("2");
    late.receives_event("3");
    late.has_received_all();
}

/// A time to live of 0.
fn unkept_events_are_only_for_connected_clients(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let start = bob.cursor.clone();
    let ack = ann.does(&json!({
        "type": "notify", "id": "1", "to": ["bob", "carl"], "data": "now", "ttl": 0
    }));
    has(&ack, json!({"outcome": {"bob": "delivered", "carl": "offline"}}));
    bob.receives_event("now");
    ann.notifies("2", &["bob", "carl"], "kept");
    bob.receives_event("kept");
    for name in ["bob", "carl"] {
        let query = [("client", name), ("cursor", &*start)];
        let mut again = Member::comes(&gateway, &query);
        // A client that was connected, and whose cursor says that it has not seen the event, may
        // have lost its connection just then.
        let expected = if name == "bob" { &["now", "kept"][..] } else { &["kept"] };
        for data in expected {
            again.receives_event(*data);
        }
        again.has_received_all();
        let query = [("client", name), ("cursor", &*start), ("wait", "0")];
        assert_eq!(poll(&gateway, &query).data(), expected);
    }
    // For a client that was away the event does not exist: it gets neither the event nor a gap.
    let ack = ann.does(&json!({
        "type": "notify", "id": "3", "to": ["dora"], "data": "missed", "ttl": 0
    }));
    has(&ack, json!({"outcome": {"dora": "offline"}}));
    for cursor in [None, Some(("cursor", &*start))] {
        let query: Vec<_> = [("client", "dora")].into_iter().chain(cursor).collect();
        Member::comes(&gateway, &query).has_received_all();
    }
}

fn a_repeated_command_is_performed_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    let ack = ann.notifies("1", &["bob", "carl"], "first");
    bob.receives_event("first");
    // Later changes do not change the answer either.
    let _carl = Member::joins(&gateway, "carl");
    assert_eq!(ann.notifies("1", &["bob", "carl"], "first"), ack);
    assert_eq!(ann.notifies("1", &["dave"], "something else"), ack);
    bob.has_received_all();
    let ack = ann.publishes("2", "news", "second");
    bob.receives_event("second");
    assert_eq!(ann.publishes("2", "news", "second"), ack);
    bob.has_received_all();
    // A refusal is not remembered: the command may be corrected and sent again.
    ann.is_refused(r#"{"type":"publish","id":"3","topic":"news"}"#, "missing_field");
    ann.publishes("3", "news", "third");
    bob.receives_event("third");
}

/// On other connections, on other cores, and by request.
fn a_command_repeated_on_another_connection_is_performed_once(engine: Engine) {
    let gateway = Launch::bare(engine).start();
    let mut bob = Member::joins(&gateway, "bob");
    let mut ann = Member::joins(&gateway, "ann");
    let ack = ann.notifies("1", &["bob"], "once");
    bob.receives_event("once");
    let command = json!({"type": "notify", "id": "1", "to": ["bob"], "data": "once"});
    for _ in 0..10 {
        let mut again = Member::joins(&gateway, "ann");
        assert_eq!(again.does(&command), ack);
        assert_eq!(send(&gateway, "ann", &command), (200, ack.clone()));
    }
    ann.notifies("2", &["bob"], "then");
    bob.receives_event("then");
}

fn the_same_id_of_another_client_is_another_command(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = Member::joins(&gateway, "bob");
    for name in ["ann", "carl"] {
        Member::joins(&gateway, name).notifies("1", &["bob"], name);
        bob.receives_event(name);
    }
}

fn a_repeated_recipient_gets_the_event_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let ack = ann.notifies("1", &["bob", "carl", "bob", "carl"], 1);
    has(&ack, json!({"outcome": {"bob": "delivered", "carl": "queued"}}));
    bob.receives_event(1);
    bob.has_received_all();
}

fn every_connection_of_a_recipient_gets_the_event(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bobs: Vec<Member> = (0..3).map(|_| Member::joins(&gateway, "bob")).collect();
    let mut stream = Stream::opens(&gateway, &target("/stream", &[("client", "bob")]));
    has(&stream.receives_object(), json!({"type": "welcome", "client": "bob"}));
    for round in 0..3 {
        let ack = ann.notifies(&round.to_string(), &["bob"], round);
        has(&ack, json!({"outcome": {"bob": "delivered"}}));
        for bob in &mut bobs {
            bob.receives_event(round);
            bob.has_received_all();
        }
        has(&stream.receives_object(), json!({"data": round}));
        // The others remain when one leaves.
        bobs.pop();
        let left = bobs.len() as u64 + 2;
        gateway.holds(left);
    }
}

fn a_client_may_notify_itself(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    has(&ann.notifies("1", &["ann"], 1), json!({"outcome": {"ann": "delivered"}}));
    has(&ann.receives_event(1), json!({"from": "ann"}));
    ann.has_received_all();
}

/// Names of clients, commands and events with any characters but control characters.
fn any_valid_name_is_passed_on_unchanged(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = Member::joins(&gateway, "bob");
    let longest = "é".repeat(64);
    for name in [
        "👩‍🚀 im All",
        "\"quoted\"",
        "back\\slash",
        "a b",
        " ",
        "a*",
        "<&>",
        "a/b?c=d&e#f%41+g",
        "\u{2028}\u{2029}",
        "{}",
        "null",
        "日本語",
        "\u{feff}",
        &*longest,
    ] {
        let mut other = Member::joins(&gateway, name);
        has(&other.welcome, json!({"client": name}));
        let ack = other.does(&json!({
            "type": "notify", "id": name, "to": ["bob", name], "event": name, "data": null
        }));
        let outcome = json!({"bob": "delivered", name: "delivered"});
        assert_eq!((&ack["id"], &ack["outcome"]), (&name.into(), &outcome));
        for member in [&mut bob, &mut other] {
            let event = member.receives_event(json!(null));
            has(&event, json!({"from": name, "event": name}));
        }
        has(&bob.notifies(name, &[name], 1), json!({"outcome": {name: "delivered"}}));
        has(&other.receives_event(1), json!({"from": "bob"}));
    }
}

/// Without a cursor: the gateway knows the client's position.
fn a_returning_client_gets_the_events_since_it_left_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    for round in 0..3 {
        ann.notifies(&format!("here {round}"), &["bob"], "here");
        bob.receives_event("here");
        drop(bob);
        gateway.holds(1);
        let ack = ann.notifies(&format!("away {round}"), &["bob"], "away");
        has(&ack, json!({"outcome": {"bob": "queued"}}));
        bob = Member::joins(&gateway, "bob");
        bob.receives_event("away");
        bob.has_received_all();
        // A client that opens a second connection has missed nothing.
        Member::joins(&gateway, "bob").has_received_all();
        gateway.holds(2);
    }
}

/// Which members an event has, and which it does not have.
fn events_have_the_documented_form(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::comes(&gateway, &[("client", "ann"), ("topic", "news")]);
    let members = |value: &serde_json::Value| {
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(members(&ann.welcome), "client connection cursor type");
    assert_eq!(members(&ann.notifies("1", &["ann"], 1)), "cursor id outcome type");
    assert_eq!(members(&ann.receives_event(1)), "cursor data from type");
    assert_eq!(members(&ann.publishes("2", "news", 2)), "cursor id type");
    let event = ann.receives_event(2);
    assert_eq!(members(&event), "cursor data from topic type");
    has(&event, json!({"topic": "news"}));
    ann.does(&json!({
        "type": "publish", "id": "3", "topic": "news", "event": "chat", "data": 3
    }));
    let event = ann.receives_event(3);
    assert_eq!(members(&event), "cursor data event from topic type");
    has(&event, json!({"event": "chat"}));
    assert_eq!(members(&ann.subscribes("other")), "cursor id type");
    assert_eq!(members(&ann.unsubscribes("other")), "cursor id type");
    ann.says(r#"{"type":"ping"}"#);
    assert_eq!(members(&ann.is_told("pong")), "cursor type");
    ann.says("{");
    assert_eq!(members(&ann.is_told("error")), "code message type");
    ann.says(r#"{"type":"notify","id":"5"}"#);
    assert_eq!(members(&ann.is_told("error")), "code id message type");
}
