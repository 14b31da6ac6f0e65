//! Whether a run's figures are the server's or the tester's own: a run in which the tester was the
//! bottleneck is invalid, and says why and how to mend it.
//!
//! It never changes a figure.

use crate::{
    engine::conductor::{Interruption, Run, ServerLoad},
    report::Report,
    wire::advice::advice,
};

/// The tester's own part of the p99 may be this share of it ...
const OWN_SHARE_MAX: f64 = 0.2;

/// ... or this long, which is little beside what a scheduler does.
const OWN_DELAY_MAX_US: f64 = 200.0;

/// A thread that works more than this share of the time is at its limit.
const BUSY_MAX: f64 = 0.95;

/// A server whose threads wait for a CPU for more than this share of the time in which they want
/// one has not the CPUs for itself.
const STARVED_MAX: f64 = 0.2;

/// Below this share of its CPUs, a server in a closed loop was not saturated.
const SATURATED_MIN: f64 = 0.8;

/// No server takes less of a CPU for a message: a system call alone takes longer, and is shared by
/// a few messages at best.
const SERVER_CPU_NS_MIN: f64 = 50.0;

/// With fewer messages, CPU time is too coarse to tell (schedstat lags behind by up to a tick).
const TELLING_MESSAGES_MIN: u64 = 10_000;

/// Judges a run by what is known of its threads and of the server.
pub fn judge<O>(report: &mut Report, run: &Run<O>) {
    if run.interrupted == Some(Interruption::Signal) {
        report.invalidate("interrupted: the run was ended by a signal".to_owned());
    }
    if !run.behind.is_zero() {
        report.invalidate(format!(
            "rate_not_reached: at the end the tester was {:.2} s behind, and what was due then was \
             never sent; use more --threads, or a lower --rate",
            run.behind.as_secs_f64()
        ));
    }
    warn_of_another_process(report, run.seen.received);
    advise(report);
    match report.rate_asked {
        Some(_) => judge_open_loop(report, run.occupied),
        None => judge_closed_loop(report, run.occupied, run.server.as_ref()),
    }
    let has_times = report.latency_us.count > 0;
    if let Some(server) = run.server.filter(|one| has_times && one.starved > STARVED_MAX) {
        report.warnings.push(format!(
            "of the time that the server wanted a CPU, it waited {:.0}% for one: other work runs on \
             its cores, and the rate and the latencies are not its own",
            100.0 * server.starved
        ));
    }
}

/// Says what helps against failures of connections.
fn advise(report: &mut Report) {
    for reason in report.errors.keys() {
        if let Some(advice) = advice(reason) {
            report.warnings.push(format!("{reason}: {advice}"));
        }
    }
}

/// A process whose children do the work, such as nginx's master, would be a very cheap server.
fn warn_of_another_process(report: &mut Report, received: u64) {
    let cpu = report.server_cpu_ns_per_message;
    if let Some(cpu) = cpu.filter(|cpu| *cpu < SERVER_CPU_NS_MIN)
        && received >= TELLING_MESSAGES_MIN
    {
        report.warnings.push(format!(
            "{cpu:.0} ns of the server's CPU per {} are less than any server takes: is --pid the \
             process that serves, and not its parent?",
            report.counted()
        ));
    }
}

fn judge_open_loop(report: &mut Report, occupied: f64) {
    if report.latency_us.count == 0 {
        // Nothing came back: there is no figure that could be the tester's own, and the ledger says
        // the rest.
        return;
    }
    let (latency, tester) = (report.latency_us, report.tester.clone());
    for (name, what, own) in [
        ("late_sends", "late to send", tester.send_delay_us),
        ("late_looks", "late to look at what had come", tester.look_delay_us),
    ] {
        let is_much = |own: f64, of: f64| own > (OWN_SHARE_MAX * of).max(OWN_DELAY_MAX_US);
        if is_much(own.p99, latency.p99) {
            report.invalidate(format!(
                "{name}: the tester itself was {:.0} us {what} at p99, of {:.0} us measured; use \
                 more --threads, a lower --rate, or a machine with less other work",
                own.p99, latency.p99
            ));
        } else if own.p99 > OWN_SHARE_MAX * latency.p99 {
            report.warnings.push(format!(
                "{name}: of the {:.0} us measured at p99, up to {:.0} us are the tester's own",
                latency.p99, own.p99
            ));
        } else if is_much(own.p99_9, latency.p99_9) {
            report.warnings.push(format!(
                "{name}: the tester itself was {:.0} us {what} at p99.9, of {:.0} us measured: what \
                 is above the p99 is partly its own",
                own.p99_9, latency.p99_9
            ));
        }
    }
    // Late sends tell of it sooner, unless the server is so slow that they do not matter.
    if occupied > BUSY_MAX {
        report.invalidate(format!(
            "{}; use more --threads, or several processes and `merge`",
            limit(report.tester.busy, occupied)
        ));
    }
}

/// A pause of the tester beyond this share of a closed loop's time makes the rate its own.
const PAUSE_SHARE_MAX: f64 = 0.05;

fn judge_closed_loop(report: &mut Report, occupied: f64, server: Option<&ServerLoad>) {
    let pause_s = report.tester.look_delay_us.max / 1e6;
    if pause_s > PAUSE_SHARE_MAX * report.elapsed_s {
        report.invalidate(format!(
            "late_looks: the tester itself did not look for {pause_s:.2} s of {:.2} s, as when it is \
             stopped or its core has other work",
            report.elapsed_s
        ));
    }
    let used = server.map(|server| server.busiest.max(server.used));
    let why = limit(report.tester.busy, occupied);
    match used {
        // Both may be at their end: the server is not waiting for the tester.
        Some(used) if used >= BUSY_MAX => {}
        Some(used) if occupied > BUSY_MAX => report.invalidate(format!(
            "{why} and the server {:.0}%: this is the tester's limit, not the server's; use more \
             --threads, or a core without other work",
            100.0 * used
        )),
        Some(used) if used < SATURATED_MIN && report.is_closed_loop() => report.warnings.push(format!(
            "the server was not saturated ({:.0}% of its CPUs), nor was the tester: the rate is that \
             of so many round trips; use more --connections or --pipeline",
            100.0 * used
        )),
        Some(_) => {}
        None if occupied > BUSY_MAX => report.invalidate(format!(
            "{why}, so this may be its limit and not the server's; use more --threads, or give the \
             server's --pid, by which the two are told apart"
        )),
        None => {}
    }
}

/// That a thread has no time left.
fn limit(busy: f64, occupied: f64) -> String {
    let waited = 100.0 * (occupied - busy);
    if waited < 5.0 {
        return format!(
            "tester_cpu: the tester's busiest thread worked {:.0}% of the time",
            100.0 * busy
        );
    }
    format!(
        "tester_cpu: the tester's busiest thread worked {:.0}% of the time, and waited {waited:.0}% \
         for a CPU",
        100.0 * busy
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        measure::{ledger::Ledger, quantiles::record, timeline::Seen},
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
            behind: Duration::ZERO,
            tester_cpu: second,
            server_cpu: None,
            server: None,
            open: 1,
            interrupted: None,
        }
    }

    fn server(busiest: f64, used: f64, starved: f64) -> Option<ServerLoad> {
        Some(ServerLoad { busiest, used, starved })
    }

    /// Why a run is invalid, and what it warns of.
    fn said(rate_asked: Option<f64>, run: &Run<()>) -> (String, String) {
        let heading = Heading {
            command: Vec::new(),
            mode: "echo",
            url: String::new(),
            connections: 1,
            rate_asked,
            threads: 1,
            engine: String::new(),
        };
        let report = Report::new(&heading, &Seen::new(), run, Ledger::default());
        assert_eq!(report.valid, report.invalid_because.is_empty());
        (report.invalid_because.join("; "), report.warnings.join("; "))
    }

    #[test]
    fn a_run_with_time_to_spare_is_valid() {
        for rate in [Some(1000.0), None] {
            assert_eq!(said(rate, &run()), (String::new(), String::new()));
        }
    }

    #[test]
    fn what_the_tester_adds_counts_by_its_share_of_what_is_measured() {
        for (late, latency, is_invalid) in
            [(150 * US, 200 * US, false), (900 * US, 4000 * US, true), (900 * US, 9000 * US, false)]
        {
            let mut run = run();
            for _ in 0..1000 {
                record(&mut run.seen.latencies, latency);
                record(&mut run.seen.send_delays, late);
            }
            let (invalid, _) = said(Some(1.0), &run);
            assert_eq!(invalid.contains("late_sends"), is_invalid, "{late:?} {invalid}");
            std::mem::swap(&mut run.seen.send_delays, &mut run.seen.look_delays);
            let (invalid, _) = said(Some(1.0), &run);
            assert_eq!(invalid.contains("late_looks"), is_invalid, "{late:?} {invalid}");
        }
    }

    #[test]
    fn a_tail_that_is_the_tester_s_own_is_said() {
        let mut run = run();
        for _ in 0..3 {
            record(&mut run.seen.latencies, 5000 * US);
            record(&mut run.seen.send_delays, 5000 * US);
        }
        let (invalid, warnings) = said(Some(1.0), &run);
        assert_eq!(invalid, "");
        assert!(warnings.contains("p99.9"), "{warnings}");
    }

    #[test]
    fn a_thread_without_time_left_is_at_its_limit_whether_it_works_or_waits() {
        let run = Run { busy: 0.5, occupied: 0.98, ..run() };
        let (invalid, _) = said(Some(1.0), &run);
        assert!(invalid.contains("waited 48% for a CPU"), "{invalid}");
        let (invalid, _) = said(None, &run);
        assert!(invalid.contains("--pid"), "{invalid}");
    }

    #[test]
    fn in_a_closed_loop_a_saturated_server_clears_the_tester() {
        let limited = || Run { busy: 0.98, occupied: 0.98, ..run() };
        let run = Run { server: server(0.97, 0.97, 0.0), ..limited() };
        assert_eq!(said(None, &run).0, "");
        // One of its threads is enough: the others had nothing to do.
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
        assert!(said(None, &idle).1.contains("not saturated"));
        let starved = Run { server: server(0.99, 0.99, 0.5), ..run() };
        let (invalid, warnings) = said(None, &starved);
        assert!(invalid.is_empty() && warnings.contains("waited 50%"), "{warnings}");
    }

    #[test]
    fn a_process_that_does_nothing_is_not_the_server() {
        let of = |received, cpu| {
            let seen = Seen { received, ..run().seen };
            said(Some(1.0), &Run { seen, server_cpu: Some(cpu), ..run() }).1
        };
        assert!(of(20_000, 400 * US).contains("20 ns of the server's CPU per message"));
        assert_eq!(of(20_000, 8_000 * US), "");
        assert_eq!(of(100, Duration::ZERO), "");
    }

    #[test]
    fn an_end_before_the_end_is_no_measure() {
        let interrupted = Run { interrupted: Some(Interruption::Signal), ..run() };
        assert!(said(None, &interrupted).0.contains("interrupted"));
        let behind = Run { behind: Duration::from_millis(1500), ..run() };
        let (invalid, _) = said(Some(1.0), &behind);
        assert!(invalid.contains("rate_not_reached") && invalid.contains("1.50 s"), "{invalid}");
    }
}
