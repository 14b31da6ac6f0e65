//! `[[listener]]` and `[socket]`: addresses, and the socket options of clients' connections.
//!
//! Only binding the listeners shows whether the kernel accepts a value.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{
    Automatic,
    bound::{Bound, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS, adjustable, automatic, bound},
    keys::section,
};

section! {
    /// A public listener. Write the section once for each address. From the environment, --set and
    /// --listen: the addresses (several with commas) replace all listeners, and any other key holds
    /// for every listener. Sockets that systemd opens (FileDescriptorName=clients) take their place.
    "listener", Each("address") => Listener

    /// Where to listen; port 0 lets the kernel choose one.
    address [Restart]: SocketAddr = Address("127.0.0.1:8080");

    /// Connections that may wait to be accepted, on each core.
    backlog [Restart]: u32 = Count(bound(
        1,
        4096,
        65_535,
        "the kernel lowers it to net.core.somaxconn, which is 4096 unless it was tuned",
    ));

    /// Each connection begins with a PROXY protocol header, version 1 or 2, that names the client's
    /// address. Only server.trusted_proxies may connect then.
    proxy_protocol [Restart]: bool = Switch(false);

    /// Clients speak TLS here (https, wss), with the certificates of [[tls.certificate]].
    speaks_tls [Restart]: bool = Switch(false);
}

/// The kernel's buffers of one connection.
const SOCKET_BUFFER_BYTES: Bound = automatic(
    4 * KIB,
    64 * MIB,
    "left alone, a buffer takes what its connection needs and nothing while it is idle; a fixed \
     one bounds both memory and the speed of distant clients",
);

section! {
    /// Socket options of each client's connection. A key that is "auto" sets none. The measured
    /// effect of each key is in tuning/README.md.
    "socket", Once => Socket

    /// Send a partial segment even if an earlier one has not been acknowledged (TCP_NODELAY).
    /// Without it the client may wait for some 40 ms.
    nodelay [Restart]: bool = Switch(true);

    /// Accept a connection when its first bytes arrive, or after about this time
    /// (TCP_DEFER_ACCEPT); "0s" accepts at once.
    defer_accept [Restart]: Duration = WholeSeconds(bound(
        0,
        0,
        MINUTE_MS,
        "off: it saves a tenth or more of the cost of short connections, but a client that \
         connects and sends nothing is then neither counted nor subject to handshake_timeout",
    ));

    /// The kernel accepts no more output for a client while it holds this many unsent bytes
    /// (TCP_NOTSENT_LOWAT); the rest waits in the gateway, or stays in the history. "auto" is
    /// net.ipv4.tcp_notsent_lowat, which is no bound.
    notsent_lowat_bytes [Restart]: Automatic<u32> = Size(adjustable(
        KIB,
        32 * KIB,
        64 * MIB,
        "without it, each client that does not read takes over three megabytes of the host's \
         memory for TCP; more helps a server of mostly large messages, which wakes up less often",
    ));

    /// After this much silence the kernel probes whether the client's machine still answers
    /// (SO_KEEPALIVE, TCP_KEEPIDLE); "0s" never probes.
    keepalive_idle [Restart]: Duration = WholeSeconds(bound(
        0,
        30 * SECOND_MS,
        9 * HOUR_MS,
        "longer than websocket.ping_interval, so that only connections without traffic are probed: \
         those that wait for the answer to a poll, or for their next request",
    ));

    /// Time between two probes (TCP_KEEPINTVL), where keepalive_idle is set; "auto" is
    /// net.ipv4.tcp_keepalive_intvl.
    keepalive_interval [Restart]: Automatic<Duration> = WholeSeconds(adjustable(
        SECOND_MS,
        5 * SECOND_MS,
        9 * HOUR_MS,
        "socket.user_timeout is checked when a probe is due; 75 s in a kernel that was not tuned",
    ));

    /// Unanswered probes that end the connection (TCP_KEEPCNT), where keepalive_idle is set;
    /// "auto" is net.ipv4.tcp_keepalive_probes.
    keepalive_probes [Restart]: Automatic<u32> =
        Count(automatic(1, 127, "tcp(7) allows 127; 9 in a kernel that was not tuned"));

    /// How long sent bytes may stay unacknowledged, or the client's receive window closed, before
    /// the connection is cut (TCP_USER_TIMEOUT). It also ends a connection that answers none of
    /// keepalive_idle's probes. "auto" follows from net.ipv4.tcp_retries2.
    user_timeout [Restart]: Automatic<Duration> = Duration(adjustable(
        SECOND_MS,
        30 * SECOND_MS,
        24 * HOUR_MS,
        "a vanished client is found within ping_interval and this; it also ends a client whose \
         receive window stays closed as long, so a shorter time would cut off slow readers, and 30 \
         s end one that reads less than some 5 KiB/s over loopback; some 15 minutes in a kernel \
         that was not tuned",
    ));

    /// The kernel's receive buffer of a connection (SO_RCVBUF), at most net.core.rmem_max; "auto"
    /// grows it to net.ipv4.tcp_rmem as it is needed.
    receive_buffer_bytes [Restart]: Automatic<u32> = Size(SOCKET_BUFFER_BYTES);

    /// The kernel's send buffer of a connection (SO_SNDBUF), at most net.core.wmem_max; "auto"
    /// grows it to net.ipv4.tcp_wmem as it is needed.
    send_buffer_bytes [Restart]: Automatic<u32> = Size(SOCKET_BUFFER_BYTES);

    /// Microseconds for which a receive polls the network card's queue (SO_BUSY_POLL); "auto" is
    /// net.core.busy_read, which is 0. Loopback has no such queue.
    busy_poll_us [Restart]: Automatic<u32> = Count(automatic(
        0,
        10_000,
        "values above net.core.busy_read need CAP_NET_ADMIN; polling burns CPU time on the core \
         that it may speed up",
    ));
}
