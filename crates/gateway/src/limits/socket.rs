//! Bounds of `[socket]`: what the kernel is told of clients' connections.
//!
//! Where a default is "auto", nothing is set and the kernel's own holds. It never asks the kernel
//! what it allows: that is known when the listeners are bound.

use crate::limits::{
    Bound, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, automatic, bound, unless_automatic,
};

/// How long the kernel keeps a connection to itself until its client speaks.
pub const DEFER_ACCEPT_MS: Bound = bound(
    0,
    0,
    MINUTE_MS,
    "off: it saves a tenth or more of what coming and going costs, but who connects and says nothing is \
     then in no count and under no handshake_timeout",
);

/// Bytes that were never sent, with which a socket takes no more.
pub const NOTSENT_LOWAT_BYTES: Bound = unless_automatic(
    KIB,
    32 * KIB,
    64 * MIB,
    "without it, each client that does not read takes over three megabytes of the host's memory \
     for TCP; more helps a server of mostly large messages, which wakes up less often",
);

/// What the kernel may keep for a client that does not read, where no key bounds it: the most of
/// net.ipv4.tcp_wmem in a kernel that was not tuned.
pub const KERNEL_QUEUE_BYTES: u64 = 4 * MIB;

/// Silence before the kernel's first probe. TCP_KEEPIDLE: at most 32,767 s (tcp(7)).
pub const KEEPALIVE_IDLE_MS: Bound = bound(
    0,
    30 * SECOND_MS,
    9 * HOUR_MS,
    "longer than websocket.ping_interval, so that only a connection that is sent nothing is probed: \
     one that waits for the answer to its poll, or for its next request",
);

/// From probe to probe. TCP_KEEPINTVL: at most 32,767 s.
pub const KEEPALIVE_INTERVAL_MS: Bound = unless_automatic(
    SECOND_MS,
    5 * SECOND_MS,
    9 * HOUR_MS,
    "socket.user_timeout is looked at when a probe is due; 75 s in a kernel that was not tuned",
);

/// Unanswered probes. TCP_KEEPCNT: at most 127.
pub const KEEPALIVE_PROBES: Bound = automatic(1, 127, "9 in a kernel that was not tuned");

/// How long sent bytes may stay unacknowledged.
pub const USER_TIMEOUT_MS: Bound = unless_automatic(
    SECOND_MS,
    30 * SECOND_MS,
    24 * HOUR_MS,
    "a vanished client is found within ping_interval and this; it also ends a client whose receive \
     window stays closed as long, so less would cut slow readers; some 15 minutes in a kernel that \
     was not tuned",
);

/// The kernel's buffers of one connection.
pub const SOCKET_BUFFER_BYTES: Bound = automatic(
    4 * KIB,
    64 * MIB,
    "left alone, a buffer takes what its connection needs and nothing while it is idle; a fixed \
     one bounds both memory and the speed of distant clients",
);

/// Microseconds of busy polling.
pub const BUSY_POLL_US: Bound = automatic(
    0,
    10_000,
    "above net.core.busy_read it needs CAP_NET_ADMIN; it burns the core that it may speed up",
);

const _: () = {
    // 32,767 s (tcp(7)), and 32 bits with a sign (socket(7)).
    assert!(KEEPALIVE_IDLE_MS.most <= 32_767 * SECOND_MS);
    assert!(KEEPALIVE_INTERVAL_MS.most <= 32_767 * SECOND_MS);
    assert!(2 * SOCKET_BUFFER_BYTES.most <= i32::MAX as u64);
    assert!(USER_TIMEOUT_MS.most <= i32::MAX as u64);
};
