//! `ringway doctor`: whether this host suits the gateway, how many connections it can hold, and
//! what to change.
//!
//! Without `--apply` or `--undo` it changes nothing. It never starts the gateway.

mod apply;
mod capacity;
mod certificates;
mod checks;
mod finding;
pub mod host;
mod io_uring;
mod keys;
mod lock;
pub mod memory;
mod needs;
mod plan;
mod reading;
mod record;
mod replacing;
mod report;
mod wanted;

use std::path::Path;

use crate::{
    config::Config,
    doctor::{
        apply::{Deed, StepOutcome},
        capacity::Capacity,
        checks::Subject,
        finding::Verdict,
        host::Host,
        io_uring::IoUring,
        needs::Needs,
        plan::Plan,
        record::Record,
        report::Report,
    },
};

/// The task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Examine the host and report.
    Examine,
    /// Raise sysctls.
    Apply,
    /// Restore them.
    Undo,
}

/// Whether changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rigour {
    /// Make the changes.
    ForReal,
    /// Only show the changes.
    DryRun,
}

/// The format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The output, and whether there is a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text for standard output.
    pub text: String,
    /// Whether a finding hurts, a change was refused, or an essential value is unknown.
    pub hurts: bool,
}

/// Performs a task on the host below `root`.
///
/// # Errors
/// The reason why nothing could be done: not root, or files that doctor did not write.
pub fn run(
    root: &Path,
    config: &Config,
    task: Task,
    rigour: Rigour,
    form: Form,
) -> anyhow::Result<Answer> {
    let host = Host::below(root);
    let needs = Needs::of(config, host.cores().unwrap_or(1));
    match (task, rigour) {
        (Task::Examine, Rigour::ForReal) => Ok(examine(&host, &needs, config, form)),
        (Task::Examine | Task::Apply, Rigour::DryRun) => {
            let plan = Plan::apply(&host, &needs, &Record::load(&host)?);
            Ok(shown(&plan, &host, form))
        }
        (Task::Undo, Rigour::DryRun) => {
            Ok(shown(&Plan::undo(&host, &Record::load(&host)?), &host, form))
        }
        (Task::Apply, Rigour::ForReal) => {
            Ok(done(&apply::apply(&host, &needs)?, form, "nothing to change"))
        }
        (Task::Undo, Rigour::ForReal) => Ok(done(&apply::undo(&host)?, form, "nothing to undo")),
    }
}

fn examine(host: &Host, needs: &Needs, config: &Config, form: Form) -> Answer {
    let io_uring =
        if host.is_this_one() { IoUring::tried(needs.cores) } else { IoUring::untried() };
    let capacity = Capacity::of(host, needs);
    let subject = Subject { host, needs, capacity: &capacity, io_uring: &io_uring };
    let mut findings = checks::all(&subject);
    findings.extend(certificates::findings(config));
    findings.extend(keys::findings(config));
    let report = Report::of(findings, capacity);
    let text = match form {
        Form::Text => report.text(),
        Form::Json => json(&report),
    };
    Answer { text, hurts: matches!(report.verdict, Verdict::Hurts | Verdict::Unknown) }
}

fn shown(plan: &Plan, host: &Host, form: Form) -> Answer {
    let difference = plan.difference(host);
    let text = match form {
        Form::Json => json(&serde_json::json!({ "steps": plan.steps, "difference": difference })),
        Form::Text if difference.is_empty() => "nothing to change\n".to_owned(),
        Form::Text => difference,
    };
    Answer { text, hurts: false }
}

fn done(deeds: &[Deed], form: Form, nothing: &str) -> Answer {
    let text = match form {
        Form::Text => report::deeds_text(deeds, nothing),
        Form::Json => json(&serde_json::json!({ "done": deeds })),
    };
    Answer { text, hurts: deeds.iter().any(|deed| deed.outcome == StepOutcome::Refused) }
}

fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("numbers and strings");
    text.push('\n');
    text
}
