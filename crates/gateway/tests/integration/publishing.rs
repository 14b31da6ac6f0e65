//! Topics: which clients are subscribed, from which event on, and how many subscriptions there may
//! be.
//!
//! Resuming is tested in `cursors`, subscribing by request in `sending`.

use std::{io::Write, thread};

use ringway_acceptor::descriptors;
use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits};
use serde_json::json;

use crate::support::{
    Engine, Gateway, Member, Request,
    frames::{FIN, RSV1, TEXT, frame},
    has, on_each_engine,
};

on_each_engine!(
    subscribers_get_published_events,
    a_sender_may_exclude_itself,
    a_second_subscription_changes_nothing,
    subscriptions_belong_to_one_connection,
    the_query_may_subscribe_too,
    a_topic_is_replayed_from_a_cursor,
    the_topics_of_a_client_are_limited,
    any_valid_topic_is_passed_on_unchanged,
    a_topic_and_a_client_of_the_same_name_are_separate,
    many_topics_keep_one_order,
    a_burst_of_one_topic_arrives_completely,
    a_large_audience_is_served_once_over_several_turns,
);

fn subscribers_get_published_events(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let mut carl = Member::joins(&gateway, "carl");
    ann.publishes("0", "news", "before");
    bob.subscribes("news");
    let ack = ann.publishes("1", "news", "first");
    let event = bob.receives_event("first");
    has(&event, json!({"topic": "news", "from": "ann", "cursor": ack["cursor"]}));
    carl.subscribes("news");
    ann.subscribes("news");
    ann.publishes("2", "news", "second");
    for member in [&mut ann, &mut bob, &mut carl] {
        member.receives_event("second");
    }
    bob.unsubscribes("news");
    ann.publishes("3", "news", "third");
    carl.receives_event("third");
    ann.receives_event("third");
    bob.has_received_all();
    // Unsubscribing is accepted with or without a subscription.
    bob.unsubscribes("news");
    bob.unsubscribes("never heard of");
    ann.publishes("4", "never heard of", "fourth");
    for member in [&mut ann, &mut bob, &mut carl] {
        member.has_received_all();
    }
}

fn a_sender_may_exclude_itself(engine: Engine) {
    let gateway = Gateway::start(engine);
    let query = |name: &'static str| [("client", name), ("topic", "chat")];
    let mut ann = Member::comes(&gateway, &query("ann"));
    // The publishing client is left out on all of its connections.
    let mut anns_other = Member::comes(&gateway, &query("ann"));
    let mut bob = Member::comes(&gateway, &query("bob"));
    let start = ann.cursor.clone();
    let publish = |echo: Option<bool>, id: &str| match echo {
        None => json!({"type": "publish", "id": id, "topic": "chat", "data": id}),
        Some(echo) => {
            json!({"type": "publish", "id": id, "topic": "chat", "data": id, "echo": echo})
        }
    };
    for (echo, id) in [(Some(false), "1"), (None, "2"), (Some(false), "3"), (Some(true), "4")] {
        ann.does(&publish(echo, id));
        bob.receives_event(id);
        for own in [&mut ann, &mut anns_other] {
            if echo != Some(false) {
                own.receives_event(id);
            }
            own.has_received_all();
        }
    }
    // A replay does not return the event to its publisher either.
    let query = [("client", "ann"), ("topic", "chat"), ("cursor", &*start)];
    let mut again = Member::comes(&gateway, &query);
    again.receives_event("2");
    again.receives_event("4");
    again.has_received_all();
}

fn a_second_subscription_changes_nothing(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::comes(&gateway, &[("client", "ann"), ("topic", "a"), ("topic", "a")]);
    ann.subscribes("a");
    ann.publishes("1", "a", 1);
    ann.receives_event(1);
    ann.has_received_all();
    ann.unsubscribes("a");
    ann.publishes("2", "a", 2);
    ann.has_received_all();
    for round in 3..100 {
        ann.subscribes("a");
        ann.publishes(&round.to_string(), "a", round);
        ann.receives_event(round);
        ann.unsubscribes("a");
    }
    ann.has_received_all();
}

fn subscriptions_belong_to_one_connection(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut phone = Member::joins(&gateway, "ann");
    let mut hub = Member::joins(&gateway, "ann");
    phone.subscribes("news");
    hub.publishes("1", "news", 1);
    phone.receives_event(1);
    hub.has_received_all();
    // The subscriptions end with the connection.
    drop(phone);
    gateway.holds(1);
    let mut phone = Member::joins(&gateway, "ann");
    hub.publishes("2", "news", 2);
    phone.has_received_all();
}

fn the_query_may_subscribe_too(engine: Engine) {
    let gateway = Gateway::start(engine);
    let query = [("client", "ann"), ("topic", "a"), ("topic", "b"), ("topic", "a")];
    let mut ann = Member::comes(&gateway, &query);
    let mut bob = Member::joins(&gateway, "bob");
    for (number, topic) in ["a", "b", "c", "b", "a"].into_iter().enumerate() {
        bob.publishes(&number.to_string(), topic, number);
        if topic != "c" {
            has(&ann.receives_event(number), json!({"topic": topic}));
        }
    }
    ann.unsubscribes("a");
    bob.publishes("5", "a", 5);
    bob.publishes("6", "b", 6);
    ann.receives_event(6);
    ann.has_received_all();
}

fn a_topic_is_replayed_from_a_cursor(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let acks: Vec<_> =
        (0..5).map(|number| ann.publishes(&number.to_string(), "news", number)).collect();
    let mut bob = Member::joins(&gateway, "bob");
    let subscribe = |since: &serde_json::Value| json!({"type": "subscribe", "id": "s", "topic": "news", "since": since});
    let start = &ann.welcome["cursor"];
    for (since, missed) in [(start, 0..5), (&acks[2]["cursor"], 3..5), (&acks[4]["cursor"], 5..5)] {
        bob.does(&subscribe(since));
        for number in missed {
            has(&bob.receives_event(number), json!({"cursor": acks[number]["cursor"]}));
        }
        bob.has_received_all();
        bob.unsubscribes("news");
    }
    // A client may read a topic again that it is subscribed to.
    bob.subscribes("news");
    bob.has_received_all();
    bob.does(&subscribe(&acks[3]["cursor"]));
    bob.receives_event(4);
    ann.publishes("5", "news", 5);
    bob.receives_event(5);
    bob.has_received_all();
}

/// At the limit, and one over it.
fn the_topics_of_a_client_are_limited(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["clients.subscriptions_max=3"]);
    let mut ann = Member::joins(&gateway, "ann");
    for topic in ["a", "b", "c", "a"] {
        ann.subscribes(topic);
    }
    let one_more = json!({"type": "subscribe", "id": "9", "topic": "d"});
    has(&ann.is_refused(&one_more, "too_many_subscriptions"), json!({"id": "9"}));
    ann.subscribes("b");
    ann.publishes("1", "d", "not for her");
    ann.publishes("2", "c", "for her");
    ann.receives_event("for her");
    ann.unsubscribes("a");
    ann.does(&one_more);
    ann.is_refused(json!({"type": "subscribe", "id": "s", "topic": "a"}), "too_many_subscriptions");
    // The limit is per connection, and applies to its query as well.
    let mut other = Member::comes(
        &gateway,
        &[("client", "ann"), ("topic", "a"), ("topic", "b"), ("topic", "c")],
    );
    other.is_refused(&one_more, "too_many_subscriptions");
}

fn any_valid_topic_is_passed_on_unchanged(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let longest = "x".repeat(128);
    for (number, topic) in [
        "🛰 orbit",
        "\"",
        "\\",
        "a b",
        " ",
        "a*",
        "<script>",
        "a/b/+/#",
        "\u{2028}",
        "ann",
        &*longest,
    ]
    .into_iter()
    .enumerate()
    {
        let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", topic)]);
        ann.subscribes(topic);
        ann.publishes(&number.to_string(), topic, topic);
        for member in [&mut ann, &mut bob] {
            has(&member.receives_event(topic), json!({"topic": topic}));
        }
        ann.unsubscribes(topic);
    }
    ann.has_received_all();
}

/// A topic and a client with the same name are different.
fn a_topic_and_a_client_of_the_same_name_are_separate(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut news = Member::joins(&gateway, "news");
    let mut ann = Member::comes(&gateway, &[("client", "ann"), ("topic", "news")]);
    news.publishes("1", "news", "to the topic");
    ann.receives_event("to the topic");
    ann.notifies("2", &["news"], "to the client");
    news.receives_event("to the client");
    ann.has_received_all();
    news.has_received_all();
}

/// Events of topics and the client's own events, in the same order on every connection.
fn many_topics_keep_one_order(engine: Engine) {
    let gateway = Gateway::start(engine);
    let topics: Vec<String> = (0..20).map(|number| format!("topic {number}")).collect();
    let mut query = vec![("client", "bob")];
    query.extend(topics.iter().map(|topic| ("topic", &**topic)));
    let mut bobs = [(); 2].map(|()| Member::comes(&gateway, &query));
    let mut ann = Member::joins(&gateway, "ann");
    for number in 0..300 {
        let data = json!(number);
        let command = match number % 3 {
            0 => json!({"type": "notify", "id": data.to_string(), "to": ["bob"], "data": data}),
            _ => {
                let topic = &topics[number % topics.len()];
                json!({"type": "publish", "id": data.to_string(), "topic": topic, "data": data})
            }
        };
        ann.says(command);
    }
    for bob in &mut bobs {
        let mut before = bob.cursor.clone();
        for number in 0..300 {
            bob.receives_event(number);
            assert!(before < bob.cursor, "{before} {}", bob.cursor);
            before.clone_from(&bob.cursor);
        }
        bob.has_received_all();
    }
}

/// Successive events of a topic, short and long, which are sent together.
fn a_burst_of_one_topic_arrives_completely(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut bob = Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]);
    let mut ann = Member::joins(&gateway, "ann");
    let payload = |number: usize| {
        let bytes = [0, 100, 40, 126, 3, 70_000, 65_400, 1][number % 8];
        format!("{number} {}", "x".repeat(bytes))
    };
    let mut burst = Vec::new();
    for number in 0..200 {
        let command = json!({
            "type": "publish", "id": number.to_string(), "topic": "news",
            "data": payload(number), "echo": number % 7 != 0,
        });
        burst.extend(frame(FIN | TEXT, command.to_string()));
    }
    let mut sending = ann.socket.stream();
    let sender = thread::spawn(move || sending.write_all(&burst).unwrap());
    for number in 0..200 {
        bob.receives_event(payload(number));
    }
    for number in 0..200 {
        has(&ann.is_told("ack"), json!({"id": number.to_string()}));
    }
    sender.join().unwrap();
    bob.has_received_all();
}

/// More clients than are served in a turn. A client that has been served reads on from the log
/// between two turns, because the rest of its input, which inflates to more than a turn may cost,
/// comes after.
fn a_large_audience_is_served_once_over_several_turns(engine: Engine) {
    descriptors::raise_limit().unwrap();
    let gateway = Gateway::start_with(engine, &["limits.connections_per_client_max=2000"]);
    let request = Request::upgrade_of("/ws?client=ann&topic=news")
        .and("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut ann = Member::upgrades(&gateway, &request);
    let mut bobs: Vec<Member> = (0..1200)
        .map(|_| Member::comes(&gateway, &[("client", "bob"), ("topic", "news")]))
        .collect();
    let start = ann.welcome["cursor"].clone();
    ann.publishes("0", "other", "past");
    let publish = json!({"type": "publish", "id": "1", "topic": "news", "data": "once"});
    let subscribe = json!({"type": "subscribe", "id": "2", "topic": "other", "since": start});
    let mut bytes = frame(FIN | TEXT, publish.to_string());
    for _ in 0..2 {
        let mut blanks = Vec::new();
        Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL)
            .deflate(&vec![b' '; 1 << 20], &mut blanks);
        bytes.extend(frame(FIN | RSV1 | TEXT, blanks));
    }
    bytes.extend(frame(FIN | TEXT, subscribe.to_string()));
    ann.socket.sends(bytes);
    for bob in &mut bobs {
        bob.receives_event("once");
    }
    let (mut events, mut answers) = (Vec::new(), Vec::new());
    while answers.len() < 4 || events.len() < 2 {
        match ann.receives() {
            event if event["type"] == "event" => events.push(event["data"].clone()),
            answer => answers.push(answer["type"].clone()),
        }
    }
    assert_eq!(answers, ["ack", "error", "error", "ack"]);
    assert_eq!(events, ["once", "past"]);
    ann.has_received_all();
    bobs.iter_mut().for_each(Member::has_received_all);
}
