//! `bench-peers`: other people's servers beside Ringway, by `ringway-loadtest compare`, as a table.
//! A server that cannot be installed or started is left out, and the table says so. Never judges: a
//! figure where Ringway loses is a result like the others.

mod cases;
mod compare;
mod excerpt;
mod machine;
mod peers;
mod running;
mod table;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use self::cases::{CASES, Case, Length};
use self::compare::Findings;
use self::machine::Machine;
use self::peers::{Installed, Peer};
use self::running::{Running, attached};
use self::table::{Absent, Entrant, Report, Row};
use crate::checkout::Checkout;
use crate::step::StepOutcome;
use crate::{process, server};

/// The file that a whole run writes; README.md shows a part of it.
const RESULTS: &str = "benches/peers/RESULTS.md";
const README: &str = "README.md";

/// Measure other WebSocket servers beside Ringway, and write a table of the results.
///
/// The peers are installed under `target/`: Bun and ws by npm, tokio-tungstenite, fastwebsockets and
/// the floor by cargo, nginx with nchan from Debian's packages. All servers run on core 0, the load
/// generator on core 1; other work on the machine shows in the column A/A, which is Ringway
/// against itself. Ctrl-C ends all of it and writes nothing.
///
/// A whole run writes benches/peers/RESULTS.md and README.md's copy of its table; a run with
/// --quick, --only or --case writes target/xtask/bench-peers/RESULTS.md, unless --out names a file.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench-peers
  cargo xtask bench-peers --quick --only bun,floor --case echo-100,fanout-1000
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
          value_parser = PossibleValuesParser::new(CASES.map(|case| case.name)))]
    case: Vec<String>,
    /// Write the table to this file, relative to the repository root.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Install the peers and measure nothing.
    #[arg(long)]
    install: bool,
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    ensure!(
        thread::available_parallelism().map_or(1, usize::from) >= 2,
        "the servers and the load generator need a core each; this machine has one"
    );
    let (installed, mut absent) = install(checkout, options)?;
    if options.install {
        return Ok(StepOutcome::Passed(in_words(&installed, &absent)));
    }
    let length = if options.quick { Length::Quick } else { Length::Full };
    let bench = Bench { checkout, length, scratch: checkout.scratch("bench-peers")? };
    let rows = bench.run(&options.cases(), &installed, &mut absent)?;
    let entrant = |one: &Installed| Entrant { name: one.peer.name(), version: one.version.clone() };
    let report = Report {
        command: options.line(),
        machine: Machine::here()?,
        entrants: installed.iter().map(entrant).collect(),
        absent,
        rows,
    };
    println!("\n{}\n", report.excerpt());
    write(checkout, options, &report)
}

impl Options {
    fn cases(&self) -> Vec<&'static Case> {
        let is_wanted =
            |case: &&Case| self.case.is_empty() || self.case.iter().any(|name| name == case.name);
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
        !self.quick && self.only.is_empty() && self.case.is_empty()
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
        if !self.case.is_empty() {
            line.push_str(&format!(" --case {}", self.case.join(",")));
        }
        line
    }
}

/// Installs Ringway, which is required, and as many of the others as possible.
fn install(checkout: &Checkout, options: &Options) -> Result<(Vec<Installed>, Vec<Absent>)> {
    server::build(checkout)?;
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
    Absent { name: peer.name(), reason }
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

struct Bench<'a> {
    checkout: &'a Checkout,
    length: Length,
    scratch: PathBuf,
}

impl Bench<'_> {
    fn run(
        &self,
        cases: &[&'static Case],
        installed: &[Installed],
        absent: &mut Vec<Absent>,
    ) -> Result<Vec<Row>> {
        let servers =
            |case: &Case| installed.iter().filter(|one| one.launch(case.load).is_some()).count();
        let estimate = |cases: &[&Case]| -> Duration {
            cases.iter().map(|case| case.estimate(servers(case), self.length)).sum()
        };
        let limit: Duration = cases.iter().map(|case| case.limit(servers(case), self.length)).sum();
        println!(
            "{} cases, about {}, at most {}",
            cases.len(),
            minutes(estimate(cases)),
            minutes(limit)
        );
        let (began, mut rows) = (Instant::now(), Vec::new());
        for (index, case) in cases.iter().enumerate() {
            println!(
                "case {} of {}: {} ({} servers, about {} left)",
                index + 1,
                cases.len(),
                case.title,
                servers(case),
                minutes(estimate(&cases[index..])),
            );
            let outcome = self.measure(case, installed, absent)?;
            if let Err(reason) = &outcome {
                println!("not measured: {reason}");
            }
            rows.push(Row { title: case.title, outcome });
        }
        println!("{} cases took {}", cases.len(), minutes(began.elapsed()));
        Ok(rows)
    }

    /// Starts all servers that take part in a case, and compares them.
    fn measure(
        &self,
        case: &Case,
        installed: &[Installed],
        absent: &mut Vec<Absent>,
    ) -> Result<Result<Findings, String>> {
        let (mut running, mut targets) = (Vec::new(), Vec::new());
        for one in installed {
            let Some(launch) = one.launch(case.load) else { continue };
            match Running::start(launch, &self.scratch) {
                Ok(server) => {
                    targets.push(server.target(one.peer, case.load));
                    running.push(server);
                }
                Err(error) if one.peer == Peer::Ringway => {
                    return Err(error).context("Ringway does not start");
                }
                Err(error) => {
                    let mut one = left_out(one.peer, &error);
                    one.reason = format!("{} ({})", one.reason, case.title);
                    absent.push(one);
                }
            }
        }
        let compared = self.compare(case, &targets);
        Ok(compared.map_err(|error| in_a_line(&format!("{error:#}"))))
    }

    fn compare(&self, case: &Case, targets: &[compare::Target]) -> Result<Findings> {
        let json = self.scratch.join("compare.json");
        // The result of an earlier run must not pass for this one's.
        if json.exists() {
            fs::remove_file(&json).with_context(|| format!("cannot remove {}", json.display()))?;
        }
        let program = self.checkout.release_folder().join("ringway-loadtest");
        let command = compare::command(attached(&program), case, self.length, targets, &json);
        let captured = process::capture(command, case.limit(targets.len(), self.length))?;
        // It fails when a server is at fault, but has written its results.
        match fs::read_to_string(&json) {
            Ok(text) => compare::read(&text),
            Err(_) => {
                let last = captured.output.lines().rfind(|line| !line.trim().is_empty());
                bail!(
                    "ringway-loadtest ended with {}: {}",
                    captured.status,
                    last.unwrap_or("silently")
                )
            }
        }
    }
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

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[Peer], case: &[&str]) -> Options {
        Options {
            quick: false,
            only: only.into(),
            case: case.iter().map(|name| (*name).to_owned()).collect(),
            out: None,
            install: false,
        }
    }

    #[test]
    fn what_was_asked_for_is_measured_beside_ringway() {
        let all = options(&[], &[]);
        assert!(all.is_whole());
        assert_eq!((all.cases().len(), all.peers().len()), (CASES.len(), 7));
        let some = options(&[Peer::Bun], &["fanout-8", "echo-100"]);
        assert!(!some.is_whole());
        assert_eq!(some.peers(), [Peer::Ringway, Peer::Bun]);
        let titles: Vec<&str> = some.cases().iter().map(|case| case.name).collect();
        assert_eq!(titles, ["echo-100", "fanout-8"]);
        assert_eq!(some.line(), "cargo xtask bench-peers --only bun --case fanout-8,echo-100");
    }

    #[test]
    fn a_reason_fits_into_a_sentence() {
        assert_eq!(in_a_line("cannot\n install | it. "), "cannot install / it");
    }
}
