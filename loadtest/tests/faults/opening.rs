//! Servers that refuse, or do not complete the handshake: counted by reason.

use std::net::TcpListener;

use crate::{
    run::{echo, engines},
    server::{Fault, Opening, Server},
};

/// Asserts that no connection opens, for this reason.
fn assert_none_opens(opening: Opening, reason: &str) {
    for engine in engines() {
        let server = Server::opening(opening);
        let outcome = echo(&server.url(), engine, "-c 3 -d 300ms --handshake-timeout 300ms");
        assert_eq!(outcome.status, 4, "{opening:?} {outcome:?}");
        let is_said = outcome.errors.contains(&format!("3 {reason}"));
        assert!(is_said, "{opening:?} {engine} {}", outcome.errors);
    }
}

#[test]
fn a_server_that_never_upgrades_is_a_timeout() {
    assert_none_opens(Opening::Never, "handshake_timed_out");
}

#[test]
fn a_refusal_is_counted_by_its_status() {
    assert_none_opens(Opening::Status503, "handshake_status_503");
}

#[test]
fn an_answer_to_another_key_is_refused() {
    assert_none_opens(Opening::WrongAccept, "handshake_wrong_accept");
}

#[test]
fn garbage_is_not_http() {
    assert_none_opens(Opening::Garbage, "handshake_not_http");
}

#[test]
fn a_reset_and_an_early_end_are_distinguished() {
    assert_none_opens(Opening::Reset, "handshake_reset");
    assert_none_opens(Opening::Cut, "handshake_cut");
}

#[test]
fn a_port_without_a_listener_refuses() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for engine in engines() {
        let outcome = echo(&format!("ws://127.0.0.1:{port}"), engine, "-c 5 -d 300ms");
        assert_eq!(outcome.status, 4, "{outcome:?}");
        assert!(outcome.errors.contains("5 connect_refused"), "{}", outcome.errors);
    }
}

#[test]
fn a_host_name_is_tried_until_an_address_answers() {
    for engine in engines() {
        let server = Server::start(Fault::Nothing);
        // It may resolve to ::1, where no server listens, and to 127.0.0.1.
        let url = server.url().replace("127.0.0.1", "localhost");
        let outcome = echo(&url, engine, "-c 3 --rate 1k -d 200ms -H Host:example.org");
        assert_eq!(outcome.ledger(), [200, 200, 0, 0, 0, 0], "{outcome:?}");
        assert_eq!(outcome.report["errors"], serde_json::json!({}), "{outcome:?}");
    }
}

#[test]
fn a_run_goes_on_with_the_connections_that_open() {
    for engine in engines() {
        let server = Server::opening(Opening::IgnoresEverySecond);
        let arguments = "-c 4 --rate 1k -d 800ms --handshake-timeout 400ms";
        let outcome = echo(&server.url(), engine, arguments);
        assert!(outcome.failures("handshake_timed_out") >= 2, "{outcome:?}");
        let [sent, received, lost, ..] = outcome.ledger();
        assert_eq!((sent, lost), (received, 0));
        let unsent = outcome.failures("not_connected");
        assert_eq!(sent + unsent, 800, "all that was due was sent or counted: {outcome:?}");
        assert!(unsent > 0, "{outcome:?}");
        outcome.assert_status(1);
    }
}

#[test]
fn a_response_may_arrive_in_pieces_or_with_more_bytes() {
    for opening in [Opening::Trickles, Opening::SpeaksFirst, Opening::Hints] {
        for engine in engines() {
            let server = Server::opening(opening);
            let outcome = echo(&server.url(), engine, "-c 3 --rate 1k -d 300ms");
            assert_eq!(outcome.ledger(), [300, 300, 0, 0, 0, 0], "{opening:?} {outcome:?}");
            outcome.assert_status(0);
        }
    }
}
