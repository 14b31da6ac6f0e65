//! `latency-page`: p50 and p99 of Ringway and Bun at fixed rates, as a page with the table of ratios.
//! The figures are saved point by point; the page is written from them. Never judges.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::cases::{CASES, Case};
use super::compare::{self, Finding, TESTER_CORE, Target};
use super::machine::Machine;
use super::measuring::minutes;
use super::peers::Peer;
use super::report::Entrant;
use super::running::{Running, attached};
use super::tls::Certificate;
use super::{SAVED, in_a_line, page, saved};
use crate::checkout::Checkout;
use crate::step::StepOutcome;
use crate::{process, server};

/// The figures, and the page that shows them.
const FIGURES: &str = "benches/peers/latency.json";
const PAGE: &str = "benches/peers/latency.html";

/// Descriptors are capped at 20,000 for each process, on both sides.
const CONNECTIONS: [u32; 3] = [1_000, 10_000, 19_000];

/// Messages per second.
const RATES: [u32; 7] = [5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 120_000];

const SLOT: Duration = Duration::from_millis(800);
/// Opening and closing a connection to each of two servers.
const PER_CONNECTION: Duration = Duration::from_micros(500);
const WARM_UP_ROUNDS: u32 = 1;

/// The longest that a point is measured, and in which it must have ended.
const POINT_TIME_MAX: Duration = Duration::from_secs(40);
const POINT_LIMIT: Duration = Duration::from_secs(80);

/// One address has some 28,000 ports to one server, and finding the last free ones takes long.
const SOURCES: &str = "127.0.0.1-127.0.0.8";

/// A server has not reached a rate if its answers come more slowly than this share of it. The time of a
/// slot lasts until its last answer, so a server that keeps up is somewhat below the rate as well.
const REACHED_SHARE: f64 = 0.9;

/// Measure latencies of Ringway and Bun at fixed rates, and write a page about them.
///
/// Both servers are alive at once and have slots in turn, on core 0; the load generator has core 1.
/// Writes benches/peers/latency.json after each point, and from it, and from the figures that
/// `bench-peers` has saved, benches/peers/latency.html.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask latency-page
  cargo xtask latency-page --quick --out target/latency.html
  cargo xtask latency-page --render      (measures nothing)")]
pub struct Options {
    /// Fewer rounds: for an impression, not for a figure.
    #[arg(long)]
    quick: bool,
    /// Measure nothing: write the page from the saved figures.
    #[arg(long, conflicts_with = "quick")]
    render: bool,
    /// Write the page to this file, relative to the repository root, and the figures beside it.
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
}

/// The saved figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latencies {
    pub command: String,
    pub machine: Machine,
    pub entrants: Vec<Entrant>,
    pub charts: Vec<Chart>,
}

/// The figures of one number of connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chart {
    pub connections: u32,
    pub curves: Vec<Curve>,
}

impl Chart {
    /// Whether no server reached the last rate, so that none will reach a higher one.
    fn is_exhausted(&self) -> bool {
        let mut last = self.curves.iter().filter_map(|curve| curve.points.last()).peekable();
        last.peek().is_some() && last.all(|point| !point.is_reached())
    }
}

/// The figures of one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    pub server: String,
    pub points: Vec<Point>,
}

/// The figures of one server at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Messages per second asked for.
    pub asked: f64,
    /// Messages per second that were answered.
    pub rate: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Why the figures may not be the server's.
    pub doubts: Vec<String>,
    /// Why there is no figure.
    pub failed: Option<String>,
}

impl Point {
    fn of(asked: f64, finding: &Finding) -> Self {
        Self {
            asked,
            rate: finding.rate,
            p50_us: finding.latency_us.p50,
            p99_us: finding.latency_us.p99,
            doubts: finding.invalid_because.clone(),
            failed: finding.failed.clone(),
        }
    }

    fn missing(asked: u32, why: &str) -> Self {
        Self {
            asked: f64::from(asked),
            rate: 0.0,
            p50_us: 0.0,
            p99_us: 0.0,
            doubts: Vec::new(),
            failed: Some(why.to_owned()),
        }
    }

    /// Whether the server kept up with the rate, so that its latencies are those of this rate.
    pub fn is_reached(&self) -> bool {
        self.failed.is_none() && self.rate >= REACHED_SHARE * self.asked && self.p50_us > 0.0
    }
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let path = checkout.path(PAGE);
    let path = options.out.as_ref().map_or(path, |out| checkout.root().join(out));
    let figures = match &options.out {
        Some(_) => path.with_extension("json"),
        None => checkout.path(FIGURES),
    };
    let latencies = match options.render {
        true => read(&figures)?,
        false => measure(checkout, options, &figures)?,
    };
    // Without a whole run there is no table.
    let report = saved::read(&checkout.path(SAVED)).ok();
    let text = page::render(&latencies, report.as_ref());
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(StepOutcome::Passed(format!("written: {}", path.display())))
}

fn read(path: &Path) -> Result<Latencies> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("there are no saved figures at {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} has another format", path.display()))
}

fn rounds(quick: bool) -> u32 {
    if quick { 2 } else { 4 }
}

/// How long a point takes.
fn estimate(connections: u32, quick: bool) -> Duration {
    2 * (rounds(quick) + WARM_UP_ROUNDS) * SLOT + connections * PER_CONNECTION
}

fn measure(checkout: &Checkout, options: &Options, figures: &Path) -> Result<Latencies> {
    ensure!(
        thread::available_parallelism().map_or(1, usize::from) >= 2,
        "the servers and the load generator need a core each; this machine has one"
    );
    server::build(checkout)?;
    let installed = [Peer::Ringway.install(checkout)?, Peer::Bun.install(checkout)?];
    let entrant = |one: &super::peers::Installed| Entrant {
        name: one.peer.name().to_owned(),
        version: one.version.clone(),
    };
    let quick = if options.quick { " --quick" } else { "" };
    let mut latencies = Latencies {
        command: format!("cargo xtask latency-page{quick}"),
        machine: Machine::here()?,
        entrants: installed.iter().map(entrant).collect(),
        charts: Vec::new(),
    };
    let case = CASES.iter().find(|case| case.name == "echo-1000").context("a case of echoes")?;
    let scratch = checkout.scratch("bench-peers")?;
    let (mut running, certificate) = (Vec::new(), Certificate::new()?);
    for one in &installed {
        let launch = one.launch(case, &certificate).context("it echoes")?;
        running.push((one.peer, Running::start(&launch, &scratch)?));
    }
    let targets: Vec<Target> =
        running.iter().map(|(peer, server)| server.target(*peer, case)).collect();
    let left = |from: usize| -> Duration {
        let points = CONNECTIONS.iter().flat_map(|count| [*count; RATES.len()]).skip(from);
        points.map(|count| estimate(count, options.quick)).sum()
    };
    println!("{} points, about {}", CONNECTIONS.len() * RATES.len(), minutes(left(0)));
    let began = Instant::now();
    for (row, connections) in CONNECTIONS.into_iter().enumerate() {
        let curve = |one: &Target| Curve { server: one.name.to_owned(), points: Vec::new() };
        latencies.charts.push(Chart { connections, curves: targets.iter().map(curve).collect() });
        for (column, rate) in RATES.into_iter().enumerate() {
            let left = minutes(left(row * RATES.len() + column));
            println!("{connections} connections, {rate} messages/s (about {left} left)");
            let chart = latencies.charts.last_mut().expect("it was just added");
            let points = match chart.is_exhausted() {
                true => vec![Point::missing(rate, "no server reached a lower rate"); targets.len()],
                false => {
                    let json = scratch.join("latency-run.json");
                    let case = Case { connections, slot: SLOT, ..*case };
                    points(checkout, &case, rate, options.quick, &targets, &json)
                }
            };
            for (curve, point) in chart.curves.iter_mut().zip(points) {
                println!("  {}", in_words(&curve.server, &point));
                curve.points.push(point);
            }
            fs::write(figures, serde_json::to_string_pretty(&latencies)? + "\n")
                .with_context(|| format!("cannot write {}", figures.display()))?;
        }
    }
    println!("took {}", minutes(began.elapsed()));
    Ok(latencies)
}

fn in_words(server: &str, point: &Point) -> String {
    match (&point.failed, point.is_reached()) {
        (Some(why), _) => format!("{server}: {why}"),
        (None, false) => format!("{server}: {:.0}/s of {:.0}/s", point.rate, point.asked),
        (None, true) => format!("{server}: p50 {:.0} us, p99 {:.0} us", point.p50_us, point.p99_us),
    }
}

/// Measures all servers at one rate, in the order of the targets.
fn points(
    checkout: &Checkout,
    case: &Case,
    rate: u32,
    quick: bool,
    targets: &[Target],
    json: &Path,
) -> Vec<Point> {
    let program = checkout.release_folder().join("ringway-loadtest");
    let command = command(attached(&program), case, rate, rounds(quick), targets, json);
    let found = || {
        // The result of an earlier run must not pass for this one's.
        let _ = fs::remove_file(json);
        let captured = process::capture(command, POINT_LIMIT)?;
        let Ok(text) = fs::read_to_string(json) else {
            bail!("ringway-loadtest ended with {}: {}", captured.status, captured.output);
        };
        compare::read(&text)
    };
    match found() {
        Ok(found) => found.targets.iter().map(|one| Point::of(f64::from(rate), one)).collect(),
        // The other rates may be measured nevertheless.
        Err(error) => {
            vec![Point::missing(rate, &in_a_line(&format!("{error:#}"))); targets.len()]
        }
    }
}

fn command(
    mut command: Command,
    case: &Case,
    rate: u32,
    rounds: u32,
    targets: &[Target],
    json: &Path,
) -> Command {
    command.arg("compare");
    for Target { name, pids, url, .. } in targets {
        command.args(["--url", &format!("{name}={url}")]);
        command.args(["--pid", &format!("{name}={}", pids[0])]);
    }
    command
        .args(["--rate", &rate.to_string(), "--size", &case.size_bytes.to_string()])
        .args(["--connections", &case.connections.to_string(), "--source", SOURCES])
        .args(["--slot", &format!("{}ms", case.slot.as_millis()), "--rounds", &rounds.to_string()])
        .args(["--rounds-max", &rounds.to_string(), "--time-max"])
        .arg(format!("{}s", POINT_TIME_MAX.as_secs()))
        .args(["--warm-up", &WARM_UP_ROUNDS.to_string()])
        .args(["--drain", "2s", "--cores", TESTER_CORE, "--quiet"])
        .arg(format!("--json={}", json.display()));
    command
}

#[cfg(test)]
pub mod example {
    use super::*;

    /// Two charts; Bun does not reach the last rate of the second.
    pub fn latencies() -> Latencies {
        let point = |asked: f64, p50_us: f64, share: f64| Point {
            asked,
            rate: share * asked,
            p50_us,
            p99_us: 9.0 * p50_us,
            doubts: Vec::new(),
            failed: None,
        };
        let curve = |server: &str, factor: f64, share: f64| Curve {
            server: server.to_owned(),
            points: vec![
                point(5e3, 60.0 * factor, 1.0),
                point(20e3, 90.0 * factor, 1.0),
                point(80e3, 700.0 * factor, share),
            ],
        };
        let chart = |connections, share| Chart {
            connections,
            curves: vec![curve("ringway", 1.0, 1.0), curve("bun", 1.3, share)],
        };
        let entrant = |name: &str| Entrant { name: name.to_owned(), version: "1.0".to_owned() };
        Latencies {
            command: "cargo xtask latency-page".to_owned(),
            machine: super::super::report::example::report().machine,
            entrants: ["ringway", "bun"].map(entrant).into(),
            charts: vec![chart(1_000, 1.0), chart(19_000, 0.7)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_are_measured_within_ten_minutes() {
        let points = CONNECTIONS.iter().flat_map(|count| [*count; RATES.len()]);
        let total: Duration = points.map(|count| estimate(count, false)).sum();
        assert!(total < Duration::from_secs(600), "{total:?}");
    }

    #[test]
    fn a_point_is_a_comparison_at_a_fixed_rate_from_several_addresses() {
        let target = |name| Target {
            name,
            pids: vec![7],
            authority: None,
            url: format!("ws://{name}/"),
            cursor: None,
            message: None,
            publisher: None,
        };
        let case = Case { connections: 19_000, slot: SLOT, ..CASES[0] };
        let targets = [target("ringway"), target("bun")];
        let command = command(Command::new("load"), &case, 20_000, 5, &targets, Path::new("out"));
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        assert_eq!(
            words.collect::<Vec<_>>().join(" "),
            "compare --url ringway=ws://ringway/ --pid ringway=7 --url bun=ws://bun/ --pid bun=7 \
             --rate 20000 --size 64 --connections 19000 --source 127.0.0.1-127.0.0.8 --slot 800ms \
             --rounds 5 --rounds-max 5 --time-max 40s --warm-up 1 --drain 2s --cores 1 --quiet --json=out"
        );
    }

    #[test]
    fn rates_beyond_those_that_no_server_reached_are_not_measured() {
        let mut chart = example::latencies().charts.remove(1);
        assert!(!chart.is_exhausted(), "Ringway has reached the last one");
        chart.curves[0].points[2].rate = 0.0;
        assert!(chart.is_exhausted());
        chart.curves.iter_mut().for_each(|curve| curve.points.clear());
        assert!(!chart.is_exhausted(), "nothing was measured yet");
    }

    #[test]
    fn a_rate_is_reached_if_nearly_all_messages_are_answered() {
        let finding =
            Finding { rate: 37_500.0, ..super::super::report::example::finding("bun", 1.0) };
        assert!(Point::of(40e3, &finding).is_reached());
        assert!(!Point::of(80e3, &finding).is_reached());
        let failed = Finding { failed: Some("it ended".to_owned()), ..finding };
        assert!(!Point::of(40e3, &failed).is_reached());
    }
}
