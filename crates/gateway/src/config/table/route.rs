//! `[[route]]`: paths whose requests are served by other servers.

use std::time::Duration;

use toml::Value;

use crate::config::{
    ForwardedFields,
    balance::Balance,
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    error::Origin,
    keys::section,
    source::{Assigned, Values},
    upstream_url::UpstreamUrl,
};

section! {
    /// A path whose requests other servers answer. Write the section once for each path and host, in a
    /// file. Of several that match, the longest path counts, then the one with a host. The gateway's
    /// own paths, such as /ws, are passed on only if a route has exactly that path. At most 64.
    "route", InFile("path") => Route

    /// The beginning of the paths of these requests.
    path [Live]: String = Path("/chat/");

    /// Only requests for this host, without its port; without it, requests for every host.
    host [Live]: Option<String> = OptionalText("chat.example.org");

    /// The servers that serve this route: ws:// and wss:// for WebSockets only, http:// for all
    /// requests. A weight, from 1 to 1000, may follow: "http://10.0.0.5:9000 weight=3".
    upstream [Live]: Vec<UpstreamUrl> = Upstreams("ws://127.0.0.1:9000");

    /// The authorities in PEM that may vouch for servers of wss://, in place of the system's. It is read
    /// at the start.
    upstream_ca_file [Restart]: Option<String> = OptionalText("/etc/ringway/internal-ca.pem");

    /// How long a connection to a server may take to be established, with its TLS handshake.
    connect_timeout [Live]: Duration = Duration(bound(
        10,
        5 * SECOND_MS,
        5 * MINUTE_MS,
        "a server that takes longer counts as down, and another one is tried; the client waits \
         meanwhile",
    ));

    /// How long a server may take to answer a request after that.
    response_timeout [Live]: Duration = Duration(bound(
        10,
        30 * SECOND_MS,
        HOUR_MS,
        "an application may have to ask a database before it accepts a WebSocket",
    ));

    /// How long a relayed WebSocket may be silent in both directions.
    idle_timeout [Live]: Duration = Duration(bound(
        100,
        10 * MINUTE_MS,
        24 * HOUR_MS,
        "most WebSocket servers and clients ping each other within a minute; a connection without \
         any traffic for as long as this is dead",
    ));

    /// How a server is chosen. A hash sends the same client, address or value of a header field to the
    /// same server for as long as it is there.
    balance [Live]: Balance = Balance("round_robin");

    /// The Host that the servers get; "" is the client's.
    send_host [Live]: String = Text("app.internal");

    /// The header fields that tell the servers the client's address, scheme and host. Those that a
    /// client has sent itself are dropped; those of server.trusted_proxies are continued.
    forwarded [Live]: ForwardedFields = Word(ForwardedFields::WORDS, "both");

    /// Failures in a row that take a server out: no connection, or no valid answer.
    failures_max [Live]: u32 = Count(bound(
        1,
        3,
        1000,
        "a restart of the server is noticed at once, and a single lost packet is not one",
    ));

    /// How long a server stays out then. After it one request tries the server; if it fails, the time
    /// doubles, up to 32 times this. If all servers are out, they are tried at once, one request at a
    /// time.
    eject_time [Live]: Duration = Duration(bound(
        100,
        10 * SECOND_MS,
        HOUR_MS,
        "a server that restarts is back by then",
    ));

    /// The time in which a server that comes back reaches its whole share of the requests.
    slow_start [Live]: Duration = Duration(bound(
        0,
        10 * SECOND_MS,
        HOUR_MS,
        "its caches are empty at first",
    ));

    /// Connections of each core to one server; requests beyond them go to another, or get 503.
    connections_max [Live]: u32 = Count(bound(
        1,
        16_384,
        1_000_000,
        "below the ports of one source address, which each connection to a server takes",
    ));
}

impl Route {
    /// A route for these paths that has no server yet.
    pub fn default_at(path: &str) -> Self {
        let (value, origin) = (Value::String(path.to_owned()), Origin::Default);
        Self::read(&Values::from([("route.path", Assigned { value, origin })]))
    }
}
