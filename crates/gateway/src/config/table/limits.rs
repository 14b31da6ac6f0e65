//! `[limits]`: what clients may use.

use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    Automatic,
    bound::{HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, automatic, bound},
    keys::section,
};

use ringway_http::head::FIELDS_MAX;

section! {
    /// What clients may take.
    "limits", Once => Limits

    /// Connections of the whole process; further ones are refused.
    connections_max [Restart]: Automatic<u32> = Count(automatic(
        1,
        16_777_216,
        "\"auto\" is the limit of open files (NOFILE) minus what the gateway itself needs",
    ));

    /// Memory for buffers, over all clients and the private API: unfinished requests and messages,
    /// pending input, output that slow readers have not read. Above it the clients that hold most
    /// are closed (1013 or 503, counted as "memory"), and new connections are refused with 503.
    memory_bytes [Restart]: Automatic<u64> = Size(automatic(
        16 * MIB,
        1 << 44,
        "\"auto\" is half of the memory that the process may use (the host's memory, the limits of \
         its cgroups and of its address space), minus history.bytes_max; idle connections and the \
         kernel's sockets need the other half",
    ));

    /// Connections from one IP address; further ones are refused.
    connections_per_address_max [Restart]: u32 = Count(bound(
        1,
        1024,
        16_777_216,
        "room for an office behind one address, while no single machine can take every connection",
    ));

    /// Networks to which connections_per_address_max does not apply: a proxy or a load generator on
    /// this machine brings every client from one address.
    connections_per_address_exempt [Restart]: Vec<IpNet> = Networks(&["127.0.0.0/8", "::1/128"]);

    /// From the connection to the end of its first request head.
    handshake_timeout [Live]: Duration = Duration(bound(
        100,
        10 * SECOND_MS,
        5 * MINUTE_MS,
        "ends connections that send a head one byte at a time; enough for a lost packet or two",
    ));

    /// Bytes of a request head: request line and header fields; beyond it, 431.
    header_bytes_max [Live]: usize = Size(bound(
        KIB,
        16 * KIB,
        64 * KIB,
        "browsers with many cookies stay under it; each connection may hold this much until its \
         head is complete",
    ));

    /// Header fields of a request; beyond it, 431.
    header_fields_max [Live]: usize = Count(bound(
        16,
        64,
        FIELDS_MAX as u64,
        "browsers and proxies send a few dozen; each one costs a search",
    ));

    /// Bytes of a request target, at most header_bytes_max; beyond it, 414.
    target_bytes_max [Live]: usize = Size(bound(
        256,
        8 * KIB,
        64 * KIB,
        "room for a token and a few dozen topics in the query",
    )), at most "limits.header_bytes_max" which "includes it";

    /// How long an HTTP connection may wait for its next request.
    keep_alive_timeout [Live]: Duration = Duration(bound(
        SECOND_MS,
        75 * SECOND_MS,
        HOUR_MS,
        "longer than the 60 s for which most load balancers keep a connection: if the gateway \
         closed first, its close could cross a request of theirs, which then fails",
    ));

    /// Requests that one HTTP connection may carry before it is closed.
    requests_per_connection_max [Live]: u32 = Count(bound(
        1,
        1000,
        1_000_000_000,
        "polling clients are spread over the cores again from time to time",
    ));
}
