//! `storm`: all connections drop, and return.

use crate::{
    detail, only_error, report,
    server::{Manner, Server},
};

#[test]
fn all_drop_and_all_resume_in_each_round() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let arguments = ["-c", "30", "--rounds", "2", "--hold", "200ms", "--threads", "2"];
    let report = report(&[&["storm", "--url", &url][..], &arguments].concat());
    assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
    assert_eq!(report.storms.len(), 2);
    for storm in &report.storms {
        assert_eq!((storm.dropped, storm.resumed, storm.tries_failed), (30, 30, 0));
        assert!(storm.back_50_ms.unwrap() <= storm.back_100_ms.unwrap());
        assert!(storm.begun_100_ms.unwrap() <= storm.back_100_ms.unwrap());
    }
    // There is no set time for sending, so the rate is over the whole time.
    assert!(report.rate_sent * report.elapsed_s <= 1000.0, "{} a second", report.rate_sent);
    let slowest = report.storms.iter().filter_map(|storm| storm.back_100_ms).fold(0.0, f64::max);
    assert_eq!(detail(&report, "back_100_ms"), slowest);
    assert_eq!((report.latency_us.count, report.connections_open), (60, 30));
    assert_eq!((server.upgrades(), server.cuts(), server.closes()), (90, 60, 30));
}

#[test]
fn connections_drop_in_the_requested_way() {
    for (how, resets, closes) in [("reset", 20, 20), ("close", 0, 40)] {
        let server = Server::start(Manner::Good);
        let url = server.url();
        let report = report(&["storm", "--url", &url, "-c", "20", "--hold", "0s", "--how", how]);
        assert_eq!(report.errors.len(), 0, "{:?}", report.errors);
        assert_eq!(detail(&report, "connections_resumed"), 20.0);
        assert_eq!((server.resets(), server.cuts(), server.closes()), (resets, 0, closes), "{how}");
    }
}

#[test]
fn a_server_that_refuses_after_the_storm_is_tried_until_the_time_is_up() {
    let server = Server::start(Manner::Takes(10));
    let url = server.url();
    let arguments = ["-c", "10", "--hold", "100ms", "--storm-timeout", "1s"];
    let report = report(&[&["storm", "--url", &url][..], &arguments].concat());
    let refused = report.errors["connect_refused"];
    // At once, after 50 to 100 ms, after 100 to 200 ms more, ...
    assert!((20..=60).contains(&refused), "{refused}");
    assert_eq!(report.errors["never_resumed"], 10);
    assert_eq!(report.errors.len(), 2, "{:?}", report.errors);
    let [storm] = report.storms[..] else { panic!("{:?}", report.storms) };
    assert_eq!((storm.dropped, storm.resumed, storm.tries_failed), (10, 0, refused));
    assert_eq!((storm.back_50_ms, storm.begun_100_ms), (None, None));
    assert_eq!(report.connections_open, 0);
}

#[test]
fn a_server_that_refuses_half_has_all_connections_back_after_a_while() {
    let server = Server::start(Manner::RefusesHalf);
    let url = server.url();
    let report = report(&["storm", "--url", &url, "-c", "20", "--hold", "100ms"]);
    assert_eq!(only_error(&report).0, "handshake_status_503");
    let [storm] = report.storms[..] else { panic!("{:?}", report.storms) };
    assert!(storm.dropped >= 10 && storm.tries_failed >= 1, "{storm:?}");
    assert_eq!(storm.resumed, storm.dropped);
    // The first back-off is at least 50 ms.
    assert!(storm.back_100_ms.unwrap() >= 50.0, "{storm:?}");
}

#[test]
fn a_connection_has_resumed_when_the_expected_message_arrives() {
    let arguments = ["-c", "8", "--hold", "0s", "--expect", "welcome", "--storm-timeout", "1s"];
    let impatient = ["--handshake-timeout", "300ms"];
    let server = Server::start(Manner::Greets(r#"{"type":"welcome"}"#));
    let url = server.url();
    let good = report(&[&["storm", "--url", &url][..], &arguments].concat());
    assert_eq!(good.errors.len(), 0, "{:?}", good.errors);
    assert_eq!(detail(&good, "connections_resumed"), 8.0);

    let server = Server::start(Manner::Greets("sorry"));
    let url = server.url();
    let bad = report(&[&["storm", "--url", &url][..], &arguments, &impatient].concat());
    assert_eq!(bad.errors["never_resumed"], 8);
    assert!(bad.errors["expected_message_missing"] >= 8, "{:?}", bad.errors);
    assert_eq!(detail(&bad, "connections_never_resumed"), 8.0);
    assert_eq!(bad.latency_us.count, 0);
}

#[test]
fn reconnects_may_be_spread_over_time() {
    let server = Server::start(Manner::Good);
    let url = server.url();
    let arguments = ["-c", "30", "--hold", "0s", "--return-within", "800ms"];
    let report = report(&[&["storm", "--url", &url][..], &arguments].concat());
    let [storm] = report.storms[..] else { panic!("{:?}", report.storms) };
    assert_eq!(storm.resumed, 30);
    // This is the last of 30 random times. The intended wait is not part of the latency.
    assert!(storm.back_100_ms.unwrap() > 500.0, "{storm:?}");
    assert!(report.latency_us.p50 < 400_000.0, "{:?}", report.latency_us);
}

#[test]
fn connections_resume_from_their_cursor() {
    let server = Server::start(Manner::Counts);
    let url = format!("{}?n={{n}}", server.url());
    let words = ["storm", "--url", &url, "-c", "10", "--hold", "100ms", "--rounds", "2"];
    let expect = ["--expect", "welcome"];
    let good = report(&[&words[..], &expect, &["--cursor", "at"]].concat());
    assert_eq!(good.errors.len(), 0, "{:?}", good.errors);
    assert_eq!(detail(&good, "connections_returned_with_cursor"), 20.0);
    // Each connection returned once with the cursor of its first welcome, and once with that of its
    // second.
    assert_eq!(server.cursors(), [[1; 10], [2; 10]].concat());

    let none = report(&[&words[..], &expect, &["--cursor", "position"]].concat());
    assert_eq!(server.cursors().len(), 20, "nothing was added to a query");
    assert!(none.warnings.iter().any(|text| text.starts_with("no_cursor")), "{:?}", none.warnings);
}
