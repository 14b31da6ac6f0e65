//! `ringway doctor`: is this host fit for the gateway, how many connections can it hold, and what
//! would mend it.
//!
//! Without `--apply` or `--undo` nothing is changed. It never starts the gateway.

mod apply;
mod capacity;
mod checks;
mod finding;
pub mod host;
mod io_uring;
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

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Look and report.
    Examine,
    /// Raise sysctls.
    Apply,
    /// Restore them.
    Undo,
}

/// Whether it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rigour {
    /// Done.
    ForReal,
    /// Only shown.
    DryRun,
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// What is said on standard output, and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Lines.
    pub text: String,
    /// Whether something would hurt, was refused, or cannot be known without which nothing can be
    /// promised.
    pub hurts: bool,
}

/// Carries a task out on the host below `root`.
///
/// # Errors
/// What could not be begun: not root, files that are not ours.
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
        (Task::Examine, Rigour::ForReal) => Ok(examine(&host, &needs, form)),
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

fn examine(host: &Host, needs: &Needs, form: Form) -> Answer {
    let io_uring =
        if host.is_this_one() { IoUring::tried(needs.cores) } else { IoUring::untried() };
    let capacity = Capacity::of(host, needs);
    let subject = Subject { host, needs, capacity: &capacity, io_uring: &io_uring };
    let report = Report::of(checks::all(&subject), capacity);
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
