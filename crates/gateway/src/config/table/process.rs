//! `[server]` and `[log]`: the process.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    ClientCertificates, Cores, ForwardedHeader, Io, LogFormat, LogLevel, SocketMode, Wait,
    api_hosts::ApiHosts,
    bound::{HOUR_MS, KIB, SECOND_MS, bound},
    keys::section,
};

/// A month. The wheel of a core holds no later deadline than half a year.
const MAX_AGE_MS: u64 = 30 * 24 * HOUR_MS;

section! {
    /// The process: its threads, its engine, its private API.
    "server", Once => Server

    /// The cores to run on, one thread each: "auto" is every core that the process may use; 2 is a
    /// count; "0,2-3" is a list (core 5 alone: "5-5").
    cores [Restart]: Cores = Cores;

    /// The kernel interface: "auto" is io_uring where the kernel allows it and epoll, with one log
    /// line, where it does not.
    io [Restart]: Io = Word(Io::WORDS, "auto");

    /// How a core waits: "latency" wakes for every completion; "adaptive" gathers them for at most
    /// 50 us while the core is busy anyway; "throughput" gathers them for at most 400 us once there
    /// are 16 in a millisecond, to save CPU. It has no effect on epoll.
    wait [Restart]: Wait = Word(Wait::WORDS, "adaptive");

    /// After SIGTERM, the time over which clients are told to leave.
    drain_time [Restart]: Duration = Duration(bound(
        0,
        20 * SECOND_MS,
        HOUR_MS,
        "under the 30 s that Kubernetes and the 90 s that systemd wait before they kill the \
         process; clients that are closed simultaneously also reconnect simultaneously",
    ));

    /// The greatest age of a connection, after which its client is told to come back: so long-lived
    /// clients spread over servers that were added. Each is told a little earlier, by an amount that
    /// varies, and clients that are connected already are not; "0s" is no bound.
    max_connection_age [Live]: Duration = Duration(bound(
        0,
        0,
        MAX_AGE_MS,
        "off: a connection that works is best left alone, and only the operator knows whether a \
         balancer spreads connections when they begin",
    ));

    /// Address of the application's private API and of the metrics. On an address that other machines
    /// can reach, the gateway refuses to start without a [[server.api_key]].
    api_listen [Restart]: SocketAddr = Address("127.0.0.1:8081");

    /// The private API speaks TLS on api_listen (https), with the certificates, versions and suites
    /// of `[tls]`.
    api_speaks_tls [Restart]: bool = Switch(false);

    /// Whether applications show certificates to the private API, as in tls.client_certificates. One
    /// that is shown must come from api_client_ca_file. Certificates do not replace keys.
    api_client_certificates [Restart]: ClientCertificates = Word(ClientCertificates::WORDS, "none");

    /// The file with the authorities that issue the certificates of applications, in PEM.
    api_client_ca_file [Restart]: String = Text("/etc/ringway/applications-ca.pem");

    /// Host names under which the private API may be requested, without a port; "*" allows every
    /// name. IP addresses and localhost are always allowed. Others are refused with 421: a web page
    /// whose name leads to the gateway's address could otherwise use the API through a browser (DNS
    /// rebinding).
    api_allowed_hosts [Restart]: ApiHosts = Hosts;

    /// A unix socket for the private API, in place of api_listen; "" uses api_listen. A socket that
    /// an ended gateway has left there is replaced. The file is removed when the gateway ends.
    api_socket [Restart]: String = Text("/run/ringway/api.sock");

    /// Who may connect to api_socket: the "owner" of its file (mode 600), also its "group" (660), or
    /// "all" users of this machine (666).
    api_socket_mode [Restart]: SocketMode = Word(SocketMode::WORDS, "owner");

    /// The owner of api_socket's file, as for chown: "user", "user:group" or ":group", by number or
    /// by the names in /etc/passwd and /etc/group; "" is the gateway's user and group.
    api_socket_owner [Restart]: String = Text(":www-data");

    /// Networks of the proxies and load balancers in front of the gateway. The addresses of clients
    /// that they report (server.forwarded_header, listener.proxy_protocol) are believed: limits and
    /// logs use them. Nobody else is believed.
    trusted_proxies [Live]: Vec<IpNet> = Networks(&[]);

    /// The header field in which these proxies report the client's address. Each proxy must append
    /// to it, or replace what the client sent; the other field is ignored.
    forwarded_header [Live]: ForwardedHeader = Word(ForwardedHeader::WORDS, "x-forwarded-for");

    /// Clients need no credentials. On an address that other machines can reach, the gateway
    /// refuses to start unless this is true.
    allow_anonymous_on_public_address [Restart]: bool = Switch(false);

    /// Receive buffers of each core, shared by all its connections.
    receive_buffers [Restart]: u16 = PowerOfTwo(bound(
        64,
        128,
        32_768,
        "the kernel accepts at most 32,768 buffers; with too few, a burst waits for the next turn; \
         this times receive_buffer_bytes is memory that each core holds from the start",
    ));

    /// Bytes of one receive buffer.
    receive_buffer_bytes [Restart]: u32 = Size(bound(
        KIB,
        32 * KIB,
        64 * KIB,
        "a message of 16 KiB arrives in one piece, and a large one in few; the size makes no \
         difference to small messages",
    ));
}

section! {
    /// The log, on standard error.
    "log", Once => Log

    /// The lowest level of the lines that are written.
    level [Restart]: LogLevel = Word(LogLevel::WORDS, "info");

    /// "text" for people, "json" (an object a line) for collectors.
    format [Restart]: LogFormat = Word(LogFormat::WORDS, "text");
}
