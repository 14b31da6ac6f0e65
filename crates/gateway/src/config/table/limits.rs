//! `[limits]`: what clients may use.

use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    Automatic, FastSender,
    bound::{GIB, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, automatic, bound},
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

    /// Connections of one client: WebSockets, streams and waiting polls together. Further ones are
    /// refused with 429. Cores count without waiting for each other, so each may exceed it by one.
    connections_per_client_max [Live]: u32 = Count(bound(
        1,
        1_000,
        16_777_216,
        "room for an id that many devices share; each event for the client is sent to all of them",
    ));

    /// Messages that one connection may send in a second, averaged over burst_time: messages,
    /// further fragments and control frames of a WebSocket, and requests.
    messages_per_second_max [Live]: u32 = Count(bound(
        1,
        50_000,
        1_000_000,
        "programs that pipeline stay under it, and one connection takes a few percent of a core",
    ));

    /// Bytes that one connection may send in a second, averaged in the same way.
    bytes_per_second_max [Live]: u64 = Size(bound(
        16 * KIB,
        64 * MIB,
        64 * GIB,
        "half of a network of 1 Gbit/s, and a few percent of what a core can read",
    ));

    /// Events that one client may publish or notify in a second, over all its connections, averaged
    /// in the same way. A command beyond it is refused with `rate`, and the error says
    /// when to send it again.
    publishes_per_second_max [Live]: u32 = Count(bound(
        1,
        5_000,
        1_000_000,
        "a game that sends 60 updates a second to 80 rooms stays under it; the application's own \
         events do not count",
    ));

    /// The time over which rates are averaged: a client that was quiet may send as much at once as
    /// it may send in this time.
    burst_time [Live]: Duration = Duration(bound(
        10,
        SECOND_MS,
        10 * SECOND_MS,
        "a page that opens sends dozens of commands together",
    ));

    /// What happens to a connection that sends more messages or bytes than it may: "pause" reads
    /// nothing more from it until it is back within its rates, which loses nothing; "close" ends it
    /// with 1008 (429 for requests).
    fast_sender [Live]: FastSender = Word(FastSender::WORDS, "pause");

    /// Errors that one connection may make within errors_window: refused commands, and refused
    /// requests. One more ends it, with 1008.
    errors_max [Live]: u32 = Count(bound(
        1,
        1_000,
        1_000_000,
        "more than a page sends at once, and less than a program that repeats a mistake in a loop",
    ));

    /// The time within which errors are counted.
    errors_window [Live]: Duration = Duration(bound(
        SECOND_MS,
        10 * SECOND_MS,
        HOUR_MS,
        "a program that makes 100 errors a second ignores the answers",
    ));

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
