//! Clients on different cores: all cores send every event that any of them appends, in the same
//! order.
//!
//! Skipped with a message if the process may use only one core.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    thread,
};

use ringway_acceptor::cores;
use serde_json::json;

use crate::support::{
    Engine, Gateway, Launch, Member, Stream, has, on_each_engine, poll, send, target,
};

on_each_engine!(
    a_client_gets_an_event_on_every_core,
    a_poll_is_released_from_every_core,
    all_cores_keep_one_order,
    a_client_is_present_while_connected_to_any_core,
    subscriptions_reach_the_core_of_the_connection,
);

/// A gateway on all cores; `None` if there is only one.
fn start(engine: Engine) -> Option<Gateway> {
    if cores::allowed().unwrap().len() == 1 {
        let _ = writeln!(io::stderr(), "SKIPPED many_cores: there is one core");
        return None;
    }
    Some(Launch::bare(engine).start())
}

fn core_of(connection: &str) -> &str {
    connection.split_once('-').unwrap().0
}

/// Connections on at least two cores, a few on each: the kernel spreads them, so the test opens as
/// many as that takes.
#[track_caller]
fn spread<T>(mut connect: impl FnMut() -> T, name: impl Fn(&T) -> String) -> Vec<T> {
    let mut made: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for _ in 0..200 {
        let one = connect();
        made.entry(core_of(&name(&one)).to_owned()).or_default().push(one);
        if made.len() > 1 && made.values().all(|core| core.len() > 1) {
            return made.into_values().flatten().collect();
        }
    }
    panic!("the kernel used {} cores for 200 connections", made.len());
}

#[track_caller]
fn members(gateway: &Gateway, query: &[(&str, &str)]) -> Vec<Member> {
    spread(|| Member::comes(gateway, query), |member| member.connection().to_owned())
}

fn a_client_gets_an_event_on_every_core(engine: Engine) {
    let Some(gateway) = start(engine) else { return };
    let mut anns = members(&gateway, &[("client", "ann")]);
    let mut bobs = members(&gateway, &[("client", "bob"), ("topic", "news")]);
    for (number, ann) in anns.iter_mut().enumerate() {
        let ack = ann.notifies(&format!("n{number}"), &["bob"], number);
        has(&ack, json!({"outcome": {"bob": "delivered"}}));
        let published = ann.publishes(&format!("p{number}"), "news", "news");
        for bob in &mut bobs {
            has(&bob.receives_event(number), json!({"cursor": ack["cursor"]}));
            has(&bob.receives_event("news"), json!({"cursor": published["cursor"]}));
        }
    }
    // The same by requests; any core may receive each of them.
    for number in 0..8 {
        let id = number.to_string();
        let command = json!({"type": "notify", "id": id, "to": ["bob"], "data": number});
        assert_eq!(send(&gateway, "carl", command).0, 200);
        for bob in &mut bobs {
            bob.receives_event(number);
        }
    }
}

fn a_poll_is_released_from_every_core(engine: Engine) {
    let Some(gateway) = start(engine) else { return };
    let mut anns = members(&gateway, &[("client", "ann")]);
    let mut cursor = anns[0].cursor.clone();
    for round in 0..20 {
        let count = anns.len();
        let ann = &mut anns[round % count];
        let answer = thread::scope(|scope| {
            let held = scope.spawn(|| poll(&gateway, &[("client", "bob"), ("cursor", &cursor)]));
            gateway.serves(1, "long-poll");
            ann.notifies(&round.to_string(), &["bob"], round);
            held.join().unwrap()
        });
        assert_eq!(answer.data(), [round]);
        cursor = answer.cursor;
    }
}

/// Several cores append these events concurrently.
fn all_cores_keep_one_order(engine: Engine) {
    let Some(gateway) = start(engine) else { return };
    let mut readers = members(&gateway, &[("client", "bob"), ("topic", "news")]);
    let writers = members(&gateway, &[("client", "ann")]);
    let (count, each) = (writers.len(), 200);
    let mut mailbox = thread::scope(|scope| {
        for (writer, mut ann) in writers.into_iter().enumerate() {
            scope.spawn(move || {
                for number in 0..each {
                    let data = json!([writer, number]);
                    ann.publishes(&format!("{writer} {number}"), "news", data);
                }
            });
        }
        let read = |bob: &mut Member| -> Vec<(String, u64, u64)> {
            let one = |event: serde_json::Value| {
                let cursor = event["cursor"].as_str().unwrap().to_owned();
                let number = |at: usize| event["data"][at].as_u64().unwrap();
                (cursor, number(0), number(1))
            };
            (0..count * each).map(|_| one(bob.is_told("event"))).collect()
        };
        let readers: Vec<_> =
            readers.iter_mut().map(|bob| scope.spawn(move || read(bob))).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let order = mailbox.pop().unwrap();
    assert!(order.is_sorted_by(|one, other| one.0 < other.0), "cursors grow");
    for writer in 0..count as u64 {
        let own = order.iter().filter(|event| event.1 == writer).map(|event| event.2);
        assert!(own.eq(0..each as u64), "events of one client keep their order");
    }
    assert!(mailbox.iter().all(|other| *other == order), "all see the same");
}

fn a_client_is_present_while_connected_to_any_core(engine: Engine) {
    let Some(gateway) = start(engine) else { return };
    let mut ann = Member::joins(&gateway, "ann");
    let mut bobs = members(&gateway, &[("client", "bob")]);
    let mut number = 0;
    while let Some(mut bob) = bobs.pop() {
        number += 1;
        let ack = ann.notifies(&number.to_string(), &["bob"], number);
        has(&ack, json!({"outcome": {"bob": "delivered"}}));
        bobs.iter_mut().chain([&mut bob]).for_each(|bob| {
            bob.receives_event(number);
        });
        drop(bob);
        gateway.holds(1 + bobs.len() as u64);
    }
    has(&ann.notifies("last", &["bob"], "last"), json!({"outcome": {"bob": "queued"}}));
    // On whichever core Bob reconnects.
    Member::joins(&gateway, "bob").receives_event("last");
}

/// By requests that any core may receive.
fn subscriptions_reach_the_core_of_the_connection(engine: Engine) {
    let Some(gateway) = start(engine) else { return };
    let open = || {
        let mut stream = Stream::opens(&gateway, &target("/stream", &[("client", "bob")]));
        let welcome = stream.receives_object();
        (stream, welcome["connection"].as_str().unwrap().to_owned())
    };
    let streams = spread(open, |(_, connection)| connection.clone());
    let mut ann = Member::joins(&gateway, "ann");
    for (mut stream, connection) in streams {
        for round in 0..4 {
            let topic = format!("{connection} {round}");
            let order = json!({
                "type": "subscribe", "id": "s", "topic": topic, "connection": connection
            });
            assert_eq!(send(&gateway, "bob", order).0, 200);
            ann.publishes(&topic, &topic, round);
            has(&stream.receives_object(), json!({"topic": topic, "data": round}));
        }
    }
}
