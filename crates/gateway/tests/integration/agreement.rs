//! The private API agrees with itself and with the events that clients get: the outcome of a
//! notify, the answer of `GET /v1/clients/{id}`, and the events that the client gets when it
//! connects.

use serde_json::{Value, json};

use crate::support::{
    Application, Engine, Gateway, Member, Response, Stream, eventually, has, on_each_engine, poll,
    target,
};

on_each_engine!(
    queued_events_are_kept_and_delivered,
    queued_events_that_are_evicted_are_reported_as_a_gap,
    a_new_client_gets_no_gap,
    the_gap_is_repeated_after_a_broken_connection,
);

fn shows(application: &mut Application, client: &str) -> Response {
    application.asks(&format!("/v1/clients/{client}"))
}

fn outcome(application: &mut Application, client: &str, ttl: Option<&str>) -> Value {
    let ttl = ttl.map(|ttl| format!(",\"ttl\":{ttl}")).unwrap_or_default();
    let body = format!("{{\"to\":[\"{client}\"],\"data\":1{ttl}}}");
    application.posts("/v1/notify", body).json()["outcome"][client].clone()
}

/// Every time to live, for a client that never connected and for one that did.
fn queued_events_are_kept_and_delivered(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    for was_here in [false, true] {
        for (ttl, is_queued) in [(None, true), (Some("60"), true), (Some("0"), false)] {
            let client = format!("client-{was_here}-{}", ttl.unwrap_or("none"));
            if was_here {
                assert!(poll(&gateway, &[("client", &client), ("wait", "0")]).events.is_empty());
                has(&shows(&mut application, &client).json(), json!({ "queued": 0 }));
            } else {
                shows(&mut application, &client).is_problem(404, "unknown-client");
            }
            let expected = if is_queued { "queued" } else { "offline" };
            assert_eq!(outcome(&mut application, &client, ttl), expected, "{client}");
            match (is_queued, was_here) {
                (false, false) => {
                    shows(&mut application, &client).is_problem(404, "unknown-client");
                }
                _ => has(
                    &shows(&mut application, &client).json(),
                    json!({
                        "presence": "away",
                        "connections": 0,
                        "queued": u32::from(is_queued),
                        "gap": false,
                    }),
                ),
            }
            let closed = application.asks(&format!("DELETE /v1/clients/{client}"));
            assert_eq!(closed.json(), json!({ "closed": 0 }));
            let found = poll(&gateway, &[("client", &client), ("wait", "0")]);
            assert_eq!(found.events.len(), usize::from(is_queued), "{client}");
            // It has received the event, and none waits once its kernel has the answer.
            eventually("the answer counts as taken", || {
                shows(&mut application, &client).json()["queued"] == 0
            });
            let expected = json!({ "presence": "away", "queued": 0, "gap": false });
            has(&shows(&mut application, &client).json(), expected);
            assert!(poll(&gateway, &[("client", &client), ("wait", "0")]).events.is_empty());
        }
    }
    // Expired events are not kept.
    assert_eq!(outcome(&mut application, "carl", Some("1")), "queued");
    has(&shows(&mut application, "carl").json(), json!({ "queued": 1 }));
    eventually("it expires", || shows(&mut application, "carl").status == 404);
    assert!(poll(&gateway, &[("client", "carl"), ("wait", "0")]).events.is_empty());
}

/// By count, by bytes and by age, for every way to connect without a cursor.
fn queued_events_that_are_evicted_are_reported_as_a_gap(engine: Engine) {
    let small = ["history.bytes_max=64KiB", "websocket.message_bytes_max=4KiB"];
    for settings in [&["history.events_max=16"][..], &small, &["history.age_max=1s"]] {
        let gateway = Gateway::start_with(engine, settings);
        let mut application = Application::of(&gateway);
        let names = ["ws", "sse", "stream", "poll", "left"];
        // This client was connected, and has left.
        assert!(poll(&gateway, &[("client", "left"), ("wait", "0")]).events.is_empty());
        for name in names {
            assert_eq!(outcome(&mut application, name, None), "queued");
        }
        let filler = "x".repeat(3_000);
        let fill = format!("{{\"topic\":\"other\",\"data\":\"{filler}\"}}");
        eventually("it is evicted", || {
            application.posts("/v1/publish", &fill);
            names.iter().all(|name| {
                let shown = shows(&mut application, name).json();
                shown["gap"] == true && shown["queued"] == 0
            })
        });
        Member::joins(&gateway, "ws").is_told("gap");
        let mut stream = Stream::opens(&gateway, &target("/sse", &[("client", "sse")]));
        stream.receives_raw_block();
        assert_eq!(stream.receives_block().event.as_deref(), Some("welcome"));
        assert_eq!(stream.receives_block().event.as_deref(), Some("gap"));
        let mut stream = Stream::opens(&gateway, &target("/stream", &[("client", "stream")]));
        has(&stream.receives_object(), json!({ "type": "welcome" }));
        has(&stream.receives_object(), json!({ "type": "gap" }));
        for name in ["poll", "left"] {
            let found = poll(&gateway, &[("client", name), ("wait", "0")]);
            let [gap] = &found.events[..] else { panic!("{:?}", found.events) };
            has(gap, json!({ "type": "gap" }));
            // The gap is reported once.
            assert!(poll(&gateway, &[("client", name), ("wait", "0")]).events.is_empty());
            has(&shows(&mut application, name).json(), json!({ "gap": false }));
        }
    }
}

/// A client to which nothing was ever sent, although much has left the history.
fn a_new_client_gets_no_gap(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.events_max=16"]);
    let mut application = Application::of(&gateway);
    for _ in 0..100 {
        assert_eq!(outcome(&mut application, "dora", None), "queued");
        application.posts("/v1/publish", r#"{"topic":"news","data":1}"#);
    }
    shows(&mut application, "carl").is_problem(404, "unknown-client");
    assert!(poll(&gateway, &[("client", "carl"), ("wait", "0")]).events.is_empty());
    let mut eve = Member::comes(&gateway, &[("client", "eve"), ("topic", "news")]);
    assert_eq!(outcome(&mut application, "eve", None), "delivered");
    eve.receives_event(1);
    eve.has_received_all();
}

/// The cursor of the welcome before a gap leads back to the gap.
fn the_gap_is_repeated_after_a_broken_connection(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["history.events_max=16"]);
    let mut application = Application::of(&gateway);
    for _ in 0..100 {
        assert_eq!(outcome(&mut application, "dora", None), "queued");
    }
    let foreign = "0123456789ab-0000000000000050";
    for cursor in [None, Some(foreign)] {
        let query: Vec<_> =
            [("client", "dora")].into_iter().chain(cursor.map(|own| ("cursor", own))).collect();
        let mut dora = Member::comes(&gateway, &query);
        let welcome = dora.welcome["cursor"].as_str().unwrap().to_owned();
        let gap = dora.is_told("gap");
        assert_eq!(gap["from"], *welcome);
        let query = [("client", "dora"), ("cursor", &*welcome)];
        has(&Member::comes(&gateway, &query).is_told("gap"), json!({ "from": welcome }));
    }
}
