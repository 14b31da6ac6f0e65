//! What is printed: a table for people, an object for programs.
//!
//! It decides nothing.

use std::fmt::Write;

use serde::Serialize;

use super::{
    apply::{Deed, Outcome},
    capacity::Capacity,
    finding::{Finding, Verdict},
};

/// All that `ringway doctor` has to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of the findings: `hurts`, `advice` or `good`.
    pub verdict: Verdict,
    /// Which ringway says so.
    pub version: &'static str,
    /// The table.
    pub checks: Vec<Finding>,
    /// How many connections.
    pub capacity: Capacity,
}

/// What a cell of the table may take before it pushes the rest to the right.
const NAME_WIDTH: usize = 32;
const FOUND_WIDTH: usize = 28;

impl Report {
    /// The report of these findings.
    pub fn of(checks: Vec<Finding>, capacity: Capacity) -> Self {
        let has = |verdict| checks.iter().any(|finding| finding.verdict == verdict);
        let verdict = if has(Verdict::Hurts) || capacity.connections < capacity.wanted {
            Verdict::Hurts
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
        line(&mut text, "", "CHECK", "FOUND", "WANTED: WHY");
        for finding in &self.checks {
            let wanted = format!("{}: {}", finding.wanted, finding.why);
            line(&mut text, word(finding.verdict), &finding.name, &finding.found, &wanted);
            if let Some(mend) = &finding.mend {
                line(&mut text, "", "", "", &format!("-> {mend}"));
            }
        }
        text.push('\n');
        self.push_capacity(&mut text);
        let hurting: Vec<_> = self
            .checks
            .iter()
            .filter(|finding| finding.verdict == Verdict::Hurts)
            .map(|finding| finding.name.as_str())
            .collect();
        let last = match (&hurting[..], self.verdict) {
            ([], Verdict::Hurts) => "hurts: fewer connections than are wanted".to_owned(),
            ([], _) => "nothing hurts".to_owned(),
            (names, _) => format!("hurts: {}", names.join(", ")),
        };
        writeln!(text, "\n{last}").expect("a string takes all");
        text
    }

    fn push_capacity(&self, text: &mut String) {
        let Capacity { connections, limited_by, wanted, .. } = &self.capacity;
        let mut push = |line: String| writeln!(text, "{line}").expect("a string takes all");
        push(format!("holds {connections} connections, limited by {limited_by} ({wanted} wanted)"));
        for bound in &self.capacity.bounds {
            push(format!("  {:>20}  {:<30} {}", bound.connections, bound.name, bound.found));
        }
    }
}

/// What was done, for people.
pub fn deeds_text(deeds: &[Deed], nothing: &str) -> String {
    if deeds.is_empty() {
        return format!("{nothing}\n");
    }
    let mut text = String::new();
    for Deed { what, outcome, detail } in deeds {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Kept => "kept",
            Outcome::Refused => "REFUSED",
        };
        writeln!(text, "{outcome:<8} {what}: {detail}").expect("a string takes all");
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

fn line(text: &mut String, verdict: &str, name: &str, found: &str, rest: &str) {
    let line = format!("{verdict:<8} {name:<NAME_WIDTH$} {found:<FOUND_WIDTH$} {rest}");
    writeln!(text, "{}", line.trim_end()).expect("a string takes all");
}
