//! The bounds of what all clients together may make the process buffer.

use super::{Bound, HOUR_MS, MIB, MINUTE_MS, SECOND_MS, automatic, bound};

/// Bytes that the process buffers for all its peers.
pub const MEMORY_BYTES: Bound = automatic(
    16 * MIB,
    1 << 44,
    "\"auto\" is half of what the process may take (memory of the host, limits of its cgroups, \
     address space), less history.bytes_max; idle connections and the kernel's sockets need the \
     other half",
);

/// While no more than this is buffered for all clients, or an eighth of what may be, a poll is
/// answered with as much as `http.poll_bytes_max`.
pub const PLENTY_BYTES: u64 = 32 * MIB;

/// Beyond that it is answered with about this much, and asks again: a request of a hundred bytes must
/// not make the gateway keep a megabyte for whoever does not read it.
pub const SPARSE_ANSWER_BYTES: usize = 16 << 10;

/// An event of as many bytes is encoded once for all clients of a core that do not take it at once.
/// Below it a copy for each costs less than what the kernel keeps for its socket; and with an answer
/// as short as that, no client keeps more of its own.
pub const LARGE_EVENT_BYTES: usize = SPARSE_ANSWER_BYTES;

/// How long a message may take from its first byte to its last.
pub const MESSAGE_TIMEOUT_MS: Bound = bound(
    SECOND_MS,
    MINUTE_MS,
    24 * HOUR_MS,
    "1 MiB takes a minute at 17 KiB/s; a message that comes a byte a second would be kept for \
     days",
);
