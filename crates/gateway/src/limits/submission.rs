//! The bounds of events that wait for their places in the log, where it is not the local one.
//!
//! The local log gives an event its place at once, so nothing ever waits there.

use std::time::Duration;

use super::MIB;

/// Submissions of one core, or of the private API, whose outcome has not come: enough for 100,000
/// events a second at an engine that answers within 40 ms.
pub const SUBMISSIONS_MAX: usize = 4_096;

/// Bytes of their events, past which no further one is submitted.
pub const SUBMISSIONS_BYTES_MAX: usize = 16 * MIB as usize;

/// How long a sender waits for an outcome before it is told that the log is unavailable: an engine
/// that elects another leader takes some seconds. A client that sends the command again gets the
/// outcome if it has come by then.
pub const SUBMISSION_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections that wait for the outcome of one command: that of its sender, and those over which
/// it was sent again.
pub const SUBMISSION_WAITERS_MAX: usize = 16;
