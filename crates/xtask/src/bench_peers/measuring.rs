//! One case after another: starts the servers that take part, and measures them by the case's
//! method. Never writes a table.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cases::{Case, IDLE_FIRST, Length, Load, Method};
use super::compare::{CONTROL, Findings, Target, Unit};
use super::dialect::{Addresses, Dialect};
use super::peers::{Installed, Launch, Peer};
use super::report::{Absent, BASE, Row};
use super::rounds::{Sample, Series};
use super::running::{Running, attached};
use super::tls::Certificate;
use super::{alone, compare, in_a_line, left_out, log_bench, rounds};
use crate::checkout::Checkout;
use crate::process;

/// Opening the first idle connections.
const FIRST_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// From the last handshake of the first connections until the server's memory is read.
const SETTLE: Duration = Duration::from_millis(500);

pub struct Bench<'a> {
    pub checkout: &'a Checkout,
    pub length: Length,
    pub scratch: PathBuf,
    pub installed: &'a [Installed],
    pub certificate: Certificate,
}

impl Bench<'_> {
    /// Measures the cases; each row is passed to `done` as soon as it is there.
    pub fn run(
        &self,
        cases: &[&'static Case],
        absent: &mut Vec<Absent>,
        mut done: impl FnMut(Row, &[Absent]) -> Result<()>,
    ) -> Result<()> {
        println!("{}", self.forecast(cases));
        let began = Instant::now();
        for (index, case) in cases.iter().enumerate() {
            println!(
                "case {} of {}: {} ({} servers, about {} left)",
                index + 1,
                cases.len(),
                case.title,
                self.servers(case),
                minutes(self.estimate(&cases[index..])),
            );
            let outcome = self.measure(case, absent)?;
            if let Err(reason) = &outcome {
                println!("not measured: {reason}");
            }
            done(Row::new(case, outcome), absent)?;
        }
        println!("{} cases took {}", cases.len(), minutes(began.elapsed()));
        Ok(())
    }

    /// How long the cases take, in words.
    pub fn forecast(&self, cases: &[&Case]) -> String {
        let limit: Duration =
            cases.iter().map(|case| case.limit(self.servers(case), self.length)).sum();
        let expected = minutes(self.estimate(cases));
        format!("{} cases, about {expected}, at most {}", cases.len(), minutes(limit))
    }

    fn estimate(&self, cases: &[&Case]) -> Duration {
        cases.iter().map(|case| case.estimate(self.servers(case), self.length)).sum()
    }

    fn servers(&self, case: &Case) -> usize {
        self.installed.iter().filter(|one| one.peer.takes_part(case)).count()
    }

    fn measure(&self, case: &Case, absent: &mut Vec<Absent>) -> Result<Result<Findings, String>> {
        let outcome = match case.method() {
            Method::Program => log_bench::run(self.checkout),
            Method::Holds => self.hold(case),
            Method::Slots | Method::Storms => {
                let running = self.start(case, absent)?;
                let targets: Vec<Target> =
                    running.iter().map(|(peer, server)| server.target(*peer, case)).collect();
                match case.method() {
                    Method::Storms => self.storm(case, &targets),
                    _ => self.compare(case, &targets),
                }
            }
        };
        Ok(outcome.map_err(|error| in_a_line(&format!("{error:#}"))))
    }

    /// Starts all servers that take part in a case.
    fn start(&self, case: &Case, absent: &mut Vec<Absent>) -> Result<Vec<(Peer, Running)>> {
        let mut running = Vec::new();
        for one in self.installed {
            let Some(launch) = one.launch(case, &self.certificate) else { continue };
            match Running::start(&launch, &self.scratch) {
                Ok(server) => running.push((one.peer, server)),
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
        Ok(running)
    }

    fn loadtest(&self) -> PathBuf {
        self.checkout.release_folder().join("ringway-loadtest")
    }

    /// The file for a run's JSON; the result of an earlier run must not pass for this one's.
    fn json(&self) -> Result<PathBuf> {
        let json = self.scratch.join("run.json");
        if json.exists() {
            fs::remove_file(&json).with_context(|| format!("cannot remove {}", json.display()))?;
        }
        Ok(json)
    }

    fn compare(&self, case: &Case, targets: &[Target]) -> Result<Findings> {
        let json = self.json()?;
        let command =
            compare::command(attached(&self.loadtest()), case, self.length, targets, &json);
        let captured = process::capture(command, case.limit(targets.len(), self.length))?;
        // It fails when a server is at fault, but has written its results.
        match fs::read_to_string(&json) {
            Ok(text) => compare::read(&text),
            Err(_) => bail!(
                "ringway-loadtest ended with {}: {}",
                captured.status,
                last_line(&captured.output)
            ),
        }
    }

    /// One storm for each server in each round; all servers are alive meanwhile.
    fn storm(&self, case: &Case, targets: &[Target]) -> Result<Findings> {
        let Load::Return { missed } = case.load else { bail!("this case has no storm") };
        let limit = case.limit(targets.len(), self.length);
        let line =
            words(&alone::storm(example(), case, missed, &example_target(case), Path::new("FILE")));
        // The control is another storm against the first server.
        let with_control: Vec<(&str, &Target)> =
            targets.iter().map(|one| (one.name, one)).chain([(CONTROL, &targets[0])]).collect();
        let names = with_control.iter().map(|(name, _)| *name);
        self.in_turn(case, names, Unit::Nanoseconds, line, |index| {
            let json = self.json()?;
            let loadtest = attached(&self.loadtest());
            let command = alone::storm(loadtest, case, missed, with_control[index].1, &json);
            let captured = process::capture(command, limit)?;
            alone::read(&json, "server_cpu_ns_per_connection")
                .with_context(|| last_line(&captured.output))
        })
    }

    /// A new server for each measurement: one that had connections before uses their memory again.
    fn hold(&self, case: &Case) -> Result<Findings> {
        let launch = |one: &Installed| Some((one.peer, one.launch(case, &self.certificate)?));
        let launches: Vec<(Peer, Launch)> = self.installed.iter().filter_map(launch).collect();
        let names = launches.iter().map(|(peer, _)| peer.name()).chain([CONTROL]);
        let line =
            words(&alone::hold(example(), case, &example_target(case), Some(Path::new("FILE"))));
        self.in_turn(case, names, Unit::Bytes, line, |index| {
            let (peer, launch) = launches.get(index).unwrap_or(&launches[0]);
            let server = Running::start(launch, &self.scratch)?;
            self.hold_one(case, &server.target(*peer, case))
        })
    }

    fn hold_one(&self, case: &Case, target: &Target) -> Result<Sample> {
        let json = self.json()?;
        let first = alone::hold(attached(&self.loadtest()), case, target, None);
        let (mut first, _output) = process::spawn_with_lines(first)?;
        let opened = await_descriptors(first.id(), IDLE_FIRST as usize);
        let measured = opened.and_then(|()| {
            let command = alone::hold(attached(&self.loadtest()), case, target, Some(&json));
            let captured = process::capture(command, case.limit(1, self.length))?;
            alone::read(&json, "server_rss_bytes_per_connection")
                .with_context(|| last_line(&captured.output))
        });
        process::end_with_descendants(&mut first);
        measured
    }

    /// Measures servers one at a time, round by round. One that fails is left out from then on.
    fn in_turn<'n>(
        &self,
        case: &Case,
        names: impl Iterator<Item = &'n str>,
        unit: Unit,
        line: Vec<String>,
        mut measure: impl FnMut(usize) -> Result<Sample>,
    ) -> Result<Findings> {
        let mut series: Vec<Series> = names.map(Series::new).collect();
        for round in 0..self.length.rounds(case.method()) as usize {
            for index in rounds::turns(series.len(), round) {
                let one = &mut series[index];
                let sample = match one.failed {
                    Some(_) => None,
                    None => measure(index)
                        .map_err(|error| {
                            one.failed = Some(in_a_line(&format!("{error:#}")));
                        })
                        .ok(),
                };
                one.samples.push(sample);
            }
        }
        Ok(rounds::findings(&series, unit, line))
    }
}

/// Waits until a process has this many open files.
fn await_descriptors(pid: u32, count: usize) -> Result<()> {
    let deadline = Instant::now() + FIRST_LIMIT;
    let folder = format!("/proc/{pid}/fd");
    while fs::read_dir(&folder).map_or(0, Iterator::count) < count {
        if Instant::now() > deadline {
            bail!("the first {count} connections are not open after {FIRST_LIMIT:?}");
        }
        thread::sleep(POLL);
    }
    thread::sleep(SETTLE);
    Ok(())
}

fn last_line(output: &str) -> String {
    output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// The start of a command line that is only shown, with Ringway at some port.
fn example() -> Command {
    Command::new("ringway-loadtest")
}

fn example_target(case: &Case) -> Target {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let at = Addresses { clients: somewhere, api: somewhere };
    Dialect::Ringway.target(case, BASE, vec![0], at)
}

fn words(command: &Command) -> Vec<String> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

pub fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_waited_for() {
        assert!(await_descriptors(std::process::id(), 1).is_ok());
    }

    #[test]
    fn the_last_words_are_the_reason() {
        assert_eq!(last_line("one\ntwo\n\n"), "two");
        assert_eq!(last_line(""), "it said nothing");
    }
}
