//! A server that is slow at times: an open loop must show the whole delay, because messages are due
//! whether or not the server reads them.

use std::time::Duration;

use crate::{
    run::{RunOutput, echo, engines},
    server::{Fault, Server},
};

#[test]
fn a_delay_of_one_reply_in_1000_is_the_p99_9() {
    let by = Duration::from_millis(50);
    for engine in engines() {
        let server = Server::start(Fault::Delay { every: 1000, by });
        // Ten of 9,500 are delayed, number 0 included, so more than one in a thousand.
        let outcome = echo(&server.url(), engine, "-c 50 --rate 5k -d 1900ms");
        assert_eq!(outcome.ledger(), [9500, 9500, 0, 0, 0, 0], "{engine}");
        assert!(outcome.number("latency_us.p99_9") >= 50_000.0, "{engine} {outcome:?}");
        assert!(outcome.number("latency_us.p50") < 25_000.0, "{engine} {outcome:?}");
    }
}

/// The share of messages with a longer latency, from the percentile curve.
fn share_above(outcome: &RunOutput, us: f64) -> f64 {
    let curve = outcome.report["percentiles"].as_array().unwrap();
    let point = |index: usize| {
        let point = &curve[index];
        (point["quantile"].as_f64().unwrap(), point["us"].as_f64().unwrap())
    };
    let above = (0..curve.len()).find(|index| point(*index).1 > us).expect("some take as long");
    let ((q0, us0), (q1, us1)) = (point(above.max(1) - 1), point(above.max(1)));
    1.0 - (q0 + (q1 - q0) * (us - us0) / (us1 - us0))
}

#[test]
fn messages_due_in_a_stall_of_2_s_are_counted_with_their_wait() {
    let lasting = Duration::from_secs(2);
    for engine in engines() {
        let server = Server::start(Fault::Stall { at: 500, lasting });
        let outcome = echo(&server.url(), engine, "-c 10 --rate 1k -d 4s");
        assert_eq!(outcome.ledger(), [4000, 4000, 0, 0, 0, 0], "{engine}");
        assert!(outcome.number("latency_us.max") >= 2e6, "{engine} {outcome:?}");
        // 2,000 messages are due in the stall; one that is due at its end does not wait.
        for (wait_ms, due) in [(500.0, 1500.0), (1000.0, 1000.0), (1500.0, 500.0)] {
            let waited = 4000.0 * share_above(&outcome, wait_ms * 1e3);
            let is_near = (waited - due).abs() < 100.0;
            assert!(is_near, "{waited} and not {due} waited {wait_ms} ms, {engine} {outcome:?}");
        }
    }
}

#[test]
fn a_closed_loop_does_not_see_the_stall() {
    let lasting = Duration::from_secs(1);
    let server = Server::start(Fault::Stall { at: 500, lasting });
    let outcome = echo(&server.url(), "auto", "-c 4 --closed -d 2s");
    assert!(outcome.number("latency_us.max") >= 1e6);
    // This is why latencies of a closed loop mean little.
    assert!(outcome.number("latency_us.p99") < 500_000.0, "{outcome:?}");
}
