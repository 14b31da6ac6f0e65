//! The bounds of what an application is asked.

use std::time::Duration;

/// Sections `[[hook]]`: each has connections of its own, and there are fewer events than this.
pub const HOOKS_MAX: usize = 16;

/// Header fields of a request that an application is told.
pub const HOOK_HEADERS_MAX: usize = 16;

/// Questions of all cores that wait for their turn at one application, and for its answer. At this
/// number an application that answers 1,000 a second is more than its time-out behind.
pub const HOOK_QUESTIONS_MAX: usize = 4_096;

/// How much longer than an application a connection waits: the answer passes through the control
/// thread and the mailbox of the core.
pub const HOOK_GRACE: Duration = Duration::from_secs(1);

/// Bytes of an answer. The largest has events to publish; one of them may be as large as a message.
pub const HOOK_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the reason in a refusal: it must fit in a Close (RFC 6455 §5.5) with the word before it.
pub const HOOK_REASON_BYTES_MAX: usize = 100;

/// Answers that are remembered for all hooks, and the bytes of a question that is remembered with its
/// answer: at most 8 MiB together.
pub const HOOK_CACHE_ENTRIES_MAX: usize = 4_096;
/// See [`HOOK_CACHE_ENTRIES_MAX`].
pub const HOOK_CACHE_BYTES_MAX: usize = 2_048;

/// How long an answer that says so itself may count.
pub const HOOK_CACHE_TIME_MAX: Duration = Duration::from_secs(3_600);
