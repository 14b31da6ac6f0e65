//! The bounds of events that wait for their places in a log that is not local.
//!
//! The local log assigns a place at once, so nothing waits there.

use std::time::Duration;

use super::MIB;

/// Pending submissions of one core, or of the private API: enough for 100,000 events a second at an
/// engine that answers within 40 ms.
pub const SUBMISSIONS_MAX: usize = 4_096;

/// Bytes of their events; above this no further event is submitted.
pub const SUBMISSIONS_BYTES_MAX: usize = 16 * MIB as usize;

/// How long a sender waits for an outcome before it is told that the log is unavailable: an engine
/// takes some seconds to elect another leader. A client that sends the command again gets the
/// outcome if it is known by then.
pub const SUBMISSION_TIME_MAX: Duration = Duration::from_secs(10);

/// Connections that wait for the outcome of one command: the sender's, and those on which it was
/// repeated.
pub const SUBMISSION_WAITERS_MAX: usize = 16;
