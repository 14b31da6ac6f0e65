//! What happens to events and requests while the gateway shuts down.
//!
//! An event that was acknowledged, with a 200 or an ack, is sent to each client that listens to it
//! and keeps up, before that client is told to leave. How clients are told is tested in `stop`.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Launch, Member, PATIENCE, Request, Stream,
    application::post, eventually, frames, on_each_engine,
};

on_each_engine!(
    acknowledged_events_are_sent_before_the_end,
    requests_in_progress_are_answered,
    requests_that_never_end_do_not_delay_the_drain,
    a_slow_reader_is_given_time_to_catch_up,
);

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
const CLOSE: u8 = frames::FIN | 8;

/// The numbers of the acknowledged events.
#[derive(Default)]
struct Acknowledged(Mutex<Vec<u64>>);

impl Acknowledged {
    fn add(&self, number: u64) {
        self.0.lock().unwrap().push(number);
    }
}

fn event(number: u64) -> String {
    json!({ "topic": "news", "data": number }).to_string()
}

/// Publishes on the private API until it is refused with a 503.
fn hammers_the_api(gateway: &Gateway, first: u64, acknowledged: &Acknowledged) {
    let mut application = Application::of(gateway);
    for number in first.. {
        let answer = application.posts("/v1/publish", event(number));
        if answer.status != 200 {
            answer.is_problem(503, "going-away");
            return assert_eq!(answer.field("Retry-After"), Some("1"));
        }
        acknowledged.add(number);
        // RFC 9112 §9.6: the last accepted event may be answered after the listener has closed.
        if answer.field("Connection") == Some("close") {
            return;
        }
    }
}

/// Publishes with one request, one line per event.
fn hammers_with_lines(gateway: &Gateway, first: u64, acknowledged: &Acknowledged) {
    let mut application = Application::of(gateway);
    let fields = [("Content-Type", "application/x-ndjson")];
    let head = post("/v1/publish", &fields).and("Transfer-Encoding", "chunked");
    application.client.sends(head.bytes());
    let mut is_answered = false;
    for number in first.. {
        let line = format!("{}\n", event(number));
        application.client.sends(format!("{:x}\r\n{line}\r\n", line.len()));
        if !is_answered {
            assert_eq!(application.client.receives_head().status, 200);
            is_answered = true;
        }
        let answer: Value = serde_json::from_slice(&application.client.receives_chunk()).unwrap();
        if answer["cursor"].is_null() {
            return assert_eq!(answer["error"]["type"], "/problems/going-away", "{answer}");
        }
        acknowledged.add(number);
    }
}

/// Publishes over a WebSocket until it is refused or the connection closes.
fn hammers_by_socket(gateway: &Gateway, first: u64, acknowledged: &Acknowledged) {
    let mut socket = Member::joins(gateway, "publisher").socket;
    for number in first.. {
        let command = json!({
            "type": "publish", "id": number.to_string(), "topic": "news", "data": number
        });
        socket.sends(frames::frame(frames::FIN | frames::TEXT, command.to_string()));
        let frame = socket.receives_frame();
        if frame.first == CLOSE {
            return;
        }
        let answer: Value = serde_json::from_slice(&frame.payload).unwrap();
        if answer["type"] != "ack" {
            return assert_eq!(answer["code"], "going_away", "{answer}");
        }
        acknowledged.add(number);
    }
}

/// Publishes by `POST /send` until it is refused, or its idle connection is closed.
fn hammers_by_send(gateway: &Gateway, first: u64, acknowledged: &Acknowledged) {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in first.. {
        let command = json!({
            "type": "publish", "id": number.to_string(), "topic": "news", "data": number
        });
        let request = Request::post("/send?client=sender", &command.to_string());
        let mut answer = [0; 4096];
        let is_sent = stream.write_all(&request.bytes()).is_ok();
        let count = stream.read(&mut answer).unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..count]);
        if !is_sent || answer.is_empty() {
            return;
        }
        if !answer.starts_with("HTTP/1.1 200 ") {
            return assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        }
        acknowledged.add(number);
    }
}

/// All numbers that arrive before the Close.
fn listens_by_socket(mut socket: Client) -> HashSet<u64> {
    let mut seen = HashSet::new();
    loop {
        let frame = socket.receives_frame();
        if frame.first == CLOSE {
            socket.sends(frames::close(1001, ""));
            return seen;
        }
        let event: Value = serde_json::from_slice(&frame.payload).unwrap();
        seen.extend(event["data"].as_u64());
    }
}

/// All numbers that arrive before the end of the response.
fn listens_by_stream(mut stream: Stream) -> HashSet<u64> {
    let mut seen = HashSet::new();
    while let Some(event) = stream.receives_object_or_end() {
        seen.extend(event["data"].as_u64());
    }
    seen
}

fn acknowledged_events_are_sent_before_the_end(engine: Engine) {
    let mut gateway =
        Launch::bare(engine).flags(&["--cores", "2"]).set(&["server.drain_time=8s"]).start();
    let query = |name| [("client", name), ("topic", "news")];
    let sockets: Vec<Client> =
        (0..8).map(|_| Member::comes(&gateway, &query("listener")).socket).collect();
    let streams: Vec<Stream> =
        (0..4).map(|_| Stream::opens(&gateway, "/stream?client=reader&topic=news")).collect();
    let acknowledged = Acknowledged::default();
    type Hammer = fn(&Gateway, u64, &Acknowledged);
    let hammers: [Hammer; 5] =
        [hammers_the_api, hammers_the_api, hammers_with_lines, hammers_by_socket, hammers_by_send];
    let seen: Vec<HashSet<u64>> = thread::scope(|scope| {
        let (gateway, acknowledged) = (&gateway, &acknowledged);
        let sockets = sockets.into_iter();
        let mut listeners: Vec<_> =
            sockets.map(|socket| scope.spawn(move || listens_by_socket(socket))).collect();
        let streams = streams.into_iter();
        listeners.extend(streams.map(|stream| scope.spawn(move || listens_by_stream(stream))));
        for (place, hammer) in (1..).zip(hammers) {
            scope.spawn(move || hammer(gateway, place * 1_000_000, acknowledged));
        }
        thread::sleep(Duration::from_millis(300));
        gateway.signal("TERM");
        listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
    });
    assert_eq!(gateway.ends().code(), Some(0));
    let acknowledged = acknowledged.0.into_inner().unwrap();
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    for (place, seen) in seen.iter().enumerate() {
        let lost: Vec<_> = acknowledged.iter().filter(|number| !seen.contains(number)).collect();
        assert!(lost.is_empty(), "listener {place} missed {} of them: {lost:?}", lost.len());
    }
}

/// A part of each request, of its head or its body, had arrived.
fn requests_in_progress_are_answered(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=8s"]);
    let notify = json!({ "type": "notify", "id": "1", "to": ["bob"], "data": 1 }).to_string();
    let first = Client::connect(&gateway).requests(&Request::post("/send?client=a", &notify));
    assert_eq!(first.status, 200);
    let other = notify.replace("\"1\"", "\"2\"");
    let key = [JSON[0], ("Idempotency-Key", "k1")];
    let done = Application::of(&gateway).posts_with("/v1/publish", &key, event(1));
    assert_eq!(done.status, 200);
    let length = event(1).len().to_string();
    let publish = |fields: &[_]| {
        let head = post("/v1/publish", fields).and("Content-Length", &length).bytes();
        [&head, event(1).as_bytes()].concat()
    };
    let requests: [(_, Vec<u8>, u16); 7] = [
        (gateway.address, Request::post("/send?client=a", &other).bytes(), 503),
        (gateway.address, Request::post("/send?client=a", &notify).bytes(), 200),
        (gateway.address, Request::of("/").bytes(), 200),
        (gateway.api, publish(&JSON), 503),
        (gateway.api, publish(&key), 200),
        (gateway.api, Request::of_api("/healthz").bytes(), 200),
        (gateway.api, Request::of_api("/v1/topics/news/history").bytes(), 200),
    ];
    let mut begun: Vec<(Client, &[u8], u16)> = Vec::new();
    for (address, request, status) in &requests {
        let (most, rest) = request.split_at(request.len() - 3);
        let mut client = Client::connect_to(*address);
        client.sends(most);
        begun.push((client, rest, *status));
    }
    let mut idle = Application::of(&gateway);
    assert_eq!(idle.asks("/readyz").status, 200);
    gateway.holds(3);
    gateway.signal("TERM");
    eventually("it drains", || idle.asks("/readyz").status == 503);
    thread::sleep(Duration::from_millis(100));
    assert!(gateway.is_running());
    for (client, rest, status) in &mut begun {
        client.sends(rest);
        let response = client.receives_response();
        assert_eq!(response.status, *status, "{}", response.head);
        if *status == 503 {
            assert_eq!(response.field("Retry-After"), Some("1"), "{}", response.head);
        }
        if response.body.starts_with(b"{\"type\":\"ack\"") {
            assert_eq!(response.body, first.body, "as the first time");
        }
    }
    drop((begun, idle));
    assert_eq!(gateway.ends().code(), Some(0));
}

fn requests_that_never_end_do_not_delay_the_drain(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=1s"]);
    let mut clients = [gateway.address, gateway.api].map(Client::connect_to);
    for (client, path) in clients.iter_mut().zip(["/send?client=a", "/v1/publish"]) {
        client.sends(post(path, &JSON).and("Content-Length", "10").bytes());
        client.sends("{");
    }
    gateway.holds(1);
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ends().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// The client has fallen behind, and reads on while the others leave.
fn a_slow_reader_is_given_time_to_catch_up(engine: Engine) {
    let mut gateway = Gateway::start_with(engine, &["server.drain_time=20s"]);
    let mut reader = Member::comes(&gateway, &[("client", "reader"), ("topic", "news")]).socket;
    let mut application = Application::of(&gateway);
    let data = "x".repeat(500_000);
    let mut published = 0;
    while gateway.metric("ringway_lagging_connections") == 0 || published < 20 {
        let body = json!({ "topic": "news", "data": data }).to_string();
        assert_eq!(application.posts("/v1/publish", body).status, 200);
        published += 1;
        assert!(published < 200, "never behind");
    }
    gateway.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    let mut received = 0;
    loop {
        let frame = reader.receives_frame();
        if frame.first == CLOSE {
            break;
        }
        received += 1;
    }
    assert_eq!(received, published);
    reader.sends(frames::close(1001, ""));
    drop(reader);
    assert_eq!(gateway.ends().code(), Some(0));
}
