//! The steps of a sweep on a page: latency against rate, and one row per step.
//!
//! It shows the results of the steps and judges nothing.

use std::fmt::{self, Write};

use super::{
    axis::{Axis, Scale},
    chart::{Chart, Series},
    short_time,
    text::Escaped,
    thousands, time,
};
use crate::report::step::{Limit, Step};

/// The p50 and the p99 of each rate that was tried, and the p99 that is allowed.
pub fn chart(steps: &[Step], allowed_us: Option<f64>) -> Chart {
    let line = |name, is_in: fn(&Step) -> bool, of: fn(&Step) -> f64| {
        let drawn = steps.iter().filter(|step| step.p99_us > 0.0 && is_in(step));
        let mut points: Vec<(f64, f64)> =
            drawn.map(|step| (step.rate_asked, of(step).max(1.0))).collect();
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Series { name, points }
    };
    let mut series = vec![
        line("p50", |_| true, |step| step.p50_us),
        line("p99 in time", |step| step.passed, |step| step.p99_us),
        line("p99 of too high a rate", |step| !step.passed, |step| step.p99_us),
    ];
    series.retain(|one| !one.points.is_empty());
    let rates = || steps.iter().map(|step| step.rate_asked);
    let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    if let Some(allowed_us) = allowed_us {
        let points = vec![(low / 1.05, allowed_us), (high * 1.05, allowed_us)];
        series.push(Series { name: "p99 allowed", points });
    }
    Chart {
        title: "Latency by rate".to_owned(),
        x: Axis { name: "messages a second", scale: Scale::Log, format: thousands },
        y: Axis { name: "latency", scale: Scale::Log, format: short_time },
        series,
    }
}

/// The steps in the order in which they were tried.
pub fn write_steps(steps: &[Step], out: &mut String) -> fmt::Result {
    out.write_str(
        "<section><h2>Steps</h2>\n<div class=\"wide\"><table><tr><th>asked a second</th>\
         <th>came back</th><th>p50</th><th>p99</th><th>p99.9</th><th>CPU of the server</th>\
         <th></th></tr>\n",
    )?;
    for step in steps {
        let class = if step.passed { "" } else { " class=\"bad\"" };
        let ending = match step.limit {
            Limit::None if step.confirms => "confirmed".to_owned(),
            Limit::None => "passed".to_owned(),
            Limit::Server => format!("too much: {}", step.why.join(", ")),
            Limit::Tester => format!("the tester was late: {}", step.why.join(", ")),
        };
        let cpu = step.server_cpu_ns_per_message.map_or(String::new(), |ns| format!("{ns:.0} ns"));
        write!(
            out,
            "<tr{class}><td>{}</td><td>{}</td>",
            thousands(step.rate_asked),
            thousands(step.rate)
        )?;
        for value in [step.p50_us, step.p99_us, step.p99_9_us] {
            write!(out, "<td>{}</td>", time(value))?;
        }
        writeln!(out, "<td>{cpu}</td><td class=\"text\">{}</td></tr>", Escaped(&ending))?;
    }
    out.write_str("</table></div></section>\n")
}
