//! Decides whether a run's figures are the server's or the tester's own: a run in which the tester
//! was the bottleneck is invalid, with a reason and a remedy.
//!
//! It never changes a figure.

use crate::{
    measure::{
        ledger::Ledger,
        quantiles::{Times, micros},
        run::{Interruption, MachineLoad, Run},
        timeline::Seen,
    },
    report::{Heading, Report},
    wire::advice::advice,
};

/// The tester's own delay may be this share of the p99 ...
const OWN_SHARE_MAX: f64 = 0.2;

/// ... or this long, which is short compared with a scheduler's delays.
const OWN_DELAY_MAX_US: f64 = 200.0;

/// A thread that works more than this share of the time is at its limit.
const BUSY_MAX: f64 = 0.95;

/// If a server's threads wait for a CPU for more than this share of the time for which they are
/// runnable, other work uses its CPUs.
const STARVED_MAX: f64 = 0.2;

/// Below this share of its CPUs, a server in a closed loop was not saturated.
const SATURATED_MIN: f64 = 0.8;

/// The least CPU time that a server needs for a message: a single system call takes longer, and at
/// best a few messages share one.
const SERVER_CPU_NS_MIN: f64 = 50.0;

/// With fewer messages, CPU time is too coarse to judge (schedstat lags behind by up to a tick).
const TELLING_MESSAGES_MIN: u64 = 10_000;

/// The report of a run, with its verdict; `opening` has what was counted while connections were
/// opened.
pub fn report<O>(heading: &Heading, opening: &Seen, run: &Run<O>, ledger: Ledger) -> Report {
    let mut report = Report::new(heading, opening, run, ledger);
    judge(&mut report, run);
    report
}

/// Judges a run by the figures of its threads and of the server.
fn judge<O>(report: &mut Report, run: &Run<O>) {
    if run.interrupted == Some(Interruption::Signal) {
        report.invalidate("interrupted: the run was ended by a signal".to_owned());
    }
    if !run.behind.is_zero() {
        report.invalidate(format!(
            "rate_not_reached: at the end the tester was {:.2} s behind, and the messages due then \
             were never sent; use more --threads, or a lower --rate",
            run.behind.as_secs_f64()
        ));
    }
    warn_of_another_process(report, run.seen.received);
    advise(report);
    match report.rate_asked {
        Some(_) => judge_open_loop(report, run),
        None => judge_closed_loop(report, run),
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

/// Adds advice on failures of connections.
fn advise(report: &mut Report) {
    for reason in report.errors.keys() {
        if let Some(advice) = advice(reason) {
            report.warnings.push(format!("{reason}: {advice}"));
        }
    }
}

/// A process whose children do the work, such as nginx's master, would look like a very cheap
/// server.
fn warn_of_another_process(report: &mut Report, received: u64) {
    let cpu = report.server_cpu_ns_per_message;
    if let Some(cpu) = cpu.filter(|cpu| *cpu < SERVER_CPU_NS_MIN)
        && received >= TELLING_MESSAGES_MIN
    {
        report.warnings.push(format!(
            "{cpu:.0} ns of the server's CPU per {} are less than any server needs: is --pid the \
             serving process, and not its parent?",
            report.counted()
        ));
    }
}

/// Quantiles at which the tester's own delays are compared with the latencies.
const QUANTILES: [f64; 8] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0];

/// If latencies below this quantile are affected too, the usual figure (p99) is not the server's.
const AFFECTED_QUANTILE_MIN: f64 = 0.99;

/// A thread that worked less than this share of the time had time to be punctual: if it was late,
/// the machine delayed it.
const OWN_FAULT_BUSY_MIN: f64 = 0.5;

/// What made the tester late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It had more work than it could do.
    Tester,
    /// It had time to spare, but did not get a CPU.
    Machine,
}

fn judge_open_loop<O>(report: &mut Report, run: &Run<O>) {
    if report.latency_us.count == 0 {
        // Nothing came back: no figure could be the tester's own, and the ledger reports the loss.
        return;
    }
    // Late sends show it earlier, unless the server is so slow that they do not matter. This check
    // still comes first: no warning may then attribute any latency to the server.
    if run.occupied > BUSY_MAX {
        let advice = match cause(run) {
            Cause::Tester => "use more --threads, or several processes and `merge`",
            Cause::Machine => OTHER_WORK,
        };
        report.invalidate(format!("{}; {advice}", limit(report.tester.busy, run.occupied)));
    }
    let seen = &run.seen;
    let kinds = [
        ("late_sends", "late to send", &seen.send_delays),
        ("late_looks", "late to read what had arrived", &seen.look_delays),
    ];
    // Both kinds delay the same messages, so both use the lowest affected quantile.
    let lowest = kinds.iter().filter_map(|(_, _, own)| first_affected(run, own)).min();
    for (name, what, own) in kinds {
        judge_delays(report, run, (name, what), own, lowest);
    }
}

/// The index of the first of the [`QUANTILES`] at which the tester's own delays are large compared
/// with the latencies.
fn first_affected<O>(run: &Run<O>, own: &Times) -> Option<usize> {
    QUANTILES.iter().position(|quantile| {
        let at = |times: &Times| micros(times.value_at_quantile(*quantile));
        at(own) > (OWN_SHARE_MAX * at(&run.seen.latencies)).max(OWN_DELAY_MAX_US)
    })
}

/// The remedy if the machine delays the tester.
const OTHER_WORK: &str = "end other work on this machine, or give the tester a core of its own with \
     --cores; more threads or a lower rate do not help";

/// Judges one kind of the tester's own delays; `lowest` is the first quantile that any kind
/// affects.
fn judge_delays<O>(
    report: &mut Report,
    run: &Run<O>,
    (name, what): (&str, &str),
    own: &Times,
    lowest: Option<usize>,
) {
    let latencies = &run.seen.latencies;
    let at = |times: &Times, quantile| micros(times.value_at_quantile(quantile));
    let (own_p99, p99) = (at(own, 0.99), at(latencies, 0.99));
    let (Some(first), Some(lowest)) = (first_affected(run, own), lowest) else {
        if own_p99 > OWN_SHARE_MAX * p99 {
            report.warnings.push(format!(
                "{name}: of the {p99:.0} us measured at p99, up to {own_p99:.0} us are the tester's own"
            ));
        }
        return;
    };
    let above = if lowest == 0 { 0.0 } else { QUANTILES[lowest - 1] };
    report.affected_above = Some(above);
    let late = format!(
        "the tester was {:.0} us {what} at {}, of {:.0} us measured there",
        at(own, QUANTILES[first]),
        percentile(QUANTILES[first]),
        at(latencies, QUANTILES[first]),
    );
    match cause(run) {
        Cause::Tester if QUANTILES[lowest] <= AFFECTED_QUANTILE_MIN => report.invalidate(format!(
            "{name}: {late}; it worked {:.0}% of the time: use more --threads, a lower --rate, or \
             several processes and `merge`",
            100.0 * run.busy
        )),
        Cause::Tester => report
            .warnings
            .push(format!("{name}: {late}; what is above {} is partly its own", percentile(above))),
        Cause::Machine if lowest == 0 => report.invalidate(format!(
            "{name}: {late}: no latency is the server's; {}; {OTHER_WORK}",
            evidence(run)
        )),
        Cause::Machine => {
            let below = if report.valid { ", those below are the server's" } else { "" };
            report.warnings.push(format!(
                "{name}: {late}: latencies above {} are partly the machine's{below}; {}; {OTHER_WORK}",
                percentile(above),
                evidence(run)
            ));
        }
    }
}

fn cause<O>(run: &Run<O>) -> Cause {
    let is_own = run.busy >= OWN_FAULT_BUSY_MIN && run.busy >= run.machine.waited;
    if is_own { Cause::Tester } else { Cause::Machine }
}

/// What is known about how the machine delayed the tester.
fn evidence<O>(run: &Run<O>) -> String {
    let MachineLoad { waited, preempted, stolen } = run.machine;
    let mut text = format!(
        "the machine delayed the tester, which worked {:.0}% of the time and waited {:.1}% for a CPU",
        100.0 * run.busy,
        100.0 * waited
    );
    if preempted > 0 {
        text.push_str(&format!(", and was taken off it {preempted} times"));
    }
    if stolen > 0.0 {
        text.push_str(&format!(", while the host kept {:.1}% of the CPUs", 100.0 * stolen));
    }
    text
}

/// A quantile in words: `p99.9`, or `the longest`.
fn percentile(quantile: f64) -> String {
    if quantile >= 1.0 {
        return "the longest".to_owned();
    }
    format!("p{}", (quantile * 1e6).round() / 1e4)
}

/// If the tester pauses for more than this share of a closed loop's time, the rate is its own.
const PAUSE_SHARE_MAX: f64 = 0.05;

fn judge_closed_loop<O>(report: &mut Report, run: &Run<O>) {
    let (occupied, server) = (run.occupied, run.server.as_ref());
    let more = match cause(run) {
        Cause::Tester => "use more --threads",
        Cause::Machine => "end other work on its cores, or choose others with --cores",
    };
    let pause_s = report.tester.look_delay_us.max / 1e6;
    if pause_s > PAUSE_SHARE_MAX * report.elapsed_s {
        report.invalidate(format!(
            "late_looks: the tester did not check for events for {pause_s:.2} s of {:.2} s, \
             because it was stopped or its core had other work",
            report.elapsed_s
        ));
    }
    let used = server.map(|server| server.busiest.max(server.used));
    let why = limit(report.tester.busy, occupied);
    match used {
        // Both may be at their limits: the server is not waiting for the tester.
        Some(used) if used >= BUSY_MAX => {}
        Some(used) if occupied > BUSY_MAX => report.invalidate(format!(
            "{why}, and the server's for {:.0}%: this is the tester's limit, not the server's; \
             {more}",
            100.0 * used
        )),
        Some(used) if used < SATURATED_MIN && report.is_closed_loop() => report.warnings.push(format!(
            "neither the server ({:.0}% of its CPUs) nor the tester was saturated: round trips limit \
             the rate; use more --connections or a higher --pipeline",
            100.0 * used
        )),
        Some(_) => {}
        None if occupied > BUSY_MAX => report.invalidate(format!(
            "{why}, so this may be its limit and not the server's; {more}, or give the server's \
             --pid, which shows whose limit it is"
        )),
        None => {}
    }
}

/// Says that a thread has no time left.
fn limit(busy: f64, occupied: f64) -> String {
    let waited = 100.0 * (occupied - busy);
    if waited < 5.0 {
        return format!(
            "tester_cpu: the tester's busiest thread worked {:.0}% of the time",
            100.0 * busy
        );
    }
    format!(
        "tester_cpu: the tester's busiest thread worked {:.0}% of the time; it waited for a CPU \
         for {waited:.0}%",
        100.0 * busy
    )
}

#[cfg(test)]
mod tests;
