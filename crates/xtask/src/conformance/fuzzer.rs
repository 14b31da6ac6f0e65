//! One run of the suite's fuzzing client against one gateway: writes its specification, follows its
//! output, limits its time. Never judges the result.

use std::fs;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::catalogue;
use super::report::AGENT;
use crate::process;
use crate::tools::python::Environment;

/// Time between two lines of progress if there is no terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// The longest that a run may take, for machines far slower than ours.
const START_ALLOWANCE: Duration = Duration::from_secs(120);
const CASE_ALLOWANCE: Duration = Duration::from_secs(3);
const DEFLATE_CASE_ALLOWANCE: Duration = Duration::from_secs(20);

/// Runs `cases` against `url`; the report is written to `folder`.
pub fn run(suite: &Environment, url: &str, cases: &[String], folder: &Path) -> Result<()> {
    let unwritable = || format!("cannot write the suite's files in {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(unwritable)?;
    }
    fs::create_dir_all(folder).with_context(unwritable)?;
    let specification = json!({
        "outdir": folder,
        "servers": [{"agent": AGENT, "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let file = folder.join("specification.json");
    fs::write(&file, specification.to_string()).with_context(unwritable)?;
    let mut log = fs::File::create(folder.join("wstest.log")).with_context(unwritable)?;

    let mut command = Command::new(suite.program("python"));
    command
        .args(["-u", "-W", "ignore"])
        .arg(suite.program("wstest"))
        .args(["-m", "fuzzingclient", "-s"])
        .arg(&file)
        .current_dir(folder);
    let mut progress = CaseProgress::new(cases.len());
    let status = process::follow(command, limit(cases), |line| {
        // The log only helps a reader after a failure, so a failure to write it is ignored.
        let _ = writeln!(log, "{line}");
        if let Some(rest) = line.strip_prefix("Running test case ID ") {
            progress.begins(rest.split(' ').next().unwrap_or(rest));
        }
    });
    progress.end();
    let status = status?;
    ensure!(
        status.success(),
        "the suite ended with {status}; its output is in {}",
        folder.join("wstest.log").display()
    );
    Ok(())
}

fn limit(cases: &[String]) -> Duration {
    cases.iter().fold(START_ALLOWANCE, |limit, case| {
        limit + if catalogue::is_deflate(case) { DEFLATE_CASE_ALLOWANCE } else { CASE_ALLOWANCE }
    })
}

/// Progress on one line that is rewritten on a terminal; elsewhere a line from time to time.
struct CaseProgress {
    total: usize,
    begun: usize,
    since: Instant,
    printed: Instant,
    terminal: bool,
}

impl CaseProgress {
    fn new(total: usize) -> Self {
        let now = Instant::now();
        Self { total, begun: 0, since: now, printed: now, terminal: stdout().is_terminal() }
    }

    fn begins(&mut self, case: &str) {
        self.begun += 1;
        let seconds = self.since.elapsed().as_secs();
        let line = format!("case {case}, {} of {}, {seconds} s", self.begun, self.total);
        if self.terminal {
            print!("\r   {line:<60}");
            let _ = stdout().flush();
        } else if self.printed.elapsed() >= PROGRESS_EVERY {
            println!("   {line}");
            self.printed = Instant::now();
        }
    }

    fn end(&self) {
        if self.terminal {
            println!();
        }
    }
}
