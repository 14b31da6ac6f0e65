//! Subscribing with the last events of a topic, on every transport.

use serde_json::{Value, json};

use crate::support::{
    Application, Engine, Gateway, Member, Stream, has, on_each_engine, poll, send, target,
};

on_each_engine!(
    a_query_may_ask_for_the_last_events,
    a_subscription_may_ask_for_the_last_events,
    a_cursor_takes_precedence_over_the_last_events,
);

const SETTINGS: [&str; 1] = ["clients.last_events_max=5"];

fn publish(gateway: &Gateway) -> Vec<String> {
    let mut application = Application::of(gateway);
    let publish = |number: u64| {
        let topic = if number.is_multiple_of(2) { "news" } else { "other" };
        let body = json!({ "topic": topic, "data": number });
        let answer = application.posts("/v1/publish", body.to_string()).json();
        answer["cursor"].as_str().unwrap().to_owned()
    };
    (0..40).map(publish).collect()
}

fn a_query_may_ask_for_the_last_events(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    publish(&gateway);
    // A larger number counts as the limit; each topic has its own last events.
    for (last, topics, expected) in [
        ("3", &["news"][..], vec![34, 36, 38]),
        ("99", &["news"], vec![30, 32, 34, 36, 38]),
        ("2", &["news", "other"], vec![36, 37, 38, 39]),
        ("2", &["silent"], vec![]),
    ] {
        let mut query = vec![("client", "ann"), ("last", last)];
        query.extend(topics.iter().map(|topic| ("topic", *topic)));
        let mut member = Member::comes(&gateway, &query);
        expected.iter().for_each(|data| drop(member.receives_event(*data)));
        member.has_received_all();
        drop(member);
        let mut stream = Stream::opens(&gateway, &target("/stream", &query));
        has(&stream.receives_object(), json!({ "type": "welcome" }));
        for data in &expected {
            assert_eq!(stream.receives_object()["data"], *data);
        }
        let mut stream = Stream::opens(&gateway, &target("/sse", &query));
        stream.receives_raw_block();
        assert_eq!(stream.receives_block().event.as_deref(), Some("welcome"));
        expected.iter().for_each(|data| drop(stream.receives_event(*data)));
        query.push(("wait", "0"));
        let expected: Vec<Value> = expected.into_iter().map(Value::from).collect();
        assert_eq!(poll(&gateway, &query).data(), Vec::from_iter(&expected));
    }
}

fn a_subscription_may_ask_for_the_last_events(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    publish(&gateway);
    let mut ann = Member::joins(&gateway, "ann");
    ann.does(&json!({ "type": "subscribe", "id": "1", "topic": "news", "last": 2 }));
    ann.receives_event(36);
    ann.receives_event(38);
    ann.notifies("2", &["ann"], "now");
    ann.receives_event("now");
    ann.is_refused(
        json!({ "type": "subscribe", "id": "3", "topic": "news", "last": 0 }),
        "wrong_type",
    );
    // By a separate request, for a connection that only receives.
    let mut stream = Stream::opens(&gateway, &target("/stream", &[("client", "bob")]));
    let welcome = stream.receives_object();
    let command = json!({
        "type": "subscribe", "id": "1", "topic": "other", "last": 99,
        "connection": welcome["connection"],
    });
    assert_eq!(send(&gateway, "bob", command).0, 200);
    for data in [31, 33, 35, 37, 39] {
        assert_eq!(stream.receives_object()["data"], data);
    }
}

/// If a client reconnects to the same address, its cursor says which events it has seen.
fn a_cursor_takes_precedence_over_the_last_events(engine: Engine) {
    let gateway = Gateway::start_with(engine, &SETTINGS);
    let cursors = publish(&gateway);
    let query = [("client", "ann"), ("topic", "news"), ("last", "5"), ("cursor", &*cursors[36])];
    let mut ann = Member::comes(&gateway, &query);
    ann.receives_event(38);
    ann.has_received_all();
}
