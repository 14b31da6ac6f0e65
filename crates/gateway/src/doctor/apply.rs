//! `--apply` and `--undo`: performing a plan, one sysctl at a time.
//!
//! The old values are on disk before anything is changed. If the kernel refuses a value, this is
//! reported, and the other steps follow.

use std::io::Write;

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use serde::Serialize;

use crate::doctor::{
    host::Host,
    lock::Lock,
    needs::Needs,
    plan::{FILE_PATH, MARK, Plan, Step},
    reading::{self, Links},
    record::{self, Record},
    replacing,
};

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// A sysctl or a file.
    pub what: String,
    /// Whether the step was done.
    pub outcome: StepOutcome,
    /// The values, or the reason.
    pub detail: String,
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// Done.
    Done,
    /// Left as it is, on purpose.
    Kept,
    /// The kernel or the file system refused.
    Refused,
}

impl Deed {
    fn new(what: &str, outcome: StepOutcome, detail: impl ToString) -> Self {
        Self { what: what.to_owned(), outcome, detail: detail.to_string() }
    }
}

/// Raises the sysctls that are too low, and makes this permanent across restarts.
///
/// # Errors
/// The errors before anything is changed: not root, another doctor is running, a record or a file
/// that doctor did not write, no place for the record.
pub fn apply(host: &Host, needs: &Needs) -> anyhow::Result<Vec<Deed>> {
    only_root(host)?;
    let _lock = Lock::take(host)?;
    let mut record = Record::load(host)?;
    only_ours(host)?;
    let plan = Plan::apply(host, needs, &record);
    for step in &plan.steps {
        if let Step::Set { key, from, to } = step {
            record.note(key, from, to);
        }
    }
    record.save(host).with_context(|| {
        format!("{}: the old values cannot be kept, so nothing was changed", record::PATH)
    })?;
    let mut deeds = Vec::new();
    if let Some(text) = &plan.file
        && host.text(FILE_PATH).ok().as_deref() != Some(text.trim())
    {
        deeds.push(match replacing::write(&host.path(FILE_PATH), text) {
            Ok(()) => Deed::new(FILE_PATH, StepOutcome::Done, "written"),
            Err(error) => Deed::new(FILE_PATH, StepOutcome::Refused, error),
        });
    }
    deeds.extend(plan.steps.iter().map(|step| carry_out(host, step)));
    Ok(deeds)
}

/// Restores the sysctls that `--apply` has changed, unless they were changed again since.
///
/// # Errors
/// The errors before anything is changed: not root, another doctor is running, a record that doctor
/// did not write.
pub fn undo(host: &Host) -> anyhow::Result<Vec<Deed>> {
    only_root(host)?;
    let _lock = Lock::take(host)?;
    let mut record = Record::load(host)?;
    let mut deeds = Vec::new();
    for step in Plan::undo(host, &record).steps {
        deeds.push(carry_out(host, &step));
    }
    deeds.extend(remove_file(host));
    // A refused sysctl stays in the record, to be tried again; doctor is done with the others.
    let is_refused = |what: &str| {
        let refused = |deed: &&Deed| deed.outcome == StepOutcome::Refused && deed.what == what;
        deeds.iter().find(refused).is_some()
    };
    record.sysctls.retain(|key, _| is_refused(key));
    if let Err(error) = record.save(host) {
        deeds.push(Deed::new(record::PATH, StepOutcome::Refused, error));
    }
    Ok(deeds)
}

fn remove_file(host: &Host) -> Option<Deed> {
    if !host.has(FILE_PATH) {
        return None;
    }
    Some(match only_ours(host) {
        Err(error) => Deed::new(FILE_PATH, StepOutcome::Kept, error),
        Ok(()) => match replacing::remove(&host.path(FILE_PATH)) {
            Ok(()) => Deed::new(FILE_PATH, StepOutcome::Done, "removed"),
            Err(error) => Deed::new(FILE_PATH, StepOutcome::Refused, error),
        },
    })
}

fn carry_out(host: &Host, step: &Step) -> Deed {
    match step {
        Step::Expiry { key, reason } => Deed::new(key, StepOutcome::Kept, reason),
        Step::Set { key, from, to } => match set(host, key, to) {
            Ok(()) => Deed::new(key, StepOutcome::Done, format!("{from} -> {to}")),
            Err(error) => {
                Deed::new(key, StepOutcome::Refused, format!("{from} -> {to}: {error:#}"))
            }
        },
    }
}

fn set(host: &Host, key: &str, value: &str) -> anyhow::Result<()> {
    let path = host.sysctl_path(key);
    // Writing never creates a missing sysctl, as it would a file.
    let mut file = reading::open(&path, OFlags::WRONLY | OFlags::TRUNC, Links::Followed)?;
    file.write_all(format!("{value}\n").as_bytes())?;
    drop(file);
    match host.sysctl(key) {
        Ok(found) if found == value => Ok(()),
        Ok(found) => bail!("the kernel set it to {found} instead"),
        Err(reason) => bail!("{reason}"),
    }
}

fn only_root(host: &Host) -> anyhow::Result<()> {
    match host.effective_user() {
        Ok(0) => Ok(()),
        Ok(user) => {
            bail!("only root may change sysctls, and this is user {user}; try it with sudo")
        }
        Err(reason) => {
            bail!("only root may change sysctls, and the user is unknown: {reason}")
        }
    }
}

fn only_ours(host: &Host) -> anyhow::Result<()> {
    if !host.has(FILE_PATH) {
        return Ok(());
    }
    match host.text(FILE_PATH) {
        Ok(text) if text.starts_with(MARK) => Ok(()),
        Ok(_) => bail!("{FILE_PATH} was not written by ringway; move it away or set it by hand"),
        Err(reason) => bail!("{reason}; move it away"),
    }
}
