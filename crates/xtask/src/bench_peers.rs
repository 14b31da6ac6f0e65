//! `bench-peers`: other people's servers beside Ringway, by `ringway-loadtest compare`, as a table.
//! A server that cannot be installed or started is left out, and the table says so. Never judges: a
//! figure where Ringway loses is a result like the others.

mod alone;
mod cases;
mod chart;
mod compare;
mod dialect;
mod excerpt;
pub mod latency;
mod log_bench;
mod machine;
mod measuring;
mod page;
mod peers;
mod proxy;
mod report;
mod rounds;
mod running;
mod saved;
mod table;
mod tls;

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use self::cases::{CASES, Case, Length};
use self::machine::Machine;
use self::measuring::Bench;
use self::peers::{Installed, Peer};
use self::report::{Absent, Entrant, Report};
use self::tls::Certificate;
use crate::checkout::Checkout;
use crate::server;
use crate::step::StepOutcome;

/// The results of a whole run: the figures, and the document that shows them; README.md shows a part.
const SAVED: &str = "benches/peers/results.json";
const RESULTS: &str = "benches/peers/RESULTS.md";
const README: &str = "README.md";

/// Measure other WebSocket servers beside Ringway, and write a table of the results.
///
/// The peers are installed under `target/`: Bun and ws by npm, tokio-tungstenite, fastwebsockets and
/// the floor by cargo, nginx with nchan and HAProxy from Debian's packages. All servers run on core
/// 0, the load generator on core 1; other work on the machine shows in the column A/A, which is
/// Ringway against itself. Ctrl-C ends all of it and writes nothing.
///
/// A whole run saves its figures in benches/peers/results.json after each case, and writes
/// benches/peers/RESULTS.md and README.md's copy of its table in the end. A run with --quick, --only,
/// or --case without --resume does the same in target/xtask/bench-peers and leaves README.md alone.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench-peers
  cargo xtask bench-peers --quick --only bun,floor --case echo-100,fanout-1000
  cargo xtask bench-peers --resume                 (after an interruption)
  cargo xtask bench-peers --resume --case churn    (measures that case again)
  cargo xtask bench-peers --install")]
pub struct Options {
    /// Fewer rounds: for an impression, not for a figure.
    #[arg(long)]
    quick: bool,
    /// Only these servers, beside Ringway.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Peer>,
    /// Only these cases.
    #[arg(long, value_delimiter = ',', value_name = "NAME",
          value_parser = PossibleValuesParser::new(CASES.iter().map(|case| case.name)))]
    case: Vec<String>,
    /// Keep the saved figures of all other cases; without --case, measure those that have none.
    #[arg(long)]
    resume: bool,
    /// Measure nothing: write the table from the saved figures.
    #[arg(long, conflicts_with_all = ["resume", "case", "install"])]
    render: bool,
    /// Write the table to this file, relative to the repository root.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Install the peers and measure nothing.
    #[arg(long)]
    install: bool,
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let saved = match options.is_whole() {
        true => checkout.path(SAVED),
        false => checkout.scratch("bench-peers")?.join("results.json"),
    };
    if options.render {
        return write(checkout, options, &saved::read(&saved)?);
    }
    ensure!(
        thread::available_parallelism().map_or(1, usize::from) >= 2,
        "the servers and the load generator need a core each; this machine has one"
    );
    let (installed, mut absent) = install(checkout, options)?;
    if options.install {
        return Ok(StepOutcome::Passed(in_words(&installed, &absent)));
    }
    let entrant = |one: &Installed| Entrant {
        name: one.peer.name().to_owned(),
        version: one.version.clone(),
    };
    let mut report = Report {
        command: options.line(),
        length: if options.quick { "quick" } else { "full" }.to_owned(),
        machine: Machine::here()?,
        entrants: installed.iter().map(entrant).collect(),
        absent: absent.clone(),
        rows: Vec::new(),
    };
    let order: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    if options.resume {
        saved::resume(&mut report, saved::read(&saved)?, &order)?;
    }
    let cases = options.cases(&report);
    let length = if options.quick { Length::Quick } else { Length::Full };
    let scratch = checkout.scratch("bench-peers")?;
    let certificate = Certificate::new()?;
    let bench = Bench { checkout, length, scratch, installed: &installed, certificate };
    bench.run(&cases, &mut absent, |row, absent| {
        saved::insert(&mut report.rows, row, &order);
        report.absent = absent.to_vec();
        saved::write(&report, &saved)
    })?;
    println!("\n{}\n", report.excerpt());
    write(checkout, options, &report)
}

impl Options {
    /// The cases to measure; `report` has those that were measured before.
    fn cases(&self, report: &Report) -> Vec<&'static Case> {
        let is_measured = |case: &Case| {
            report.rows.iter().any(|row| row.name == case.name && row.outcome.is_ok())
        };
        let is_wanted = |case: &&Case| match self.case.is_empty() {
            true => !is_measured(case),
            false => self.case.iter().any(|name| name == case.name),
        };
        CASES.iter().filter(is_wanted).collect()
    }

    fn peers(&self) -> Vec<Peer> {
        let is_wanted = |peer: &&Peer| {
            **peer == Peer::Ringway || self.only.is_empty() || self.only.contains(peer)
        };
        Peer::value_variants().iter().filter(is_wanted).copied().collect()
    }

    /// Whether the run's results are for RESULTS.md.
    fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty() && (self.case.is_empty() || self.resume)
    }

    /// The command that repeats the run.
    fn line(&self) -> String {
        let mut line = "cargo xtask bench-peers".to_owned();
        if self.quick {
            line.push_str(" --quick");
        }
        if !self.only.is_empty() {
            let names: Vec<&str> = self.only.iter().map(|peer| peer.name()).collect();
            line.push_str(&format!(" --only {}", names.join(",")));
        }
        if !self.case.is_empty() && !self.resume {
            line.push_str(&format!(" --case {}", self.case.join(",")));
        }
        line
    }
}

/// Installs Ringway, which is required, and as many of the others as possible.
fn install(checkout: &Checkout, options: &Options) -> Result<(Vec<Installed>, Vec<Absent>)> {
    server::build(checkout)?;
    // Not in the middle of a run, which other work would disturb.
    log_bench::build(checkout)?;
    let (mut installed, mut absent) = (Vec::new(), Vec::new());
    for peer in options.peers() {
        println!("-- {}", peer.name());
        match peer.install(checkout) {
            Ok(one) => installed.push(one),
            Err(error) if peer == Peer::Ringway => return Err(error),
            Err(error) => absent.push(left_out(peer, &error)),
        }
    }
    Ok((installed, absent))
}

fn left_out(peer: Peer, error: &anyhow::Error) -> Absent {
    let reason = in_a_line(&format!("{error:#}"));
    println!("{} is left out: {reason}", peer.name());
    Absent { name: peer.name().to_owned(), reason }
}

/// The text on one line, for a table.
fn in_a_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "/").trim_end_matches('.').to_owned()
}

fn in_words(installed: &[Installed], absent: &[Absent]) -> String {
    let there = installed.iter().map(|one| format!("{} {}", one.peer.name(), one.version));
    let missing = absent.iter().map(|one| format!("not {}", one.name));
    there.chain(missing).collect::<Vec<_>>().join("; ")
}

/// Writes the table, and README.md's copy of it after a whole run.
fn write(checkout: &Checkout, options: &Options, report: &Report) -> Result<StepOutcome> {
    let excerpt = report.excerpt();
    let document = format!(
        "# Servers side by side\n\n`{}`: {}.\n\n{}\n\n## Versions\n\n{}\n## All figures\n\n{}\n",
        report.command,
        report.machine.line(),
        excerpt::marked(&excerpt),
        report.versions(),
        report.details()
    );
    let path = match &options.out {
        Some(path) => checkout.root().join(path),
        None if options.is_whole() => checkout.path(RESULTS),
        None => checkout.scratch("bench-peers")?.join("RESULTS.md"),
    };
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    let mut written = path.display().to_string();
    if options.is_whole() && options.out.is_none() {
        let readme = checkout.path(README);
        let text = fs::read_to_string(&readme).context("cannot read README.md")?;
        fs::write(&readme, excerpt::replace(&text, &excerpt).context("README.md")?)
            .context("cannot write README.md")?;
        written.push_str(" and README.md");
    }
    Ok(StepOutcome::Passed(format!("written: {written}")))
}

#[cfg(test)]
mod tests {
    use super::report::example::report;
    use super::*;

    fn options(only: &[Peer], case: &[&str]) -> Options {
        Options {
            quick: false,
            only: only.into(),
            case: case.iter().map(|name| (*name).to_owned()).collect(),
            resume: false,
            render: false,
            out: None,
            install: false,
        }
    }

    fn names(options: &Options, report: &Report) -> Vec<&'static str> {
        options.cases(report).iter().map(|case| case.name).collect()
    }

    #[test]
    fn what_was_asked_for_is_measured_beside_ringway() {
        let nothing = Report { rows: Vec::new(), ..report() };
        let all = options(&[], &[]);
        assert!(all.is_whole());
        assert_eq!((all.cases(&nothing).len(), all.peers().len()), (CASES.len(), 9));
        let some = options(&[Peer::Bun], &["fanout-8", "echo-100"]);
        assert!(!some.is_whole());
        assert_eq!(some.peers(), [Peer::Ringway, Peer::Bun]);
        assert_eq!(names(&some, &nothing), ["echo-100", "fanout-8"]);
        assert_eq!(some.line(), "cargo xtask bench-peers --only bun --case fanout-8,echo-100");
    }

    #[test]
    fn a_run_that_goes_on_measures_what_has_no_figures_or_was_named() {
        let mut before = report();
        before.rows[0].name = "echo-100".to_owned();
        before.rows[2].name = "churn".to_owned();
        assert!(before.rows[0].outcome.is_ok() && before.rows[2].outcome.is_err());
        let rest = Options { resume: true, ..options(&[], &[]) };
        let measured = names(&rest, &before);
        assert!(!measured.contains(&"echo-100") && measured.contains(&"churn"), "{measured:?}");
        assert_eq!(measured.len(), CASES.len() - 1);
        let again = Options { resume: true, ..options(&[], &["echo-100"]) };
        assert_eq!(names(&again, &before), ["echo-100"]);
        assert!(again.is_whole());
        assert_eq!(again.line(), "cargo xtask bench-peers");
    }

    #[test]
    fn a_full_run_is_over_within_half_an_hour() {
        let seconds: u64 = CASES
            .iter()
            .map(|case| {
                let servers = Peer::value_variants().iter().filter(|peer| peer.takes_part(case));
                case.estimate(servers.count(), Length::Full).as_secs()
            })
            .sum();
        assert!(seconds < 30 * 60, "{seconds} s");
    }

    #[test]
    fn a_reason_fits_into_a_sentence() {
        assert_eq!(in_a_line("cannot\n install | it. "), "cannot install / it");
    }
}
