//! What every peer of a process goes by: resolved, immutable, shared by all cores.
//!
//! It is the configuration as the data path wants it; it reads no file.

use std::time::Duration;

use ringway_frame::{ReadLimits, deflate::Policy};

use crate::http::head::HeadLimits;

/// See the configuration keys of the same names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds of a request head.
    pub head: HeadLimits,
    /// From the connection, or the first byte of a request, to the end of its head.
    pub handshake_timeout: Duration,
    /// Between two requests.
    pub keep_alive_timeout: Duration,
    /// Bounds of what `/echo` reads.
    pub echo: ReadLimits,
    /// What is agreed on for permessage-deflate; `None` agrees on nothing.
    pub deflate: Option<Policy>,
    /// How long a peer may be silent; half of it earns a ping.
    pub idle_timeout: Duration,
    /// How long a peer may take to answer a Close, or to end the stream after our FIN.
    pub close_timeout: Duration,
    /// Bytes kept for a slow reader before its input is paused.
    pub queue_bytes_max: usize,
    /// Over how long clients are told to leave.
    pub drain_time: Duration,
}
