//! A comparison as one page: a table, and the ratio of each server to the base.
//!
//! It shows the results and judges nothing.

use std::fmt::{self, Write};

use super::{text::Escaped, thousands, time, write_head};
use crate::{
    measure::spread::Spread,
    report::comparison::{Comparison, TargetResult},
};

/// The comparison as a page.
pub fn render(comparison: &Comparison) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(comparison, &mut page);
    page
}

fn write_page(comparison: &Comparison, out: &mut String) -> fmt::Result {
    let names: Vec<&str> = comparison.targets.iter().map(|one| &*one.name).collect();
    write_head(&format!("{} of {}", comparison.workload, names.join(", ")), out)?;
    let pace = match comparison.rate_asked {
        Some(rate) => format!("{}/s asked of each", thousands(rate)),
        None => format!("closed loop, {} outstanding", comparison.pipeline),
    };
    writeln!(
        out,
        "<p class=\"sub\">{} connections each, {} bytes, {pace}, slots of {:.0} ms by turns, {} of {} \
         rounds count, {} were calm, {}</p>\n</header>\n<main>",
        comparison.connections,
        comparison.size_bytes,
        comparison.slot_ms,
        comparison.rounds,
        comparison.rounds_run,
        comparison.rounds_calm,
        Escaped(&comparison.tool)
    )?;
    write_verdict(comparison, out)?;
    write_servers(comparison, out)?;
    type Ratio = fn(&TargetResult) -> Option<Spread>;
    let ratios: [(&str, Ratio); 4] = [
        ("CPU time of the server per message: less is better", |one| one.ratio),
        ("Rate: more is better", |one| one.ratio_rate),
        ("Latency at p50: less is better", |one| one.ratio_p50),
        ("Latency at p99: less is better", |one| one.ratio_p99),
    ];
    for (name, ratio) in ratios {
        write_ratio(comparison, name, ratio, out)?;
    }
    let machine = &comparison.machine;
    writeln!(
        out,
        "<section><h2>Setting</h2>\n<table class=\"setting\">\
         <tr><th scope=\"row\">command</th><td>{}</td></tr>\n\
         <tr><th scope=\"row\">machine</th><td>{}, {} cores</td></tr>\n\
         <tr><th scope=\"row\">kernel</th><td>{}</td></tr></table></section>",
        Escaped(&comparison.command.join(" ")),
        Escaped(&machine.cpu),
        machine.cores,
        Escaped(&machine.kernel)
    )?;
    out.write_str("</main>\n</body>\n</html>\n")
}

fn write_verdict(comparison: &Comparison, out: &mut String) -> fmt::Result {
    let is_clean =
        comparison.targets.iter().all(|one| one.ledger.is_clean() && one.errors.is_empty());
    let (class, text) = match (comparison.valid, is_clean) {
        (false, _) => ("bad", "Invalid: not all figures are the servers'"),
        (true, false) => ("warn", "Valid, and a server made mistakes"),
        (true, true) => ("good", "Valid, and no server made a mistake"),
    };
    writeln!(out, "<section class=\"verdict {class}\"><strong>{text}</strong><ul>")?;
    for line in comparison.invalid_because.iter().chain(&comparison.warnings) {
        write!(out, "<li>{}</li>", Escaped(line))?;
    }
    for one in &comparison.targets {
        let failed = one.failed.as_ref().filter(|_| one.rounds > 0);
        let failed = failed.map(|why| format!("failed after {} rounds: {why}", one.rounds));
        for line in failed.iter().chain(&one.warnings) {
            write!(out, "<li>{}: {}</li>", Escaped(&one.name), Escaped(line))?;
        }
    }
    out.write_str("</ul></section>\n")
}

fn write_servers(comparison: &Comparison, out: &mut String) -> fmt::Result {
    out.write_str(
        "<section><h2>Servers</h2>\n<div class=\"wide\"><table><tr><th></th><th>received a second</th>\
         <th>p50</th><th>p99</th><th>CPU per message</th><th>busy</th><th>tester busy</th>\
         <th>faults</th></tr>\n",
    )?;
    for one in &comparison.targets {
        write!(out, "<tr><th scope=\"row\">{}</th>", Escaped(&one.name))?;
        if let Some(why) = one.failed.as_ref().filter(|_| one.rounds == 0) {
            writeln!(out, "<td colspan=\"7\" class=\"text\">failed: {}</td></tr>", Escaped(why))?;
            continue;
        }
        let percent = |share: f64| format!("{:.0}%", 100.0 * share);
        let (ledger, cpu) = (&one.ledger, one.server_cpu_ns_per_message);
        let failures: u64 = one.errors.values().sum();
        let faults = ledger.lost + ledger.doubled + ledger.reordered + ledger.corrupted + failures;
        for value in [
            thousands(one.rate),
            time(one.latency_us.p50),
            time(one.latency_us.p99),
            cpu.map_or("-".to_owned(), |ns| format!("{ns:.0} ns")),
            one.server_busy.map_or("-".to_owned(), percent),
            percent(one.tester_busy),
            thousands(faults as f64),
        ] {
            write!(out, "<td>{value}</td>")?;
        }
        out.write_str("</tr>\n")?;
    }
    out.write_str("</table></div></section>\n")
}

/// One ratio of all servers: a bar from the first quartile to the third, and a mark at the median.
fn write_ratio(
    comparison: &Comparison,
    name: &str,
    ratio: fn(&TargetResult) -> Option<Spread>,
    out: &mut String,
) -> fmt::Result {
    let known: Vec<(&TargetResult, Spread)> =
        comparison.targets.iter().filter_map(|one| Some((one, ratio(one)?))).collect();
    if known.len() < 2 {
        return Ok(());
    }
    let high = known.iter().map(|(_, spread)| spread.high).fold(1.0, f64::max) * 1.05;
    let place = |value: f64| 100.0 * (value / high).clamp(0.0, 1.0);
    writeln!(out, "<section><h2>{}</h2>\n<table class=\"ratios\">", Escaped(name))?;
    for (one, spread) in known {
        let (from, to) = (place(spread.low), place(spread.high));
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"range\"><div>\
             <i class=\"base\" style=\"left:{:.2}%\"></i>\
             <b style=\"left:{from:.2}%;width:{:.2}%\"></b>\
             <i style=\"left:{:.2}%\"></i></div></td><td>{}</td></tr>",
            Escaped(&one.name),
            place(1.0),
            to - from,
            place(spread.median),
            Escaped(&spread.to_string())
        )?;
    }
    out.write_str("</table></section>\n")
}
