//! What the connection that a core serves has sent, counted while it is served and judged after.
//!
//! It never decides what is too much: `rates` does.

use crate::refusal::ErrorCode;

/// What the connection that a core serves has sent since this was last taken.
#[derive(Debug, Default)]
pub struct Served {
    /// Messages, further fragments and control frames, or requests.
    pub messages: u32,
    /// Errors of the client.
    pub errors: u32,
    /// The codes of the commands that were refused.
    pub refused: Vec<ErrorCode>,
}

impl Served {
    /// Whether nothing was refused.
    #[inline]
    pub fn is_faultless(&self) -> bool {
        self.errors == 0 && self.refused.is_empty()
    }

    /// A command was refused.
    pub fn refuse(&mut self, code: ErrorCode) {
        self.refused.push(code);
        self.errors += u32::from(code.is_clients_fault());
    }
}
