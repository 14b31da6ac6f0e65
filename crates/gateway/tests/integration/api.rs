//! The private API: liveness, readiness and metrics, on a listener of its own.
//!
//! The edge listener serves none of it.

use crate::support::{
    Client, Engine, Gateway, Request,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    health_and_readiness_are_reported,
    metrics_are_in_the_text_format_of_prometheus,
    metrics_count_what_happens,
    the_private_listener_serves_no_clients,
);

fn health_and_readiness_are_reported(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = gateway.api(path);
        assert_eq!((response.status, &*response.body), (200, body.as_bytes()), "{path}");
    }
}

/// The text exposition format, 0.0.4: help and type before the samples, and a final line feed.
fn metrics_are_in_the_text_format_of_prometheus(engine: Engine) {
    let gateway = Gateway::start(engine);
    let response = gateway.api("/metrics");
    assert_eq!(response.status, 200);
    assert!(response.field("Content-Type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(response.body).unwrap();
    assert!(text.ends_with('\n'));
    assert!(text.contains(&format!("ringway_engine{{engine=\"{}\"}} 1\n", engine.name())));
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let name = help.strip_prefix("# HELP ").unwrap().split(' ').next().unwrap();
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            assert_eq!(sample.split(['{', ' ']).next(), Some(name));
            assert!(sample.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{sample}");
        }
    }
}

fn metrics_count_what_happens(engine: Engine) {
    let gateway = Gateway::start(engine);
    assert_eq!(gateway.metric("ringway_accepted_total"), 0);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::upgrade(&gateway)).collect();
    let before = gateway.metric("ringway_received_bytes_total");
    assert_eq!(before, 3 * Request::upgrade().bytes().len() as u64);
    clients[0].sends(frame(FIN | TEXT, "hello"));
    clients[0].receives_text("hello");
    gateway.holds(3);
    assert_eq!(gateway.metric("ringway_received_bytes_total"), before + 11);
    clients.clear();
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_accepted_total"), 3);
    assert_eq!(gateway.metric("ringway_refused_total"), 0);
    assert!(gateway.metric("ringway_turns_total") > 0);
}

fn the_private_listener_serves_no_clients(engine: Engine) {
    let gateway = Gateway::start(engine);
    for path in ["/ws", "/echo", "/none"] {
        assert_eq!(gateway.api(path).status, 404, "{path}");
    }
    let mut client = Client::connect_to(gateway.api);
    assert_eq!(client.requests(&Request::upgrade().with("Host", "localhost")).status, 404);
    let post =
        Request::of_api("/healthz").line("POST /healthz HTTP/1.1").and("Content-Length", "0");
    assert_eq!(client.requests(&post).status, 405);
}
