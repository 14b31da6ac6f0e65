//! Why a request that another server should serve was not served.

/// A fault of the servers of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFault {
    /// RFC 9110 §15.6.4: no server may be asked now, or there is no room for a connection to one.
    Unavailable,
    /// RFC 9110 §15.6.3: a server did not connect, or broke the connection before it answered.
    Unreachable,
    /// RFC 9110 §15.6.3: the answer of a server was not valid.
    Invalid,
    /// RFC 9110 §15.6.5: a server did not connect, or did not answer, in time.
    TimedOut,
}

impl UpstreamFault {
    /// All faults.
    pub const ALL: [Self; 4] =
        [Self::Unavailable, Self::Unreachable, Self::Invalid, Self::TimedOut];

    /// The status code.
    pub fn status(self) -> u16 {
        match self {
            Self::Unavailable => 503,
            Self::Unreachable | Self::Invalid => 502,
            Self::TimedOut => 504,
        }
    }

    /// The stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "upstream_unavailable",
            Self::Unreachable => "upstream_unreachable",
            Self::Invalid => "upstream_invalid",
            Self::TimedOut => "upstream_timeout",
        }
    }

    /// The sentence for the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unavailable => "No server can serve this path now.",
            Self::Unreachable => "The server of this path cannot be reached.",
            Self::Invalid => "The server of this path gave no valid answer.",
            Self::TimedOut => "The server of this path did not answer in time.",
        }
    }
}
