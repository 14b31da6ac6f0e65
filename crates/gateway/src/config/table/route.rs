//! `[[route]]`: paths whose requests are served by other servers.

use std::time::Duration;

use crate::config::{
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    keys::section,
    upstream_url::UpstreamUrl,
};

section! {
    /// A path whose requests other servers answer. Write the section once for each path. Of several
    /// that match, the longest path counts; a path of the gateway's own counts if it is longer. At
    /// most 64.
    "route", InFile("path") => Route

    /// The beginning of the paths of these requests.
    path [Live]: String = Path("/chat/");

    /// The servers that serve this route.
    upstream [Live]: Vec<UpstreamUrl> = Upstreams("ws://127.0.0.1:9000");

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
}
