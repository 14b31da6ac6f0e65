//! One large event for many clients that never read it: the gateway keeps it once and not for each
//! of them, on every transport, whether it is sent when it comes or read from the history later.
//!
//! The cost of small events is tested in `slow_readers` and `kernel_memory`, other attacks in
//! `attacks`.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use ringway_acceptor::descriptors;
use serde_json::{Value, json};

use crate::support::{
    Answer, Application, Client, Engine, Gateway, Member, Request, Stream, application::post,
    attack, attacker, eventually, on_each_engine, poll, target,
};

on_each_engine!(
    unread_answers_to_held_polls_are_shared,
    unread_answers_to_polls_for_the_past_share_an_event,
    unread_streams_share_an_event,
    unread_streams_of_the_past_share_an_event,
    compression_for_a_single_client_is_bounded,
    a_burst_of_large_events_is_answered_in_order,
    clients_that_hold_a_large_event_are_closed_over_the_budget,
);

const MIB: u64 = 1 << 20;

/// Clients that never read.
const DEAF: usize = 1_000;

/// The allowed cost of an attack that sends 20 MB; these attacks send much less.
const COST_MAX: u64 = 100 * MIB;

const NEWS: (&str, &str) = ("topic", "news");

fn start(engine: Engine) -> Gateway {
    descriptors::raise_limit().unwrap();
    Gateway::start_with(engine, &["limits.connections_per_address_max=4096"])
}

/// Some 1 MB of text that does not compress.
fn large(seed: u64) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..1_000_000).map(|_| rng.alphanumeric()).collect()
}

#[track_caller]
fn publishes(application: &mut Application, data: &str) {
    let event = json!({"topic": "news", "data": data}).to_string();
    assert_eq!(application.posts("/v1/publish", event).status, 200);
}

/// One request for each kind of stream.
fn streams(query: &[(&str, &str)]) -> Vec<Request> {
    let of = |path: &str, more: &[(&str, &str)]| target(path, &[query, more].concat());
    let unchunked = |target: String| Request::of(&target).line(&format!("GET {target} HTTP/1.0"));
    vec![
        Request::upgrade_of(&of("/ws", &[])),
        deflated(query, ""),
        Request::of(&of("/sse", &[])),
        Request::of(&of("/sse", &[("names", "off")])),
        Request::of(&of("/stream", &[])),
        Request::of(&of("/stream", &[("format", "iframe")])),
        unchunked(of("/sse", &[])),
        unchunked(of("/stream", &[("format", "iframe")])),
    ]
}

fn deflated(query: &[(&str, &str)], window: &str) -> Request {
    let offer = format!("permessage-deflate; server_no_context_takeover{window}");
    Request::upgrade_of(&target("/ws", query)).and("Sec-WebSocket-Extensions", &offer)
}

fn deaf(gateway: &Gateway, requests: &[Request]) -> Vec<Client> {
    let requests = requests.iter().cycle().take(DEAF);
    requests.map(|request| attacker(gateway.address, request, b"")).collect()
}

/// All memory is freed when the clients that hold it have gone, even if no other client connects.
fn is_given_back(gateway: &Gateway, deaf: Vec<Client>) {
    drop(deaf);
    eventually("all is given back", || gateway.metric("ringway_buffered_bytes") < MIB);
}

/// 1,000 polls are held, and one event of 1 MB arrives.
fn unread_answers_to_held_polls_are_shared(engine: Engine) {
    let gateway = start(engine);
    let event = large(1);
    let start = poll(&gateway, &[("client", "start"), NEWS, ("wait", "0")]).cursor;
    let held = |client| Request::of(&target("/poll", &[("client", client), NEWS, ("wait", "60")]));
    let (cost, (deaf, mut good)) = attack("held polls", &gateway, || {
        let mut deaf = deaf(&gateway, &[held("a"), held("b")]);
        let good = deaf.pop().unwrap();
        gateway.serves(DEAF as u64, "long-poll");
        publishes(&mut Application::of(&gateway), &event);
        // A client that reads shows that all polls have been answered, and with which events.
        gateway.serves(0, "long-poll");
        (deaf, good)
    });
    assert!(cost.grown_bytes < COST_MAX, "{cost:?}");
    let answer = Answer::of(good.receives_response());
    assert_eq!(answer.events.len(), 1);
    assert_eq!(answer.events[0]["data"], *event);
    let again = [("client", "c"), NEWS, ("cursor", &*start), ("wait", "0")];
    assert_eq!(poll(&gateway, &again).events, answer.events, "the past is the same");
    let next = [("client", "c"), NEWS, ("cursor", &*answer.cursor), ("wait", "0")];
    assert!(poll(&gateway, &next).events.is_empty());
    is_given_back(&gateway, deaf);
}

/// Each poll begins at a different position in a history of ten events of 1 MB.
fn unread_answers_to_polls_for_the_past_share_an_event(engine: Engine) {
    let gateway = start(engine);
    let mut cursors = vec![poll(&gateway, &[("client", "a"), NEWS, ("wait", "0")]).cursor];
    let mut application = Application::of(&gateway);
    for number in 0..10 {
        publishes(&mut application, &large(number));
        let query = [("client", "a"), NEWS, ("cursor", cursors.last().unwrap()), ("wait", "0")];
        cursors.push(poll(&gateway, &query).cursor);
    }
    cursors.pop();
    let requests: Vec<Request> = cursors
        .iter()
        .map(|cursor| [("client", "a"), NEWS, ("cursor", cursor), ("wait", "0")])
        .map(|query| Request::of(&target("/poll", &query)))
        .collect();
    let (cost, deaf) = attack("polls for the past", &gateway, || deaf(&gateway, &requests));
    assert!(cost.grown_bytes < COST_MAX, "{cost:?}");
    let (mut cursor, mut number) = (cursors.swap_remove(0), 0);
    while number < 10 {
        let answer = poll(&gateway, &[("client", "b"), NEWS, ("cursor", &*cursor), ("wait", "0")]);
        assert!(!answer.events.is_empty(), "nothing after {number} events");
        for event in answer.events {
            assert_eq!(event["data"], large(number));
            number += 1;
        }
        cursor = answer.cursor;
    }
    is_given_back(&gateway, deaf);
}

/// One client of each kind reads the event.
fn unread_streams_share_an_event(engine: Engine) {
    let gateway = start(engine);
    let event = large(1);
    let query = [NEWS];
    let (cost, (deaf, readers)) = attack("streams", &gateway, || {
        let deaf = deaf(&gateway, &streams(&query));
        let readers = Readers::come(&gateway, &query);
        gateway.holds(100 + (DEAF + readers.count()) as u64);
        publishes(&mut Application::of(&gateway), &event);
        (deaf, readers)
    });
    assert!(cost.grown_bytes < COST_MAX, "{cost:?}");
    readers.receive(&event);
    is_given_back(&gateway, deaf);
}

/// With `last`: the event is in the history before the clients connect.
fn unread_streams_of_the_past_share_an_event(engine: Engine) {
    let gateway = start(engine);
    let event = large(1);
    publishes(&mut Application::of(&gateway), &event);
    let query = [NEWS, ("last", "5")];
    let (cost, (deaf, readers)) = attack("streams of the past", &gateway, || {
        let deaf = deaf(&gateway, &streams(&query));
        (deaf, Readers::come(&gateway, &query))
    });
    assert!(cost.grown_bytes < COST_MAX, "{cost:?}");
    readers.receive(&event);
    is_given_back(&gateway, deaf);
}

/// In windows of different sizes (RFC 7692 §7.1.2.1). While much is buffered, events are sent
/// uncompressed.
fn compression_for_a_single_client_is_bounded(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.memory_bytes=16MiB"]);
    let event = &large(1)[..256 << 10];
    let request = deflated(&[NEWS], "; server_max_window_bits=9");
    let deaf = (0..100).map(|_| attacker(gateway.address, &request, b"")).collect();
    let mut member = Member::upgrades(&gateway, &request);
    gateway.holds(101);
    // Incomplete bodies of the application: more than an eighth of the limit.
    let json = [("Content-Type", "application/json")];
    let head = post("/v1/publish", &json).and("Content-Length", "1000000");
    let bodies = [(); 3].map(|()| attacker(gateway.api, &head, &vec![b' '; 950_000]));
    eventually("the bodies have arrived", || gateway.metric("ringway_buffered_bytes") > 2_800_000);
    publishes(&mut Application::of(&gateway), event);
    eventually("all are sent it", || gateway.metric("ringway_deliveries_total") == 101);
    // The bodies, and the memory that the kernel keeps for each client.
    let held = gateway.metric("ringway_buffered_bytes");
    assert!(held < (3 + 4 + 1) * MIB, "{held} bytes");
    let (text, is_compressed) = member.receives_text();
    assert!(text.contains(event) && !is_compressed);
    assert_eq!(closed(&gateway), 0);
    drop(bodies);
    is_given_back(&gateway, deaf);
}

/// One client of each kind that reads.
struct Readers {
    members: Vec<Member>,
    streams: Vec<Stream>,
    lines: Stream,
    scripts: Stream,
    unchunked: Vec<Client>,
}

impl Readers {
    fn come(gateway: &Gateway, query: &[(&str, &str)]) -> Self {
        let requests = streams(query);
        let [websockets, blocks, lines, scripts, unchunked] =
            [&requests[..2], &requests[2..4], &requests[4..5], &requests[5..6], &requests[6..]];
        let open = |request: &Request| Stream::requests(gateway, request);
        Self {
            members: websockets.iter().map(|one| Member::upgrades(gateway, one)).collect(),
            streams: blocks.iter().map(open).collect(),
            lines: open(&lines[0]),
            scripts: open(&scripts[0]),
            unchunked: unchunked.iter().map(|one| attacker(gateway.address, one, b"")).collect(),
        }
    }

    fn count(&self) -> usize {
        self.members.len() + self.streams.len() + 2 + self.unchunked.len()
    }

    #[track_caller]
    fn receive(self, event: &str) {
        let is_it = |object: &Value| object["data"] == *event;
        for mut member in self.members {
            assert!(is_it(&member.receives()));
        }
        for mut stream in self.streams {
            while !stream.receives_block().data.join("\n").contains(event) {}
        }
        let mut lines = self.lines;
        while !is_it(&lines.receives_object()) {}
        let mut scripts = self.scripts;
        scripts.receives_line();
        while !is_it(&scripts.receives_scripted()) {}
        for client in self.unchunked {
            let (mut stream, mut text, mut piece) = (client.stream(), Vec::new(), [0; 64 << 10]);
            let end = Instant::now() + Duration::from_secs(10);
            while !String::from_utf8_lossy(&text).contains(event) {
                assert!(Instant::now() < end, "{} bytes came", text.len());
                let length = stream.read(&mut piece).unwrap();
                text.extend_from_slice(&piece[..length]);
            }
        }
    }
}

/// Large and small events, faster than any client reads, and more than one answer holds.
fn a_burst_of_large_events_is_answered_in_order(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["http.poll_bytes_max=256KiB"]);
    let start = poll(&gateway, &[("client", "a"), NEWS, ("wait", "0")]).cursor;
    let data = |number: usize| "n".repeat(1 + (number * 7_919) % 100_000);
    let publisher = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut application = Application::of(&gateway);
            for number in 0..100 {
                publishes(&mut application, &data(number));
            }
        });
        let (mut cursor, mut number) = (start, 0);
        let mut client = Client::connect(&gateway);
        while number < 100 {
            let query = [("client", "a"), NEWS, ("cursor", &*cursor), ("wait", "10")];
            let answer = Answer::of(client.requests(&Request::of(&target("/poll", &query))));
            assert!(!answer.events.is_empty(), "nothing after {number} events");
            for event in answer.events {
                assert_eq!(event["data"], data(number), "{number}");
                number += 1;
            }
            cursor = answer.cursor;
        }
        publisher.join()
    });
    publisher.unwrap();
}

/// Shared bytes count, and are freed when the last client that holds them is closed.
fn clients_that_hold_a_large_event_are_closed_over_the_budget(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.memory_bytes=16MiB"]);
    let kinds = &streams(&[NEWS])[..6];
    let mut deaf = Vec::new();
    for number in 0..3 {
        // These clients hold a different event, and each holds it alone.
        deaf.extend(kinds.iter().map(|request| attacker(gateway.address, request, b"")));
        let clients = deaf.len() as u64;
        eventually("all are subscribed", || gateway.metric("ringway_sessions") == clients);
        publishes(&mut Application::of(&gateway), &large(number));
    }
    eventually("some are closed", || closed(&gateway) > 0);
    eventually("it is below the limit", || gateway.metric("ringway_buffered_bytes") < 16 * MIB);
    assert!(closed(&gateway) < 18, "clients that hold little stay connected");
    is_given_back(&gateway, deaf);
}

fn closed(gateway: &Gateway) -> u64 {
    gateway.metric("ringway_closed_total{reason=\"memory\"}")
}
