//! Values that are one of a few words. Each word is defined once, with its meaning.

use toml::Value;
use tracing::level_filters::LevelFilter;

use crate::config::read::FromValue;

macro_rules! words {
    ($(
        $(#[$about:meta])+
        $Word:ident { $( $(#[$meaning:meta])+ $Variant:ident = $text:literal, )+ }
    )+) => {$(
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Word {
            $( $(#[$meaning])+ $Variant, )+
        }

        impl $Word {
            pub(super) const WORDS: &'static [&'static str] = &[$($text),+];
        }

        impl FromValue for $Word {
            fn from_value(value: &Value) -> Self {
                match value.as_str() {
                    $( Some($text) => Self::$Variant, )+
                    _ => unreachable!("the value was checked against WORDS"),
                }
            }
        }
    )+};
}

words! {
    /// The kernel interface.
    Io {
        /// io_uring where the kernel allows it, else epoll.
        Auto = "auto",
        /// io_uring; without it the gateway refuses to start.
        Uring = "uring",
        /// epoll.
        Epoll = "epoll",
    }

    /// The header field in which proxies name the client's address.
    ForwardedHeader {
        /// `X-Forwarded-For`
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239)
        Forwarded = "forwarded",
    }

    /// How a core waits for completions.
    Wait {
        /// One completion wakes the core.
        Latency = "latency",
        /// As `Latency`, until the core is busy: then it gathers completions for a moment.
        Adaptive = "adaptive",
        /// Gathers completions for longer, from a moderate rate on.
        Throughput = "throughput",
    }

    /// What happens to a client that reads so slowly that its events have left the history.
    SlowReader {
        /// The client is told which events it missed, and continues.
        Gap = "gap",
        /// Its connection is closed, with a cursor to resume from.
        Close = "close",
    }

    /// What happens to a connection that sends more than it may.
    FastSender {
        /// Nothing more is read from it until it is back within its rates.
        Pause = "pause",
        /// It is closed.
        Close = "close",
    }

    /// A version of TLS.
    TlsVersion {
        /// TLS 1.2 (RFC 5246).
        Tls12 = "tls1.2",
        /// TLS 1.3 (RFC 8446).
        Tls13 = "tls1.3",
    }

    /// Whether clients show certificates.
    ClientCertificates {
        /// They are not asked for one.
        None = "none",
        /// A client may show one.
        Optional = "optional",
        /// A client without one is refused.
        Required = "required",
    }

    /// How a token is signed (RFC 7518 §3.1, RFC 8037 §3.1).
    TokenAlgorithm {
        /// HMAC with SHA-256 and a shared secret.
        Hs256 = "HS256",
        /// RSA, PKCS #1 v1.5, with SHA-256.
        Rs256 = "RS256",
        /// RSA, PSS, with SHA-256.
        Ps256 = "PS256",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }

    /// What a key of the private API is for.
    ApiScope {
        /// Sending events.
        Publish = "publish",
        /// Reading topics, clients and metrics.
        Read = "read",
        /// Closing and revoking clients.
        Admin = "admin",
    }

    /// What an application is asked about, or told.
    HookEvent {
        /// Who a client is, before its connection is accepted.
        Connect = "connect",
        /// A subscription.
        Subscribe = "subscribe",
        /// An event to a topic.
        Publish = "publish",
        /// An event to clients.
        Notify = "notify",
        /// Another token, or a later end of the identity.
        Refresh = "refresh",
        /// A client's own question.
        Request = "request",
        /// The end of a connection. There is nothing to answer, as to all that follow.
        Disconnect = "disconnect",
        /// The end of a subscription.
        Unsubscribe = "unsubscribe",
        /// An event that was published to a topic.
        Event = "event",
    }

    /// What happens if an application does not answer.
    OnFailure {
        /// The client is refused.
        Deny = "deny",
        /// The client is let through.
        Allow = "allow",
    }

    /// Which header fields say where a request comes from.
    ForwardedFields {
        /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
        Older = "x-forwarded",
        /// `Forwarded` (RFC 7239).
        Standard = "forwarded",
        /// All of them.
        Both = "both",
        /// None.
        None = "none",
    }

    /// Who may connect to a unix socket.
    SocketMode {
        /// The owner of its file.
        Owner = "owner",
        /// Its group, too.
        Group = "group",
        /// Every user of the machine.
        All = "all",
    }

    /// The severity of a log line.
    LogLevel {
        /// Something that the gateway needs has failed.
        Error = "error",
        /// An operator should look at it.
        Warn = "warn",
        /// Starts, stops and other changes of the gateway, and refused clients.
        Info = "info",
        /// Events of single connections.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }

    /// The shape of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line, for collectors.
        Json = "json",
    }
}

impl ApiScope {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl HookEvent {
    /// An application is only told of these: there is nothing to answer.
    pub const TOLD: [Self; 3] = [Self::Disconnect, Self::Unsubscribe, Self::Event];

    /// An application is asked about these, or is told of them.
    pub const ASKED_OR_TOLD: [Self; 2] = [Self::Connect, Self::Subscribe];

    /// Whether an application can be asked about it.
    pub fn has_answer(self) -> bool {
        !Self::TOLD.contains(&self)
    }

    /// The word in the configuration and in what the application is asked.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl SocketMode {
    /// The mode of the file (chmod(2)).
    pub fn bits(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o660,
            Self::All => 0o666,
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
