//! The fixed bounds of the private API. They protect against an application's mistakes, not against
//! an attack. Nothing here knows the API.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How long the sender of a request body may pause: an application is near and has its data ready.
pub const API_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long an idle connection is kept when the listener ends: a request that is already on its way
/// is still answered (RFC 9112 §9.5).
pub const API_LAST_REQUEST_WAIT: Duration = Duration::from_millis(250);

/// How long an answer waits for the cores to describe a client's connections: they do so in their
/// next turn, unless they have ended.
pub const API_DESCRIPTIONS_WAIT: Duration = Duration::from_secs(1);

/// How long a client may read nothing of an answer. Longer than a pause: the kernel reports room in
/// a socket only when a third of its buffer is free (tcp(7)), even if the client reads steadily.
pub const API_WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Bytes of a refused body that are read and discarded, so that the client reads the answer.
pub const API_DISCARDED_BYTES_MAX: usize = 16 * MIB;

/// Bytes of a body of many events, if one event may not be larger. The body is never held whole;
/// the bound ends an endless request.
pub const BULK_BYTES_MAX: usize = 64 * MIB;

/// Answers to many events are sent at this many bytes, or when all received events are answered.
pub const BULK_ANSWER_BYTES: usize = 64 * KIB;

/// At most this many of these pieces are queued before no more events are read: an application may
/// send thousands before it reads.
pub const BULK_ANSWERS_QUEUED: usize = 16;

/// Idempotency keys that are remembered. Each takes some 300 bytes, and 2 bits for each recipient.
pub const IDEMPOTENCY_KEYS_MAX: usize = 16_384;

/// How long they are remembered: longer than an application retries.
pub const IDEMPOTENCY_AGE_MAX: Duration = Duration::from_secs(600);

/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Events in a page of the history, unless the request has a limit.
pub const HISTORY_PAGE_EVENTS: usize = 100;

/// The highest limit that a request may have.
pub const HISTORY_PAGE_EVENTS_MAX: usize = 1_000;

/// A page ends after this many bytes, so that a thousand large events are not one answer.
pub const HISTORY_PAGE_BYTES: usize = 4 * MIB;

const _: () = {
    // A request may ask for the default length.
    assert!(HISTORY_PAGE_EVENTS <= HISTORY_PAGE_EVENTS_MAX);
    // A refused body of the default bound can still be read to its end.
    assert!(MIB < API_DISCARDED_BYTES_MAX);
};
