//! The result of a check: the value found, the value wanted, why, and how bad it is.
//!
//! It knows no check.

use serde::Serialize;

use crate::doctor::host::Unread;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The value is as it should be.
    Good,
    /// The gateway runs, but could run better.
    Advice,
    /// The value could not be read, or does not exist on this host.
    Unknown,
    /// A problem that should be fixed before the gateway serves clients.
    Hurts,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; a sysctl has its own name.
    pub name: String,
    /// The value found, or why it is not known.
    pub found: String,
    /// The value wanted.
    pub wanted: String,
    /// The reason for the wanted value.
    pub why: String,
    /// How bad it is.
    pub verdict: Verdict,
    /// How to fix it; only if there is something to fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// A finding that counts as good until it is judged otherwise.
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

    /// A value that cannot be read.
    pub fn unknown(name: &str, reason: &Unread, wanted: impl ToString, why: &str) -> Self {
        let verdict = Verdict::Unknown;
        Self { verdict, ..Self::good(name, format!("unknown: {reason}"), wanted, why) }
    }

    /// The same with this verdict, and with the fix unless it is good.
    pub fn judged(self, verdict: Verdict, mend: impl ToString) -> Self {
        let mend = (verdict != Verdict::Good).then(|| mend.to_string());
        Self { verdict, mend, ..self }
    }
}
