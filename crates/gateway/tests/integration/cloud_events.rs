//! What applications are told: CloudEvents, signed, in the order of each client, and sent again until
//! the application takes them.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Client, Engine, Gateway, HookServer, Launch, Member, Treatment, eventually, has, on_each_engine,
};

on_each_engine!(
    an_application_is_told_what_clients_do,
    an_application_that_fails_is_told_again_and_misses_nothing,
    a_full_queue_rejects_and_no_client_notices,
    the_last_events_are_sent_before_the_end,
    the_example_knows_who_is_online,
);

const SECRET: &str = "the secret of both, 32 bytes long";
const NEXT: &str = "the secret that will replace it, soon";

/// A gateway with a hook at this address.
fn gateway(engine: Engine, address: SocketAddr, keys: &str, history: &str) -> Hooked {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
    std::fs::write(directory.path().join("next"), NEXT).unwrap();
    let keys = keys.replace("DIRECTORY", directory.path().to_str().unwrap());
    let text = format!("{history}\n[[hook]]\nurl = \"http://{address}/ringway\"\n{keys}\n");
    std::fs::write(&path, text).unwrap();
    let gateway = Launch::on(engine).flags(&["--config", path.to_str().unwrap()]).start();
    Hooked { gateway, _directory: directory }
}

struct Hooked {
    gateway: Gateway,
    _directory: TempDir,
}

impl Hooked {
    /// A counter of what the hook is told.
    fn count(&self, name: &str) -> u64 {
        self.gateway.metric(&format!("ringway_notification{name}"))
    }
}

/// Kind and client of each event.
fn short(events: &[Value]) -> Vec<String> {
    let short = |event: &Value| {
        let [kind, subject] = ["type", "subject"].map(|name| event[name].as_str().unwrap_or("-"));
        format!("{} {subject}", kind.trim_start_matches("ringway."))
    };
    events.iter().map(short).collect()
}

fn an_application_is_told_what_clients_do(engine: Engine) {
    let server = HookServer::start(&[]);
    let hooked = gateway(
        engine,
        server.address,
        "events = [\"connect\", \"disconnect\", \"subscribe\", \"unsubscribe\", \"event\"]\n\
         waits = false\ntopics = [\"news.*\"]\n\
         secret_file = \"DIRECTORY/secret\"\nnext_secret_file = \"DIRECTORY/next\"",
        "",
    );
    let mut ann = Member::joins(&hooked.gateway, "ann");
    ann.subscribes("news.rain");
    let connection = ann.connection().to_owned();
    server.takes(2);
    let ack = ann.publishes("1", "news.rain", json!({"mm": 3}));
    ann.publishes("2", "other", 1);
    server.takes(3);
    ann.unsubscribes("news.rain");
    drop(ann);
    let events = server.takes(5);
    assert_eq!(
        short(&events),
        ["connect ann", "subscribe ann", "event news.rain", "unsubscribe ann", "disconnect ann"]
    );
    let data: Vec<_> = events.iter().map(|event| event["data"].clone()).collect();
    let of = |more: Value| {
        let mut data = json!({"client": "ann", "connection": connection});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    assert_eq!(data[0], of(json!({"transport": "websocket"})));
    assert_eq!(data[1], of(json!({"topic": "news.rain"})));
    has(&data[2], json!({"from": "ann", "topic": "news.rain", "data": {"mm": 3}}));
    assert_eq!((&data[2]["cursor"], &events[2]["id"]), (&ack["cursor"], &ack["cursor"]));
    assert_eq!(data[4], of(json!({"transport": "websocket", "reason": "client_ended"})));
    let mut ids: Vec<_> = events.iter().map(|event| event["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each has an id of its own");
    for told in server.requests() {
        assert_eq!(told.field("Content-Type"), "application/cloudevents+json; charset=utf-8");
        let signature = told.field("Ringway-Signature");
        let time = signature.strip_prefix("t=").unwrap().split(',').next().unwrap();
        let signed = [time.as_bytes(), b".", &told.body].concat();
        let sign = |secret: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = hmac::sign(&key, &signed);
            tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(signature, format!("t={time},v1={},v1={}", sign(SECRET), sign(NEXT)));
    }
}

fn an_application_that_fails_is_told_again_and_misses_nothing(engine: Engine) {
    // Nobody listens at first, as during a restart.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keys = "events = [\"connect\", \"disconnect\"]\nwaits = false\ntimeout = \"200ms\"";
    let hooked = gateway(engine, address, keys, "");
    let mut clients: Vec<_> =
        (0..5).map(|number| Member::joins(&hooked.gateway, &format!("c{number}"))).collect();
    eventually("a failure", || hooked.count("_failures_total") > 0);
    // A success between them: failures in a row make the pauses longer.
    let taken = Treatment::Answers(204, "");
    let failures = [
        Treatment::Answers(500, ""),
        taken,
        Treatment::HangsUp,
        taken,
        Treatment::Answers(429, "Retry-After: 1\r\n"),
        taken,
        Treatment::Stalls,
    ];
    let server = HookServer::at(address, &failures);
    clients.clear();
    let events = short(&server.takes(10));
    for number in 0..5 {
        let own = format!(" c{number}");
        let own: Vec<_> = events.iter().filter(|event| event.ends_with(&own)).collect();
        assert_eq!(own, [&format!("connect c{number}"), &format!("disconnect c{number}")]);
    }
    // What was sent again had its id.
    let requests = server.requests();
    assert_eq!(requests.len(), 14);
    let failed = requests.iter().filter(|told| !told.is_taken);
    for told in failed {
        let is_it = |event: &Value| event["id"] == told.json()["id"];
        assert_eq!(server.events().iter().filter(|event| is_it(event)).count(), 1);
    }
    eventually("all are taken", || hooked.count("s_taken_total") == 10);
    assert!(hooked.count("_failures_total") >= 5);
    assert_eq!(hooked.count("s_rejected_total") + hooked.count("s_queued"), 0);
    hooked.gateway.logs("a hook takes what it is told again");
}

fn a_full_queue_rejects_and_no_client_notices(engine: Engine) {
    let server = HookServer::start(&[Treatment::Stalls]);
    let keys = "events = [\"connect\", \"event\"]\nwaits = false\nqueue_max = 2\n\
                in_flight_max = 1\ntimeout = \"1500ms\"\nbatch_max = 100";
    let hooked = gateway(engine, server.address, keys, "[history]\nevents_max = 16");
    let mut clients: Vec<_> =
        (0..6).map(|number| Member::joins(&hooked.gateway, &format!("c{number}"))).collect();
    eventually("rejections", || hooked.count("s_rejected_total") == 4);
    hooked.gateway.logs("the queue of a hook is full");
    for number in 0..100 {
        clients[0].publishes(&number.to_string(), "news", number);
    }
    // The events wait in the history while the queue has no room, and most of them leave it.
    let is_told = |kind: &str| {
        let kind = format!("{kind} ");
        short(&server.events()).iter().any(|event| event.starts_with(&kind))
    };
    eventually("a gap", || is_told("gap"));
    eventually("the last event", || {
        server.events().iter().any(|event| event["data"]["data"] == 99)
    });
    let events = server.events();
    let mut first = short(&events[..2]);
    first.sort();
    assert_eq!(first, ["connect c0", "connect c1"]);
    let gap = events.iter().find(|event| event["type"] == "ringway.gap").unwrap();
    assert!(gap["data"]["from"].as_str() < gap["data"]["to"].as_str(), "{gap}");
    let numbers: Vec<_> =
        events.iter().filter_map(|event| event["data"]["data"].as_u64()).collect();
    assert!(numbers.is_sorted() && numbers.last() == Some(&99), "{numbers:?}");
    assert_eq!(numbers.len() as u64 + hooked.count("s_missed_total"), 100);
    let told = &server.requests()[0];
    assert_eq!(told.field("Content-Type"), "application/cloudevents-batch+json; charset=utf-8");
}

fn the_last_events_are_sent_before_the_end(engine: Engine) {
    let slow = Treatment::Dawdles(Duration::from_millis(300));
    let server = HookServer::start(&[slow, slow]);
    let keys = "events = [\"disconnect\"]\nin_flight_max = 1";
    let mut hooked = gateway(engine, server.address, keys, "[server]\ndrain_time = \"3s\"");
    let clients: Vec<_> =
        (0..3).map(|number| Member::joins(&hooked.gateway, &format!("c{number}"))).collect();
    hooked.gateway.signal("TERM");
    drop(clients);
    assert!(hooked.gateway.ends().success());
    let events = server.events();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event["type"] == "ringway.disconnect"));
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn the_example_knows_who_is_online(engine: Engine) {
    let directory = TempDir::new().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/online.py");
    let mut command = Command::new("python3");
    command.args([example, "0"]).arg(&secret).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let keys = "events = [\"connect\", \"disconnect\"]\nwaits = false\n\
                secret_file = \"DIRECTORY/secret\"";
    let hooked = gateway(engine, address, keys, "");
    let is_online = |names: &[&str]| {
        eventually(&format!("{names:?} are online"), || {
            let mut client = Client::connect_to(address);
            client.sends("GET /online HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.receives_response().json() == json!(names)
        });
    };
    let ann = Member::joins(&hooked.gateway, "ann");
    let again = Member::joins(&hooked.gateway, "ann");
    let bob = Member::joins(&hooked.gateway, "bob");
    is_online(&["ann", "bob"]);
    drop((ann, bob));
    is_online(&["ann"]);
    drop(again);
    is_online(&[]);
    // Somebody else who knows the URL.
    let mut forger = Client::connect_to(address);
    forger.sends("POST /ringway HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(forger.receives_response().status, 403);
}
