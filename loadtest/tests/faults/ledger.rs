//! Messages that are lost, doubled, reordered or changed: each fault is counted once, and there are
//! no others.

use crate::{
    run::{LEDGER_FAULTS, echo, engines},
    server::{Fault, Server},
};

/// Sends 2,000 messages over 4 connections, with 20 faults, and compares the ledger.
fn assert_ledger(fault: Fault, arguments: &str, expected: [u64; 6]) {
    for engine in engines() {
        let server = Server::start(fault);
        let arguments = format!("-c 4 --rate 4k -d 500ms --drain 700ms {arguments}");
        let outcome = echo(&server.url(), engine, &arguments);
        assert_eq!(outcome.ledger(), expected, "{fault:?} {engine} {outcome:?}");
        assert_eq!(outcome.report["errors"], serde_json::json!({}), "{fault:?} {engine}");
        outcome.assert_status(if expected[2..] == [0; 4] { 0 } else { LEDGER_FAULTS });
    }
}

#[test]
fn a_correct_server_has_no_faults() {
    assert_ledger(Fault::Nothing, "", [2000, 2000, 0, 0, 0, 0]);
    assert_ledger(Fault::Nothing, "--text --size 200", [2000, 2000, 0, 0, 0, 0]);
    assert_ledger(Fault::Nothing, "--pipeline 10", [2000, 2000, 0, 0, 0, 0]);
}

#[test]
fn a_dropped_message_is_lost() {
    assert_ledger(Fault::Drop { every: 100 }, "", [2000, 1980, 20, 0, 0, 0]);
}

#[test]
fn a_repeated_message_is_doubled() {
    assert_ledger(Fault::Double { every: 100 }, "", [2000, 2000, 0, 20, 0, 0]);
}

#[test]
fn an_overtaken_message_is_reordered() {
    assert_ledger(Fault::Reorder { every: 100 }, "", [2000, 2000, 0, 0, 20, 0]);
}

#[test]
fn a_cut_message_is_corrupted_and_without_its_stamp_also_lost() {
    assert_ledger(Fault::Truncate { every: 100, to: 20 }, "", [2000, 2000, 0, 0, 0, 20]);
    assert_ledger(Fault::Truncate { every: 100, to: 15 }, "", [2000, 1980, 20, 0, 0, 20]);
}

#[test]
fn a_changed_message_or_one_of_another_kind_is_corrupted() {
    assert_ledger(Fault::Flip { every: 100 }, "", [2000, 2000, 0, 0, 0, 20]);
    assert_ledger(Fault::Retype { every: 100 }, "--text", [2000, 2000, 0, 0, 0, 20]);
}

#[test]
fn a_message_of_another_connection_is_corrupted_and_lost() {
    assert_ledger(Fault::Misdeliver { every: 100 }, "", [2000, 1980, 20, 0, 0, 20]);
}

#[test]
fn a_ping_and_a_fragment_are_no_fault() {
    assert_ledger(Fault::Fragment, "", [2000, 2000, 0, 0, 0, 0]);
    let fault = Fault::Ping { every: 100 };
    let server = Server::start(fault);
    let outcome = echo(&server.url(), "auto", "-c 4 --rate 4k -d 500ms");
    assert_eq!(outcome.ledger(), [2000, 2000, 0, 0, 0, 0]);
    assert_eq!(server.pongs(), 20, "each ping is answered");
}

#[test]
fn a_server_that_does_not_echo_is_explained() {
    let server = Server::start(Fault::Says("{\"error\":\"unknown command\"}"));
    let outcome = echo(&server.url(), "auto", "-c 2 --rate 100 -d 200ms --drain 200ms");
    assert_eq!(outcome.status, LEDGER_FAULTS, "{outcome:?}");
    let said = outcome.report["warnings"].to_string();
    for part in ["no_echo", "unknown command", "--message", "fanout"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let server = Server::start(Fault::Drop { every: 1 });
    let outcome = echo(&server.url(), "auto", "-c 2 --rate 100 -d 200ms --drain 200ms");
    let said = outcome.report["warnings"].to_string();
    assert!(said.contains("no_echo") && said.contains("nothing came"), "{said}");
}

#[test]
fn a_message_may_have_the_format_of_the_server() {
    for engine in engines() {
        for (fault, arguments) in [
            (Fault::Nothing, "--rate 500 -d 400ms"),
            (Fault::Wraps, "--rate 500 -d 400ms --size 300"),
            (Fault::Wraps, "--closed --pipeline 3 -d 300ms"),
        ] {
            let server = Server::start(fault);
            let template = r#"--message {"n":{n},"text":"{stamp}{body}"}"#;
            let outcome = echo(&server.url(), engine, &format!("-c 3 {arguments} {template}"));
            let [sent, received, rest @ ..] = outcome.ledger();
            assert_eq!((sent, rest), (received, [0; 4]), "{fault:?} {outcome:?}");
            assert!(sent == 200 || arguments.contains("closed") && sent > 9, "{outcome:?}");
            outcome.assert_status(0);
        }
    }
    let server = Server::start(Fault::Flip { every: 100 });
    let outcome = echo(
        &server.url(),
        "auto",
        "-c 4 --rate 4k -d 500ms --drain 700ms --message {stamp}{body}",
    );
    assert_eq!(outcome.ledger(), [2000, 2000, 0, 0, 0, 20], "{outcome:?}");
}
