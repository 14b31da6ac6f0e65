//! Topics that keep less than the history: wherever they are read, dropped events are a gap, and no
//! event of other topics is lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Application, Engine, Gateway, Launch, Member, Stream, eventually, has, on_each_engine, poll,
    target,
};

on_each_engine!(
    a_returning_client_gets_what_its_topics_keep_and_a_gap_for_the_rest,
    the_last_events_and_the_history_are_what_the_topic_keeps,
    a_connected_client_gets_every_event_of_a_topic_that_keeps_few,
    a_topic_drops_old_events,
);

const TOPICS: &str = "[[history.topic]]\npattern = \"news.*\"\nevents_max = 3\n\
                      [[history.topic]]\npattern = \"brief\"\nage_max = \"1s\"\n";

fn gateway(engine: Engine) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(&path, TOPICS).unwrap();
    Launch::on(engine).flags(&["--config", path.to_str().unwrap()]).start()
}

/// Publishes 0 to 11, alternating between two topics; returns the cursors of the events.
fn publish(application: &mut Application) -> Vec<String> {
    let publish = |number: usize| {
        let topic = ["news.a", "other"][number % 2];
        let body = json!({ "topic": topic, "data": number });
        let answer = application.posts("/v1/publish", body.to_string()).json();
        answer["cursor"].as_str().unwrap().to_owned()
    };
    (0..12).map(publish).collect()
}

/// The messages to a client that has seen the first event: `news.a` keeps 6, 8 and 10.
fn expected(cursors: &[String]) -> Vec<Value> {
    let gap =
        |from: usize, to: usize| json!({"type": "gap", "from": cursors[from], "to": cursors[to]});
    let event = |number: usize| json!({"type": "event", "cursor": cursors[number], "data": number});
    let mut told = vec![event(1), gap(1, 2), event(3), gap(3, 4)];
    told.extend((5..12).map(event));
    told
}

fn a_returning_client_gets_what_its_topics_keep_and_a_gap_for_the_rest(engine: Engine) {
    let gateway = gateway(engine);
    let cursors = publish(&mut Application::of(&gateway));
    let mut query =
        vec![("client", "ann"), ("cursor", &*cursors[0]), ("topic", "news.a"), ("topic", "other")];
    let mut member = Member::comes(&gateway, &query);
    expected(&cursors).into_iter().for_each(|one| has(&member.receives(), one));
    member.has_received_all();
    let mut stream = Stream::opens(&gateway, &target("/stream", &query));
    has(&stream.receives_object(), json!({ "type": "welcome" }));
    expected(&cursors).into_iter().for_each(|one| has(&stream.receives_object(), one));
    query.push(("wait", "0"));
    let found = poll(&gateway, &query);
    assert_eq!(found.events.len(), expected(&cursors).len());
    expected(&cursors).into_iter().zip(&found.events).for_each(|(one, told)| has(told, one));
    // A subscription from a cursor gets the same.
    let mut bob = Member::joins(&gateway, "bob");
    bob.does(&json!({"type": "subscribe", "id": "1", "topic": "news.a", "since": cursors[0]}));
    has(&bob.receives(), json!({"type": "gap", "from": cursors[0], "to": cursors[4]}));
    [6, 8, 10].into_iter().for_each(|data| drop(bob.receives_event(data)));
    bob.has_received_all();
    // A client that has seen the dropped events has missed nothing.
    let query = [("client", "cid"), ("cursor", &*cursors[4]), ("topic", "news.a"), ("wait", "0")];
    assert_eq!(poll(&gateway, &query).data(), [&json!(6), &json!(8), &json!(10)]);
}

fn the_last_events_and_the_history_are_what_the_topic_keeps(engine: Engine) {
    let gateway = gateway(engine);
    let mut application = Application::of(&gateway);
    let cursors = publish(&mut application);
    for (last, kept) in [("2", &[8, 10][..]), ("9", &[6, 8, 10])] {
        let query = [("client", "ann"), ("last", last), ("topic", "news.a"), ("wait", "0")];
        assert_eq!(
            poll(&gateway, &query).data(),
            Vec::from_iter(&kept.iter().map(|n| json!(n)).collect::<Vec<_>>())
        );
    }
    let mut page = |query: &str| {
        let page = application.asks(&format!("/v1/topics/news.a/history?{query}")).json();
        let data = page["events"].as_array().unwrap().iter().map(|event| event["data"].clone());
        (data.collect::<Value>(), page)
    };
    assert_eq!(page("").0, json!([6, 8, 10]));
    let (data, newest) = page("limit=2");
    assert_eq!((data, &newest["gap"]), (json!([8, 10]), &Value::Null));
    let (data, oldest) = page(&format!("limit=2&before={}", newest["before"].as_str().unwrap()));
    assert_eq!((data, &oldest["before"]), (json!([6]), &Value::Null));
    let (data, since) = page(&format!("since={}", cursors[0]));
    assert_eq!(data, json!([6, 8, 10]));
    assert_eq!(since["gap"], json!({"from": cursors[0], "to": cursors[4]}));
    let (data, since) = page(&format!("since={}", cursors[4]));
    assert_eq!((data, &since["gap"]), (json!([6, 8, 10]), &Value::Null));
    let (data, before) = page(&format!("before={}", cursors[3]));
    assert_eq!((data, &before["gap"]), (json!([]), &Value::Null));
}

fn a_connected_client_gets_every_event_of_a_topic_that_keeps_few(engine: Engine) {
    let gateway = gateway(engine);
    let mut ann = Member::comes(&gateway, &[("client", "ann"), ("topic", "news.a")]);
    publish(&mut Application::of(&gateway));
    [0, 2, 4, 6, 8, 10].into_iter().for_each(|data| drop(ann.receives_event(data)));
    ann.has_received_all();
    assert_eq!(gateway.metric("ringway_gaps_total"), 0);
}

fn a_topic_drops_old_events(engine: Engine) {
    let gateway = gateway(engine);
    let mut application = Application::of(&gateway);
    let mut publish = |data: u64| {
        let body = json!({ "topic": "brief", "data": data });
        let answer = application.posts("/v1/publish", body.to_string()).json();
        answer["cursor"].as_str().unwrap().to_owned()
    };
    let [first, second] = [publish(1), publish(2)];
    eventually("the topic is empty", || {
        std::thread::sleep(Duration::from_millis(50));
        Application::of(&gateway).asks("/v1/topics/brief/history").json()["events"] == json!([])
    });
    publish(3);
    let query = [("client", "ann"), ("cursor", &*first), ("topic", "brief"), ("wait", "0")];
    let found = poll(&gateway, &query);
    has(&found.events[0], json!({"type": "gap", "from": first, "to": second}));
    has(&found.events[1], json!({"type": "event", "data": 3}));
    assert_eq!(found.events.len(), 2);
}
