//! A chart of latencies against the rate, as SVG: both axes are logarithmic. A curve has a gap where a
//! rate was not reached. Never reads a file, and never changes a figure.

use std::fmt::Write;

use super::latency::{Chart, Point};

/// The size of the drawing, in its own units; texts have 14 of them, so a phone shows them readably.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 360.0;
/// The plot inside of it.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 308.0;
/// Above it, the place of the first cross.
const MISSED: f64 = 28.0;

/// A quantile of latencies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantile {
    P50,
    P99,
}

impl Quantile {
    fn of(self, point: &Point) -> f64 {
        match self {
            Self::P50 => point.p50_us,
            Self::P99 => point.p99_us,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }
}

/// The ranges of both axes, the same for all charts of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// All rates that were asked for.
    rates: Vec<f64>,
    rate: (f64, f64),
    us: (f64, f64),
}

impl Scale {
    /// The range of all figures; latencies in whole decades.
    pub fn of(charts: &[Chart]) -> Option<Self> {
        let points = || charts.iter().flat_map(|chart| &chart.curves).flat_map(|one| &one.points);
        let mut rates: Vec<f64> = points().map(|point| point.asked).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let (slowest, fastest) = (*rates.first()?, *rates.last()?);
        let reached = points().filter(|point| point.is_reached());
        let us = range(reached.flat_map(|point| [point.p50_us, point.p99_us]));
        let (low, high) = us.unwrap_or((100.0, 1000.0));
        let decade = |value: f64| 10f64.powf(value);
        // A little room beside the first and the last rate.
        Some(Self {
            rate: (slowest / 1.15, fastest * 1.15),
            rates,
            us: (decade(low.log10().floor()), decade((high.log10() + 0.05).ceil())),
        })
    }

    fn x(&self, rate: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * share(rate, self.rate)
    }

    fn y(&self, us: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * share(us, self.us)
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// Where a value lies in a logarithmic range.
fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    (value / low).ln() / (high / low).ln()
}

/// Draws a chart.
pub fn draw(chart: &Chart, scale: &Scale) -> String {
    let mut svg = String::new();
    let label = format!(
        "Latency against the rate at {} connections; the table below has the figures",
        grouped(f64::from(chart.connections))
    );
    let _ =
        writeln!(svg, r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">"#);
    draw_axes(scale, &mut svg);
    for (place, curve) in chart.curves.iter().enumerate() {
        let _ = writeln!(svg, r#"<g class="{}">"#, curve.server);
        for quantile in [Quantile::P50, Quantile::P99] {
            draw_curve(&curve.points, quantile, scale, &mut svg);
            for point in curve.points.iter().filter(|point| point.is_reached()) {
                draw_mark(&curve.server, point, quantile, scale, &mut svg);
            }
        }
        for point in curve.points.iter().filter(|point| !point.is_reached()) {
            draw_missed(&curve.server, point, place, scale, &mut svg);
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>");
    svg
}

fn draw_axes(scale: &Scale, svg: &mut String) {
    let mut decade = scale.us.0;
    while decade <= scale.us.1 * 1.001 {
        let y = scale.y(decade);
        let _ = writeln!(svg, r#"<path class="grid" d="M{LEFT} {y:.1}H{RIGHT}"/>"#);
        let (x, y) = (LEFT - 6.0, y + 5.0);
        let text = time(decade);
        let _ = writeln!(
            svg,
            r#"<text class="text" x="{x}" y="{y:.1}" text-anchor="end">{text}</text>"#
        );
        decade *= 10.0;
    }
    for &rate in &scale.rates {
        let (x, y) = (scale.x(rate), BOTTOM + 18.0);
        let _ = writeln!(svg, r#"<path class="grid" d="M{x:.1} {TOP}V{BOTTOM}"/>"#);
        let text = format!("{:.0}k", rate / 1e3);
        let _ = writeln!(
            svg,
            r#"<text class="text" x="{x:.1}" y="{y}" text-anchor="middle">{text}</text>"#
        );
    }
    let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
    let _ = writeln!(
        svg,
        r#"<rect class="frame" x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/>"#
    );
    let (x, y) = ((LEFT + RIGHT) / 2.0, HEIGHT - 8.0);
    let _ = writeln!(
        svg,
        r#"<text class="text" x="{x}" y="{y}" text-anchor="middle">messages per second (log scale)</text>"#
    );
    let _ = writeln!(svg, r#"<text class="text" x="2" y="16">latency (log scale)</text>"#);
}

/// A line through successive rates that were reached.
fn draw_curve(points: &[Point], quantile: Quantile, scale: &Scale, svg: &mut String) {
    let mut path = String::new();
    let mut is_drawing = false;
    for point in points {
        if !point.is_reached() {
            is_drawing = false;
            continue;
        }
        let step = if is_drawing { 'L' } else { 'M' };
        let (x, y) = (scale.x(point.asked), scale.y(quantile.of(point)));
        let _ = write!(path, "{step}{x:.1} {y:.1}");
        is_drawing = true;
    }
    if !path.is_empty() {
        let _ = writeln!(svg, r#"<path class="curve {}" d="{path}"/>"#, quantile.name());
    }
}

/// A circle for Ringway, a square for any other server; hollow if the figure is doubtful.
fn draw_mark(server: &str, point: &Point, quantile: Quantile, scale: &Scale, svg: &mut String) {
    let (x, y) = (scale.x(point.asked), scale.y(quantile.of(point)));
    let class = if point.doubts.is_empty() { "mark" } else { "mark doubted" };
    let title = format!(
        "{server}, {} at {}/s: {}",
        quantile.name(),
        grouped(point.asked),
        time(quantile.of(point))
    );
    let _ = match server {
        super::report::BASE => {
            write!(svg, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.5">"#)
        }
        _ => write!(
            svg,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="6.5" height="6.5">"#,
            x - 3.25,
            y - 3.25
        ),
    };
    let end = if server == super::report::BASE { "circle" } else { "rect" };
    let _ = writeln!(svg, "<title>{title}</title></{end}>");
}

/// A cross above the plot, where there is no figure; those of several servers lie below each other.
fn draw_missed(server: &str, point: &Point, place: usize, scale: &Scale, svg: &mut String) {
    let (x, y) = (scale.x(point.asked), MISSED + 13.0 * place as f64);
    let title = match &point.failed {
        Some(why) => format!("{server} failed: {}", escaped(why)),
        None => format!("{server}: {} of {}/s", grouped(point.rate), grouped(point.asked)),
    };
    let (west, east, north, south) = (x - 4.0, x + 4.0, y - 4.0, y + 4.0);
    let _ = writeln!(
        svg,
        r#"<path class="missed" d="M{west:.1} {north:.1}L{east:.1} {south:.1}M{east:.1} {north:.1}L{west:.1} {south:.1}"><title>{title}</title></path>"#
    );
}

/// Microseconds in a readable unit.
pub fn time(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1e3 => (us, "us"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let text = match value {
        value if value >= 99.5 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    };
    format!("{text} {unit}")
}

/// A whole number with separators.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text inside of an element or an attribute.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::latency::example::latencies;
    use super::*;

    #[test]
    fn a_curve_has_a_gap_where_a_rate_was_not_reached() {
        let charts = latencies().charts;
        let scale = Scale::of(&charts).unwrap();
        let whole = draw(&charts[0], &scale);
        assert_eq!(whole.matches(r#"class="curve"#).count(), 4);
        assert_eq!((whole.matches("<circle").count(), whole.matches("missed").count()), (6, 0));
        let broken = draw(&charts[1], &scale);
        assert_eq!(broken.matches(r#"class="missed""#).count(), 1);
        assert!(broken.contains("bun: 56,000 of 80,000/s"), "{broken}");
        // Two quantiles of the two rates that were reached.
        assert_eq!(broken.matches("<title>bun, p").count(), 4);
    }

    #[test]
    fn a_line_is_not_drawn_across_a_gap() {
        let mut points = latencies().charts[0].curves[0].points.clone();
        points[1].rate = 0.0;
        let scale = Scale::of(&latencies().charts).unwrap();
        let mut svg = String::new();
        draw_curve(&points, Quantile::P99, &scale, &mut svg);
        assert_eq!((svg.matches('M').count(), svg.matches('L').count()), (2, 0), "{svg}");
    }

    #[test]
    fn everything_lies_inside_the_plot() {
        let charts = latencies().charts;
        let scale = Scale::of(&charts).unwrap();
        assert_eq!(scale.us, (10.0, 10_000.0));
        for point in charts.iter().flat_map(|one| &one.curves).flat_map(|one| &one.points) {
            assert!((LEFT..=RIGHT).contains(&scale.x(point.asked)));
            for us in [point.p50_us, point.p99_us] {
                assert!((TOP..=BOTTOM).contains(&scale.y(us)), "{us}");
            }
        }
        assert_eq!(Scale::of(&[]), None);
    }

    #[test]
    fn a_doubtful_figure_is_hollow() {
        let mut charts = latencies().charts;
        charts[0].curves[0].points[0].doubts.push("late_sends: why".to_owned());
        let svg = draw(&charts[0], &Scale::of(&charts).unwrap());
        assert_eq!(svg.matches("mark doubted").count(), 2);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(
            [1.0, 12.34, 999.0, 1e3, 12_345.0, 2e6].map(time),
            ["1 us", "12.3 us", "999 us", "1 ms", "12.3 ms", "2 s"]
        );
        assert_eq!(
            [5.0, 1_000.0, 19_000.0, 1_234_567.0].map(grouped),
            ["5", "1,000", "19,000", "1,234,567"]
        );
    }
}
