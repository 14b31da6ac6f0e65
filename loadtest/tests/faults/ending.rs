//! Connections and servers that end during a run: they are counted by reason and opened again, and
//! the run continues.

use std::{thread, time::Duration};

use ringway_frame::CloseCode;

use crate::{
    run::{LEDGER_FAULTS, RunOutput, echo, engines},
    server::{Fault, Opening, Server},
};

/// Asserts that all due messages were sent or counted, and that all sent messages came back or were
/// lost.
fn assert_complete(outcome: &RunOutput, due: u64) {
    let [sent, received, lost, doubled, ..] = outcome.ledger();
    assert_eq!(sent + outcome.failures("not_connected"), due, "{outcome:?}");
    assert_eq!((sent, doubled), (received + lost, 0), "{outcome:?}");
}

#[test]
fn each_way_to_end_is_a_reason_and_connections_are_opened_again() {
    for (fault, reason) in [
        (Fault::Close { after: 200, code: CloseCode::GOING_AWAY }, "closed_1001"),
        (Fault::Reset { after: 200 }, "reset"),
        (Fault::End { after: 200 }, "ended_without_close"),
        (Fault::Mask { after: 200 }, "protocol_error_1002"),
    ] {
        for engine in engines() {
            let server = Server::start(fault);
            // Two connections end, the later one early enough to return before the end.
            let arguments = "-c 4 --rate 300 -d 3s --drain 500ms";
            let outcome = echo(&server.url(), engine, arguments);
            let failures = outcome.failures(reason);
            assert!((2..=4).contains(&failures), "{fault:?} {engine} {outcome:?}");
            assert_complete(&outcome, 900);
            assert!(outcome.count("ledger.lost") >= failures, "{outcome:?}");
            assert!(outcome.count("connections_open") >= 2, "{outcome:?}");
            outcome.assert_status(LEDGER_FAULTS);
        }
    }
}

#[test]
fn a_server_may_die_and_come_back() {
    for engine in engines() {
        let server = Server::start(Fault::Nothing);
        let (address, url) = (server.address(), server.url());
        let fate = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1000));
            server.die();
            thread::sleep(Duration::from_millis(1200));
            let server = Server::start_on(address, Fault::Nothing, Opening::Upgrades);
            thread::sleep(Duration::from_secs(10));
            drop(server);
        });
        let outcome = echo(&url, engine, "-c 10 --rate 1k -d 5s --drain 500ms");
        assert_complete(&outcome, 5000);
        let ended = outcome.failures("ended_without_close") + outcome.failures("reset");
        assert_eq!(ended, 10, "{outcome:?}");
        assert!(outcome.failures("connect_refused") >= 1, "{outcome:?}");
        assert!(outcome.failures("not_connected") > 0, "{outcome:?}");
        assert_eq!(outcome.count("connections_open"), 10, "{outcome:?}");
        outcome.assert_status_of_broken_connections();
        drop(fate);
    }
}

#[test]
fn a_server_may_die_for_good() {
    for engine in engines() {
        let server = Server::start(Fault::Nothing);
        let url = server.url();
        let fate = thread::spawn(move || {
            thread::sleep(Duration::from_millis(700));
            server.die();
        });
        let outcome = echo(&url, engine, "-c 10 --rate 1k -d 2s --drain 500ms");
        fate.join().unwrap();
        assert_complete(&outcome, 2000);
        assert_eq!(outcome.count("connections_open"), 0, "{outcome:?}");
        assert!(outcome.count("ledger.received") > 0, "{outcome:?}");
        outcome.assert_status_of_broken_connections();
    }
}
