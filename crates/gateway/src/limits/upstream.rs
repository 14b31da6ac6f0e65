//! The bounds of connections from the gateway to servers behind it.

use std::time::Duration;

use super::KIB;

/// Tables of `[[route]]`. They are compared with the path of each request.
pub const ROUTES_MAX: u64 = 64;

/// Servers of one route.
pub const UPSTREAMS_MAX: u64 = 64;

/// Bytes of the head of a server's response: more than servers send, with a few cookies.
pub const UPSTREAM_HEAD_BYTES_MAX: usize = 16 * KIB as usize;

/// Bytes of the body with which a server refuses a WebSocket: enough for a page that says why. It is
/// kept until it is complete, so that the client's connection can be kept.
pub const UPSTREAM_REFUSAL_BYTES_MAX: usize = 64 * KIB as usize;

/// Connections to one server that a core keeps for further requests: more than are in use at the same
/// time at thousands of requests a second that take a few milliseconds each.
pub const UPSTREAM_IDLE_MAX: usize = 64;

/// How long they are kept. Many servers close such a connection after 60 s; a request that crosses
/// the close would have to be sent again.
pub const UPSTREAM_IDLE_TIME: Duration = Duration::from_secs(30);

/// Servers that are tried for one request. A client has waited long enough then.
pub const UPSTREAM_ATTEMPTS_MAX: u32 = 3;
