//! Whether a run's figures are the server's or the tester's own: a run in which the tester was the
//! bottleneck is invalid, and says why and how to mend it.
//!
//! It never changes a figure.

use crate::{
    engine::conductor::{Interruption, Run, ServerLoad},
    report::Report,
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

fn judge_open_loop(report: &mut Report, occupied: f64) {
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

fn judge_closed_loop(report: &mut Report, occupied: f64, server: Option<&ServerLoad>) {
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
        Some(used) if used < SATURATED_MIN && saturates(&report.mode) => report.warnings.push(format!(
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

/// Whether a mode without a rate asks a server for as much as it can do: idle connections ask for
/// nothing, and a storm is over before it says anything of that.
fn saturates(mode: &str) -> bool {
    !matches!(mode, "idle" | "storm")
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
