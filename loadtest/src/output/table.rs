//! The table at the end of a run.
//!
//! It shows the report and judges nothing.

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
    let Report { latency_us, ledger, .. } = report;
    writeln!(
        out,
        "{} of {}: {}, {:.1} s",
        report.mode,
        report.url,
        report.connections_said(),
        report.elapsed_s
    )?;
    if ledger.sent > 0 || report.rate > 0.0 {
        rates(report, out)?;
    }
    if report.is_closed_loop() && latency_us.count > 0 {
        writeln!(out, "closed     each waits for the one before: latencies flatter a slow server")?;
    }
    for (name, times) in [("latency", latency_us), ("opening", &report.opening_us)] {
        if times.count == 0 {
            continue;
        }
        let figures = [
            ("p50", 0.5, times.p50),
            ("p90", 0.9, times.p90),
            ("p99", 0.99, times.p99),
            ("p99.9", 0.999, times.p99_9),
            ("max", 1.0, times.max),
        ];
        let figures = figures.map(|(at, quantile, value)| {
            let is_affected = name == "latency" && report.is_affected(quantile);
            format!("{at} {}{}", time(value), if is_affected { "*" } else { "" })
        });
        writeln!(out, "{name:10} {}", figures.join(", "))?;
        if name == "latency" && report.affected_above.is_some() {
            writeln!(out, "  *        partly what delayed the tester itself: see the warnings")?;
        }
    }
    if ledger.sent > 0 || !ledger.is_clean() {
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
    }
    for (reason, count) in &report.errors {
        writeln!(out, "failures   {count} {reason}")?;
    }
    machines(report, out)?;
    details(report, out)?;
    for warning in &report.warnings {
        writeln!(out, "warning    {warning}")?;
    }
    for why in &report.invalid_because {
        writeln!(out, "INVALID    {why}")?;
    }
    Ok(())
}

fn rates(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.ledger.sent == 0 {
        let asked = report.rate_asked.map(|rate| format!(" of {rate:.0} asked for"));
        let asked = asked.unwrap_or_default();
        return writeln!(out, "rate       {:.0}/s{asked}", report.rate);
    }
    let asked = report.rate_asked.map(|rate| format!(" of {rate:.0} asked for"));
    writeln!(
        out,
        "rate       {:.0} received/s, {:.0} sent/s{}, {:.1} MB/s",
        report.rate,
        report.rate_sent,
        asked.unwrap_or_default(),
        report.bytes_per_s / 1e6
    )?;
    Ok(())
}

/// The cost of the run for the tester and the server.
fn machines(report: &Report, out: &mut String) -> std::fmt::Result {
    let Report { tester, .. } = report;
    let each = report.counted();
    if let Some(cpu) = report.server_cpu_ns_per_message {
        let busy = 100.0 * report.server_busy.unwrap_or_default();
        writeln!(out, "server     {cpu:.0} ns of CPU per {each}, {busy:.0}% busy")?;
    } else if let Some(busy) = report.server_busy {
        writeln!(out, "server     {:.1}% busy", 100.0 * busy)?;
    }
    for thread in &report.server_threads {
        writeln!(
            out,
            "  thread   {}: {} of CPU, {:.1}% busy",
            thread.name,
            time(thread.cpu_us),
            100.0 * thread.busy
        )?;
    }
    write!(out, "tester     ")?;
    if tester.cpu_ns_per_message > 0.0 {
        write!(out, "{:.0} ns of CPU per {each}, ", tester.cpu_ns_per_message)?;
    }
    write!(out, "{:.0}% busy, ", 100.0 * tester.busy)?;
    if tester.send_delay_us.count > 0 {
        write!(out, "sends late by {} at p99, ", time(tester.send_delay_us.p99))?;
    }
    let threads = if tester.threads == 1 { "thread" } else { "threads" };
    writeln!(out, "{}, {} {threads}", tester.engine, tester.threads)
}

/// Figures of this mode only: each name includes the unit.
fn details(report: &Report, out: &mut String) -> std::fmt::Result {
    for (index, storm) in report.storms.iter().enumerate() {
        let back = [
            ("50%", storm.back_50_ms),
            ("90%", storm.back_90_ms),
            ("99%", storm.back_99_ms),
            ("100%", storm.back_100_ms),
        ];
        let back = back.map(|(share, ms)| {
            let after = ms.map_or_else(|| "never".to_owned(), |ms| time(1e3 * ms));
            format!("{share} {after}")
        });
        writeln!(
            out,
            "storm {:<4} {} of {} are back, {} failed tries: {}",
            index + 1,
            storm.resumed,
            storm.dropped,
            storm.tries_failed,
            back.join(", ")
        )?;
    }
    let width = report.details.keys().map(|name| name.len()).max().unwrap_or(0);
    let values: Vec<String> = report.details.values().map(|value| number(*value)).collect();
    let digits = values.iter().map(String::len).max().unwrap_or(0);
    for (name, value) in report.details.keys().zip(&values) {
        writeln!(out, "  {name:width$}  {value:>digits$}")?;
    }
    Ok(())
}

/// A number with as many digits as are meaningful, and commas between thousands.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let digits =
        text.trim_start_matches('-').find('.').unwrap_or(text.trim_start_matches('-').len());
    let mut out = String::new();
    let mut left = digits;
    for character in text.chars() {
        if character.is_ascii_digit() && left > 0 {
            if left < digits && left % 3 == 0 {
                out.push(',');
            }
            left -= 1;
        }
        out.push(character);
    }
    out
}

/// Microseconds, converted to the most readable unit.
pub fn time(micros: f64) -> String {
    match micros {
        _ if micros < 1e3 => format!("{micros:.0} us"),
        _ if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_for_reading() {
        for (value, text) in [
            (0.0, "0"),
            (19000.0, "19,000"),
            (1234567.89, "1,234,568"),
            (-11577.3, "-11,577"),
            (27.91615, "27.9"),
            (-0.1234, "-0.123"),
            (999.6, "1,000"),
            (123.0, "123"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
