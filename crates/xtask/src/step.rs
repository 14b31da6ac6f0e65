//! Named steps, each a process of its own: those that do not hinder each other run at the same time.
//! What a step prints is shown when it ends; a table ends the run, and after it what went wrong.
//! A step that fails never stops the steps after it.

use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::checkout::Checkout;
use crate::process;

/// Longer than the sum of the limits of what a step runs.
const STEP_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
/// The program itself, even if a step builds another one in its place.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The result of a step that did not fail. Only the first line of a text is shown in the table.
#[derive(Debug, PartialEq, Eq)]
pub enum StepOutcome {
    Passed(String),
    /// It was not run, for this reason. Printed loudly: a skipped check proves nothing.
    Skipped(String),
}

/// A step, and what it must not run beside.
pub struct Step {
    pub name: &'static str,
    /// The steps that must have ended, well or not.
    pub after: &'static [&'static str],
    /// The build folder that cargo locks for it.
    pub folder: Option<&'static str>,
    /// Whether it gives way to the others, as what only compiles does: tests wait for time limits,
    /// and compilers use what they leave of the processors.
    pub gives_way: bool,
    pub work: fn(&Checkout) -> Result<StepOutcome>,
}

impl Step {
    pub const fn new(name: &'static str, work: fn(&Checkout) -> Result<StepOutcome>) -> Self {
        Self { name, after: &[], folder: None, gives_way: false, work }
    }

    pub const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    pub const fn in_folder(self, folder: &'static str) -> Self {
        Self { folder: Some(folder), ..self }
    }

    pub const fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Runs it in this process, and prints its result for [`Record::of`].
    pub fn run_here(&self, checkout: &Checkout) -> ExitCode {
        if self.gives_way {
            // A step that is not slowed down does its work as well.
            let _ = rustix::process::nice(10);
        }
        let verdict = match (self.work)(checkout) {
            Ok(StepOutcome::Passed(note)) => Verdict::Passed.said(&note),
            Ok(StepOutcome::Skipped(reason)) => Verdict::Skipped.said(&reason),
            Err(error) => Verdict::Failed.said(&format!("{error:#}")),
        };
        println!("{CPU}{:.1}", process::cpu_time_of_children().as_secs_f64());
        println!("{verdict}");
        ExitCode::SUCCESS
    }
}

/// The beginning of the line with the seconds of processor time that a step has used.
const CPU: &str = "processor time of the step: ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Skipped];

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed ",
            Self::Failed => "FAILED ",
            Self::Skipped => "SKIPPED",
        }
    }

    /// A step's last words.
    fn said(self, text: &str) -> String {
        format!("{} step: {text}", self.word())
    }
}

struct Record {
    name: &'static str,
    verdict: Verdict,
    note: String,
    output: String,
    /// Since the beginning of the run.
    began: Duration,
    took: Duration,
    /// Seconds of processor time.
    cpu: f64,
}

impl Record {
    /// What a step's process has printed and how it ended.
    fn of(name: &'static str, printed: Result<process::Captured>) -> Self {
        let (verdict, note, cpu, output) = match printed {
            Ok(captured) => verdict_of(&captured.output).unwrap_or_else(|| {
                let note = format!("its process ended with {}", captured.status);
                (Verdict::Failed, note, 0.0, captured.output.clone())
            }),
            Err(error) => (Verdict::Failed, format!("{error:#}"), 0.0, String::new()),
        };
        let (began, took) = (Duration::ZERO, Duration::ZERO);
        Self { name, verdict, note, output, began, took, cpu }
    }

    fn line(&self, width: usize) -> String {
        let first = self.note.lines().next().unwrap_or_default();
        let (began, took) = (self.began.as_secs_f64(), self.took.as_secs_f64());
        let word = self.verdict.word();
        format!("{word} {:width$} {began:>7.1} {took:>7.1} {:>7.1}  {first}", self.name, self.cpu)
            .trim_end()
            .to_owned()
    }
}

/// A step's last words, its processor time, and what it printed before.
fn verdict_of(output: &str) -> Option<(Verdict, String, f64, String)> {
    let (before, rest) = output.rsplit_once(CPU)?;
    let (cpu, last) = rest.split_once('\n')?;
    Verdict::ALL.into_iter().find_map(|verdict| {
        let note = last.strip_prefix(&verdict.said(""))?.trim_end().to_owned();
        Some((verdict, note, cpu.parse().ok()?, before.to_owned()))
    })
}

/// The steps of a run, those that others wait for first.
pub struct Steps(pub Vec<Step>);

impl Steps {
    /// Runs one step, in this process.
    pub fn run_one(&self, name: &str, checkout: &Checkout) -> Result<ExitCode> {
        Ok(self.named(name)?.run_here(checkout))
    }

    /// One step, after those that it waits for.
    pub fn up_to(self, name: &str) -> Result<Self> {
        self.named(name)?;
        let mut wanted = vec![name];
        let mut chosen = Vec::new();
        for step in self.0.into_iter().rev() {
            if wanted.contains(&step.name) {
                wanted.extend(step.after);
                chosen.insert(0, step);
            }
        }
        Ok(Self(chosen))
    }

    fn named(&self, name: &str) -> Result<&Step> {
        self.0.iter().find(|step| step.name == name).with_context(|| {
            let names: Vec<&str> = self.0.iter().map(|step| step.name).collect();
            format!("there is no step `{name}`; the steps are: {}", names.join(", "))
        })
    }

    /// Runs every step as `ARGUMENTS NAME` of this program, at most so many at a time, and prints the
    /// table; a failure if any step failed.
    pub fn run_all(&self, arguments: &[&str], at_once: usize) -> Result<ExitCode> {
        let run = |step: &Step| {
            let mut command = Command::new(THIS_PROGRAM);
            command.args(arguments).arg(step.name).env("CARGO_TERM_COLOR", "never");
            process::capture(command, STEP_LIMIT)
        };
        let records = self.schedule(at_once, run)?;
        Ok(print_summary(&records))
    }

    /// Starts each step as soon as those before it have ended and its build folder is free.
    fn schedule(
        &self,
        at_once: usize,
        run: impl Fn(&Step) -> Result<process::Captured> + Sync,
    ) -> Result<Vec<Record>> {
        let start = Instant::now();
        let (sender, ended) = mpsc::channel();
        let (mut waiting, mut running) = (Vec::from_iter(&self.0), Vec::<&Step>::new());
        let mut records: Vec<Record> = Vec::new();
        thread::scope(|scope| {
            while !waiting.is_empty() || !running.is_empty() {
                while let Some(at) = next(&waiting, &running, at_once) {
                    let step = waiting.remove(at);
                    running.push(step);
                    let (sender, run) = (sender.clone(), &run);
                    println!("--- {:>5.0} s  {} begins", start.elapsed().as_secs_f64(), step.name);
                    scope.spawn(move || {
                        let began = Instant::now();
                        let record = Record::of(step.name, run(step));
                        let (began, took) = (began.duration_since(start), began.elapsed());
                        let _ = sender.send(Record { began, took, ..record });
                    });
                }
                if running.is_empty() {
                    let names: Vec<&str> = waiting.iter().map(|step| step.name).collect();
                    bail!("these steps wait for each other: {}", names.join(", "));
                }
                let record = ended.recv().context("a step's thread ended early")?;
                running.retain(|step| step.name != record.name);
                println!("\n==> {}\n{}", record.name, record.output.trim_end());
                println!("<== {}\n", record.line(record.name.len()));
                records.push(record);
            }
            Ok(())
        })?;
        Ok(records)
    }
}

/// The index of the first step that may begin now. All who wait hold back the steps after them.
fn next(waiting: &[&Step], running: &[&Step], at_once: usize) -> Option<usize> {
    if running.len() >= at_once {
        return None;
    }
    let pending = |name: &str| waiting.iter().chain(running).any(|step| step.name == name);
    let ready = |step: &&Step| {
        let locked =
            running.iter().any(|other| other.folder.is_some() && other.folder == step.folder);
        !locked && !step.after.iter().any(|name| pending(name))
    };
    waiting.iter().position(ready)
}

/// Prints the table, then every further line that a step has to say, the failures last.
fn print_summary(records: &[Record]) -> ExitCode {
    let width = records.iter().map(|record| record.name.len()).max().unwrap_or(0);
    println!("summary\n  {:7} {:width$} {:>7} {:>7} {:>7}", "", "", "began", "took", "CPU (s)");
    for record in records {
        println!("  {}", record.line(width));
    }
    let of = |wanted: Verdict| records.iter().filter(move |record| record.verdict == wanted);
    for record in of(Verdict::Passed).chain(of(Verdict::Skipped)) {
        if let Some((_, more)) = record.note.split_once('\n') {
            println!("\n{}:\n{more}", record.name);
        }
    }
    for record in of(Verdict::Failed) {
        println!("\nFAILED {}:\n{}", record.name, record.note);
    }
    let [passed, failed, skipped] = Verdict::ALL.map(|verdict| of(verdict).count());
    let end = records.iter().map(|record| record.began + record.took).max().unwrap_or_default();
    println!("\n{passed} passed, {failed} failed, {skipped} skipped in {} s", end.as_secs());
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The result of a task that runs on its own: a skip is printed, and is not an error.
pub fn alone(result: Result<StepOutcome>) -> Result<ExitCode> {
    match result? {
        StepOutcome::Passed(note) => println!("passed: {note}"),
        StepOutcome::Skipped(reason) => println!("SKIPPED: {reason}"),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::sync::Mutex;

    use super::*;

    fn nothing(_: &Checkout) -> Result<StepOutcome> {
        Ok(StepOutcome::Passed(String::new()))
    }

    fn ends_with(last: String) -> Result<process::Captured> {
        let output = format!("some output\n{CPU}1.5\n{last}\n");
        Ok(process::Captured { status: ExitStatus::from_raw(0), output })
    }

    #[test]
    fn every_step_runs_and_one_failure_fails_the_run() {
        let steps = Steps(["first", "second", "third"].map(|name| Step::new(name, nothing)).into());
        let records = steps.schedule(2, |step| match step.name {
            "first" => bail!("broken"),
            "second" => ends_with(Verdict::Skipped.said("no such tool")),
            _ => ends_with(Verdict::Passed.said("seven\nand more")),
        });
        let mut records = records.unwrap();
        records.sort_by_key(|record| record.name);
        let seen = records.iter().map(|record| (record.verdict, &*record.note, record.cpu));
        assert_eq!(
            Vec::from_iter(seen),
            [
                (Verdict::Failed, "broken", 0.0),
                (Verdict::Skipped, "no such tool", 1.5),
                (Verdict::Passed, "seven\nand more", 1.5),
            ]
        );
        assert_eq!(print_summary(&records), ExitCode::FAILURE);
        assert_eq!(print_summary(&records[1..]), ExitCode::SUCCESS);
    }

    #[test]
    fn a_process_without_last_words_has_failed() {
        let status = ExitStatus::from_raw(9);
        let output = "it began\n".to_owned();
        let record = Record::of("killed", Ok(process::Captured { status, output }));
        assert_eq!((record.verdict, &*record.output), (Verdict::Failed, "it began\n"));
        assert!(record.note.contains("signal: 9"), "{}", record.note);
    }

    #[test]
    fn steps_run_together_unless_one_waits_for_another_or_for_its_folder() {
        let steps = Steps(vec![
            Step::new("build", nothing).in_folder("debug"),
            Step::new("tests", nothing).after(&["build"]),
            Step::new("lints", nothing).in_folder("debug"),
            Step::new("release", nothing).in_folder("release"),
        ]);
        let (running, together) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let records = steps.schedule(3, |step| {
            running.lock().unwrap().push(step.name);
            thread::sleep(Duration::from_millis(50));
            let mut now = running.lock().unwrap();
            together.lock().unwrap().push(now.clone());
            now.retain(|name| *name != step.name);
            ends_with(Verdict::Passed.said(""))
        });
        assert_eq!(records.unwrap().len(), 4);
        let together = together.into_inner().unwrap();
        let met =
            |one, other| together.iter().any(|now| now.contains(&one) && now.contains(&other));
        assert!(met("build", "release") && met("tests", "lints"), "{together:?}");
        assert!(!met("build", "lints") && !met("build", "tests"), "{together:?}");
    }

    #[test]
    fn steps_that_wait_for_each_other_are_an_error() {
        let circle =
            [Step::new("one", nothing).after(&["two"]), Step::new("two", nothing).after(&["one"])];
        let error = Steps(circle.into()).schedule(2, |_| ends_with(String::new())).err().unwrap();
        assert!(error.to_string().contains("one, two"), "{error}");
    }
}
