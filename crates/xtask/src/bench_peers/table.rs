//! The results as Markdown: ratios to Ringway with their quartiles, and the cases that Ringway
//! loses. Never measures, and never leaves out an unwelcome figure.

use std::fmt::Write;

use super::compare::{Basis, CONTROL, Finding, Findings, Unit};
use super::report::{Absent, BASE, Entrant, FLOOR, Report, Row};

impl Report {
    /// The part that README shows, too.
    pub fn excerpt(&self) -> String {
        let mut text = String::new();
        let columns: Vec<&str> = self.columns().collect();
        let _ = writeln!(
            text,
            "Server CPU per message, delivery, event or connection (or bytes per connection) as a \
             ratio to\nRingway's, the median of paired slots with its quartiles. Above 1 the other \
             server costs more;\n**bold** is where Ringway loses, – is where a server cannot take \
             part.\n{}.\n",
            self.machine.line()
        );
        let _ = writeln!(text, "| case | Ringway | {} | A/A |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len() + 2));
        for row in &self.rows {
            let _ = writeln!(text, "{}", self.line(row));
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        for note in self.doubts() {
            let _ = writeln!(text, "\n{note}");
        }
        for Absent { name, reason } in &self.absent {
            let _ = writeln!(text, "\n{name} is not in the table: {reason}.");
        }
        text.trim_end().to_owned()
    }

    /// Every figure of each server, case by case.
    pub fn details(&self) -> String {
        let mut text = String::new();
        for Row { title, note, outcome, .. } in &self.rows {
            let _ = writeln!(text, "### {title}\n");
            if !note.is_empty() {
                let _ = writeln!(text, "{note}\n");
            }
            match outcome {
                Ok(findings) => {
                    let _ = writeln!(text, "    {}\n", command_line(&findings.command));
                    let unit = match findings.unit {
                        Unit::Nanoseconds => "ns",
                        Unit::Bytes => "bytes",
                    };
                    let _ = writeln!(
                        text,
                        "| server | {unit} | ratio [quartiles] | a second | busy | p50, us | p99, us \
                         | faults | |\n|---|---|---|---|---|---|---|---|---|"
                    );
                    for finding in &findings.targets {
                        let _ = writeln!(text, "{}", detail(finding));
                    }
                }
                Err(reason) => {
                    let _ = writeln!(text, "Not measured: {reason}.");
                }
            }
            text.push('\n');
        }
        text.trim_end().to_owned()
    }

    /// `name version` of all servers that took part.
    pub fn versions(&self) -> String {
        let mut text = String::from("| server | version |\n|---|---|\n");
        for Entrant { name, version } in &self.entrants {
            let _ = writeln!(text, "| {name} | {version} |");
        }
        text
    }

    /// The servers beside Ringway.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.entrants.iter().map(|entrant| &entrant.name[..]).filter(|name| *name != BASE)
    }

    fn line(&self, row: &Row) -> String {
        let mut line = format!("| {} |", row.title);
        match &row.outcome {
            Ok(findings) => {
                let cell = find(findings, BASE).map(|base| cost(findings, base));
                let _ = write!(line, " {} |", cell.as_deref().unwrap_or("–"));
                for name in self.columns().chain([CONTROL]) {
                    let _ = write!(line, " {} |", cell_of(findings, name));
                }
            }
            Err(reason) => {
                let _ = write!(line, " not measured: {reason} |");
                line.push_str(&" |".repeat(self.columns().count() + 1));
            }
        }
        line
    }

    /// What is doubtful about the figures, in sentences.
    fn doubts(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for Row { title, outcome, .. } in &self.rows {
            let Ok(findings) = outcome else { continue };
            let Findings { rounds_calm, rounds_run, .. } = findings;
            if findings.basis == Basis::All {
                notes.push(format!(
                    "~ {title}: only {rounds_calm} of {rounds_run} rounds were calm, so all of them \
                     count."
                ));
            }
            for Finding { name, rounds, failed, .. } in &findings.targets {
                if let Some(why) = failed {
                    notes.push(format!("{title}: {name} failed after {rounds} rounds: {why}."));
                }
            }
        }
        notes
    }

    /// The cases that Ringway loses, in a sentence.
    pub fn verdict(&self) -> String {
        let (mut lost, mut doubtful) = (Vec::new(), Vec::new());
        for Row { title, outcome, .. } in &self.rows {
            let Ok(findings) = outcome else { continue };
            let (sound, unsound): (Vec<_>, Vec<_>) = self
                .columns()
                .filter_map(|name| find(findings, name))
                .filter(|finding| is_cheaper(finding))
                .partition(|finding| is_sound(findings, finding));
            for (these, list) in [(sound, &mut lost), (unsound, &mut doubtful)] {
                if !these.is_empty() {
                    list.push(format!("{title} ({})", names(&these)));
                }
            }
        }
        let doubtful = match doubtful.is_empty() {
            true => String::new(),
            false => format!(
                " Cheaper, in runs that are not to be relied on and are not counted: {}.",
                doubtful.join("; ")
            ),
        };
        if self.rows.iter().all(|row| row.outcome.is_err()) {
            "Nothing was measured.".to_owned()
        } else if lost.is_empty() {
            format!("Ringway loses to none of these servers in what was measured.{doubtful}")
        } else {
            format!("Ringway loses at: {}.{doubtful}", lost.join("; "))
        }
    }
}

pub fn find<'a>(findings: &'a Findings, name: &str) -> Option<&'a Finding> {
    findings.targets.iter().find(|finding| finding.name == name)
}

/// Whether it is a real server that is cheaper than Ringway.
pub fn is_cheaper(finding: &Finding) -> bool {
    let is_rival = ![BASE, FLOOR, CONTROL].contains(&finding.name.as_str());
    is_rival && finding.ratio.is_some_and(|ratio| ratio.median < 1.0)
}

/// Whether its figures are reliable.
pub fn is_sound(findings: &Findings, finding: &Finding) -> bool {
    findings.basis == Basis::Calm && finding.valid && finding.ledger.faults() == 0
}

/// A figure with its doubts: `~` for the noise of the machine, parentheses for all others.
pub fn doubted(findings: &Findings, finding: &Finding, figure: &str) -> String {
    let mark = if findings.basis == Basis::All { "~" } else { "" };
    match finding.valid && finding.ledger.faults() == 0 {
        true => format!("{mark}{figure}"),
        false => format!("({mark}{figure})"),
    }
}

/// The CPU time of a message, if there is one.
pub fn cost(findings: &Findings, finding: &Finding) -> String {
    match finding.server_cpu_ns_per_message {
        Some(cost) => doubted(findings, finding, &amount(cost, findings.unit)),
        None => "failed".to_owned(),
    }
}

fn names(findings: &[&Finding]) -> String {
    let name = |finding: &&Finding| {
        let median = finding.ratio.map_or(f64::NAN, |ratio| ratio.median);
        format!("{} {median:.2}", finding.name)
    };
    findings.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A ratio in the table, or the cost itself if Ringway has none to compare it with.
fn cell_of(findings: &Findings, name: &str) -> String {
    let Some(finding) = find(findings, name) else { return "–".to_owned() };
    let Some(ratio) = finding.ratio else { return cost(findings, finding) };
    let is_loss = is_cheaper(finding) && is_sound(findings, finding);
    let bold = if is_loss { "**" } else { "" };
    let cell = format!("{bold}{:.2}{bold} [{:.2} {:.2}]", ratio.median, ratio.low, ratio.high);
    doubted(findings, finding, &cell)
}

fn detail(finding: &Finding) -> String {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    format!(
        "| {} | {} | {} | {:.0} | {} | {:.0} | {:.0} | {} | {} |",
        finding.name,
        or_none(finding.server_cpu_ns_per_message.map(|cost| format!("{cost:.0}"))),
        or_none(
            finding.ratio.map(|ratio| {
                format!("{:.3} [{:.3} {:.3}]", ratio.median, ratio.low, ratio.high)
            })
        ),
        finding.rate,
        or_none(finding.busy.map(|busy| format!("{:.0}%", 100.0 * busy))),
        finding.latency_us.p50,
        finding.latency_us.p99,
        finding.ledger.faults(),
        if finding.valid { String::new() } else { finding.invalid_because.join("; ") },
    )
}

/// The words of a command line, as typed in a shell.
fn command_line(words: &[String]) -> String {
    let quoted = words.iter().enumerate().map(|(index, word)| match index {
        // The folder of the program says nothing.
        0 => word.rsplit('/').next().unwrap_or_default().to_owned(),
        _ if word.starts_with("--json=") => "--json=FILE".to_owned(),
        _ if word.contains(['&', '{', '"', ' ', '<', '>', '?', '*', '$', '`', '#']) => {
            format!("'{word}'")
        }
        _ => word.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A cost in a readable unit.
fn amount(cost: f64, unit: Unit) -> String {
    if unit == Unit::Bytes {
        return format!("{cost:.0} B");
    }
    match cost {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e5 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.0} us", ns / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::example::{finding, report};
    use super::*;

    #[test]
    fn the_excerpt_says_what_was_found_and_where_ringway_loses() {
        let expected = "\
Server CPU per message, delivery, event or connection (or bytes per connection) as a ratio to
Ringway's, the median of paired slots with its quartiles. Above 1 the other server costs more;
**bold** is where Ringway loses, – is where a server cannot take part.
2 cores, Some CPU, Linux 6.18.1, 2026-11-22.

| case | Ringway | bun | ws | floor | A/A |
|---|---|---|---|---|---|
| echo | 5.4 us | **0.98** [0.93 1.03] | (3.00 [2.95 3.05]) | 0.90 [0.85 0.95] | 1.01 [0.96 1.06] |
| fan-out | 5.4 us | (0.50 [0.45 0.55]) | – | – | – |
| text | not measured: it took too long | | | | |

Ringway loses at: echo (bun 0.98). Cheaper, in runs that are not to be relied on and are not \
counted: fan-out (bun 0.50).

nchan is not in the table: apt-get is not here.";
        assert_eq!(report().excerpt(), expected);
    }

    #[test]
    fn a_figure_is_shown_with_its_doubts_and_only_what_has_none_has_failed() {
        let mut report = report();
        let failed = |name, rounds| Finding {
            valid: false,
            rounds,
            failed: Some("the tester has ended".to_owned()),
            ..finding(name, 0.9)
        };
        let nothing = Finding { ratio: None, server_cpu_ns_per_message: None, ..failed("bun", 0) };
        report.rows[0].outcome = Ok(Findings {
            targets: vec![finding("ringway", 1.0), finding("bun", 0.98), failed("ws", 3)],
            basis: Basis::All,
            rounds_calm: 2,
            rounds_run: 40,
            ..Findings::default()
        });
        // Without a base there is no ratio, but each cost is known.
        report.rows[1].outcome = Ok(Findings {
            targets: vec![nothing, Finding { ratio: None, ..finding("floor", 1.0) }],
            ..Findings::default()
        });
        report.rows.truncate(2);
        let text = report.excerpt();
        for line in [
            "| echo | ~5.4 us | ~0.98 [0.93 1.03] | (~0.90 [0.85 0.95]) | – | – |",
            "| fan-out | – | failed | – | 5.4 us | – |",
            "not counted: echo (bun 0.98, ws 0.90).",
            "~ echo: only 2 of 40 rounds were calm, so all of them count.",
            "echo: ws failed after 3 rounds: the tester has ended.",
            "fan-out: bun failed after 0 rounds: the tester has ended.",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_details_have_every_figure() {
        let details = report().details();
        for line in [
            "### echo\n\nA note about echo.\n\n    load --url 'a=ws://b/?x={n}' --json=FILE\n\n| server | ns |",
            "| bun | 5292 | 0.980 [0.930 1.030] | 180000 | 99% | 510 | 720 | 0 |  |",
            "| ws | 16200 | 3.000 [2.950 3.050] | 180000 | 99% | 510 | 720 | 2 |  |",
            "| bun | 2700 | 0.500 [0.450 0.550] | 180000 | 99% | 510 | 720 | 0 | late_sends: why |",
            "Not measured: it took too long.",
        ] {
            assert!(details.contains(line), "{line} in\n{details}");
        }
    }

    #[test]
    fn who_loses_nothing_is_said_to() {
        let mut report = report();
        report.rows.remove(0);
        assert!(report.excerpt().contains("Ringway loses to none"));
        report.rows.remove(0);
        assert!(report.excerpt().contains("Nothing was measured."));
    }
}
