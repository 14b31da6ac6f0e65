//! Runs with known figures of threads, machine and server, and their verdicts.

use std::time::Duration;

use super::*;
use crate::{
    measure::{ledger::Ledger, quantiles::record, run::ServerLoad, timeline::Seen},
    report::Heading,
};

const US: Duration = Duration::from_micros(1);

fn run() -> Run<()> {
    let second = Duration::from_secs(1);
    let mut seen = Seen::new();
    for _ in 0..1000 {
        record(&mut seen.latencies, 100 * US);
        record(&mut seen.send_delays, 5 * US);
        record(&mut seen.look_delays, 5 * US);
    }
    Run {
        seen,
        started_at: Duration::ZERO,
        outcomes: Vec::new(),
        elapsed: second,
        lasted: second,
        busy: 0.3,
        occupied: 0.35,
        machine: MachineLoad::default(),
        behind: Duration::ZERO,
        tester_cpu: second,
        tester_work: Duration::ZERO,
        server_cpu: None,
        server: None,
        open: 1,
        interrupted: None,
    }
}

fn server(busiest: f64, used: f64, starved: f64) -> Option<ServerLoad> {
    Some(ServerLoad { busiest, used, starved })
}

fn report_of(rate_asked: Option<f64>, run: &Run<()>) -> Report {
    let heading = Heading {
        command: Vec::new(),
        mode: "echo",
        url: String::new(),
        connections: 1,
        rate_asked,
        threads: 1,
        engine: String::new(),
    };
    report(&heading, &Seen::new(), run, Ledger::default())
}

/// Why a run is invalid, and its warnings.
fn said(rate_asked: Option<f64>, run: &Run<()>) -> (String, String) {
    let report = report_of(rate_asked, run);
    assert_eq!(report.valid, report.invalid_because.is_empty());
    (report.invalid_because.join("; "), report.warnings.join("; "))
}

#[test]
fn a_run_with_time_to_spare_is_valid() {
    for rate in [Some(1000.0), None] {
        assert_eq!(said(rate, &run()), (String::new(), String::new()));
    }
}

/// 1,000 times of 100 us, and then 1,000 of `latency` for which the tester was `late`.
fn late_run(late: Duration, latency: Duration) -> Run<()> {
    let mut run = run();
    for _ in 0..1000 {
        record(&mut run.seen.latencies, latency);
        record(&mut run.seen.send_delays, late);
    }
    run
}

#[test]
fn the_delay_of_a_busy_tester_counts_by_its_share_of_the_latency() {
    for (late, latency, is_invalid) in
        [(150 * US, 200 * US, false), (900 * US, 4000 * US, true), (900 * US, 9000 * US, false)]
    {
        let mut run = Run { busy: 0.6, occupied: 0.6, ..late_run(late, latency) };
        let (invalid, _) = said(Some(1.0), &run);
        assert_eq!(invalid.contains("late_sends"), is_invalid, "{late:?} {invalid}");
        assert_eq!(invalid.contains("more --threads"), is_invalid, "{late:?} {invalid}");
        std::mem::swap(&mut run.seen.send_delays, &mut run.seen.look_delays);
        let (invalid, _) = said(Some(1.0), &run);
        assert_eq!(invalid.contains("late_looks"), is_invalid, "{late:?} {invalid}");
    }
}

#[test]
fn a_machine_that_delays_an_idle_tester_marks_figures_and_does_not_reject_them() {
    let machine = MachineLoad { waited: 0.01, preempted: 7, stolen: 0.03 };
    let run = Run { busy: 0.02, occupied: 0.03, machine, ..late_run(900 * US, 4000 * US) };
    let report = report_of(Some(200.0), &run);
    assert!(report.valid, "{:?}", report.invalid_because);
    assert_eq!(report.affected_above, Some(0.5));
    assert!(!report.is_affected(0.5) && report.is_affected(0.75));
    let said = report.warnings.join("; ");
    for part in ["above p50", "waited 1.0%", "7 times", "3.0% of the CPUs", "do not help"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // If even half of the messages were late, no percentile can be reported.
    let mut run = run;
    for _ in 0..3000 {
        record(&mut run.seen.latencies, 4000 * US);
        record(&mut run.seen.send_delays, 900 * US);
    }
    let report = report_of(Some(200.0), &run);
    assert_eq!((report.valid, report.affected_above), (false, Some(0.0)));
    assert!(report.invalid_because[0].contains("the machine delayed the tester"));
    assert!(!report.invalid_because[0].contains("use more --threads"));
}

#[test]
fn no_warning_attributes_latencies_to_the_server_in_a_run_without_any() {
    let busy = |busy| Run { busy, occupied: busy + 0.01, ..late_run(900 * US, 4000 * US) };
    // All sends and half of the reads were late: even the p50 is affected.
    let all_late = |run: Run<()>| {
        let mut run = run;
        run.seen.look_delays = run.seen.send_delays.clone();
        for _ in 0..9000 {
            record(&mut run.seen.send_delays, 4000 * US);
        }
        run
    };
    let behind = Duration::from_millis(1500);
    for run in [
        all_late(busy(0.02)),
        all_late(busy(0.6)),
        Run { behind, ..busy(0.02) },
        Run { interrupted: Some(Interruption::Signal), ..busy(0.02) },
        Run { occupied: 0.98, ..busy(0.02) },
    ] {
        let report = report_of(Some(200.0), &run);
        assert!(!report.valid);
        let said = report.warnings.join("; ");
        assert!(!said.contains("the server's"), "{:?}: {said}", report.invalid_because);
    }
    // Both kinds of delays give the same verdict.
    let report = report_of(Some(200.0), &all_late(busy(0.02)));
    let because = report.invalid_because.join("; ");
    assert!(because.contains("late_sends") && because.contains("late_looks"), "{because}");
    assert_eq!((report.warnings.len(), report.affected_above), (0, Some(0.0)));
    let report = report_of(Some(200.0), &busy(0.02));
    assert!(report.valid && report.warnings[0].contains("those below are the server's"));
}

#[test]
fn a_tail_caused_by_the_tester_is_reported() {
    let mut run = run();
    for _ in 0..3 {
        record(&mut run.seen.latencies, 5000 * US);
        record(&mut run.seen.send_delays, 5000 * US);
    }
    let report = report_of(Some(1.0), &run);
    assert!(report.valid);
    assert_eq!(report.affected_above, Some(0.99));
    assert!(report.warnings.join("; ").contains("p99.9"), "{:?}", report.warnings);
}

#[test]
fn a_thread_without_time_left_is_at_its_limit_whether_it_works_or_waits() {
    let run = Run { busy: 0.5, occupied: 0.98, ..run() };
    let (invalid, _) = said(Some(1.0), &run);
    assert!(invalid.contains("waited for a CPU for 48%"), "{invalid}");
    let (invalid, _) = said(None, &run);
    assert!(invalid.contains("--pid"), "{invalid}");
}

#[test]
fn in_a_closed_loop_a_saturated_server_exonerates_the_tester() {
    let limited = || Run { busy: 0.98, occupied: 0.98, ..run() };
    let run = Run { server: server(0.97, 0.97, 0.0), ..limited() };
    assert_eq!(said(None, &run).0, "");
    // One busy thread is enough: the others had nothing to do.
    let run = Run { server: server(0.97, 0.3, 0.0), ..limited() };
    assert_eq!(said(None, &run).0, "");
    // Four threads that share one core.
    let run = Run { server: server(0.25, 0.99, 0.0), ..limited() };
    assert_eq!(said(None, &run).0, "");
    let run = Run { server: server(0.6, 0.6, 0.0), ..limited() };
    let (invalid, _) = said(None, &run);
    assert!(invalid.contains("the tester's limit"), "{invalid}");
}

#[test]
fn a_server_that_was_not_saturated_or_had_to_share_is_named() {
    let idle = Run { server: server(0.4, 0.4, 0.0), ..run() };
    assert!(
        said(None, &idle)
            .1
            .contains("neither the server (40% of its CPUs) nor the tester was saturated")
    );
    let starved = Run { server: server(0.99, 0.99, 0.5), ..run() };
    let (invalid, warnings) = said(None, &starved);
    assert!(invalid.is_empty() && warnings.contains("waited 50%"), "{warnings}");
}

#[test]
fn an_idle_process_is_not_the_server() {
    let of = |received, cpu| {
        let seen = Seen { received, ..run().seen };
        said(Some(1.0), &Run { seen, server_cpu: Some(cpu), ..run() }).1
    };
    assert!(of(20_000, 400 * US).contains("20 ns of the server's CPU per message"));
    assert_eq!(of(20_000, 8_000 * US), "");
    assert_eq!(of(100, Duration::ZERO), "");
}

#[test]
fn a_run_that_ends_early_is_invalid() {
    let interrupted = Run { interrupted: Some(Interruption::Signal), ..run() };
    assert!(said(None, &interrupted).0.contains("interrupted"));
    let behind = Run { behind: Duration::from_millis(1500), ..run() };
    let (invalid, _) = said(Some(1.0), &behind);
    assert!(invalid.contains("rate_not_reached") && invalid.contains("1.50 s"), "{invalid}");
}
