//! Why connections end: one word for each reason, in the log and in the metrics.

/// Declares the reasons with their words.
macro_rules! reasons {
    ($( $(#[doc = $about:literal])+ $Variant:ident = $word:literal, )+) => {
        /// Why a connection has ended; the first reason counts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum EndReason {
            $( $(#[doc = $about])+ $Variant, )+
        }

        impl EndReason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// Its word, in the log and in the metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$Variant => $word, )+
                }
            }
        }
    };
}

reasons! {
    /// Another reason, which has lines or counters of its own.
    Other = "other",
    /// The client closed its WebSocket.
    ClientClosed = "client_closed",
    /// The client ended its side of the connection.
    ClientEnded = "client_ended",
    /// The connection broke.
    ConnectionLost = "connection_lost",
    /// The last answer was sent.
    Answered = "answered",
    /// No request came within `limits.keep_alive_timeout`.
    Idle = "idle",
    /// A request did not arrive in time.
    RequestTimeout = "request_timeout",
    /// A request was refused, and the connection could not be kept.
    Refused = "refused",
    /// The connection was over a limit.
    TurnedAway = "turned_away",
    /// A message was not complete in time.
    MessageTimeout = "message_timeout",
    /// It held much memory when the budget was exceeded.
    Memory = "memory",
    /// A message or a frame of the client was larger than it may be.
    TooBig = "too_big",
    /// The client broke the rules of WebSockets.
    ProtocolFault = "protocol_fault",
    /// It did not begin with the PROXY protocol header of a trusted proxy.
    ProxyHeader = "proxy_header",
    /// The handshake of its channel failed.
    HandshakeFailed = "handshake_failed",
    /// The handshake of its channel was not complete in time.
    HandshakeTimeout = "handshake_timeout",
    /// The handshake of its channel had to make room for others.
    HandshakeDisplaced = "handshake_displaced",
    /// Its core had begun the allowed number of handshakes in that second.
    HandshakeRate = "handshake_rate",
    /// The client began with HTTP in plain text, where TLS is spoken.
    PlainHttp = "plain_http_on_tls",
    /// The client began with TLS, where its listener speaks plain text.
    TlsOnPlain = "tls_on_plain_port",
    /// A record of its channel was forged, damaged or too long.
    RecordFault = "record_fault",
    /// The client ended its side of the connection in the middle of a record.
    RecordCut = "record_cut",
    /// The client did not answer a Ping, or did not read.
    NoSignOfLife = "no_sign_of_life",
    /// Events that the client still had to read have left the history.
    TooSlow = "too_slow",
    /// The client sent faster than it may, and `limits.fast_sender` says that this ends a connection.
    Rate = "rate",
    /// The client made too many errors.
    Errors = "errors",
    /// The client's token has expired.
    TokenExpired = "token_expired",
    /// The application closed the connection.
    ClosedByApplication = "closed_by_application",
    /// The connection was older than `server.max_connection_age`.
    MaxAge = "max_age",
    /// The server of the route ended its side of the connection.
    UpstreamEnded = "upstream_ended",
    /// The connection to the server of the route broke.
    UpstreamLost = "upstream_lost",
    /// Nothing was relayed for as long as `route.idle_timeout`.
    RelayIdle = "relay_idle",
    /// The gateway is going away.
    GoingAway = "going_away",
}
