//! A line chart: SVG for the parts that stretch, HTML for the text that must stay legible at any
//! width.
//!
//! It does not know what its numbers mean.

use std::fmt::{self, Write};

use super::{
    axis::{Axis, Range},
    text::Escaped,
};

/// Lines with common axes.
pub struct Chart {
    /// The title of the chart.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// One to four lines.
    pub series: Vec<Series>,
}

/// One line.
pub struct Series {
    /// The name of the line.
    pub name: &'static str,
    /// The points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// The drawing's units in each direction; it is stretched to the available space.
const SIDE: f64 = 1000.0;

impl Chart {
    /// Appends the chart to a page.
    pub fn write(&self, out: &mut String) -> fmt::Result {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Range::of(self.x.scale, points().map(|point| point.0));
        let y = Range::of(self.y.scale, points().map(|point| point.1));
        writeln!(out, "<section><h2>{}</h2>", Escaped(&self.title))?;
        if self.series.len() > 1 {
            out.write_str("<ul class=\"legend\">")?;
            for (index, series) in self.series.iter().enumerate() {
                write!(out, "<li class=\"s{index}\">{}</li>", Escaped(series.name))?;
            }
            out.write_str("</ul>\n")?;
        }
        let label = format!("{}: {} by {}", self.title, self.y.name, self.x.name);
        write!(
            out,
            "<div class=\"chart\" role=\"img\" aria-label=\"{}\"><div class=\"plot\">\
             <svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            Escaped(&label)
        )?;
        for mark in y.marks() {
            let at = SIDE * (1.0 - y.place(*mark));
            write!(out, "<path class=\"grid\" d=\"M0 {at:.1}H{SIDE}\"/>")?;
        }
        for mark in x.marks() {
            write!(out, "<path class=\"grid\" d=\"M{:.1} 0V{SIDE}\"/>", SIDE * x.place(*mark))?;
        }
        for (index, series) in self.series.iter().enumerate() {
            write!(out, "<path class=\"line s{index}\" d=\"")?;
            for (place, (at, value)) in series.points.iter().enumerate() {
                let command = if place == 0 { 'M' } else { 'L' };
                let (right, down) = (SIDE * x.place(*at), SIDE * (1.0 - y.place(*value)));
                write!(out, "{command}{right:.1} {down:.1}")?;
            }
            if series.points.len() == 1 {
                // A line of length 0 is drawn as a dot.
                out.write_str("h0")?;
            }
            out.write_str("\"/>")?;
        }
        out.write_str("</svg>")?;
        for mark in y.marks() {
            let (at, text) = (100.0 * y.place(*mark), (self.y.format)(*mark));
            write!(out, "<span class=\"y\" style=\"bottom:{at:.2}%\">{}</span>", Escaped(&text))?;
        }
        for (index, mark) in x.marks().iter().enumerate() {
            let (at, text) = (100.0 * x.place(*mark), (self.x.format)(*mark));
            // On narrow screens every second mark is left out.
            let class = if index % 2 == 1 { "x odd" } else { "x" };
            write!(
                out,
                "<span class=\"{class}\" style=\"left:{at:.2}%\">{}</span>",
                Escaped(&text)
            )?;
        }
        out.write_str("</div></div></section>\n")
    }
}
