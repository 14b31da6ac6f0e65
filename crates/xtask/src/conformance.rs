//! `conformance`: runs the Autobahn suite against the real gateway. A run passes when each
//! requested case is in the report, with the right behaviour and close code, and the gateway then
//! stops cleanly. Never installs Python 2.7.

mod catalogue;
mod fuzzer;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use ringway_testbed::Engine;

use crate::checkout::Checkout;
use crate::server::{self, Engines};
use crate::step::StepOutcome;
use crate::tools::python::{self, Environment};

/// Run the Autobahn suite against the gateway.
///
/// By default: the core and limit cases on each engine, and on the first of them
/// every combination of permessage-deflate parameters at small sizes. The reports
/// of failed runs stay in target/xtask/conformance/.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask conformance
  cargo xtask conformance --all --io uring
  cargo xtask conformance --io epoll --cases '1.*,6.4.*' --keep")]
pub struct Options {
    /// All 517 cases (some ten minutes on each engine).
    #[arg(long, conflicts_with = "cases")]
    pub all: bool,
    /// The engines to run the gateway on.
    #[arg(long, value_enum, default_value_t = Engines::Both)]
    pub io: Engines,
    /// Only these cases, separated by commas; `*` stands for any text.
    #[arg(long, value_name = "PATTERNS")]
    pub cases: Option<String>,
    /// Keep the reports of runs that passed, too.
    #[arg(long)]
    pub keep: bool,
    /// Test this program in place of the release build.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { all: false, io: Engines::Both, cases: None, keep: false, binary: None }
    }
}

impl Options {
    /// The cases for one engine; `first` is the engine that carries the deflate subset.
    fn cases(&self, engine: Engine, first: Engine) -> Result<Vec<String>> {
        if let Some(patterns) = &self.cases {
            return catalogue::matching(patterns);
        }
        if self.all {
            return Ok(catalogue::all());
        }
        let mut cases = [catalogue::core(), catalogue::limits()].concat();
        if engine == first {
            cases.extend(catalogue::deflate_subset());
        }
        Ok(cases)
    }
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let engines = options.io.each();
    let plans = engines
        .iter()
        .map(|engine| Ok((*engine, options.cases(*engine, engines[0])?)))
        .collect::<Result<Vec<_>>>()?;
    let Some(suite) = python::autobahn(checkout)? else {
        return Ok(StepOutcome::Skipped(python::NO_PYTHON_2.to_owned()));
    };
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let mut notes = Vec::new();
    let mut failed = 0;
    for (engine, cases) in plans {
        let folder = checkout.scratch("conformance")?.join(engine.to_string());
        let began = Instant::now();
        println!("-- {} cases on {engine}", cases.len());
        let failures = one_engine(&suite, &binary, engine, &cases, &folder)
            .with_context(|| format!("conformance on {engine}"))?;
        for failure in &failures {
            println!("   FAILED {}: {}", failure.case, failure.text);
        }
        let note = format!("{} of {} on {engine}", cases.len() - failures.len(), cases.len());
        println!("   {note} passed in {} s", began.elapsed().as_secs());
        if !failures.is_empty() || options.keep {
            println!("   report: {}", folder.join("index.html").display());
        } else {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        failed += failures.len();
        notes.push(note);
    }
    if failed > 0 {
        bail!("{failed} cases failed: {} passed", notes.join(", "));
    }
    Ok(StepOutcome::Passed(notes.join(", ")))
}

fn one_engine(
    suite: &Environment,
    binary: &Path,
    engine: Engine,
    cases: &[String],
    folder: &Path,
) -> Result<Vec<report::Failure>> {
    let server = server::start(binary, engine)?;
    let judged = fuzzer::run(suite, &server.echo_url(), cases, folder)
        .and_then(|()| report::judge(folder, cases));
    // If the gateway died, that explains an incomplete report better.
    server.stop()?;
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_the_first_engine_runs_the_deflate_cases() {
        let options = Options::default();
        let count = |engine| options.cases(engine, Engine::Uring).unwrap().len();
        assert_eq!(count(Engine::Uring), 247 + 54 + 48);
        assert_eq!(count(Engine::Epoll), 247 + 54);
    }

    #[test]
    fn all_and_chosen_cases_are_the_same_on_each_engine() {
        let all = Options { all: true, ..Options::default() };
        let chosen = Options { cases: Some("9.*".to_owned()), ..Options::default() };
        for engine in [Engine::Uring, Engine::Epoll] {
            assert_eq!(all.cases(engine, Engine::Uring).unwrap().len(), 517);
            assert_eq!(chosen.cases(engine, Engine::Uring).unwrap().len(), 54);
        }
    }
}
