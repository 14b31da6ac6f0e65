//! A run as one page: curves, ledger, machine. It is readable in light and dark mode, works from a
//! file, and needs no network and no script.
//!
//! It shows the report and judges nothing; it draws the charts as SVG.

mod axis;
mod chart;
pub mod comparison;
mod sweep;
mod text;

use std::fmt::{self, Write};

use self::{
    axis::{Axis, Scale},
    chart::{Chart, Series},
    text::Escaped,
};
use super::table::time;
use crate::report::{Point, Report};

const STYLE: &str = include_str!("page.css");

/// The report as a page.
pub fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(report, &mut page);
    page
}

/// Writes the start of a page, including its headline.
fn write_head(title: &str, out: &mut String) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n<body>\n<header>\n<h1>{0}</h1>\n",
        Escaped(title)
    )
}

fn write_page(report: &Report, out: &mut String) -> fmt::Result {
    write_head(&format!("{} of {}", report.mode, report.url), out)?;
    let pace = if report.is_closed_loop() { "closed loop, " } else { "" };
    writeln!(
        out,
        "<p class=\"sub\">{}, {:.1} s, {pace}{}</p>\n</header>\n<main>",
        Escaped(&report.connections_said()),
        report.elapsed_s,
        Escaped(&report.tool)
    )?;
    write_verdict(report, out)?;
    write_figures(report, out)?;
    if !report.percentiles.is_empty() && report.latency_us.count > 0 {
        percentile_chart(report).write(out)?;
    }
    if let Some(steps) = report.steps.as_deref().filter(|steps| !steps.is_empty()) {
        sweep::chart(steps, report.details.get("p99_allowed_us").copied()).write(out)?;
        sweep::write_steps(steps, out)?;
    }
    if !report.timeline.is_empty() {
        latency_chart(&report.timeline).write(out)?;
        rate_chart(&report.timeline, report.counted()).write(out)?;
    }
    if report.ledger.sent > 0 || !report.errors.is_empty() {
        write_ledger(report, out)?;
    }
    write_details(report, out)?;
    write_setting(report, out)?;
    out.write_str("</main>\n</body>\n</html>\n")
}

/// In a shorter time, the rate depends on too few messages.
const RATE_TIME_MIN_S: f64 = 0.25;

/// A stepped line: a value holds for the whole time of its point.
fn steps<'p>(
    points: impl Iterator<Item = &'p Point>,
    value: impl Fn(&Point) -> f64,
) -> Vec<(f64, f64)> {
    let both_ends = points
        .flat_map(|point| [point.at_s, point.at_s + point.length_s].map(|at| (at, value(point))));
    both_ends.collect()
}

fn write_verdict(report: &Report, out: &mut String) -> fmt::Result {
    let (class, text) = match (report.valid, report.ledger.is_clean() && report.errors.is_empty()) {
        (false, _) => ("bad", "Invalid: these figures are not the server's"),
        (true, false) => ("warn", "Valid, and the server made mistakes"),
        (true, true) if report.ledger.sent == 0 => ("good", "Valid, and no connection failed"),
        (true, true) => ("good", "Valid, and every message came once, in order and unchanged"),
    };
    writeln!(out, "<section class=\"verdict {class}\"><strong>{text}</strong>")?;
    if !report.invalid_because.is_empty() || !report.warnings.is_empty() {
        out.write_str("<ul>")?;
        for line in report.invalid_because.iter().chain(&report.warnings) {
            write!(out, "<li>{}</li>", Escaped(line))?;
        }
        out.write_str("</ul>")?;
    }
    out.write_str("</section>\n")
}

fn write_figures(report: &Report, out: &mut String) -> fmt::Result {
    let latency = &report.latency_us;
    let rate = match report.counted() {
        "connection" => "connections a second",
        _ => "received a second",
    };
    let mut figures = vec![(rate.to_owned(), thousands(report.rate))];
    if latency.count > 0 {
        for (name, quantile, value) in [
            ("p50", 0.5, latency.p50),
            ("p99", 0.99, latency.p99),
            ("p99.9", 0.999, latency.p99_9),
            ("longest", 1.0, latency.max),
        ] {
            let mark =
                if report.is_affected(quantile) { ", partly the tester's delay" } else { "" };
            figures.push((format!("{name}{mark}"), time(value)));
        }
    }
    if let Some(cpu) = report.server_cpu_ns_per_message {
        figures.push((format!("server CPU per {}", report.counted()), time(cpu / 1e3)));
    }
    out.write_str("<section class=\"figures\">\n")?;
    for (name, value) in figures {
        writeln!(out, "<div><b>{}</b><span>{}</span></div>", Escaped(&value), Escaped(&name))?;
    }
    out.write_str("</section>\n")
}

fn percentile_chart(report: &Report) -> Chart {
    let points = report.percentiles.iter().map(|step| (step.quantile, step.us.max(1.0)));
    Chart {
        title: "Latency by percentile".to_owned(),
        x: Axis { name: "percentile", scale: Scale::Percentile, format: percent },
        y: Axis { name: "latency", scale: Scale::Log, format: short_time },
        series: vec![Series { name: "latency", points: points.collect() }],
    }
}

fn latency_chart(timeline: &[Point]) -> Chart {
    let line = |name, of: fn(&Point) -> f64| Series {
        name,
        points: steps(timeline.iter().filter(|one| one.received > 0), |one| of(one).max(1.0)),
    };
    Chart {
        title: "Latency over time".to_owned(),
        x: Axis { name: "time", scale: Scale::Linear, format: seconds },
        y: Axis { name: "latency", scale: Scale::Log, format: short_time },
        series: vec![
            line("p50", |point| point.p50_us),
            line("p99", |point| point.p99_us),
            line("longest", |point| point.max_us),
        ],
    }
}

fn rate_chart(timeline: &[Point], counted: &str) -> Chart {
    let line = |name, points: &mut dyn Iterator<Item = &Point>, of: fn(&Point) -> u64| Series {
        name,
        points: steps(points, |point| of(point) as f64 / point.length_s),
    };
    let mut sending = timeline.iter().filter(|point| !point.is_after_sending);
    let mut all =
        timeline.iter().filter(|one| !one.is_after_sending || one.length_s >= RATE_TIME_MIN_S);
    let name = if counted == "connection" { "connections a second" } else { "messages a second" };
    Chart {
        title: format!("{}{} over time", name[..1].to_uppercase(), &name[1..]),
        x: Axis { name: "time", scale: Scale::Linear, format: seconds },
        y: Axis { name, scale: Scale::Linear, format: thousands },
        series: vec![
            line("sent", &mut sending, |point| point.sent),
            line("received", &mut all, |point| point.received),
        ],
    }
}

fn write_ledger(report: &Report, out: &mut String) -> fmt::Result {
    let ledger = &report.ledger;
    out.write_str("<section><h2>Ledger</h2>\n<table>")?;
    for (name, count, is_fault) in [
        ("sent", ledger.sent, false),
        ("received", ledger.received, false),
        ("lost", ledger.lost, true),
        ("doubled", ledger.doubled, true),
        ("reordered", ledger.reordered, true),
        ("corrupted", ledger.corrupted, true),
    ] {
        let class = if is_fault && count > 0 { " class=\"bad\"" } else { "" };
        let count = thousands(count as f64);
        writeln!(out, "<tr{class}><th scope=\"row\">{name}</th><td>{count}</td></tr>")?;
    }
    for (reason, count) in &report.errors {
        let (reason, count) = (Escaped(reason), thousands(*count as f64));
        writeln!(out, "<tr class=\"bad\"><th scope=\"row\">{reason}</th><td>{count}</td></tr>")?;
    }
    out.write_str("</table></section>\n")
}

fn write_details(report: &Report, out: &mut String) -> fmt::Result {
    let times = [
        ("latency", &report.latency_us),
        ("connect and handshake", &report.opening_us),
        ("the tester's delay in sending", &report.tester.send_delay_us),
        ("the tester's time between two checks for events", &report.tester.look_delay_us),
    ];
    out.write_str(
        "<section><h2>Times</h2>\n<div class=\"wide\"><table><tr><th></th><th>count</th><th>p50</th>\
         <th>p90</th><th>p99</th><th>p99.9</th><th>longest</th></tr>\n",
    )?;
    for (name, of) in times.into_iter().filter(|(_, of)| of.count > 0) {
        write!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td>", thousands(of.count as f64))?;
        for value in [of.p50, of.p90, of.p99, of.p99_9, of.max] {
            write!(out, "<td>{}</td>", time(value))?;
        }
        out.write_str("</tr>\n")?;
    }
    out.write_str("</table></div></section>\n")?;
    if report.details.is_empty() {
        return Ok(());
    }
    out.write_str("<section><h2>Details</h2>\n<table>")?;
    for (name, value) in &report.details {
        let (name, value) = (name.replace('_', " "), decimal(*value));
        writeln!(out, "<tr><th scope=\"row\">{}</th><td>{value}</td></tr>", Escaped(&name))?;
    }
    out.write_str("</table></section>\n")
}

fn write_setting(report: &Report, out: &mut String) -> fmt::Result {
    let (machine, tester) = (&report.machine, &report.tester);
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    let mut rows = vec![
        ("command", report.command.join(" ")),
        ("machine", format!("{}, {} cores, {gib:.0} GiB", machine.cpu, machine.cores)),
        ("kernel", machine.kernel.clone()),
        (
            "tester",
            format!(
                "{}, threads: {}, {:.0}% busy, {:.0} ns of CPU per {}",
                tester.engine,
                tester.threads,
                100.0 * tester.busy,
                tester.cpu_ns_per_message,
                report.counted()
            ),
        ),
    ];
    if let Some(busy) = report.server_busy {
        rows.push(("server", format!("{:.0}% of a core", 100.0 * busy)));
    }
    out.write_str("<section><h2>Setting</h2>\n<table class=\"setting\">")?;
    for (name, value) in rows {
        writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", Escaped(&value))?;
    }
    out.write_str("</table></section>\n")
}

/// A quantile as a percentage, with as many digits as it needs.
fn percent(quantile: f64) -> String {
    // Two digits are before the point; each further nine adds one after it.
    let nines = if quantile < 1.0 { -(1.0 - quantile).log10() } else { 0.0 };
    let digits = (nines.round() as usize).saturating_sub(2);
    format!("{:.digits$}%", 100.0 * quantile)
}

/// The text of a mark on a logarithmic axis: a power of ten of microseconds.
fn short_time(micros: f64) -> String {
    match micros {
        _ if micros < 1e3 => format!("{micros} us"),
        _ if micros < 1e6 => format!("{} ms", micros / 1e3),
        _ => format!("{} s", micros / 1e6),
    }
}

fn seconds(seconds: f64) -> String {
    if seconds.fract() == 0.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

/// A whole number with thin spaces between thousands.
fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number <= -0.5 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn decimal(number: f64) -> String {
    if number.abs() >= 100.0 || number.fract() == 0.0 {
        thousands(number)
    } else {
        format!("{number:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        assert_eq!(thousands(1_234_567.4), "1\u{202f}234\u{202f}567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(-1000.0), "-1\u{202f}000");
        let percents: Vec<String> = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0].map(percent).into();
        assert_eq!(percents, ["0%", "50%", "90%", "99%", "99.9%", "99.99%", "100%"]);
    }
}
