//! Named steps: each is run, timed and recorded; a table ends the run.
//! A step that fails never stops the steps after it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The result of a step that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum StepOutcome {
    Passed(String),
    /// It was not run, for this reason. Printed loudly: a skipped check proves nothing.
    Skipped(String),
}

enum Verdict {
    Passed,
    Failed,
    Skipped,
}

struct Record {
    name: String,
    verdict: Verdict,
    note: String,
    took: Duration,
}

/// The steps of one run, in order.
#[derive(Default)]
pub struct Steps {
    records: Vec<Record>,
}

impl Steps {
    /// Runs one step now and records its result.
    pub fn run(&mut self, name: &str, work: impl FnOnce() -> Result<StepOutcome>) {
        println!("\n==> {name}");
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        let (verdict, note) = match result {
            Ok(StepOutcome::Passed(note)) => (Verdict::Passed, note),
            Ok(StepOutcome::Skipped(reason)) => (Verdict::Skipped, reason),
            Err(error) => (Verdict::Failed, format!("{error:#}")),
        };
        let record = Record { name: name.to_owned(), verdict, note, took };
        println!("<== {}", record.line(name.len()));
        self.records.push(record);
    }

    /// Prints the table and then the counts; a failure if any step failed.
    pub fn finish(self) -> ExitCode {
        let width = self.records.iter().map(|record| record.name.len()).max();
        println!("\nsummary");
        for record in &self.records {
            println!("  {}", record.line(width.unwrap_or(0)));
        }
        let count = |wanted: fn(&Verdict) -> bool| {
            self.records.iter().filter(|record| wanted(&record.verdict)).count()
        };
        let passed = count(|verdict| matches!(verdict, Verdict::Passed));
        let failed = count(|verdict| matches!(verdict, Verdict::Failed));
        let skipped = count(|verdict| matches!(verdict, Verdict::Skipped));
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Record {
    fn line(&self, width: usize) -> String {
        let word = match self.verdict {
            Verdict::Passed => "passed ",
            Verdict::Failed => "FAILED ",
            Verdict::Skipped => "SKIPPED",
        };
        let first = self.note.lines().next().unwrap_or_default();
        format!("{word} {:width$} {:>7.1} s  {first}", self.name, self.took.as_secs_f64())
            .trim_end()
            .to_owned()
    }
}

/// The result of a step that runs on its own: a skip is printed, and is not an error.
pub fn alone(result: Result<StepOutcome>) -> Result<()> {
    match result? {
        StepOutcome::Passed(note) => println!("passed: {note}"),
        StepOutcome::Skipped(reason) => println!("SKIPPED: {reason}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_one_failure_fails_the_run() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.run("first", || anyhow::bail!("broken"));
        steps.run("second", || {
            ran += 1;
            Ok(StepOutcome::Skipped("no such tool".into()))
        });
        steps.run("third", || {
            ran += 1;
            Ok(StepOutcome::Passed(String::new()))
        });
        assert_eq!(ran, 2);
        assert_eq!(steps.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_skipped_step_alone_is_no_failure() {
        let mut steps = Steps::default();
        steps.run("only", || Ok(StepOutcome::Skipped("why".into())));
        assert_eq!(steps.finish(), ExitCode::SUCCESS);
    }
}
