//! What `--apply` and `--undo` would do: sysctls from one value to another, and a file.
//!
//! It reads the host and changes nothing.

use std::fmt::Write;

use serde::Serialize;

use crate::doctor::{
    host::Host,
    needs::Needs,
    record::Record,
    wanted::{self, Line},
};

/// The file with the sysctls that persist after a restart, sysctl.d(5).
pub const FILE_PATH: &str = "/etc/sysctl.d/60-ringway.conf";

/// The first line of a file that doctor may replace and remove.
pub const MARK: &str =
    "# Written by `ringway doctor --apply`; `ringway doctor --undo` takes it back.";

/// The change of a sysctl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is set to another value.
    Set {
        /// Its name with dots.
        key: String,
        /// The value now.
        from: String,
        /// The value after the change.
        to: String,
    },
    /// It is left as it is.
    Expiry {
        /// Its name with dots.
        key: String,
        /// The reason.
        reason: String,
    },
}

/// The changes of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sysctls, in the order of the file.
    pub steps: Vec<Step>,
    /// The text of [`FILE_PATH`]; `None` if the file must not exist.
    pub file: Option<String>,
}

impl Plan {
    /// Raises the sysctls that are too low, and lowers none. A sysctl that an earlier `--apply` has
    /// raised stays in the file.
    pub fn apply(host: &Host, needs: &Needs, record: &Record) -> Self {
        let mut steps = Vec::new();
        for wanted in wanted::all(needs) {
            let key = wanted.key.to_owned();
            match host.sysctl_number(wanted.key) {
                Ok(found) if found >= wanted.least => {}
                Ok(found) => {
                    let (from, to) = (found.to_string(), wanted.least.to_string());
                    steps.push(Step::Set { key, from, to });
                }
                Err(reason) => steps.push(Step::Expiry { key, reason: reason.to_string() }),
            }
        }
        let mut ours = record.clone();
        for step in &steps {
            if let Step::Set { key, from, to } = step {
                ours.note(key, from, to);
            }
        }
        let file = (!ours.sysctls.is_empty()).then(|| file_text(&ours));
        Self { steps, file }
    }

    /// Restores the sysctls that still have the value that `--apply` set; others were changed
    /// since, and are not changed.
    pub fn undo(host: &Host, record: &Record) -> Self {
        let mut steps = Vec::new();
        for (key, entry) in &record.sysctls {
            let key = key.clone();
            match host.sysctl(&key) {
                Ok(found) if found == entry.before => {}
                Ok(found) if found == entry.set => {
                    steps.push(Step::Set { key, from: found, to: entry.before.clone() });
                }
                Ok(found) => {
                    let reason = format!("it is now {found}, which ringway did not set");
                    steps.push(Step::Expiry { key, reason });
                }
                Err(reason) => steps.push(Step::Expiry { key, reason: reason.to_string() }),
            }
        }
        Self { steps, file: None }
    }

    /// The difference in readable form, for `--dry-run`; empty if there is none.
    pub fn difference(&self, host: &Host) -> String {
        let mut text = String::new();
        let mut push = |line: &str| {
            writeln!(text, "{line}").expect(
                "writing to a string cannot \
                                                                     fail",
            )
        };
        let is_set = |step: &Step| matches!(step, Step::Set { .. });
        if self.steps.iter().any(is_set) {
            push("--- /proc/sys, now\n+++ /proc/sys, then");
        }
        for step in &self.steps {
            match step {
                Step::Set { key, from, to } => push(&format!("-{key} = {from}\n+{key} = {to}")),
                Step::Expiry { key, reason } => push(&format!("# {key} is left alone: {reason}")),
            }
        }
        let old = host.text(FILE_PATH).ok();
        let settings = |text: Option<&str>| -> Vec<String> {
            let lines = text.unwrap_or_default().lines();
            lines.filter(|line| is_setting(line)).map(str::to_owned).collect()
        };
        let (before, after) = (settings(old.as_deref()), settings(self.file.as_deref()));
        if before != after {
            push(&format!("--- {}", if old.is_some() { FILE_PATH } else { "/dev/null" }));
            push(&format!("+++ {}", if self.file.is_some() { FILE_PATH } else { "/dev/null" }));
            before
                .iter()
                .filter(|line| !after.contains(line))
                .for_each(|line| push(&format!("-{line}")));
            after
                .iter()
                .filter(|line| !before.contains(line))
                .for_each(|line| push(&format!("+{line}")));
        }
        text
    }
}

fn is_setting(line: &str) -> bool {
    !line.starts_with('#') && !line.is_empty()
}

/// The built-in file with the settings that doctor made. The others are comments, so that a restart
/// does not lower values that are already better.
fn file_text(ours: &Record) -> String {
    let mut text = format!("{MARK}\n#\n");
    for line in wanted::lines() {
        let line = match line {
            Line::Comment(comment) => comment.to_owned(),
            Line::Setting(key, value) => match ours.sysctls.get(key) {
                Some(entry) => format!("{key} = {}", entry.set),
                None => format!("# {key} = {value} or more was already set"),
            },
        };
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    text
}
