//! Edge cases of a run: few messages and odd numbers, large messages, and the end, before which all
//! due messages must be sent.

use crate::{
    run::{echo, engines},
    server::{Fault, Server},
};

#[test]
fn all_messages_due_before_the_end_are_sent() {
    for (arguments, due) in [
        ("-c 1 --rate 0.5 -d 1s", 1),
        ("-c 1 --rate 1k -d 500ms", 500),
        ("-c 7 --rate 30k -d 200ms", 6000),
        ("-c 10 --rate 999 -d 1s", 999),
        ("-c 3 --rate 100 -d 1s --pipeline 10", 100),
    ] {
        for engine in engines() {
            let server = Server::start(Fault::Nothing);
            let outcome = echo(&server.url(), engine, arguments);
            assert_eq!(outcome.ledger(), [due, due, 0, 0, 0, 0], "{arguments} {outcome:?}");
            outcome.assert_status(0);
        }
    }
}

#[test]
fn connections_need_not_be_a_multiple_of_threads() {
    let server = Server::start(Fault::Nothing);
    let arguments = format!(
        "echo --url {} -q --json --threads 3 -c 8 --rate 900 -d 500ms --first-number 4294967000",
        server.url()
    );
    let outcome = crate::run::run(&arguments);
    assert_eq!(outcome.ledger(), [450, 450, 0, 0, 0, 0], "{outcome:?}");
    assert_eq!(outcome.count("connections_open"), 8);
}

#[test]
fn random_arrivals_have_the_requested_rate_on_average() {
    let server = Server::start(Fault::Nothing);
    let arguments = "-c 10 --rate 5k -d 1s --arrivals poisson --seed 3";
    let outcome = echo(&server.url(), "auto", arguments);
    let [sent, received, rest @ ..] = outcome.ledger();
    // Five standard deviations of a Poisson variable.
    assert!((5000f64 - sent as f64).abs() < 5.0 * 5000f64.sqrt(), "{outcome:?}");
    assert_eq!((sent, [0; 4]), (received, rest));
}

#[test]
fn large_messages_come_back_whole() {
    for engine in engines() {
        for fault in [Fault::Nothing, Fault::Fragment] {
            let server = Server::start(fault);
            for (arguments, least) in [
                ("-c 3 --closed -d 500ms --size 1M", 3),
                ("-c 3 --closed -d 500ms --size 16k --text", 30),
                ("-c 1 --closed --pipeline 4 -d 500ms --size 100k", 10),
            ] {
                let outcome = echo(&server.url(), engine, arguments);
                let [sent, received, rest @ ..] = outcome.ledger();
                assert_eq!((sent, [0; 4]), (received, rest), "{arguments} {outcome:?}");
                assert!(received >= least, "{arguments} {engine} {outcome:?}");
            }
        }
    }
}

#[test]
fn each_changed_byte_of_a_large_message_is_noticed() {
    for engine in engines() {
        for arguments in ["-c 2 --size 300k", "-c 2 --size 64k --text --pipeline 3"] {
            let server = Server::start(Fault::Flip { every: 5 });
            let outcome = echo(&server.url(), engine, &format!("--closed -d 500ms {arguments}"));
            let [sent, received, lost, doubled, reordered, corrupted] = outcome.ledger();
            assert_eq!((sent, [lost, doubled, reordered]), (received, [0; 3]), "{outcome:?}");
            assert!(corrupted > 0 && corrupted.abs_diff(received / 5) <= 1, "{outcome:?}");
        }
    }
}

#[test]
fn a_connection_that_breaks_in_a_large_message_starts_anew() {
    let server = Server::start(Fault::Reset { after: 7 });
    let outcome = echo(&server.url(), "auto", "-c 2 --closed -d 2500ms --size 300k");
    let [sent, received, lost, rest @ ..] = outcome.ledger();
    assert_eq!((sent, rest), (received + lost, [0; 3]), "{outcome:?}");
    assert!(received > 7 && outcome.failures("reset") > 0, "{outcome:?}");
}
