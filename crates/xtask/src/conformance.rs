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
use ringway_testbed::{Authority, Engine};

use crate::checkout::Checkout;
use crate::server::{self, Engines, Layer};
use crate::step::StepOutcome;
use crate::tools::python::{self, Environment};

/// Run the Autobahn suite against the gateway.
///
/// By default: the core and limit cases on each engine, on the first of them
/// every combination of permessage-deflate parameters at small sizes, and on each
/// engine some cases over TLS. The reports of failed runs stay in
/// target/xtask/conformance/.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask conformance
  cargo xtask conformance --all --io uring
  cargo xtask conformance --all --tls
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
    /// All of this over TLS (`wss`) and not in plain text.
    #[arg(long)]
    pub tls: bool,
    /// Keep the reports of runs that passed, too.
    #[arg(long)]
    pub keep: bool,
    /// Test this program in place of the release build.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { all: false, io: Engines::Both, cases: None, tls: false, keep: false, binary: None }
    }
}

/// One run of the suite.
struct Plan {
    engine: Engine,
    layer: Layer,
    cases: Vec<String>,
}

impl Options {
    fn plans(&self) -> Result<Vec<Plan>> {
        let engines = self.io.each();
        let mut plans = Vec::new();
        for &engine in engines {
            let layer = if self.tls { Layer::Tls } else { Layer::Plain };
            plans.push(Plan { engine, layer, cases: self.cases(engine, engines[0])? });
            if !self.tls && !self.all && self.cases.is_none() {
                plans.push(Plan { engine, layer: Layer::Tls, cases: catalogue::over_tls() });
            }
        }
        Ok(plans)
    }

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
    let plans = options.plans()?;
    let Some(suite) = python::autobahn(checkout)? else {
        return Ok(StepOutcome::Skipped(python::NO_PYTHON_2.to_owned()));
    };
    let binary = server::binary(checkout, options.binary.as_deref())?;
    let authority = server::authority()?;
    let mut notes = Vec::new();
    let mut failed = 0;
    for plan in plans {
        let (cases, name) = (&plan.cases, plan.layer.on(plan.engine));
        let folder = checkout.scratch("conformance")?.join(name.replace(' ', "-"));
        let began = Instant::now();
        println!("-- {} cases on {name}", cases.len());
        let failures = one_run(&suite, &binary, &plan, &authority, &folder)
            .with_context(|| format!("conformance on {name}"))?;
        for failure in &failures {
            println!("   FAILED {}: {}", failure.case, failure.text);
        }
        let note = format!("{} of {} on {name}", cases.len() - failures.len(), cases.len());
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

fn one_run(
    suite: &Environment,
    binary: &Path,
    plan: &Plan,
    authority: &Authority,
    folder: &Path,
) -> Result<Vec<report::Failure>> {
    let server = plan.layer.start(binary, plan.engine, authority)?;
    // The suite does not check certificates.
    let judged = fuzzer::run(suite, &server.echo_url(), &plan.cases, folder)
        .and_then(|()| report::judge(folder, &plan.cases));
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
    fn some_cases_run_over_tls_by_default_and_all_if_asked() {
        let layers = |options: Options| {
            let plans = options.plans().unwrap();
            plans.iter().map(|plan| (plan.layer, plan.cases.len())).collect::<Vec<_>>()
        };
        let io = Engines::Epoll;
        let usual = Options { io, ..Options::default() };
        let small = catalogue::over_tls().len();
        assert_eq!(layers(usual), [(Layer::Plain, 247 + 54 + 48), (Layer::Tls, small)]);
        let all = Options { io, all: true, ..Options::default() };
        assert_eq!(layers(all), [(Layer::Plain, 517)]);
        let all_over_tls = Options { io, all: true, tls: true, ..Options::default() };
        assert_eq!(layers(all_over_tls), [(Layer::Tls, 517)]);
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
