//! One step of a sweep: the results at one rate, and whether they are good enough.
//!
//! A step that fails while the tester itself was late shows nothing about the server.

use std::time::Duration;

use crate::report::{
    Report,
    step::{Limit, Step},
};

/// The purpose of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To find the rate.
    Search,
    /// To check that the rate also passes for longer.
    Confirm,
}

/// The share of the messages that must come back before the sending ends.
const RATE_SHARE_MIN: f64 = 0.97;

/// Judges a step of `time` at a rate, by its report.
pub fn judge(report: &Report, time: Duration, p99_max: Duration, purpose: Purpose) -> Step {
    let p99_max_us = p99_max.as_secs_f64() * 1e6;
    let latency = &report.latency_us;
    let mut why = Vec::new();
    if latency.p99 > p99_max_us {
        why.push(format!("p99 {:.0} us of {p99_max_us:.0} us allowed", latency.p99));
    }
    let sent_rate = report.ledger.sent as f64 / time.as_secs_f64();
    if report.rate < RATE_SHARE_MIN * sent_rate {
        why.push(format!("{:.0}/s came back of {sent_rate:.0}/s sent", report.rate));
    }
    let ledger = &report.ledger;
    if !ledger.is_clean() {
        why.push(format!(
            "{} lost, {} doubled, {} reordered, {} corrupted",
            ledger.lost, ledger.doubled, ledger.reordered, ledger.corrupted
        ));
    }
    why.extend(report.errors.iter().map(|(reason, count)| format!("{count} {reason}")));
    if latency.count == 0 {
        why.push("nothing came back".to_owned());
    }
    let passed = why.is_empty();
    // Messages that were in time although the tester was late would also be in time without its
    // delay.
    let is_known = report.valid && !report.is_affected(0.99);
    let limit = match (passed, is_known) {
        (true, _) => Limit::None,
        (false, true) => Limit::Server,
        (false, false) => Limit::Tester,
    };
    if limit == Limit::Tester {
        // One word for each reason; the full reasons of the last step are in the report.
        let words = report.invalid_because.iter().filter_map(|why| why.split(':').next());
        why.extend(words.map(str::to_owned));
        if report.valid {
            why.push("the machine delayed the tester".to_owned());
        }
    }
    Step {
        rate_asked: report.rate_asked.unwrap_or_default(),
        rate: report.rate,
        p50_us: latency.p50,
        p99_us: latency.p99,
        p99_9_us: latency.p99_9,
        server_cpu_ns_per_message: report.server_cpu_ns_per_message,
        server_busy: report.server_busy,
        tester_busy: report.tester.busy,
        elapsed_s: report.elapsed_s,
        confirms: purpose == Purpose::Confirm,
        passed,
        why,
        limit,
    }
}
