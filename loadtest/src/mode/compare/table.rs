//! A comparison as a table: one line per target.
//!
//! It shows the results and judges nothing.

use std::fmt::Write;

use crate::{
    measure::{quantiles::Quantiles, spread::Spread},
    output::table::time,
    report::{
        beside::EchoBeside,
        comparison::{Basis, Comparison, TargetResult},
    },
};

/// Marks ratios that include the noise of the machine.
const NOISY: &str = "~";

/// The comparison as text.
pub fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(comparison, &mut out);
    out
}

fn write(comparison: &Comparison, out: &mut String) -> std::fmt::Result {
    let Comparison {
        workload,
        connections,
        size_bytes,
        slot_ms,
        rounds,
        rounds_run,
        rounds_calm,
        ..
    } = comparison;
    let pace = match comparison.rate_asked {
        Some(rate) => match comparison.saturated_rate {
            Some(_) => format!("{rate:.0}/s, half the rate of the first"),
            None => format!("{rate:.0}/s"),
        },
        None if workload == "churn" => "each followed by the next".to_owned(),
        None => format!("closed loop, {} outstanding", comparison.pipeline),
    };
    writeln!(
        out,
        "compare, {workload}: {connections} connections each, {size_bytes} bytes, {pace}, slots of \
         {slot_ms:.0} ms, {rounds} of {rounds_run} rounds count, {rounds_calm} were calm"
    )?;
    let counted = if workload == "churn" { "conn" } else { "msg" };
    let names = comparison.targets.iter().map(|one| one.name.chars().count());
    let width = names.max().unwrap_or_default().max("server".len());
    writeln!(
        out,
        "{:width$}  {:>21} {:>10} {:>9} {:>21} {:>21} {:>9} {:>9} {:>6} {:>6}",
        "server",
        format!("CPU/{counted} ratio"),
        format!("CPU/{counted}"),
        "rate/s",
        "rate ratio",
        "p99 ratio",
        "p50",
        "p99",
        "busy",
        "tester",
    )?;
    let mark = if comparison.basis == Basis::All { NOISY } else { "" };
    for one in &comparison.targets {
        match &one.failed {
            Some(why) if one.rounds == 0 => {
                writeln!(out, "{:width$}  FAILED: {why}", one.name)?;
            }
            _ => write_target(one, width, mark, out)?,
        }
    }
    for one in &comparison.targets {
        write_remarks(one, out)?;
    }
    for warning in &comparison.warnings {
        writeln!(out, "warning    {warning}")?;
    }
    for why in &comparison.invalid_because {
        writeln!(out, "INVALID    {why}")?;
    }
    Ok(())
}

fn write_target(
    one: &TargetResult,
    width: usize,
    mark: &str,
    out: &mut String,
) -> std::fmt::Result {
    let spread =
        |spread: &Option<Spread>| spread.map_or("-".to_owned(), |it| format!("{mark}{it}"));
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    let cpu = one.server_cpu_ns_per_message;
    let latency = |us: f64| if one.latency_us.count > 0 { time(us) } else { "-".to_owned() };
    writeln!(
        out,
        "{:width$}  {:>21} {:>10} {:>9.0} {:>21} {:>21} {:>9} {:>9} {:>6} {:>6}",
        one.name,
        spread(&one.ratio),
        cpu.map_or("-".to_owned(), |ns| format!("{ns:.0} ns")),
        one.rate,
        spread(&one.ratio_rate),
        spread(&one.ratio_p99),
        latency(one.latency_us.p50),
        latency(one.latency_us.p99),
        one.server_busy.map_or("-".to_owned(), percent),
        percent(one.tester_busy),
    )
}

fn write_remarks(one: &TargetResult, out: &mut String) -> std::fmt::Result {
    let TargetResult { name, ledger, rounds, .. } = one;
    if let Some(why) = one.failed.as_ref().filter(|_| *rounds > 0) {
        writeln!(out, "FAILED     {name}: after {rounds} rounds: {why}")?;
    }
    if !ledger.is_clean() {
        writeln!(
            out,
            "ledger     {name}: {} sent, {} lost, {} doubled, {} reordered, {} corrupted",
            ledger.sent, ledger.lost, ledger.doubled, ledger.reordered, ledger.corrupted
        )?;
    }
    if let Some(echo) = &one.echo_beside {
        let EchoBeside { latency_us: Quantiles { p50, p99, max, .. }, own_delay_p99_us } = echo;
        writeln!(
            out,
            "echo       {name}: {} at p50, {} at p99, {} at most beside the fan-out; the tester was up \
             to {} late (p99)",
            time(*p50),
            time(*p99),
            time(*max),
            time(*own_delay_p99_us)
        )?;
    }
    for (reason, count) in &one.errors {
        writeln!(out, "failures   {name}: {count} {reason}")?;
    }
    for warning in &one.warnings {
        writeln!(out, "warning    {name}: {warning}")?;
    }
    Ok(())
}
