//! `calibrate` works, and its results are consistent.

use crate::{
    run::{engines, run},
    server::{Fault, Server},
};

#[test]
fn the_error_is_measured_and_judged() {
    for engine in engines() {
        for (within, status) in [("1ns", 3), ("1h", 0)] {
            let outcome = run(&format!(
                "calibrate -c 20 --rate 2k -d 200ms --slots 3 --within {within} --io {engine} -q \
                 --json"
            ));
            if outcome.status == 2 && outcome.errors.contains("two cores") {
                return eprintln!("skipped: this host has one core");
            }
            if status == 3 {
                assert_eq!(outcome.status, 3, "{outcome:?}");
                let why = outcome.report["invalid_because"].to_string();
                assert!(why.contains("error_above_limit"), "{why}");
            } else {
                outcome.assert_status(0);
            }
            assert_eq!(outcome.ledger(), [400, 400, 0, 0, 0, 0], "{outcome:?}");
            let [p50, p99, max] =
                ["p50", "p99", "max"].map(|at| outcome.number(&format!("details.error_{at}_us")));
            assert!(p50 <= p99 && p99 <= max, "{outcome:?}");
            // What a latency consists of: two passes, the echo's own time, and the error.
            let pass = outcome.number("details.pass_p50_us");
            assert!(
                pass > 0.0 && max + 2.0 * pass <= 1.01 * outcome.number("latency_us.max") + 1.0
            );
            // The report has the median slot.
            let mut slots: Vec<f64> = (0..3)
                .map(|slot| outcome.number(&format!("details.slot_0{slot}_error_p99_us")))
                .collect();
            slots.sort_by(f64::total_cmp);
            assert_eq!(slots[1], p99, "{outcome:?}");
        }
    }
}

#[test]
fn costs_are_measured_case_by_case_beside_a_server() {
    let server = Server::start(Fault::Nothing);
    let outcome = run(&format!(
        "calibrate --echo-url {} --pid {} --case 16k,churn -d 100ms --slots 3 -q --json",
        server.url(),
        std::process::id()
    ));
    let cases = outcome.report["cases"].as_array().unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["16k", "churn"]);
    for case in cases {
        let number = |name: &str| case[name].as_f64().unwrap();
        assert!(number("received") > 0.0 && number("tester_ns") > 0.0, "{case:#}");
        // The server is in this process, with a thread for each connection.
        assert!(number("server_ns") > 0.0, "{case:#}");
        let median = case["ratio"]["median"].as_f64().unwrap();
        let verdict = case["verdict"].as_str().unwrap();
        match verdict {
            "cheaper" => assert!(median < 1.0, "{case:#}"),
            "dearer" => assert!(median > 1.0, "{case:#}"),
            _ => assert_eq!(verdict, "equal", "{case:#}"),
        }
    }
    let is_dearer = cases.iter().any(|case| case["verdict"] == "dearer");
    assert_eq!(outcome.status, if is_dearer { 3 } else { 0 }, "{outcome:?}");
}

#[test]
fn costs_need_a_server_and_its_process() {
    for (arguments, why) in [
        ("--echo-url ws://h/", "--pid"),
        ("--echo-url ws://h/ --pid 1 --case fanout", "--subscribe-url"),
        ("--pid 1", "--echo-url"),
    ] {
        let outcome = run(&format!("calibrate -q {arguments}"));
        assert_eq!(outcome.status, 2, "{outcome:?}");
        assert!(outcome.errors.contains(why), "{outcome:?}");
    }
    let nobody = "calibrate -q --echo-url ws://127.0.0.1:9/ --pid 1 --case echo-100 --slots 1";
    let outcome = run(nobody);
    assert_eq!(outcome.status, 4, "nothing was measured: {outcome:?}");
}
