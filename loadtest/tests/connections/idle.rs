//! `idle`: losses while connections are held, and their cost.

use std::time::Duration;

use crate::{
    detail, error_of, only_error, report, run,
    server::{Manner, Server},
};

#[test]
fn held_connections_are_measured() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    // The server is in this process.
    let pid = std::process::id().to_string();
    let report = report(&["idle", "--url", &url, "-c", "40", "--hold", "1s", "--pid", &pid]);
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!((report.connections_open, detail(&report, "connections_lost")), (40, 0.0));
    assert!(detail(&report, "server_rss_held_bytes") > 1e6);
    // The server has one thread per connection.
    assert!(report.server_threads.len() > 40, "{:?}", report.server_threads);
    assert!(detail(&report, "socket_tcp_in_use") >= 80.0);
    assert!(report.warnings.iter().any(|warning| warning.starts_with("both ends")));
    assert_eq!(report.server_cpu_ns_per_message, None, "there are no messages");
    // Connections end with a Close frame.
    assert_eq!((server.upgrades(), server.closes()), (40, 40));
}

#[test]
fn connections_closed_by_the_server_are_counted_by_code() {
    let server = Server::start(Manner::GoesAway(Duration::from_millis(700)));
    let report = report(&["idle", "--url", &server.url(), "-c", "10", "--hold", "2s"]);
    assert_eq!(only_error(&report), ("closed_1001", 10));
    assert_eq!((report.connections_open, detail(&report, "connections_lost")), (0, 10.0));
    assert!(report.warnings.iter().any(|warning| warning.contains("no connection was left")));
    assert_eq!(server.upgrades(), 10, "one that is lost stays lost");
}

#[test]
fn the_time_to_a_pong_is_measured() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let report = report(&["idle", "--url", &url, "-c", "10", "--hold", "1s", "--ping", "250ms"]);
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!(report.rate_asked, Some(40.0));
    if report.valid {
        assert_eq!(report.latency_us.count, 40);
    }
    assert!(report.latency_us.p50 > 0.0);
}

#[test]
fn pings_without_an_answer_are_counted() {
    let server = Server::start(Manner::Mute);
    let url = server.url();
    let arguments = ["-c", "4", "--hold", "1s", "--ping", "500ms", "--drain", "200ms"];
    let report = report(&[&["idle", "--url", &url][..], &arguments].concat());
    let (reason, count) = only_error(&report);
    assert_eq!(reason, "ping_unanswered");
    assert!((1..=8).contains(&count), "{count}");
    assert_eq!((report.latency_us.count, report.connections_open), (0, 4));
}

#[test]
fn a_run_goes_on_with_half_of_its_connections() {
    let server = Server::start(Manner::RefusesHalf);
    let report = report(&["idle", "--url", &server.url(), "-c", "10", "--hold", "200ms"]);
    assert_eq!(only_error(&report), ("handshake_status_503", 5));
    assert_eq!((report.connections_open, detail(&report, "connections_opened")), (5, 5.0));
}

#[test]
fn an_address_of_another_host_is_explained() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    // 192.0.2.0/24 is for documentation (RFC 5737).
    let output = run(&["idle", "--url", &url, "-c", "2", "--source", "192.0.2.1"]);
    let said = error_of(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--source") && said.contains("not an address of this host"), "{said}");
}

#[test]
fn a_server_that_reuses_memory_is_reported() {
    let server = Server::start(Manner::Good);
    // Another process: its growth is not due to these connections.
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let (url, pid) = (server.url(), other.id().to_string());
    let report = report(&["idle", "--url", &url, "-c", "20", "--hold", "300ms", "--pid", &pid]);
    other.kill().unwrap();
    other.wait().unwrap();
    let said = report.warnings.join("; ");
    assert!(said.contains("memory_reused"), "{said}");
}

#[test]
fn a_held_connection_may_be_a_response() {
    let server = Server::start(Manner::Good);
    let hold = |path: &str| {
        report(&["idle", "--url", &server.http_url(path), "-c", "5", "--hold", "300ms"])
    };
    for path in ["/stream?n={n}", "/held"] {
        let good = hold(path);
        assert_eq!((good.errors.len(), good.connections_open), (0, 5), "{path} {:?}", good.errors);
    }
    for (path, reason) in [
        ("/ends", "response_ended"),
        ("/leaves", "closed_without_response"),
        ("/nowhere", "response_status_404"),
    ] {
        let lost = hold(path);
        assert_eq!(only_error(&lost), (reason, 5), "{path}");
        assert_eq!((lost.connections_open, detail(&lost, "connections_lost")), (0, 5.0), "{path}");
    }
    let ping = ["--ping", "1s"];
    let output = run(&[&["idle", "--url", &server.http_url("/held")][..], &ping].concat());
    assert_eq!(output.status.code(), Some(2), "{}", error_of(&output));
}

#[test]
fn a_hello_is_sent_on_each_connection_before_it_is_idle() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let hello = ["--hello", "I am {n}", "--hello", "hello"];
    let report =
        report(&[&["idle", "--url", &url, "-c", "7", "--hold", "400ms"][..], &hello].concat());
    // The echoes arrive before or after the measurement begins.
    assert!(detail(&report, "messages_unasked") <= 14.0);
    assert_eq!((server.messages(), report.errors.len()), (14, 0));
}
