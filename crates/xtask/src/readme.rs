//! `readme`: runs README.md's shell commands, so that they stay correct. [`Options`], and so
//! `--help`, defines the form of a block. Never ends a process that it did not start, and never
//! runs a step of `cargo xtask test`.

mod background;
mod blocks;
mod role;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use self::background::Background;
use self::blocks::Entry;
use self::role::Role;
use crate::checkout::{Checkout, without_package};
use crate::process;
use crate::server;
use crate::step::StepOutcome;
use crate::wildcard;

const COMMAND_LIMIT: Duration = Duration::from_secs(3 * 60);
const CARGO_LIMIT: Duration = Duration::from_secs(40 * 60);
const TRANSCRIPT_LIMIT: Duration = Duration::from_secs(10);
/// How long a background command may run before the next command.
const BACKGROUND_START: Duration = Duration::from_millis(500);

/// Run the commands of README.md and compare what they print.
///
/// Every fenced block in the language `sh` is run, command by command: each by its own bash, from
/// the repository root, with the release build in PATH, and each must end with 0. A block in the
/// language `console` is a transcript: commands after `$ `, then their output, in which `…` stands
/// for any text. A block that cannot run says why: `sh no-run REASON`. Blocks in other languages
/// are ignored.
///
/// The gateway (`cargo run --release`, `ringway serve`) runs until another one replaces it or
/// README.md ends, and is then stopped by SIGTERM; with `&` after it, only at the end. The next
/// command waits until it listens. `cargo xtask test` and its steps are not run from here.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask readme
  cargo xtask readme --file tuning/README.md")]
pub struct Options {
    /// Another document, relative to the repository root.
    #[arg(long, value_name = "PATH", default_value = "README.md")]
    pub file: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { file: "README.md".to_owned() }
    }
}

pub fn run(checkout: &Checkout, options: &Options) -> Result<StepOutcome> {
    let file = &options.file;
    let path = checkout.path(file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let document = blocks::parse(&text).with_context(|| file.clone())?;
    // The commands may use the release build before they have built it.
    server::build(checkout)?;
    let mut runner = Runner::new(checkout)?;
    let mut ran = 0;
    let mut left = 0;
    for block in &document {
        if let Some(reason) = &block.no_run {
            println!("   not run: line {}: {reason}", block.line);
            left += block.entries.len();
            continue;
        }
        for entry in &block.entries {
            let verdict = runner
                .run(entry)
                .with_context(|| format!("{file}:{}: `{}`", entry.line, entry.command))?;
            match verdict {
                Ran::Yes => ran += 1,
                Ran::No => left += 1,
            }
        }
    }
    runner.finish()?;
    ensure!(ran > 0, "{file} has no command to run; put them in ```sh blocks");
    Ok(StepOutcome::Passed(format!("{ran} commands run, {left} not run")))
}

enum Ran {
    Yes,
    No,
}

struct Runner<'a> {
    checkout: &'a Checkout,
    path: OsString,
    server: Option<Background>,
    servers_beside: Vec<Background>,
    others: Vec<Background>,
}

impl<'a> Runner<'a> {
    fn new(checkout: &'a Checkout) -> Result<Self> {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let folders =
            std::iter::once(checkout.release_folder()).chain(env::split_paths(&inherited));
        Ok(Self {
            checkout,
            path: env::join_paths(folders).context("the target folder's name holds a colon")?,
            server: None,
            servers_beside: Vec::new(),
            others: Vec::new(),
        })
    }

    fn run(&mut self, entry: &Entry) -> Result<Ran> {
        let (role, simple) = role::of(&entry.command);
        if role == Role::OwnStep {
            println!("   not run: line {}: {simple} is a step of its own", entry.line);
            return Ok(Ran::No);
        }
        println!("   $ {}", entry.command);
        let limit = if simple.starts_with("cargo ") { CARGO_LIMIT } else { COMMAND_LIMIT };
        match role {
            Role::Plain | Role::OwnStep => self.run_to_its_end(entry, limit)?,
            Role::Background => {
                let background = Background::start(simple, self.shell(simple))?;
                thread::sleep(BACKGROUND_START);
                self.others.push(background);
            }
            Role::Server => {
                if let Some(earlier) = self.server.take() {
                    earlier.stop()?;
                }
                self.server = Some(self.start_server(entry, simple, limit)?);
            }
            Role::ServerBeside => {
                let server = self.start_server(entry, simple, limit)?;
                self.servers_beside.push(server);
            }
        }
        Ok(Ran::Yes)
    }

    fn run_to_its_end(&self, entry: &Entry, limit: Duration) -> Result<()> {
        let captured = process::capture(self.shell(&entry.command), limit)?;
        if !captured.status.success() {
            bail!("ended with {}; it printed:\n{}", captured.status, captured.output);
        }
        match &entry.output {
            Some(expected) if !agrees(expected, &captured.output) => bail!(
                "the output differs from the document\n--- document\n{expected}\
                 --- printed\n{}",
                captured.output
            ),
            _ => Ok(()),
        }
    }

    fn start_server(&self, entry: &Entry, simple: &str, limit: Duration) -> Result<Background> {
        // Without a shell in between, so that SIGTERM reaches the gateway itself.
        let command = self.shell(&format!("exec env {simple}"));
        let mut server = Background::start(simple, command)?;
        server.wait_until_listening(limit)?;
        // A server keeps printing, so its transcript is the beginning of its output.
        let expected = format!("{}…", entry.output.as_deref().unwrap_or_default().trim_end());
        let deadline = Instant::now() + TRANSCRIPT_LIMIT;
        while !agrees(&expected, &server.output()) {
            if Instant::now() >= deadline {
                bail!(
                    "the output differs from the document\n--- document\n{expected}\n\
                     --- printed\n{}",
                    server.output()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).env("PATH", &self.path).current_dir(self.checkout.root());
        without_package(&mut command);
        command
    }

    fn finish(mut self) -> Result<()> {
        self.others.clear();
        for server in self.server.take().into_iter().chain(self.servers_beside.drain(..)) {
            server.stop()?;
        }
        Ok(())
    }
}

/// Whether the output matches the transcript; blanks at line ends do not count.
fn agrees(expected: &str, printed: &str) -> bool {
    let tidy = |text: &str| {
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    };
    let expected = tidy(expected);
    // A last line of `…` also matches no line at all.
    let expected = match expected.strip_suffix("\n…") {
        Some(before) => format!("{before}…"),
        None => expected,
    };
    wildcard::matches(&expected, '…', &tidy(printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_compared_tolerantly() {
        for (expected, printed, verdict) in [
            ("hello\n", "hello  \r\n\n", true),
            ("", "", true),
            ("", "noise\n", false),
            ("took … ms\n", "took 12 ms\n", true),
            ("took … ms\n", "took 12 s\n", false),
            ("a\n…\n", "a\nb\nc\n", true),
            ("a\n…\n", "a\n", true),
            ("a\n…\nz\n", "a\nb\nc\nz\n", true),
            ("a\n…\nz\n", "a\nb\n", false),
            ("…", "anything\nat all\n", true),
        ] {
            assert_eq!(agrees(expected, printed), verdict, "{expected:?} {printed:?}");
        }
    }

    fn entry(command: &str, output: Option<&str>) -> Entry {
        Entry { line: 1, command: command.to_owned(), output: output.map(str::to_owned) }
    }

    #[test]
    fn commands_are_run_and_judged() {
        let checkout = Checkout::of_this_crate();
        let mut runner = Runner::new(&checkout).unwrap();
        assert!(matches!(runner.run(&entry("true", None)), Ok(Ran::Yes)));
        assert!(runner.run(&entry("echo a; exit 3", None)).is_err());
        assert!(runner.run(&entry("echo a", Some("a\n"))).is_ok());
        assert!(runner.run(&entry("echo a", Some("b\n"))).is_err());
        assert!(matches!(runner.run(&entry("cargo xtask test", None)), Ok(Ran::No)));
        assert!(runner.run(&entry("sleep 60 &", None)).is_ok());
        assert!(runner.finish().is_ok());
    }
}
