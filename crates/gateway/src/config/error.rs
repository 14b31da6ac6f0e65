//! The errors of a configuration: the place of each fault, what it is, and how to fix it. It never
//! decides what is a fault.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere: the value is a default.
    Default,
    /// A file as a whole.
    File(Arc<str>),
    /// A line of a file, for faults of a key or a section.
    Line(Arc<str>, usize),
    /// A line and a column of a file, for faults of a value or of the syntax.
    Column(Arc<str>, usize, usize),
    /// An environment variable.
    Variable(String),
    /// An argument of `--set`.
    Set(String),
    /// Another flag, with its value.
    Flag(&'static str, String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => formatter.write_str(path),
            Self::Line(path, line) => write!(formatter, "{path}:{line}"),
            Self::Column(path, line, column) => write!(formatter, "{path}:{line}:{column}"),
            Self::Variable(name) => formatter.write_str(name),
            Self::Set(argument) => write!(formatter, "--set {argument}"),
            Self::Flag(name, value) => write!(formatter, "{name} {value}"),
        }
    }
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub origin: Origin,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.origin, self.message)
    }
}

/// All faults of a configuration; never empty.
///
/// Displayed, each fault is one line: `ringway.toml:7: unknown key …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.faults.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Faults found so far. Reading continues after a fault, so that one run shows all of them.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, origin: Origin, message: impl Into<String>) {
        self.0.push(Fault { origin, message: message.into() });
    }

    /// `Ok` without a fault; otherwise all of them, those of a file by line.
    pub fn check(mut self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|fault| match fault.origin {
            Origin::Line(_, line) => (0, line, 0),
            Origin::Column(_, line, column) => (0, line, column),
            Origin::Default | Origin::File(_) => (1, 0, 0),
            Origin::Variable(_) => (2, 0, 0),
            Origin::Set(_) => (3, 0, 0),
            Origin::Flag(..) => (4, 0, 0),
        });
        Err(ConfigError { faults: self.0 })
    }
}
