//! `churn`: connections that are opened and closed.

use std::{net::TcpListener, time::Duration};

use ringway_loadtest::report::Report;
use tempfile::TempDir;

use crate::{
    detail, failure, only_error, report, run,
    server::{Manner, Server},
};

#[test]
fn each_connection_is_opened_closed_and_followed_by_the_next() {
    let server = Server::start(Manner::Good);
    let report = report(&["churn", "--url", &server.url(), "-c", "5", "--duration", "500ms"]);
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    let begun = detail(&report, "connections_begun");
    assert!(begun > 10.0, "{begun}");
    assert_eq!(detail(&report, "connections_completed"), begun);
    let said = format!("{begun} of {begun} connections completed, 5 at a time");
    assert_eq!(report.connections_said(), said, "a good run looks like one");
    assert_eq!(report.latency_us.count, report.opening_us.count);
    assert_eq!((f64::from(server.upgrades()), f64::from(server.closes())), (begun, begun));
}

#[test]
fn each_connection_may_have_a_message_echoed() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let load = ["-c", "5", "--duration", "500ms"];
    let good = report(&[&["churn", "--url", &url, "--echo", "64"][..], &load].concat());
    assert_eq!(good.errors.len(), 0, "{:?}", good.errors);
    let completed = detail(&good, "connections_completed");
    assert!(completed > 10.0, "{completed}");
    assert_eq!((good.ledger.sent as f64, good.ledger.received as f64), (completed, completed));
    assert_eq!((good.latency_us.count as f64, f64::from(server.closes())), (completed, completed));
    assert!(good.latency_us.p50 > good.opening_us.p50, "{:?}", good.latency_us);

    let server = Server::start(Manner::Alters);
    let url = server.url();
    let output = run(&[&["churn", "--url", &url, "--echo", "64"][..], &load].concat());
    let altered: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(altered.ledger.received > 10, "{:?}", altered.ledger);
    assert_eq!((altered.ledger.corrupted, altered.ledger.lost), (altered.ledger.received, 0));
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn a_message_that_does_not_come_back_is_lost() {
    let server = Server::start(Manner::Mute);
    let url = server.url();
    let load = ["-c", "3", "--duration", "200ms", "--drain", "300ms", "--echo", "16"];
    let said = failure(&[&["churn", "--url", &url][..], &load].concat());
    assert!(said.contains("3 not_finished"), "{said}");
    let output = run(&["churn", "--url", &url, "--echo", "15"]);
    assert_eq!(output.status.code(), Some(2), "too small for a stamp");
}

#[test]
fn an_abrupt_end_sends_no_close_frame() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let report = report(&["churn", "--url", &url, "-c", "5", "--duration", "500ms", "--abrupt"]);
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!(server.closes(), 0);
    assert!(server.cuts() > 10, "{}", server.cuts());
}

#[test]
fn an_open_loop_opens_connections_at_the_requested_rate() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    for arrivals in ["constant", "poisson"] {
        let rate = ["--rate", "100", "--duration", "1s", "--arrivals", arrivals];
        let report = report(&[&["churn", "--url", &url][..], &rate].concat());
        assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
        let begun = detail(&report, "connections_begun");
        if arrivals == "poisson" {
            // The mean is 100, with a standard deviation of 10.
            assert!((40.0..160.0).contains(&begun), "{begun}");
        } else if report.valid {
            assert_eq!(begun, 100.0);
        }
    }
}

#[test]
fn the_time_to_101_counts_from_when_a_connection_was_due() {
    // The server accepts at most 5 of 10 connections per second, so the wait grows.
    let server = Server::start(Manner::Ponders(Duration::from_millis(200)));
    let url = server.url();
    let arguments = ["-c", "1", "--rate", "10", "--duration", "2s", "--drain", "1s"];
    let report = report(&[&["churn", "--url", &url][..], &arguments].concat());
    assert!(report.latency_us.max > 600_000.0, "{:?}", report.latency_us);
    assert!(report.opening_us.p50 < report.latency_us.max / 2.0, "{:?}", report.opening_us);
    assert!(detail(&report, "connections_that_waited_for_another") > 5.0);
    // Connections that still wait at the end count as failures.
    let (reason, count) = only_error(&report);
    assert_eq!(reason, "never_begun");
    assert!(count >= 5, "{count}");
}

#[test]
fn a_server_that_never_ends_the_stream_is_distinguished_from_one_that_never_answers() {
    for (manner, expected) in
        [(Manner::KeepsStreams, "stream_not_ended"), (Manner::Mute, "close_unanswered")]
    {
        let server = Server::start(manner);
        let report = report(&["churn", "--url", &server.url(), "-c", "3", "--duration", "200ms"]);
        assert_eq!(only_error(&report), (expected, 3));
        assert_eq!(report.latency_us.count, 3, "each was open");
    }
}

#[test]
fn refused_handshakes_are_counted_and_others_continue() {
    let server = Server::start(Manner::RefusesHalf);
    let report = report(&["churn", "--url", &server.url(), "-c", "4", "--duration", "1s"]);
    let (reason, refused) = only_error(&report);
    let completed = detail(&report, "connections_completed");
    assert_eq!(reason, "handshake_status_503");
    assert!(refused >= 4 && completed >= 4.0, "{refused} {completed}");
    assert_eq!(detail(&report, "connections_begun"), refused as f64 + completed);
}

#[test]
fn a_missing_server_leaves_nothing_to_measure() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("ws://{address}/");
    let said = failure(&["churn", "--url", &url, "-c", "2", "--duration", "200ms"]);
    assert!(said.contains("connect_refused"), "{said}");
}

#[test]
fn merging_adds_the_counts_of_several_processes() {
    let (server, folder) = (Server::start(Manner::Good), TempDir::new().unwrap());
    let url = server.url();
    let paths = ["a.hdr", "b.hdr"].map(|name| folder.path().join(name));
    let files = paths.each_ref().map(|path| path.to_str().unwrap());
    let begun = files.map(|file| {
        let arguments = ["-c", "3", "--duration", "300ms", "--save", file];
        detail(&report(&[&["churn", "--url", &url][..], &arguments].concat()), "connections_begun")
    });
    let output = run(&[&["merge"][..], &files].concat());
    let merged: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(detail(&merged, "connections_begun"), begun.iter().sum::<f64>());
    assert_eq!(merged.opening_us.count as f64, begun.iter().sum::<f64>());
    // The two runs did not overlap.
    assert!(!merged.valid && output.status.code() == Some(3), "{:?}", merged.invalid_because);
}
