//! The table at the end of a run.
//!
//! It shows what a report says and nothing else.

use std::fmt::Write;

use crate::report::Report;

/// The report as text.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let Report { latency_us, ledger, tester, .. } = report;
    writeln!(
        out,
        "{} of {}: {} of {} connections, {:.1} s",
        report.mode, report.url, report.connections_open, report.connections, report.elapsed_s
    )?;
    let asked = report.rate_asked.map(|rate| format!(" of {rate:.0} asked for"));
    writeln!(
        out,
        "rate       {:.0} received/s, {:.0} sent/s{}, {:.1} MB/s",
        report.rate,
        report.rate_sent,
        asked.unwrap_or_default(),
        report.bytes_per_s / 1e6
    )?;
    for (name, times) in [("latency", latency_us), ("opening", &report.opening_us)] {
        writeln!(
            out,
            "{name:10} p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            time(times.p50),
            time(times.p90),
            time(times.p99),
            time(times.p99_9),
            time(times.max)
        )?;
    }
    writeln!(
        out,
        "ledger     {} sent, {} received, {} lost, {} doubled, {} reordered, {} corrupted",
        ledger.sent,
        ledger.received,
        ledger.lost,
        ledger.doubled,
        ledger.reordered,
        ledger.corrupted
    )?;
    for (reason, count) in &report.errors {
        writeln!(out, "failures   {count} {reason}")?;
    }
    if let Some(cpu) = report.server_cpu_ns_per_message {
        let busy = 100.0 * report.server_busy.unwrap_or_default();
        writeln!(out, "server     {cpu:.0} ns of CPU per message, {busy:.0}% busy")?;
    }
    writeln!(
        out,
        "tester     {:.0} ns of CPU per message, {:.0}% busy, sends late by {} at p99, {}, {} {}",
        tester.cpu_ns_per_message,
        100.0 * tester.busy,
        time(tester.send_delay_us.p99),
        tester.engine,
        tester.threads,
        if tester.threads == 1 { "thread" } else { "threads" },
    )?;
    for (name, value) in &report.details {
        writeln!(out, "{name:10} {value}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "warning    {warning}")?;
    }
    for why in &report.invalid_because {
        writeln!(out, "INVALID    {why}")?;
    }
    Ok(())
}

/// Microseconds in the unit that reads best.
pub fn time(micros: f64) -> String {
    match micros {
        _ if micros < 1e3 => format!("{micros:.0} us"),
        _ if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}
