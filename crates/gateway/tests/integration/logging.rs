//! What the log reports while the gateway runs, and that writing it blocks nothing.

use std::{
    io::{Write, pipe},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Member, Request, Stream, eventually, frames, kill,
    on_each_engine, ringway,
};

on_each_engine!(
    an_unread_log_delays_nobody,
    refusals_and_ends_are_logged_with_their_reasons,
    many_lines_of_a_kind_become_one_line_with_a_count,
    each_connection_is_logged_at_debug,
);

/// An address on which nothing listens now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// pipe(7): a write to a full pipe blocks as long as nobody reads.
fn an_unread_log_delays_nobody(engine: Engine) {
    let (reader, mut writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    while writer.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let (edge, api) = (free_address(), free_address());
    let mut process = ringway(&["--io", engine.flag(), "--listen", &edge.to_string()])
        .args(["--api-listen", &api.to_string(), "--log", "debug"])
        .stdin(Stdio::null())
        .stderr(writer.try_clone().unwrap())
        .stdout(writer)
        .spawn()
        .unwrap();
    let started = Instant::now();
    eventually("it listens", || TcpStream::connect(api).is_ok());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut application = Application { client: Client::connect_to(api) };
    // More lines than the queue holds.
    for _ in 0..1_500 {
        drop(TcpStream::connect(edge).unwrap());
    }
    eventually("lines are dropped", || {
        let metrics = String::from_utf8(application.asks("/metrics").body).unwrap();
        !metrics.contains("ringway_log_lines_dropped_total 0\n")
    });
    let mut client = Client::upgrade_at(edge);
    kill(process.id(), "HUP");
    assert_eq!(application.asks("/readyz").status, 200);
    kill(process.id(), "TERM");
    client.receives_close(1001);
    drop((client, application));
    let ending = Instant::now();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(ending.elapsed() < Duration::from_secs(4), "{:?}", ending.elapsed());
    drop(reader);
}

/// All lines of a JSON log with this message.
fn lines_of(gateway: &Gateway, message: &str) -> Vec<Value> {
    let lines = gateway.log().into_iter().map(|line| serde_json::from_str(&line).unwrap());
    lines.filter(|line: &Value| line["message"] == message).collect()
}

/// Waits for a line with this message and these fields.
#[track_caller]
fn logs(gateway: &Gateway, message: &str, fields: Value) -> Value {
    let mut found = Value::Null;
    eventually(&format!("{message:?} with {fields}"), || {
        let mut lines = lines_of(gateway, message).into_iter();
        let fields = fields.as_object().unwrap();
        let line = lines.find(|line| fields.iter().all(|(name, value)| line[name] == *value));
        line.map(|line| found = line).is_some()
    });
    found
}

fn refusals_and_ends_are_logged_with_their_reasons(engine: Engine) {
    let settings = [
        "log.format=json",
        "limits.handshake_timeout=200ms",
        "limits.keep_alive_timeout=1s",
        "websocket.ping_interval=300ms",
        "websocket.pong_timeout=200ms",
        "websocket.close_timeout=100ms",
    ];
    let mut gateway = Gateway::start_with(engine, &settings);
    let ends = "a client's connection has ended";
    let ended = |gateway: &Gateway, reason: &str, transport: &str| {
        let line = logs(gateway, ends, json!({ "reason": reason, "transport": transport }));
        assert_eq!((&line["level"], &line["address"]), (&"INFO".into(), &"127.0.0.1".into()));
        assert!(line["connection"].is_string() && line["suppressed"].is_u64(), "{line}");
    };
    let mut bad = Client::connect(&gateway);
    bad.sends("GET / HTTP/1.1\n");
    bad.receives_response();
    drop(bad);
    let refused = json!({ "reason": "malformed", "status": 400, "address": "127.0.0.1" });
    logs(&gateway, "a client was refused", refused);
    ended(&gateway, "refused", "http");
    let silent = Client::connect(&gateway);
    logs(&gateway, "a client was refused", json!({ "reason": "timeout", "status": 408 }));
    ended(&gateway, "request_timeout", "http");
    let mut idle = Client::connect(&gateway);
    assert_eq!(idle.requests(&Request::of("/")).status, 200);
    let mut closes = Member::joins(&gateway, "closes");
    closes.socket.sends(frames::close(1000, ""));
    closes.socket.receives_close(1000);
    drop(closes);
    ended(&gateway, "client_closed", "websocket");
    let mut unmasked = Client::upgrade(&gateway);
    unmasked.sends([0x81, 1, b'a']);
    unmasked.receives_close(1002);
    drop(unmasked);
    ended(&gateway, "protocol_fault", "echo");
    let gone = Member::joins(&gateway, "gone");
    ended(&gateway, "no_sign_of_life", "websocket");
    drop(Stream::opens(&gateway, "/sse?client=a"));
    ended(&gateway, "client_ended", "sse");
    ended(&gateway, "idle", "http");
    let _kicked = Stream::opens(&gateway, "/stream?client=kicked");
    assert_eq!(Application::of(&gateway).asks("DELETE /v1/clients/kicked").status, 200);
    ended(&gateway, "closed_by_application", "stream");
    let mut application = Client::connect_to(gateway.api);
    application.sends("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(application.receives_response().status, 400);
    logs(&gateway, "an application was refused", json!({ "reason": "malformed", "status": 400 }));
    let stays = Stream::opens(&gateway, "/stream?client=stays");
    gateway.signal("TERM");
    ended(&gateway, "going_away", "stream");
    drop((silent, idle, gone, stays));
    assert_eq!(gateway.ends().code(), Some(0));
}

fn many_lines_of_a_kind_become_one_line_with_a_count(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["log.format=json"]);
    for _ in 0..300 {
        drop(Client::connect(&gateway));
    }
    gateway.holds(0);
    // A client that connects later makes its core log how many lines were omitted.
    let mut accounted = 0;
    eventually("all are accounted for", || {
        drop(Client::connect(&gateway));
        let lines = lines_of(&gateway, "a client's connection has ended");
        let more = lines_of(&gateway, "more connections have ended");
        assert!(lines.len() + more.len() < 60, "{}", lines.len());
        let suppressed = lines.iter().chain(&more).map(|line| line["suppressed"].as_u64().unwrap());
        accounted = lines.len() as u64 + suppressed.sum::<u64>();
        accounted >= 300
    });
}

fn each_connection_is_logged_at_debug(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["log.format=json", "log.level=debug"]);
    let mut clients: Vec<Member> =
        (0..5).map(|number| Member::joins(&gateway, &number.to_string())).collect();
    let names: Vec<String> = clients.iter().map(|one| one.connection().to_owned()).collect();
    clients.clear();
    for name in names {
        let opened = logs(&gateway, "a client has connected", json!({ "connection": name }));
        let address = opened["address"].as_str().unwrap();
        assert!(address.parse::<SocketAddr>().is_ok_and(|one| one.port() > 0), "{opened}");
        let fields = json!({ "connection": name, "transport": "websocket" });
        logs(&gateway, "a client's connection has ended", fields);
    }
    drop(Application::of(&gateway));
    logs(&gateway, "an application's connection has ended", json!({ "reason": "client_ended" }));
}
