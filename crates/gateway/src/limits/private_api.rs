//! The bounds of the private API, which no setting changes. They are for an application's
//! mistakes, not against it. Nothing here knows the API.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How long a request's body, or the reader of an answer, may pause: an application sends what it
/// has, from near by.
pub const API_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long an idle connection is kept when the listener ends: a request that is on its way then is
/// answered, and not lost with the connection (RFC 9112 §9.5).
pub const API_LAST_REQUEST_WAIT: Duration = Duration::from_millis(250);

/// How long a client may take nothing of an answer. Longer than a pause: the kernel reports room in
/// a socket only when a third of its buffer is free (tcp(7)), however steadily it empties.
pub const API_WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Bytes of a refused body that are read for nothing, so that the answer to it is read.
pub const API_DISCARDED_BYTES_MAX: usize = 16 * MIB;

/// Bytes of a body of many events, if that is more than one event may have. It is never held
/// whole; the bound ends a request that would go on for ever.
pub const BULK_BYTES_MAX: usize = 64 * MIB;

/// Answers to many events are sent when they reach this many bytes, or all received events are answered.
pub const BULK_ANSWER_BYTES: usize = 64 * KIB;

/// This many of these pieces wait for a reader, before no more events are read: an application may
/// send thousands before it reads.
pub const BULK_ANSWERS_QUEUED: usize = 16;

/// Idempotency keys that are remembered. Each is some 300 bytes, and 2 bits for each recipient.
pub const IDEMPOTENCY_KEYS_MAX: usize = 16_384;

/// How long they are: longer than an application tries again.
pub const IDEMPOTENCY_AGE_MAX: Duration = Duration::from_secs(600);

/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Events of a page of the history, unless the application says how many.
pub const HISTORY_PAGE_EVENTS: usize = 100;

/// Events that it may ask for.
pub const HISTORY_PAGE_EVENTS_MAX: usize = 1_000;

/// Bytes after which a page ends, so that a thousand large events are not one answer.
pub const HISTORY_PAGE_BYTES: usize = 4 * MIB;

const _: () = {
    // The default length of a page is also allowed as a request.
    assert!(HISTORY_PAGE_EVENTS <= HISTORY_PAGE_EVENTS_MAX);
    // A body of the default bound that is refused for its size can still be read to its end.
    assert!(MIB < API_DISCARDED_BYTES_MAX);
};
