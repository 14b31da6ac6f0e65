//! The bounds of what applications are told without being asked.

use std::time::Duration;

/// Bytes that wait for one application, besides their number (`hook.queue_max`).
pub const NOTIFICATIONS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of the events of one request, unless it has only one: a body that servers take by default.
pub const NOTIFICATION_BATCH_BYTES_MAX: usize = 512 * 1024;

/// What the cores hand over and the control thread has not queued yet: some milliseconds of a storm in
/// which every client of a large gateway leaves.
pub const OCCURRENCES_MAX: usize = 65_536;

/// How long something is sent again: longer than a restart or a deployment, shorter than anybody wants
/// to hear of a client that connected.
pub const NOTIFICATION_AGE_MAX: Duration = Duration::from_secs(3_600);

/// The longest first delay after a failure; it doubles with each further one.
pub const NOTIFICATION_DELAY_FIRST: Duration = Duration::from_millis(500);

/// The longest delay: an application that is back is found within this time. It also bounds what
/// `Retry-After` asks for.
pub const NOTIFICATION_DELAY_MAX: Duration = Duration::from_secs(30);
