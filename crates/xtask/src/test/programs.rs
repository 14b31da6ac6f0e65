//! The workspace's test programs: all are built by one call of cargo, and run here, several at a
//! time, so that the time of each test is known and those that wait do so together.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{CARGO_LIMIT, cores, passed};
use crate::checkout::Checkout;
use crate::process;
use crate::step::StepOutcome;

/// The slowest programs, which begin first, and the tests that each runs at a time, for each core:
/// more than one if they mostly wait for timeouts and processes.
const SLOW: [(&str, usize); 3] = [("integration", 3), ("faults", 3), ("sweep", 1)];
/// They come last, because they leave the others no processor time: one disturbs itself on purpose,
/// the other only computes.
const LAST: [&str; 2] = ["compare", "simulation"];
/// Programs that run at the same time, besides one for each core.
const PROGRAMS_MORE: usize = 1;
const PROGRAM_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Tests whose times are listed.
const SLOWEST: usize = 12;

/// A test program as cargo has built it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Program {
    package: String,
    name: String,
    path: PathBuf,
    /// The folder of its package, in which cargo runs it, too.
    folder: PathBuf,
}

/// Builds all test programs, and notes them for [`run`].
pub fn build(checkout: &Checkout) -> Result<StepOutcome> {
    let mut command = checkout.cargo(&["test", "--workspace", "--lib", "--bins", "--tests"]);
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let mut programs = Vec::new();
    let status = process::follow(command, CARGO_LIMIT, |line| match program_of(line) {
        Some(program) => programs.push(program),
        None if line.starts_with('{') => {}
        None => println!("{line}"),
    })?;
    // The list of an earlier build must not take the place of this one's.
    let list = list(checkout)?;
    fs::write(&list, serde_json::to_string(&programs)?)
        .with_context(|| format!("cannot write {}", list.display()))?;
    ensure!(status.success(), "the tests do not compile");
    passed(format!("{} programs", programs.len()))
}

fn list(checkout: &Checkout) -> Result<PathBuf> {
    Ok(checkout.scratch("test")?.join("programs.json"))
}

/// A line of cargo's that says which test program it has built.
fn program_of(line: &str) -> Option<Program> {
    let built: Built = serde_json::from_str(line).ok()?;
    let path = built.executable.filter(|_| built.profile.test)?;
    let folder = built.manifest_path.parent()?.to_path_buf();
    // Such as `path+file:///a/crates/frame#ringway-frame@0.1.0`, or without the name if it is the folder's.
    let (place, version) = built.package_id.rsplit_once('#')?;
    let package = match version.split_once('@') {
        Some((name, _)) => name,
        None => place.rsplit('/').next()?,
    };
    Some(Program { package: package.to_owned(), name: built.target.name, path, folder })
}

#[derive(Deserialize)]
struct Built {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Runs the programs that [`build`] has noted. A failure in one hides none in the others.
pub fn run(checkout: &Checkout) -> Result<StepOutcome> {
    let list = list(checkout)?;
    let text = fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}, which the build writes", list.display()))?;
    let mut programs: Vec<Program> = serde_json::from_str(&text)?;
    ensure!(!programs.is_empty(), "the build has made no test program");
    programs.sort_by_key(|program| {
        let slow = SLOW.iter().position(|(name, _)| *name == program.name);
        (LAST.contains(&&*program.name), slow.unwrap_or(SLOW.len()))
    });
    let cargo = checkout.cargo(&[]);
    let results = all(programs, |program| {
        let mut command = Command::new(&program.path);
        command.current_dir(&program.folder).env("CARGO", cargo.get_program());
        command.env("CARGO_MANIFEST_DIR", &program.folder).env("CARGO_PKG_NAME", &program.package);
        if let Some((_, per_core)) = SLOW.iter().find(|(name, _)| *name == program.name) {
            command.env("RUST_TEST_THREADS", (per_core * cores()).to_string());
        }
        // Only with it does a stable toolchain's test program say how long each test took.
        command.env("RUSTC_BOOTSTRAP", "1").args(["-Zunstable-options", "--report-time"]);
        process::capture(command, PROGRAM_LIMIT)
    });
    conclude(&results)
}

/// What a program has done.
struct Ran {
    program: Program,
    took: Duration,
    printed: Result<process::Captured>,
}

/// Runs the programs in this order, some at a time, and prints each one's end.
fn all(
    programs: Vec<Program>,
    run: impl Fn(&Program) -> Result<process::Captured> + Sync,
) -> Vec<Ran> {
    let waiting = Mutex::new(VecDeque::from(programs));
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores() + PROGRAMS_MORE {
            let (sender, waiting, run) = (sender.clone(), &waiting, &run);
            scope.spawn(move || {
                let next = || waiting.lock().expect("no thread panics with it").pop_front();
                while let Some(program) = next() {
                    let began = Instant::now();
                    let printed = run(&program);
                    let _ = sender.send(Ran { program, took: began.elapsed(), printed });
                }
            });
        }
        drop(sender);
        ended.iter().inspect(|ran| println!("{}", ran.line())).collect()
    })
}

impl Ran {
    fn name(&self) -> String {
        let Program { package, name, .. } = &self.program;
        if name.replace('_', "-") == *package { name.clone() } else { format!("{package} {name}") }
    }

    fn succeeded(&self) -> bool {
        self.printed.as_ref().is_ok_and(|captured| captured.status.success())
    }

    fn output(&self) -> &str {
        self.printed.as_ref().map(|captured| &*captured.output).unwrap_or_default()
    }

    /// Its name, its time and its last words, of which the time is known.
    fn line(&self) -> String {
        let mut results =
            self.output().lines().filter_map(|line| line.strip_prefix("test result: "));
        let result = match (&self.printed, results.next_back()) {
            (Err(error), _) => format!("{error:#}"),
            (Ok(captured), None) => format!("ended with {}", captured.status),
            (_, Some(result)) => result.split("; 0 measured").next().unwrap_or(result).to_owned(),
        };
        format!("{:<40} {:>6.1} s  {result}", self.name(), self.took.as_secs_f64())
    }

    /// Its tests, with the seconds that each took and whether it passed.
    fn tests(&self) -> impl Iterator<Item = Test<'_>> {
        self.output().lines().filter_map(Test::of)
    }
}

#[derive(Debug, PartialEq)]
struct Test<'a> {
    name: &'a str,
    passed: bool,
    seconds: f64,
}

impl<'a> Test<'a> {
    /// Parses `test NAME ... ok <1.234s>`.
    fn of(line: &'a str) -> Option<Self> {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let time = result.rsplit_once('<').and_then(|(_, time)| time.strip_suffix("s>"));
        let seconds = time.and_then(|time| time.parse().ok()).unwrap_or(0.0);
        Some(Self { name, passed: !result.starts_with("FAILED"), seconds })
    }
}

/// Prints what the programs that failed have said, and names the tests that failed or are slow.
fn conclude(results: &[Ran]) -> Result<StepOutcome> {
    let mut slow: Vec<(f64, String)> = Vec::new();
    let mut failures = Vec::new();
    let mut count = 0;
    for ran in results {
        for test in ran.tests() {
            count += 1;
            slow.push((test.seconds, format!("{} {}", ran.name(), test.name)));
            if !test.passed {
                failures.push(format!("  {} {}", ran.name(), test.name));
            }
        }
        if !ran.succeeded() {
            println!("\n{}", ran.name());
            let passed = |line: &&str| line.starts_with("test ") && line.contains(" ... ok");
            ran.output().lines().filter(|line| !passed(line)).for_each(|line| println!("{line}"));
            failures.push(format!("  {}", ran.line()));
        }
    }
    if !failures.is_empty() {
        bail!("these tests and programs failed:\n{}", failures.join("\n"));
    }
    slow.sort_by(|one, other| other.0.total_cmp(&one.0));
    let slow: Vec<String> =
        slow.iter().take(SLOWEST).map(|(time, name)| format!("{time:>7.1} s  {name}")).collect();
    passed(format!("{count} in {} programs\n{}", results.len(), slow.join("\n")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::ExitStatus;

    use super::*;

    fn program(name: &str) -> Program {
        let package = "ringway-frame".to_owned();
        Program { package, name: name.to_owned(), path: "/p".into(), folder: "/".into() }
    }

    #[test]
    fn the_programs_that_cargo_has_built_are_known() {
        let line = |package: &str, executable: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/crates/{package}",
                "manifest_path":"/w/crates/frame/Cargo.toml","target":{{"kind":["lib"],"name":"n"}},
                "profile":{{"opt_level":"1","test":{test}}},"executable":{executable}}}"#
            )
            .replace('\n', "")
        };
        let found = program_of(&line("frame#ringway-frame@0.1.0", r#""/t/n-1""#, true)).unwrap();
        assert_eq!((&*found.package, &*found.name), ("ringway-frame", "n"));
        assert_eq!(
            (&*found.path, &*found.folder),
            (Path::new("/t/n-1"), Path::new("/w/crates/frame"))
        );
        let found = program_of(&line("xtask#0.1.0", r#""/t/n-1""#, true)).unwrap();
        assert_eq!(found.package, "xtask");
        for other in [
            line("xtask#0.1.0", "null", false),
            line("xtask#0.1.0", r#""/t/n-1""#, false),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "   Compiling xtask v0.1.0".to_owned(),
        ] {
            assert_eq!(program_of(&other), None, "{other}");
        }
    }

    #[test]
    fn failures_are_named_and_slow_tests_are_listed() {
        let output = |name: &str| {
            let (word, status) = if name == "bad" { ("FAILED", 101 << 8) } else { ("ok", 0) };
            let output = format!(
                "test a::quick ... ok <0.001s>\ntest a::slow ... {word} <2.500s>\n\
                 test a::off ... ignored\ntest result: {word}. 2 passed; 0 measured; 3 s\n"
            );
            Ok(process::Captured { status: ExitStatus::from_raw(status), output })
        };
        let names = |names: &[&str]| names.iter().map(|name| program(name)).collect();
        let results = all(names(&["one", "two"]), |program| output(&program.name));
        let StepOutcome::Passed(note) = conclude(&results).unwrap() else { panic!("skipped") };
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[0], "6 in 2 programs");
        assert!(lines[1].ends_with("2.5 s  ringway-frame one a::slow"), "{note}");
        let results = all(names(&["bad", "good", "gone"]), |program| match &*program.name {
            "gone" => bail!("it is not there"),
            name => output(name),
        });
        let error = conclude(&results).unwrap_err().to_string();
        for part in ["  ringway-frame bad a::slow\n", "FAILED. 2 passed\n", "it is not there"] {
            assert!(format!("{error}\n").contains(part), "{part}: {error}");
        }
        assert!(!error.contains("good"), "{error}");
    }

    #[test]
    fn the_slow_programs_are_named_as_they_are_in_their_packages() {
        let checkout = Checkout::of_this_crate();
        for name in SLOW.iter().map(|(name, _)| *name).chain(LAST) {
            let file = |folder: &Path| {
                folder.join(format!("{name}.rs")).exists() || folder.join(name).exists()
            };
            let folders = ["crates/gateway/tests", "loadtest/tests"];
            assert!(folders.iter().any(|folder| file(&checkout.path(folder))), "{name}");
        }
    }
}
