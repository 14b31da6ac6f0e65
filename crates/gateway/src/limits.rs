//! The fixed limits, each with its reason. Limits that an operator may change are in the table of
//! configuration keys. Nothing here reads a file, a clock or the kernel.

mod hooks;
mod notifications;
mod private_api;
mod submission;
mod turn;
mod upstream;

use std::time::Duration;

pub use hooks::*;
pub use notifications::*;
pub use private_api::*;
pub use submission::*;
pub use turn::*;
pub use upstream::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Payload bytes of a control frame. RFC 6455 §5.5: at most 125.
pub const CONTROL_FRAME_BYTES_MAX: u64 = ringway_frame::CONTROL_BYTES_MAX as u64;

/// Wire bytes before the payload of a client's control frame: a header of two bytes and a mask key
/// of four (RFC 6455 §5.2).
pub const CONTROL_FRAME_HEAD_BYTES: u64 = 2 + 4;

/// Bytes of a configuration file. The longest sensible one is a few KiB; this keeps a wrong path (a
/// log, a device) from being read into memory.
pub const CONFIG_FILE_BYTES_MAX: u64 = MIB;

/// The highest core number. The kernel's `cpu_set_t` has 1,024 bits
/// (sched_setaffinity(2)).
pub const CORE_NUMBER_MAX: u64 = 1023;

/// Bytes of a text in the configuration, such as a path or an address.
pub const TEXT_BYTES_MAX: u64 = 4 * KIB;

/// Tables of `[[auth.key]]`, and keys of one JWKS document: issuers publish a few at a time, and the
/// list is searched for each token.
pub const TOKEN_KEYS_MAX: usize = 64;

/// Keys with which the signature of one token without a `kid` is compared. A bogus token costs as
/// many signatures.
pub const TOKEN_KEYS_TRIED_MAX: usize = 4;

/// Bytes of a JWKS document from a URL: a key takes a few hundred, with a certificate some thousand.
pub const JWKS_BYTES_MAX: u64 = 256 * KIB;

/// How long the fetch of a JWKS document may take, with its connection. Requests that wait for it are
/// answered within their own time ([`IDENTITY_TIMEOUT`]).
pub const JWKS_TIMEOUT: Duration = Duration::from_secs(4);

/// The time after a fetch in which no token with an unknown key leads to another: clients could
/// otherwise make the gateway flood the issuer with requests.
pub const JWKS_COOLDOWN: Duration = Duration::from_secs(10);

/// The shortest time between two fetches that an issuer can ask for with the freshness of its answer: a
/// page that must not be cached would otherwise be fetched without a pause.
pub const JWKS_REFRESH_MIN: Duration = Duration::from_secs(30);

const _: () = assert!(JWKS_TIMEOUT.as_secs() < IDENTITY_TIMEOUT.as_secs());

/// Requests of all cores that wait for keys. Their tokens are kept until a fetch ends, even if their
/// clients have gone.
pub const JWKS_WAITING_MAX: usize = 4 * IDENTITIES_WAITING_MAX;

/// WebSockets of a core that have not shown their token yet; one more is refused. Each keeps the
/// parameters of its request.
pub const FIRST_MESSAGES_MAX: usize = 1024;

/// Bytes of a first message: a token, and its frame of JSON.
pub const FIRST_MESSAGE_BYTES_MAX: u64 = TOKEN_BYTES_MAX as u64 + KIB;

/// Bytes of the JSON text of a token's claim `ringway.meta`, which its sessions keep.
pub const TOKEN_META_BYTES_MAX: usize = KIB as usize;

/// Bytes of a token. Tokens of common issuers have one or two KiB; each is decoded and hashed.
pub const TOKEN_BYTES_MAX: usize = 8 * KIB as usize;

/// Topics that a token may subscribe its client to.
pub const TOKEN_TOPICS_MAX: usize = 100;

/// Clients that are refused until a time. Each takes some 200 bytes with a long name; a service that
/// has to lock out more has a fault that a table does not mend.
pub const REVOCATIONS_MAX: usize = 65_536;

/// Bytes of a shared secret: RFC 7518 §3.2 requires as many as the hash has.
pub const TOKEN_SECRET_BYTES_MIN: usize = 32;

/// Bytes of the modulus of an RSA key: RFC 7518 §3.3 requires 2,048 bits.
pub const TOKEN_RSA_BYTES_MIN: usize = 256;

/// Listeners of one process: more addresses than a gateway needs, and few enough that every core
/// can hold a socket for each.
pub const LISTENERS_MAX: u64 = 64;

/// Networks in one list. The list is searched in order for each connection.
pub const NETWORKS_MAX: u64 = 64;

/// Name patterns in one list: enough for one pattern for each tenant or kind of topic. The list is
/// searched in as many steps as its length has bits.
pub const PATTERNS_MAX: u64 = 1024;

/// Origins in one list. The list is searched in order for each cross-origin request.
pub const ORIGINS_MAX: u64 = 64;

/// Connections that the process may hold beyond the limit, so that refused clients can be told the
/// reason. Half of the reserved descriptors: the other half keeps the private API, which reports
/// the gateway's health, reachable under load.
pub const TURNED_AWAY_MAX: u32 = 64;

/// Bytes of a PROXY protocol header: the addresses take 52, and what load balancers add (names and
/// certificates of TLS clients, identifiers) a few hundred.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * KIB as usize;

/// Bytes of responses to one client in one turn; the connection is closed after the response that
/// exceeds this. A request is much shorter than its response, so without a bound the requests that
/// have already arrived could fill memory before a send shows that the client does not read
/// (RFC 9112 §9.3.2: a client that pipelines must be ready to send again).
pub const PIPELINED_BYTES_MAX: usize = 256 * KIB as usize;

/// Compressors that a core keeps for the next message. Only one is in use at a time, for one call;
/// more are kept because connections negotiate different windows.
pub const IDLE_DEFLATERS_MAX: usize = 8;

/// A core frees a scratch buffer larger than this, so that one large message does not stay
/// resident.
pub const SCRATCH_BYTES_KEPT: usize = 256 * KIB as usize;

/// Requests of a core that wait for their clients to be identified by another server; one more is
/// refused. Each keeps a few hundred bytes: the parameters of its head.
pub const IDENTITIES_WAITING_MAX: usize = 1024;

/// How long such a request may wait. A client that is refused early can try elsewhere, and a slower
/// source counts as down.
pub const IDENTITY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many disconnected clients are remembered without an event that is kept for them. Each takes
/// some 200 bytes with a long name, and a client may connect under any number of names.
pub const AWAY_MAX: usize = 262_144;

/// Events that are counted when the application asks how many are kept for a client: enough to tell
/// few from many, and cheap to count.
pub const WAITING_COUNTED_MAX: u32 = 1_000;

/// Outcomes that are kept for repeated commands. The operator bounds their bytes
/// (`history.outcome_bytes_max`); this only bounds the number of entries.
pub const RECEIPTS_MAX: usize = 1 << 24;

/// The latest outcomes of a client that are never forgotten before their time: a client that
/// reconnects repeats the commands that were on their way.
pub const RECEIPTS_SPARED: usize = 16;

/// How long they are kept: a client that reconnects has repeated its command by then.
pub const RECEIPTS_AGE_MAX: Duration = Duration::from_secs(120);

/// Log lines that wait to be written; further lines are dropped and counted. Each takes some 200
/// bytes, and a reader that keeps up is never more than a burst behind.
pub const LOG_LINES_QUEUED_MAX: usize = 1024;

/// Tables of `[[history.topic]]`. When a client reads a topic from the log, the tables are compared
/// with the topic in order.
pub const HISTORY_TOPICS_MAX: u64 = 64;

/// The longest drain after a thread has panicked, even if `server.drain_time` is longer: enough for
/// Close frames both ways, and short because the panic may have left work half done.
pub const FAILED_DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// What the kernel may buffer for a client that does not read, if no key bounds it: the maximum in
/// net.ipv4.tcp_wmem of an untuned kernel.
pub const KERNEL_QUEUE_BYTES: u64 = 4 * MIB;

/// While no more than this, and no more than an eighth of the limit, is buffered for all clients, a
/// poll gets up to `http.poll_bytes_max`.
pub const PLENTY_BYTES: u64 = 32 * MIB;

/// Above that, a poll gets about this much and the client asks again: a request of a hundred bytes
/// must not make the gateway buffer a megabyte for a client that does not read.
pub const SPARSE_ANSWER_BYTES: usize = 16 << 10;

/// An event of this size or larger is encoded once for all clients of a core that cannot be sent it
/// at once. Below this size, a copy for each client costs less than the kernel keeps for its
/// socket; and as this is also the size of a short poll response, no client holds more of its own.
pub const LARGE_EVENT_BYTES: usize = SPARSE_ANSWER_BYTES;
