//! What the private API shows of one connection of a client, as its core describes it.

use std::time::Duration;

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDescription {
    /// The name that its client was told.
    pub connection: String,
    /// Its transport, as in metrics and log lines.
    pub transport: &'static str,
    /// When its token expires, as time since 1970; `None`: it has none.
    pub expires_at: Option<Duration>,
    /// The claim `ringway.meta` of its token, as JSON.
    pub meta: Option<Box<str>>,
}
