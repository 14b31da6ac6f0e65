//! Echoes without stamps: checked faults are found, and the report says what is not checked.

use crate::{
    run::{LEDGER_FAULTS, RunOutput, echo, engines},
    server::{Fault, Server},
};

fn run(fault: Fault, engine: &str, arguments: &str) -> RunOutput {
    let server = Server::start(fault);
    let arguments = format!("--closed --unstamped -d 300ms --drain 700ms {arguments}");
    echo(&server.url(), engine, &arguments)
}

#[test]
fn replies_of_a_correct_server_are_counted_but_not_timed() {
    for engine in engines() {
        for arguments in ["-c 4", "-c 4 --size 1", "-c 3 --text --size 200 --pipeline 5"] {
            let outcome = run(Fault::Nothing, engine, arguments);
            let [sent, received, rest @ ..] = outcome.ledger();
            assert_eq!((sent, rest), (received, [0; 4]), "{outcome:?}");
            assert!(received > 20, "{outcome:?}");
            assert_eq!(outcome.count("latency_us.count"), 0);
            let said = outcome.report["warnings"].to_string();
            assert!(
                said.contains("no latency is measured") && said.contains("one in 64"),
                "{said}"
            );
            outcome.assert_status(0);
        }
    }
}

#[test]
fn replies_may_arrive_in_pieces_with_pings_between_them() {
    for (fault, arguments) in [
        (Fault::Nothing, "-c 2 --size 300k --pipeline 2"),
        (Fault::Fragment, "-c 2"),
        (Fault::Ping { every: 10 }, "-c 2"),
    ] {
        let outcome = run(fault, "auto", arguments);
        let [sent, received, rest @ ..] = outcome.ledger();
        assert_eq!((sent, rest), (received, [0; 4]), "{fault:?} {outcome:?}");
        assert!(received > 10, "{outcome:?}");
        assert_eq!(outcome.report["errors"], serde_json::json!({}), "{outcome:?}");
    }
}

#[test]
fn a_reply_of_another_length_or_kind_is_corrupted() {
    for (fault, arguments) in [
        (Fault::Truncate { every: 100, to: 20 }, "-c 4"),
        (Fault::Retype { every: 100 }, "-c 4 --text"),
    ] {
        let outcome = run(fault, "auto", arguments);
        let [sent, received, lost, _, _, corrupted] = outcome.ledger();
        assert_eq!((sent, lost, corrupted), (received, 0, (received + 50) / 100), "{outcome:?}");
        outcome.assert_status(LEDGER_FAULTS);
    }
}

#[test]
fn one_reply_in_64_is_compared_byte_by_byte() {
    let outcome = run(Fault::Flip { every: 1 }, "auto", "-c 4");
    let [_, received, _, _, _, corrupted] = outcome.ledger();
    assert_eq!(corrupted, received.div_ceil(64), "{outcome:?}");
    outcome.assert_status(LEDGER_FAULTS);
}

#[test]
fn a_reply_that_does_not_come_is_lost() {
    let outcome = run(Fault::Drop { every: 100 }, "auto", "-c 4");
    let [sent, received, lost, ..] = outcome.ledger();
    // Each dropped message ends the closed loop of its connection.
    assert!((1..=4).contains(&lost), "{outcome:?}");
    assert_eq!((sent, lost), (received + lost, (sent + 50) / 100), "{outcome:?}");
    outcome.assert_status(LEDGER_FAULTS);
}

#[test]
fn options_that_need_stamps_are_refused() {
    let server = Server::start(Fault::Nothing);
    for (arguments, why) in [
        ("--unstamped", "--closed"),
        ("--unstamped --closed --deflate", "--deflate"),
        ("--unstamped --closed --message {stamp}", "--message"),
    ] {
        let outcome = echo(&server.url(), "auto", arguments);
        assert_eq!(outcome.status, 2, "{outcome:?}");
        assert!(outcome.errors.contains(why), "{outcome:?}");
    }
}
