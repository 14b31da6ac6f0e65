//! An application's use of the private API: it sends events to clients, reads the history, asks
//! which clients are connected, and closes their connections.
//!
//! Wrong requests are tested in `private_bodies`, many events in one request in `bulk`.

use std::{sync::Barrier, thread, time::SystemTime};

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Launch, Request, eventually, frames, on_each_engine,
};

on_each_engine!(
    a_notify_reaches_connected_clients_and_waits_for_others,
    a_publish_reaches_subscribers_and_is_kept,
    every_core_delivers_what_the_application_sends,
    history_is_read_page_by_page,
    history_reports_a_gap,
    history_ends_a_page_of_large_events,
    invalid_queries_are_problems,
    presence_covers_all_connections,
    a_client_is_closed_on_all_cores,
    streams_and_polls_are_ended,
    events_with_ttl_0_are_not_kept,
    a_key_is_performed_once,
    a_key_sent_many_times_at_once_is_performed_once,
    metrics_distinguish_transports_and_reasons,
);

const CORES: [&str; 2] = ["--cores", "2"];

/// A client on `/ws` that has read its welcome.
#[track_caller]
fn joins(gateway: &Gateway, query: &str) -> Client {
    let mut client = Client::connect(gateway);
    client.sends(Request::upgrade().line(&format!("GET /ws?{query} HTTP/1.1")).bytes());
    client.is_upgraded();
    assert_eq!(receives(&mut client)["type"], "welcome");
    client
}

#[track_caller]
fn receives_text(client: &mut Client) -> String {
    let frame = client.receives_frame();
    assert_eq!(frame.first, frames::FIN | frames::TEXT);
    String::from_utf8(frame.payload).unwrap()
}

#[track_caller]
fn receives(client: &mut Client) -> Value {
    serde_json::from_str(&receives_text(client)).unwrap()
}

fn a_notify_reaches_connected_clients_and_waits_for_others(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = joins(&gateway, "client=ann");
    let mut application = Application::of(&gateway);
    let data = r#"{"b":1.50,"a" : [ 1e2,"\u00e4ä",null ],"b":2}"#;
    let body =
        format!(r#"{{"to":["ann","bob","ann"],"event":"chat","from":"carl","data":{data}}}"#);
    let answer = application.posts("/v1/notify", body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("Content-Type"), Some("application/json"));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.ends_with(r#","outcome":{"ann":"delivered","bob":"queued"}}"#), "{text}");
    let cursor = answer.json()["cursor"].as_str().unwrap().to_owned();
    let event = format!(
        r#"{{"type":"event","cursor":"{cursor}","from":"carl","event":"chat","data":{data}}}"#
    );
    assert_eq!(receives_text(&mut ann), event);
    assert_eq!(receives_text(&mut joins(&gateway, "client=bob")), event);
}

fn a_publish_reaches_subscribers_and_is_kept(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = joins(&gateway, "client=ann&topic=news/Z%C3%BCrich&topic=b");
    let mut application = Application::of(&gateway);
    let answer = application.posts("/v1/publish", r#"{"topic":"news/Zürich","data":"\n"}"#);
    let answer = answer.json();
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cursor"]);
    let event = receives_text(&mut ann);
    let cursor = answer["cursor"].as_str().unwrap();
    let expected =
        format!(r#"{{"type":"event","cursor":"{cursor}","topic":"news/Zürich","data":"\n"}}"#);
    assert_eq!(event, expected);
    let page = application.asks("/v1/topics/news%2FZ%C3%BCrich/history");
    let text = String::from_utf8(page.body).unwrap();
    // As the client got it, except for its time.
    let (begin, rest) = text.split_once(r#","time":"#).expect("a time");
    let (time, data) = rest.split_at(rest.find(',').expect("its data"));
    let text = [begin, data].concat();
    assert_eq!(text, format!(r#"{{"events":[{event}],"cursor":"{cursor}"}}"#));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let age_ms = now.abs_diff(time.parse().expect("a whole number"));
    assert!(age_ms < 60_000, "{time} is {age_ms} ms from {now}");
}

fn every_core_delivers_what_the_application_sends(engine: Engine) {
    let gateway = Launch::bare(engine).flags(&CORES).start();
    let mut clients: Vec<Client> =
        (0..16).map(|_| joins(&gateway, "client=ann&topic=news")).collect();
    let mut application = Application::of(&gateway);
    for number in 0..50 {
        let body = json!({ "topic": "news", "data": number }).to_string();
        assert_eq!(application.posts("/v1/publish", body).status, 200);
        let body = json!({ "to": ["ann"], "data": -number }).to_string();
        application.posts("/v1/notify", body);
    }
    for client in &mut clients {
        for number in 0..50 {
            assert_eq!(receives(client)["data"], number);
            assert_eq!(receives(client)["data"], -number);
        }
    }
    assert_eq!(gateway.metric("ringway_events_total{route=\"api\"}"), 100);
    eventually("deliveries are counted", || gateway.metric("ringway_deliveries_total") == 16 * 100);
}

fn history_is_read_page_by_page(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let start = application.asks("/v1/topics/news/history").json();
    assert_eq!(start["events"], json!([]));
    for number in 0..250 {
        for topic in ["news", "other"] {
            let body = json!({ "topic": topic, "data": number }).to_string();
            application.posts("/v1/publish", body);
        }
    }
    let mut since = start["cursor"].as_str().unwrap().to_owned();
    let mut lengths = Vec::new();
    let mut all = Vec::new();
    loop {
        let limit = if lengths.is_empty() { "" } else { "&limit=70" };
        let page = application.asks(&format!("/v1/topics/news/history?since={since}{limit}"));
        let page = page.json();
        assert_eq!(page.get("gap"), None);
        let events = page["events"].as_array().unwrap();
        lengths.push(events.len());
        all.extend(events.iter().map(|event| event["data"].as_u64().unwrap()));
        page["cursor"].as_str().unwrap().clone_into(&mut since);
        if events.is_empty() {
            break;
        }
    }
    assert_eq!(lengths, [100, 70, 70, 10, 0]);
    assert_eq!(all, Vec::from_iter(0..250));
    // Without a cursor the last events, and from there back to the first, listed in either order.
    for (order, newest) in [("", 1), ("&order=asc", 1), ("&order=desc", 0)] {
        let base = format!("/v1/topics/news/history?limit=100{order}");
        let (mut target, mut pages) = (base.clone(), Vec::new());
        loop {
            let page = application.asks(&target).json();
            let events = page["events"].as_array().unwrap();
            let mut data: Vec<_> = events.iter().map(|one| one["data"].as_u64().unwrap()).collect();
            assert_eq!(data.is_sorted(), newest == 1, "{data:?}");
            data.sort_unstable();
            pages.push(data);
            let Some(before) = page.get("before") else { break };
            target = format!("{base}&before={}", before.as_str().unwrap());
        }
        assert_eq!(pages, [Vec::from_iter(150..250), (50..150).collect(), (0..50).collect()]);
    }
    let page = application.asks("/v1/topics/news/history?limit=2").json();
    assert_eq!([&page["events"][0]["data"], &page["events"][1]["data"]], [248, 249]);
    let end = page["cursor"].as_str().unwrap();
    assert_eq!(
        application.asks(&format!("/v1/topics/news/history?since={end}")).json()["events"],
        json!([])
    );
    let page = application.asks("/v1/topics/news/history?before=0123456789ab-1").json();
    assert_eq!(page["events"], json!([]));
    assert_eq!(page["gap"]["from"], "0123456789ab-0000000000000001");
    application.asks("/v1/topics/news/history?order=up").is_problem(400, "bad-parameter");
}

fn history_reports_a_gap(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.events_max=32"]);
    let mut application = Application::of(&gateway);
    let publish = |application: &mut Application, number: u64| {
        let body = json!({ "topic": "news", "data": number }).to_string();
        application.posts("/v1/publish", body).json()["cursor"].as_str().unwrap().to_owned()
    };
    let first = publish(&mut application, 1);
    let last = (2..=100).map(|number| publish(&mut application, number)).last().unwrap();
    let page = application.asks(&format!("/v1/topics/news/history?since={first}")).json();
    assert_eq!(page["gap"]["from"], first);
    let (epoch, to) = page["gap"]["to"].as_str().unwrap().split_once('-').unwrap();
    let events = page["events"].as_array().unwrap();
    assert_eq!(events[0]["data"], to.parse::<u64>().unwrap() + 1);
    assert_eq!(events.last().unwrap()["data"], 100);
    assert_eq!(page["cursor"], last);
    assert!(last.starts_with(epoch));
    // A cursor of another epoch, and one that was never issued.
    for since in ["0123456789ab-0000000000000050", &format!("{epoch}-101")] {
        let page = application.asks(&format!("/v1/topics/news/history?since={since}")).json();
        assert_eq!(page["events"].as_array().unwrap(), events);
        assert_eq!(page["gap"]["to"], format!("{epoch}-{to}"));
    }
    // A client that has seen nothing has missed nothing.
    let page = application.asks("/v1/topics/news/history").json();
    assert_eq!((page.get("gap"), page["events"].as_array().unwrap()), (None, events));
}

fn history_ends_a_page_of_large_events(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let data = "a".repeat(1_000_000);
    for _ in 0..9 {
        let body = json!({ "topic": "news", "data": data }).to_string();
        assert_eq!(application.posts("/v1/publish", body).status, 200);
    }
    // The last events, as many as fit into a page.
    let page = application.asks("/v1/topics/news/history?limit=1000").json();
    assert_eq!(page["events"].as_array().unwrap().len(), 4);
    let epoch = page["cursor"].as_str().unwrap().split_once('-').unwrap().0.to_owned();
    let mut target = format!("/v1/topics/news/history?limit=1000&since={epoch}-0");
    let mut lengths = Vec::new();
    while lengths.last() != Some(&0) {
        let page = application.asks(&target).json();
        lengths.push(page["events"].as_array().unwrap().len());
        let since = page["cursor"].as_str().unwrap();
        target = format!("/v1/topics/news/history?limit=1000&since={since}");
    }
    assert_eq!(lengths, [5, 4, 0]);
}

fn invalid_queries_are_problems(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let long = "a".repeat(129);
    let reason = format!("DELETE /v1/clients/ann?reason={}", "%C3%A4".repeat(62));
    for (target, status, kind) in [
        ("/v1/topics/news/history?limit=0", 400, "bad-parameter"),
        ("/v1/topics/news/history?limit=1001", 400, "bad-parameter"),
        ("/v1/topics/news/history?limit=", 400, "bad-parameter"),
        ("/v1/topics/news/history?limit=1&limit=1", 400, "bad-parameter"),
        ("/v1/topics/news/history?limit=%ff", 400, "bad-parameter"),
        ("/v1/topics/news/history?limt=2", 400, "bad-parameter"),
        ("/v1/topics/news.*/history", 400, "bad-name"),
        ("/v1/clients/ann?full=1", 400, "bad-parameter"),
        ("/v1/clients/@ann", 400, "bad-name"),
        ("DELETE /v1/clients/ann?cod=4000", 400, "bad-parameter"),
        ("/v1/topics/news/history?since=", 400, "bad-cursor"),
        ("/v1/topics/news/history?since=1", 400, "bad-cursor"),
        ("/v1/topics/a%0Ab/history", 400, "bad-name"),
        ("/v1/topics/%ff/history", 400, "bad-name"),
        (&format!("/v1/topics/{long}/history"), 400, "bad-name"),
        (&format!("/v1/clients/{long}"), 400, "bad-name"),
        ("/v1/clients/%00", 400, "bad-name"),
        ("/v1/clients/nobody", 404, "unknown-client"),
        ("DELETE /v1/clients/%00", 400, "bad-name"),
        ("DELETE /v1/clients/ann?code=1001", 400, "bad-parameter"),
        ("DELETE /v1/clients/ann?code=1000&code=1000", 400, "bad-parameter"),
        (&reason, 400, "bad-parameter"),
        ("/v1/none", 404, "not-found"),
        ("PUT /v1/clients/ann", 405, "method-not-allowed"),
    ] {
        application.asks(target).is_problem(status, kind);
    }
    let answer = application.asks("/v1/topics/news/history?limt=2").json();
    assert_eq!(answer["detail"], "unknown parameter; did you mean limit?");
}

fn presence_covers_all_connections(engine: Engine) {
    let gateway = Launch::bare(engine).flags(&CORES).start();
    let mut application = Application::of(&gateway);
    let name = "ann/1 ü";
    let target = "/v1/clients/ann%2F1%20%C3%BC";
    application.asks(target).is_problem(404, "unknown-client");
    let mut clients: Vec<Client> =
        (0..3).map(|_| joins(&gateway, "client=ann%2F1+%C3%BC")).collect();
    let expected = json!({ "client": name, "presence": "live", "connections": 3 });
    let mut shown = application.asks(target).json();
    let sessions = shown.as_object_mut().unwrap().remove("sessions").unwrap();
    assert_eq!(shown, expected);
    let mut names: Vec<_> = sessions.as_array().unwrap().iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name.contains(r#""transport":"websocket""#)), "{names:?}");
    clients.pop();
    eventually("one has gone", || application.asks(target).json()["connections"] == 2);
    clients.clear();
    eventually("all have gone", || application.asks(target).json()["connections"] == 0);
    assert_eq!(application.asks(target).json()["presence"], "away");
}

fn a_client_is_closed_on_all_cores(engine: Engine) {
    let gateway = Launch::bare(engine).flags(&CORES).start();
    let mut application = Application::of(&gateway);
    for (query, code, reason) in [
        ("", 1000, ""),
        ("?code=1008&reason=not+paid", 1008, "not paid"),
        ("?reason=%C3%A4%2F&code=4999", 4999, "ä/"),
    ] {
        let mut anns: Vec<Client> = (0..8).map(|_| joins(&gateway, "client=ann")).collect();
        let mut bob = joins(&gateway, "client=bob");
        let answer = application.asks(&format!("DELETE /v1/clients/ann{query}"));
        assert_eq!((answer.status, answer.json()), (200, json!({ "closed": 8 })));
        for ann in &mut anns {
            assert_eq!(ann.receives_close(code), reason);
        }
        application.posts("/v1/notify", r#"{"to":["bob"],"data":1}"#);
        assert_eq!(receives(&mut bob)["data"], 1);
        drop((anns, bob));
        gateway.holds(0);
    }
    let answer = application.asks("DELETE /v1/clients/ann");
    assert_eq!(answer.json(), json!({ "closed": 0 }));
}

/// Transports without a close code end their response.
fn streams_and_polls_are_ended(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut stream = Client::connect(&gateway);
    stream.sends(Request::of("/stream?client=ann").bytes());
    assert_eq!(stream.receives_head().status, 200);
    let mut poll = Client::connect(&gateway);
    poll.sends(Request::of("/poll?client=ann").bytes());
    let mut application = Application::of(&gateway);
    let target = "/v1/clients/ann";
    eventually("both are there", || application.asks(target).json()["connections"] == 2);
    let answer = application.asks(&format!("DELETE {target}?code=4000"));
    assert_eq!(answer.json(), json!({ "closed": 2 }));
    stream.is_cut_off();
    assert_eq!(poll.receives_response().json()["events"], json!([]));
    eventually("both have gone", || application.asks(target).json()["connections"] == 0);
}

fn events_with_ttl_0_are_not_kept(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = joins(&gateway, "client=ann&topic=news");
    let mut application = Application::of(&gateway);
    let answer = application.posts("/v1/notify", r#"{"to":["ann","bob"],"data":1,"ttl":0}"#);
    assert_eq!(answer.json()["outcome"], json!({ "ann": "delivered", "bob": "offline" }));
    application.posts("/v1/publish", r#"{"topic":"news","data":2,"ttl":0}"#);
    assert_eq!([receives(&mut ann)["data"].clone(), receives(&mut ann)["data"].clone()], [1, 2]);
    let page = application.asks("/v1/topics/news/history").json();
    assert_eq!(page["events"], json!([]));
}

fn a_key_is_performed_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let json = ("Content-Type", "application/json");
    let with = |key: &'static str| [json, ("Idempotency-Key", key)];
    let body = r#"{"to":["ann","bob"],"data":1}"#;
    let first = application.posts_with("/v1/notify", &with("k"), body);
    assert_eq!((first.status, first.field("Idempotency-Replayed")), (200, None));
    // Ann connects, but a repeated request gets the same answer as before.
    let mut ann = joins(&gateway, "client=ann");
    assert_eq!(receives(&mut ann)["data"], 1);
    for (fields, body) in
        [(&with("k"), body), (&with("\"k\""), r#" { "data" : 1 , "to":["ann","bob","bob"] } "#)]
    {
        let again = application.posts_with("/v1/notify", fields, body);
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.field("Idempotency-Replayed"), Some("true"));
    }
    let in_body = r#"{"to":["ann","bob"],"data":1,"idempotency_key":"k"}"#;
    assert_eq!(application.posts("/v1/notify", in_body).body, first.body);
    for (path, fields, body) in [
        ("/v1/notify", &with("k"), r#"{"to":["bob","ann"],"data":1}"#),
        ("/v1/notify", &with("k"), r#"{"to":["ann","bob"],"data":1.0}"#),
        ("/v1/publish", &with("k"), r#"{"topic":"ann","data":1}"#),
    ] {
        let answer = application.posts_with(path, fields, body);
        answer.is_problem(422, "idempotency-key-reused");
    }
    // A refused request may be corrected and sent again.
    let answer = application.posts_with("/v1/notify", &with("l"), r#"{"to":["ann"]}"#);
    answer.is_problem(400, "missing-field");
    let answer = application.posts_with("/v1/notify", &with("l"), r#"{"to":["ann"],"data":2}"#);
    assert_eq!((answer.status, answer.field("Idempotency-Replayed")), (200, None));
    assert_eq!(receives(&mut ann)["data"], 2);
    assert_eq!(gateway.metric("ringway_events_total"), 2);
    let two_keys = [json, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = application.posts_with("/v1/notify", &two_keys, body);
    answer.is_problem(400, "bad-idempotency-key");
    let long = "k".repeat(256);
    for key in ["", "a b", "\u{e4}", "\"k", &long] {
        let fields = [json, ("Idempotency-Key", key)];
        let answer = application.posts_with("/v1/notify", &fields, body);
        answer.is_problem(400, "bad-idempotency-key");
    }
    let other = r#"{"to":["ann"],"data":1,"idempotency_key":"other"}"#;
    let answer = application.posts_with("/v1/notify", &with("k"), other);
    answer.is_problem(400, "bad-idempotency-key");
}

fn a_key_sent_many_times_at_once_is_performed_once(engine: Engine) {
    let gateway = Gateway::start(engine);
    let barrier = Barrier::new(16);
    let request = || {
        let mut application = Application::of(&gateway);
        let fields = [("Content-Type", "application/json"), ("Idempotency-Key", "once")];
        barrier.wait();
        let answer = application.posts_with("/v1/publish", &fields, r#"{"topic":"news","data":1}"#);
        (answer.status, answer.field("Idempotency-Replayed").is_some(), answer.body)
    };
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(request)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|(status, _, body)| *status == 200 && *body == answers[0].2));
    assert_eq!(answers.iter().filter(|(_, is_replayed, _)| !is_replayed).count(), 1);
    assert_eq!(gateway.metric("ringway_events_total"), 1);
}

fn metrics_distinguish_transports_and_reasons(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_max=4"]);
    let _socket = joins(&gateway, "client=ann");
    let mut stream = Client::connect(&gateway);
    stream.sends(Request::of("/sse?client=bob").bytes());
    assert_eq!(stream.receives_head().status, 200);
    let mut poll = Client::connect(&gateway);
    poll.sends(Request::of("/poll?client=carl").bytes());
    let session = |transport| format!("ringway_sessions{{transport=\"{transport}\"}}");
    for (transport, count) in [("websocket", 1), ("sse", 1), ("stream", 0)] {
        assert_eq!(gateway.metric(&session(transport)), count, "{transport}");
    }
    let mut other = Client::connect(&gateway);
    assert_eq!(other.requests(&Request::of("/none")).status, 404);
    assert_eq!(other.requests(&Request::of("/poll?cursor=a")).status, 400);
    other.sends("\0");
    other.receives_response();
    gateway.holds(4);
    let mut fifth = Client::connect(&gateway);
    assert_eq!(fifth.receives_response().status, 503);
    let requests =
        |reason| gateway.metric(&format!("ringway_refused_requests_total{{reason=\"{reason}\"}}"));
    assert_eq!(["route", "query", "malformed", "timeout"].map(requests), [1, 1, 1, 0]);
    assert_eq!(gateway.metric("ringway_refused_total{reason=\"full\"}"), 1);
    assert_eq!(gateway.metric("ringway_refused_total"), 1);
    assert!(gateway.metric("ringway_sent_bytes_total") > 500);
    eventually("a poll waits", || gateway.metric(&session("long-poll")) == 1);
    drop(poll);
    eventually("the poll has ended", || gateway.metric(&session("long-poll")) == 0);
}
