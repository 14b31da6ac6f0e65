//! One client floods the history and the outcomes of commands; other clients lose none of theirs.

use serde_json::{Value, json};

use crate::support::{
    Client, Engine, Gateway, Member, Request,
    frames::{FIN, TEXT, frame},
    has, on_each_engine, poll,
};

on_each_engine!(
    a_flood_displaces_nothing_of_others,
    a_flood_of_commands_makes_nothing_happen_twice,
    a_crowd_behind_one_address_has_one_share,
);

/// In these tests the rate must not stop a flood.
const UNHURRIED: &str = "limits.publishes_per_second_max=1000000";

/// Commands that have no answer yet, at a time.
const PIPELINED: usize = 50;

/// Publishes `count` events of this size; returns the answers.
fn floods(flooder: &mut Member, count: usize, bytes: usize) -> Vec<Value> {
    let data = "x".repeat(bytes);
    let mut answers = Vec::new();
    for first in (0..count).step_by(PIPELINED) {
        let commands = (first..first + PIPELINED).flat_map(|id| {
            let id = format!("flood-{id}");
            let command = json!({"type": "publish", "id": id, "topic": "noise", "data": data});
            frame(FIN | TEXT, command.to_string())
        });
        flooder.socket.sends(commands.collect::<Vec<u8>>());
        answers.extend((0..PIPELINED).map(|_| flooder.receives()));
    }
    answers
}

/// 12 MB into a history of 1 MiB.
fn a_flood_displaces_nothing_of_others(engine: Engine) {
    let settings = ["history.bytes_max=1MiB", "websocket.message_bytes_max=64KiB", UNHURRIED];
    let gateway = Gateway::start_with(engine, &settings);
    let mut ann = Member::joins(&gateway, "ann");
    ann.notifies("1", &["carl"], "kept");
    let published = ann.publishes("2", "news", "headline");
    let mut flooder = Member::joins(&gateway, "flooder");
    let answers = floods(&mut flooder, 3_000, 4_000);
    let refused: Vec<&Value> = answers.iter().filter(|one| one["type"] == "error").collect();
    assert!(refused.len() > 2_000 && refused.len() < 2_950, "{} refused", refused.len());
    has(refused[0], json!({"code": "unavailable", "key": "history.client_share", "limit": 12}));
    // No longer than the history keeps an event.
    let retry_after = refused[0]["retry_after"].as_f64().unwrap_or_default();
    assert!(retry_after > 200.0 && retry_after <= 300.0, "{}", refused[0]);
    let counted = gateway.metric("ringway_refused_events_total{limit=\"client_share\"}");
    assert_eq!(counted, refused.len() as u64);
    gateway.logs("an event was refused because of history.client_share");
    // On another transport, too.
    let command = json!({"type": "publish", "id": "3", "topic": "t", "data": "x".repeat(4_000)});
    let request = Request::post("/send?client=flooder", &command.to_string());
    let response = Client::connect(&gateway).requests(&request);
    assert_eq!(response.json()["key"], "history.client_share");
    assert!(response.status == 503 || response.status == 429, "{}", response.head);
    assert!(response.field("Retry-After").is_some(), "{}", response.head);
    // Others have what they had, and may send.
    let events = poll(&gateway, &[("client", "carl"), ("wait", "0")]).events;
    assert_eq!(events.len(), 1, "{events:?}");
    has(&events[0], json!({"type": "event", "data": "kept"}));
    let last = [("client", "dora"), ("topic", "news"), ("last", "10"), ("wait", "0")];
    let events = poll(&gateway, &last).events;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(ann.publishes("2", "news", "headline"), published, "performed once");
    ann.publishes("4", "news", "more");
}

/// More commands than there is room for outcomes.
fn a_flood_of_commands_makes_nothing_happen_twice(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.outcome_bytes_max=1MiB", UNHURRIED]);
    let mut ann = Member::joins(&gateway, "ann");
    let ids: Vec<String> = (0..10).map(|id| format!("a{id}")).collect();
    let first: Vec<Value> = ids.iter().map(|id| ann.publishes(id, "news", 1)).collect();
    let mut flooder = Member::joins(&gateway, "flooder");
    let answers = floods(&mut flooder, 5_000, 10);
    assert!(answers.iter().all(|answer| answer["type"] == "ack"));
    let again: Vec<Value> = ids.iter().map(|id| ann.publishes(id, "news", 1)).collect();
    assert_eq!(again, first);
    assert_eq!(floods(&mut flooder, PIPELINED, 10).len(), PIPELINED);
    let events =
        poll(&gateway, &[("client", "b"), ("topic", "news"), ("last", "20"), ("wait", "0")]);
    assert_eq!(events.events.len(), 10);
}

/// Clients without a token may have any number of names.
fn a_crowd_behind_one_address_has_one_share(engine: Engine) {
    let settings = [
        "history.events_max=200",
        "history.topic_share=100",
        "limits.connections_per_address_exempt=[]",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    // The application has an event of its own, which the crowd does not displace.
    let application = json!({"topic": "news", "data": "headline"}).to_string();
    let published = crate::support::Application::of(&gateway).posts("/v1/publish", application);
    assert_eq!(published.status, 200);
    let mut refused = 0;
    for name in 0..30 {
        let mut client = Member::joins(&gateway, &format!("name-{name}"));
        for id in 0..10 {
            let command = json!({"type": "publish", "id": id.to_string(), "topic": "t", "data": 1});
            refused += usize::from(client.asks(&command)["type"] == "error");
        }
    }
    assert!(refused > 100, "{refused} refused");
    assert_eq!(gateway.metric("ringway_first_sequence"), 1);
}
