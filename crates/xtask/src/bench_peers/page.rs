//! The page of latencies and ratios: one file that needs nothing else, in the reader's colours.
//! Never measures, and never leaves out an unwelcome figure.

use std::fmt::Write;

use super::chart::{self, Scale, escaped, grouped, time};
use super::compare::{CONTROL, Finding, Findings};
use super::latency::{Chart, Latencies, Point};
use super::report::{BASE, Report, Row};
use super::table;

const STYLE: &str = include_str!("page.css");

/// The page; `report` has the ratios, if there are any.
pub fn render(latencies: &Latencies, report: Option<&Report>) -> String {
    let mut html = String::new();
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Ringway beside other servers</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    write_latencies(latencies, &mut html);
    if let Some(report) = report {
        write_ratios(report, &mut html);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn write_latencies(latencies: &Latencies, html: &mut String) {
    let versions = latencies.entrants.iter().map(|one| format!("{} {}", one.name, one.version));
    let versions = escaped(&versions.collect::<Vec<_>>().join(", "));
    let machine = escaped(&latencies.machine.line());
    let command = escaped(&latencies.command);
    let _ = write!(
        html,
        "<h1>Latency against the rate, and the cost beside other servers</h1>\n\
         <p>64-byte echoes at a fixed arrival rate, from the time when a message was due to its \
         answer. Bun has uWebSockets inside. Each server has one core and the load generator the \
         other; they have slots in turn, so both see the same machine.</p>\n\
         <p class=\"quiet\"><code>{command}</code>: {machine}; {versions}.</p>\n"
    );
    html.push_str(KEY);
    let Some(scale) = Scale::of(&latencies.charts) else { return };
    html.push_str("<div class=\"charts\">\n");
    for chart in &latencies.charts {
        let connections = grouped(f64::from(chart.connections));
        let _ = writeln!(html, "<figure>\n<figcaption>{connections} connections</figcaption>");
        html.push_str(&chart::draw(chart, &scale));
        write_figures(chart, html);
        html.push_str("</figure>\n");
    }
    html.push_str("</div>\n");
}

/// What lines and marks mean.
const KEY: &str = r#"<ul class="key" aria-label="Key">
<li class="ringway"><svg viewBox="0 0 40 16" aria-hidden="true"><path class="curve" d="M0 8H40"/><circle class="mark" cx="20" cy="8" r="3.5"/></svg>Ringway, p99</li>
<li class="ringway"><svg viewBox="0 0 40 16" aria-hidden="true"><path class="curve p50" d="M0 8H40"/><circle class="mark" cx="20" cy="8" r="3.5"/></svg>Ringway, p50</li>
<li class="bun"><svg viewBox="0 0 40 16" aria-hidden="true"><path class="curve" d="M0 8H40"/><rect class="mark" x="16.75" y="4.75" width="6.5" height="6.5"/></svg>Bun, p99</li>
<li class="bun"><svg viewBox="0 0 40 16" aria-hidden="true"><path class="curve p50" d="M0 8H40"/><rect class="mark" x="16.75" y="4.75" width="6.5" height="6.5"/></svg>Bun, p50</li>
<li class="ringway"><svg viewBox="0 0 40 16" aria-hidden="true"><circle class="mark doubted" cx="12" cy="8" r="3.5"/></svg>hollow: not to be relied on, as the tester was late or at its limit</li>
<li class="bun"><svg viewBox="0 0 40 16" aria-hidden="true"><path class="missed" d="M8 4L16 12M16 4L8 12"/></svg>cross: the rate was not reached</li>
</ul>
"#;

/// The figures of a chart.
fn write_figures(chart: &Chart, html: &mut String) {
    html.push_str("<details>\n<summary>Figures</summary>\n<div class=\"scroll\">\n<table>\n<thead><tr><th>per second</th>");
    for curve in &chart.curves {
        let server = escaped(&curve.server);
        let _ = write!(html, "<th>{server} p50</th><th>p99</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    let rates = chart.curves.first().map_or(0, |curve| curve.points.len());
    for index in 0..rates {
        let row: Vec<&Point> =
            chart.curves.iter().filter_map(|curve| curve.points.get(index)).collect();
        let _ = write!(html, "<tr><td>{}</td>", grouped(row[0].asked));
        for point in row {
            html.push_str(&cells(point));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n</details>\n");
}

fn cells(point: &Point) -> String {
    if let Some(why) = &point.failed {
        return format!("<td colspan=\"2\">failed: {}</td>", escaped(why));
    }
    if !point.is_reached() {
        return format!("<td colspan=\"2\">{}/s reached</td>", grouped(point.rate));
    }
    let mark = if point.doubts.is_empty() { "" } else { "~" };
    format!("<td>{mark}{}</td><td>{mark}{}</td>", time(point.p50_us), time(point.p99_us))
}

fn write_ratios(report: &Report, html: &mut String) {
    let machine = escaped(&report.machine.line());
    let command = escaped(&report.command);
    let _ = write!(
        html,
        "<h2>Cost beside other servers</h2>\n\
         <p>Server CPU per message, delivery, event or connection (or bytes per connection) as a ratio \
         to Ringway’s: the median of paired slots, with its quartiles below. Above 1 the other server \
         costs more. Where Ringway loses, the figure is bold and shaded. Figures in parentheses are \
         not to be relied on, mostly because the load generator was at its limit; ~ marks the noise of \
         the machine. – means that the server cannot take part.</p>\n\
         <p class=\"quiet\"><code>{command}</code>: {machine}.</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of ratios\">\n\
         <table class=\"ratios\">\n<thead><tr><th>case</th><th>{BASE}</th>"
    );
    let columns: Vec<&str> = report.columns().chain([CONTROL]).collect();
    for name in &columns {
        let name = if *name == CONTROL { "A/A" } else { name };
        let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &report.rows {
        write_row(row, &columns, html);
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    let _ = writeln!(html, "<p>{}</p>", escaped(&report.verdict()));
    for one in &report.absent {
        let (name, reason) = (escaped(&one.name), escaped(&one.reason));
        let _ = writeln!(html, "<p>{name} is not in the table: {reason}.</p>");
    }
    let versions = report.entrants.iter().map(|one| format!("{} {}", one.name, one.version));
    let versions = escaped(&versions.collect::<Vec<_>>().join("; "));
    let _ = writeln!(html, "<p class=\"quiet\">{versions}.</p>");
}

fn write_row(row: &Row, columns: &[&str], html: &mut String) {
    let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escaped(&row.title));
    match &row.outcome {
        Err(reason) => {
            let (span, reason) = (columns.len() + 1, escaped(reason));
            let _ = write!(html, "<td colspan=\"{span}\">not measured: {reason}</td>");
        }
        Ok(findings) => {
            let base = table::find(findings, BASE).map(|base| table::cost(findings, base));
            let _ = write!(html, "<td>{}</td>", escaped(base.as_deref().unwrap_or("–")));
            for name in columns {
                match table::find(findings, name) {
                    None => html.push_str("<td>–</td>"),
                    Some(finding) => html.push_str(&cell(findings, finding)),
                }
            }
        }
    }
    html.push_str("</tr>\n");
}

fn cell(findings: &Findings, finding: &Finding) -> String {
    let Some(ratio) = finding.ratio else {
        return format!("<td>{}</td>", escaped(&table::cost(findings, finding)));
    };
    let median = table::doubted(findings, finding, &format!("{:.2}", ratio.median));
    let class = match table::is_cheaper(finding) && table::is_sound(findings, finding) {
        true => " class=\"loss\"",
        false => "",
    };
    format!("<td{class}>{median}<small>{:.2}–{:.2}</small></td>", ratio.low, ratio.high)
}

#[cfg(test)]
mod tests {
    use super::super::latency::example::latencies;
    use super::super::report::example::report;
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_shows_everything() {
        let html = render(&latencies(), Some(&report()));
        for foreign in ["http://", "https://", "<script", "url(", "<link", "src="] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        for part in [
            "prefers-color-scheme: dark",
            "<figcaption>19,000 connections</figcaption>",
            "<td>20,000</td><td>90 us</td><td>810 us</td>",
            "<td colspan=\"2\">56,000/s reached</td>",
            "<td class=\"loss\">0.98<small>0.93–1.03</small></td>",
            "<td>(0.50)<small>0.45–0.55</small></td>",
            "not measured: it took too long",
            "nchan is not in the table: apt-get is not here.",
            "Ringway loses at: echo (bun 0.98).",
        ] {
            assert!(html.contains(part), "{part} in\n{html}");
        }
        for element in ["table", "figure", "svg", "div", "tr", "p", "ul", "details"] {
            let open = html.matches(&format!("<{element}>")).count()
                + html.matches(&format!("<{element} ")).count();
            assert_eq!(open, html.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn a_page_without_ratios_has_charts() {
        let html = render(&latencies(), None);
        assert!(html.contains("<figure>") && !html.contains("Cost beside"));
    }

    #[test]
    fn what_servers_say_is_no_markup() {
        let mut report = report();
        report.rows[2].outcome = Err("<b>\"&\"</b>".to_owned());
        let html = render(&latencies(), Some(&report));
        assert!(html.contains("not measured: &lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;"), "{html}");
    }
}
