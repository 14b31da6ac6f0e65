//! Runs the program once, and captures its output.
//!
//! It never judges.

use std::process::{Command, Output};

use ringway_acceptor::engine::{Io, choose};
use serde_json::Value;

/// The exit status that only faults of the ledger have.
pub const LEDGER_FAULTS: i32 = 5;

/// The output of a run.
#[derive(Debug)]
pub struct RunOutput {
    pub status: i32,
    pub report: Value,
    pub errors: String,
}

/// Runs the program with these arguments, separated by spaces.
pub fn run(arguments: &str) -> RunOutput {
    run_with(
        Command::new(env!("CARGO_BIN_EXE_ringway-loadtest")).args(arguments.split_whitespace()),
    )
}

/// Runs a command that runs the program.
pub fn run_with(command: &mut Command) -> RunOutput {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let report = match stdout.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&stdout).unwrap_or(Value::Null),
    };
    let errors = String::from_utf8(stderr).unwrap();
    RunOutput { status: status.code().expect("no signal"), report, errors }
}

/// The engines that this host supports.
pub fn engines() -> Vec<&'static str> {
    match choose(Io::Uring, 1) {
        Ok(_) => vec!["uring", "epoll"],
        Err(_) => vec!["epoll"],
    }
}

/// `echo` to `url` on `engine`, with further arguments; its report is parsed.
pub fn echo(url: &str, engine: &str, arguments: &str) -> RunOutput {
    run(&format!("echo --url {url} --io {engine} -q --json --threads 1 {arguments}"))
}

impl RunOutput {
    /// A number of the report, by its path, such as `ledger.lost`.
    pub fn number(&self, path: &str) -> f64 {
        let value = path.split('.').fold(&self.report, |value, key| &value[key]);
        value.as_f64().unwrap_or_else(|| panic!("{path} is not a number: {self:?}"))
    }

    /// A count of the report, by its path.
    pub fn count(&self, path: &str) -> u64 {
        let value = path.split('.').fold(&self.report, |value, key| &value[key]);
        value.as_u64().unwrap_or_else(|| panic!("{path} is no count: {self:?}"))
    }

    /// How often a connection failed for this reason.
    pub fn failures(&self, reason: &str) -> u64 {
        self.report["errors"][reason].as_u64().unwrap_or(0)
    }

    /// The whole ledger: sent, received, lost, doubled, reordered, corrupted.
    pub fn ledger(&self) -> [u64; 6] {
        ["sent", "received", "lost", "doubled", "reordered", "corrupted"]
            .map(|name| self.count(&format!("ledger.{name}")))
    }

    /// Asserts that the status is that of broken connections, or of messages lost with them:
    /// whether any message was in transit is chance.
    pub fn assert_status_of_broken_connections(&self) {
        let is_whole = self.ledger()[2..] == [0; 4];
        self.assert_status(if is_whole { 1 } else { LEDGER_FAULTS });
    }

    /// Asserts the status, unless a busy machine has made the run invalid.
    pub fn assert_status(&self, status: i32) {
        let is_valid = self.report["valid"].as_bool().unwrap();
        // Ledger faults are reported in any case.
        let is_faulty = self.ledger()[2..] != [0; 4];
        let expected = if is_valid || is_faulty { status } else { 3 };
        assert_eq!(self.status, expected, "{self:?}");
        assert_eq!(self.status == LEDGER_FAULTS, is_faulty, "{self:?}");
    }
}
