//! The output: a table for people, or an object for programs.
//!
//! It decides nothing.

use std::fmt::Write;

use serde::Serialize;

use crate::doctor::{
    apply::{Deed, StepOutcome},
    capacity::Capacity,
    finding::{Finding, Verdict},
};

/// The report of `ringway doctor`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of the findings: `hurts`, `unknown` if descriptors or memory are unknown, `advice`
    /// or `good`.
    pub verdict: Verdict,
    /// The version of ringway.
    pub version: &'static str,
    /// The table.
    pub checks: Vec<Finding>,
    /// How many connections the host can hold.
    pub capacity: Capacity,
}

/// A longer cell pushes the rest of its row to the right.
const CELL_WIDTH_MAX: usize = 36;

impl Report {
    /// The report of these findings.
    pub fn of(checks: Vec<Finding>, capacity: Capacity) -> Self {
        let has = |verdict| checks.iter().any(|finding| finding.verdict == verdict);
        let verdict = if has(Verdict::Hurts) || capacity.connections < capacity.wanted {
            Verdict::Hurts
        } else if !capacity.unknown.is_empty() {
            Verdict::Unknown
        } else if has(Verdict::Advice) {
            Verdict::Advice
        } else {
            Verdict::Good
        };
        Self { verdict, version: env!("CARGO_PKG_VERSION"), checks, capacity }
    }

    /// The table.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.push_table(&mut text);
        text.push('\n');
        self.push_capacity(&mut text);
        let hurting: Vec<_> = self
            .checks
            .iter()
            .filter(|finding| finding.verdict == Verdict::Hurts)
            .map(|finding| finding.name.as_str())
            .collect();
        let last = match (&hurting[..], self.verdict) {
            ([], Verdict::Hurts) => format!("hurts: {}", self.capacity.limited_by),
            ([], Verdict::Unknown) => format!("unknown: {}", self.capacity.unknown.join(", ")),
            ([], _) => "nothing hurts".to_owned(),
            (names, _) => format!("hurts: {}", names.join(", ")),
        };
        writeln!(text, "\n{last}").expect("writing to a string cannot fail");
        text
    }

    fn push_table(&self, text: &mut String) {
        let head = ["", "CHECK", "FOUND", "WANTED", "WHY"];
        let row = |finding: &Finding| {
            let Finding { verdict, name, found, wanted, why, .. } = finding;
            [word(*verdict), name, found, wanted, why].map(str::to_owned)
        };
        let mut rows = vec![head.map(str::to_owned)];
        for finding in &self.checks {
            rows.push(row(finding));
            if let Some(mend) = &finding.mend {
                rows.push(["", "  to fix it:", mend, "", ""].map(str::to_owned));
            }
        }
        let width = |column: usize| {
            let lengths = rows.iter().map(|row| row[column].chars().count());
            lengths.filter(|length| *length <= CELL_WIDTH_MAX).max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(width);
        for [verdict, name, found, wanted, why] in &rows {
            let [first, second, third, fourth] = widths;
            let line = format!(
                "{verdict:<first$}  {name:<second$}  {found:<third$}  {wanted:<fourth$}  {why}"
            );
            writeln!(text, "{}", line.trim_end()).expect("writing to a string cannot fail");
        }
    }

    fn push_capacity(&self, text: &mut String) {
        let Capacity { connections, limited_by, wanted, unknown, .. } = &self.capacity;
        let mut push = |line: String| {
            writeln!(text, "{line}").expect(
                "writing to a string cannot \
                                                                       fail",
            )
        };
        let (at_most, reservation) = match &unknown[..] {
            [] => ("", String::new()),
            [one] => ("at most ", format!("; {one} is unknown")),
            several => ("at most ", format!("; {} are unknown", several.join(" and "))),
        };
        push(format!(
            "holds {at_most}{connections} connections, limited by {limited_by} \
             ({wanted} wanted){reservation}"
        ));
        for bound in &self.capacity.bounds {
            push(format!("  {:>20}  {:<30} {}", bound.connections, bound.name, bound.found));
        }
    }
}

/// The steps that were done, for people.
pub fn deeds_text(deeds: &[Deed], nothing: &str) -> String {
    if deeds.is_empty() {
        return format!("{nothing}\n");
    }
    let mut text = String::new();
    for Deed { what, outcome, detail } in deeds {
        let outcome = match outcome {
            StepOutcome::Done => "done",
            StepOutcome::Kept => "kept",
            StepOutcome::Refused => "REFUSED",
        };
        writeln!(text, "{outcome:<8} {what}: {detail}").expect("writing to a string cannot fail");
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Advice => "advice",
        Verdict::Unknown => "unknown",
        Verdict::Hurts => "HURTS",
    }
}
