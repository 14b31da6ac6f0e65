//! `calibrate` works, and its results are consistent.

use crate::run::{engines, run};

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
