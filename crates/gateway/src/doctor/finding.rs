//! What a check has to say: found, wanted, why, and how bad it is.
//!
//! It knows no check.

use serde::Serialize;

use crate::doctor::host::Unread;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The gateway runs, and could run better.
    Advice,
    /// It could not be read, or has no answer on this host.
    Unknown,
    /// It would hurt.
    Hurts,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; a sysctl has its own name.
    pub name: String,
    /// What is there, or why that is not known.
    pub found: String,
    /// What should be there.
    pub wanted: String,
    /// What it is good for.
    pub why: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// How to mend it; only where there is something to mend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// A finding that is good until it is judged otherwise.
    pub fn good(name: &str, found: impl ToString, wanted: impl ToString, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            found: found.to_string(),
            wanted: wanted.to_string(),
            why: why.to_owned(),
            verdict: Verdict::Good,
            mend: None,
        }
    }

    /// What cannot be read.
    pub fn unknown(name: &str, reason: &Unread, wanted: impl ToString, why: &str) -> Self {
        let verdict = Verdict::Unknown;
        Self { verdict, ..Self::good(name, format!("unknown: {reason}"), wanted, why) }
    }

    /// The same, judged, with what mends it unless it is good.
    pub fn judged(self, verdict: Verdict, mend: impl ToString) -> Self {
        let mend = (verdict != Verdict::Good).then(|| mend.to_string());
        Self { verdict, mend, ..self }
    }
}
